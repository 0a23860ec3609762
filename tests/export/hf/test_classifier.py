"""Import of classifiers with an encoder like BERT's: the same ids, labels and scores as transformers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from export.checks.local_engine import run_requests
from export.from_hf import ImportOptions, import_checkpoint
from export.hf.checkpoint import ImportRefused
from service.artifact import read_artifact
from service.engine.models.classify import ClassifyEngine
from service.engine.models.session import Session
from service.engine.types import EngineRequest
from service.text.tokenizer import TextCodec
from tests.export.hf.conftest import sentences

LABELS = ["calm", "angry", "glad"]
SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 48,
}  # fmt: skip
DISTILBERT_SIZES = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 48}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", SIZES),
    "roberta": ("Roberta", SIZES | {"pad_token_id": 1, "layer_norm_eps": 1e-5, "type_vocab_size": 1}),
    "electra": ("Electra", SIZES | {"embedding_size": 16}),
    "distilbert": ("DistilBert", DISTILBERT_SIZES),
}
ODD_TEXTS = ["", "  ", "ANNA runs!", "éè", "👍🏽 ok", "a\u00a0b", "東京", "dogdogcat", "[MASK]", "</s>"]


def tokenizer(roberta: bool) -> transformers.PreTrainedTokenizerFast:
    special = ["<s>", "<pad>", "</s>", "<unk>"] if roberta else ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    if roberta:
        found = Tokenizer(models.BPE())
        found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer: trainers.Trainer = trainers.BpeTrainer(
            vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
        first, last, names = "<s>", "</s>", {"pad_token": "<pad>", "unk_token": "<unk>"}
    else:
        found = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        found.normalizer = normalizers.BertNormalizer()
        found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=special)
        first, last, names = "[CLS]", "[SEP]", {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    found.train_from_iterator(sentences(1), trainer)
    found.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(name, found.token_to_id(name)) for name in (first, last)]
    )
    found.enable_truncation(20)  # which the service does not take over: it refuses what is too long
    return transformers.PreTrainedTokenizerFast(tokenizer_object=found, cls_token=first, sep_token=last, **names)


def write_checkpoint(folder: Path, family: str, **changes: object) -> Path:
    name, sizes = FAMILIES[family]
    codec = tokenizer(family == "roberta")
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


@pytest.mark.parametrize(
    ("family", "problem"), [("bert", None), ("roberta", None), ("electra", None), ("distilbert", "multi_label")]
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
        ({"model_type": "modernbert"}, "model_type is 'modernbert'; marian, bert"),
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
