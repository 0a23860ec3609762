"""Import of classifiers with an encoder like BERT's: the same ids, labels and scores as transformers."""

import json
from pathlib import Path

import pytest
import torch
import transformers

from export.checks.local_engine import run_requests
from export.from_hf import ImportOptions, import_checkpoint
from service.artifact import read_artifact
from service.engine.models.classify import ClassifyEngine
from service.engine.models.session import Session
from service.engine.types import EngineRequest
from service.text.tokenizer import TextCodec
from tests.training.pretrained.checkpoints import FAMILIES, write_tokenizer
from tests.training.pretrained.words import sentences
from training.pretrained.checkpoint import ImportRefused

LABELS = ["calm", "angry", "glad"]
ODD_TEXTS = ["", "  ", "ANNA runs!", "éè", "👍🏽 ok", "a\u00a0b", "東京", "dogdogcat", "[MASK]", "</s>"]


def write_checkpoint(folder: Path, family: str, **changes: object) -> Path:
    name, sizes = FAMILIES[family]
    codec = write_tokenizer(family == "roberta")
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(
        vocab_size=len(codec), id2label=dict(enumerate(LABELS)), label2id={x: i for i, x in enumerate(LABELS)}, **sizes
    )
    model = getattr(transformers, f"{name}ForSequenceClassification")(config)
    with torch.no_grad():  # so that texts differ in their labels
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)
    codec.save_pretrained(folder)
    table = json.loads((folder / "config.json").read_text("utf-8")) | changes
    (folder / "config.json").write_text(json.dumps(table), "utf-8")
    return folder


@pytest.mark.usefixtures("traced_once")
@pytest.mark.parametrize(
    ("family", "problem"),
    [("bert", None), ("roberta", None), ("electra", None), ("distilbert", "multi_label"), ("modernbert", None)],
)
def test_labels_and_scores_are_those_of_transformers(tmp_path: Path, family: str, problem: str | None) -> None:
    problem_type = {"problem_type": f"{problem}_classification"} if problem else {}
    folder = write_checkpoint(tmp_path / "checkpoint", family, **problem_type)
    manifest = import_checkpoint(folder, tmp_path / "artifact", ImportOptions("mood"))
    assert manifest.labels == LABELS
    assert 0 < manifest.parity.onnx < 1e-4
    artifact = read_artifact(tmp_path / "artifact")
    codec = TextCodec(artifact.tokenizer, manifest)
    reference = transformers.AutoTokenizer.from_pretrained(folder, split_special_tokens=True)
    texts = [text for text in ODD_TEXTS + sentences(7, 60) if len(reference(text, truncation=False)["input_ids"]) <= 20]
    sources = codec.encode(texts, [manifest.special_tokens.bos], manifest.append_eos)
    assert sources == [reference(text)["input_ids"] for text in texts]
    engine = ClassifyEngine(artifact, Session(artifact.graph("classify"), 1))
    found = [result.probabilities for result in run_requests([engine], [EngineRequest(ids) for ids in sources])]
    classify = transformers.pipeline("text-classification", model=str(folder), tokenizer=reference, top_k=None)
    for probabilities, expected in zip(found, classify(texts), strict=True):
        scores = {one["label"]: one["score"] for one in expected}
        assert probabilities == pytest.approx([scores[label] for label in LABELS], abs=1e-4)
    assert manifest.pair_separator == [manifest.special_tokens.eos] * (2 if family == "roberta" else 1)
    first = [probabilities[0] for probabilities in found]
    assert max(first) - min(first) > 0.01  # so that the comparison says something


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new'; relu and gelu"),
        ({"position_embedding_type": "relative_key"}, "only absolute positions"),
        ({"problem_type": "regression"}, "problem_type is 'regression'; only classification"),
        ({"id2label": {"0": "score"}}, "two or more labels"),
        ({"id2label": {"0": "a", "1": "a"}}, "two or more labels of different names"),
        ({"num_hidden_layers": 3}, r"bert\.encoder\.layer\.2\.\S+ is missing"),
        ({"vocab_size": 9}, r"9"),
        (
            {"model_type": "deberta-v2"},
            r"is 'deberta-v2' \(it would need .*\); marian, m2m_100, mbart, bert",
        ),
    ],
)
def test_classifier_that_cannot_be_imported_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", "bert", **changes)
    with pytest.raises(ImportRefused, match=message):
        import_checkpoint(folder, tmp_path / "artifact", ImportOptions("mood"))
    assert not (tmp_path / "artifact").exists()


def test_languages_of_a_classifier_are_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", "bert")
    with pytest.raises(ImportRefused, match="--languages is for translators"):
        import_checkpoint(folder, tmp_path / "artifact", ImportOptions("mood", [("en", "de")]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tokenizer.json", r"tokenizer.json is missing; write it where the checkpoint works: AutoTokenizer"),
        ("model.safetensors", r"model.safetensors is missing; pytorch_model.bin may run code .* safe_serialization"),
    ],
)
def test_missing_file_of_a_classifier_is_named(tmp_path: Path, name: str, message: str) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", "bert")
    (folder / name).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ImportRefused, match=message):
        import_checkpoint(folder, tmp_path / "artifact", ImportOptions("mood"))
    assert not (tmp_path / "artifact").exists()
