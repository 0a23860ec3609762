"""A classifier that starts from a pretrained encoder: the same vectors as transformers, training, export, refusals."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file

from export.checks.local_engine import run_requests
from export.publish import ExportOptions, export_run
from service.artifact import read_artifact
from service.engine.models.classify import ClassifyEngine
from service.engine.models.session import Session
from service.engine.types import EngineRequest
from service.text.tokenizer import TextCodec
from tests.training.pretrained.conftest import EncoderFolder
from tests.training.pretrained.words import sentences
from training.__main__ import main
from training.autofit import pretrained
from training.config import RecipeError, parse_recipe
from training.metrics import class_probabilities
from training.models.transformer import Embedding, Encoder
from training.pretrained.checkpoint import ImportRefused
from training.pretrained.encoder import load_encoder
from training.pretrained.start import PretrainedEncoder
from training.pretrained.weights import Weights
from training.runs.run import RunFolder
from training.tasks import ClassifyTask

DATA: dict[str, Any] = {"train": ["x.tsv"], "columns": ["label", "text"], "hold_out": 5}
RECIPE: dict[str, Any] = {"task": "classify", "data": DATA}


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "distilbert"])
def test_vectors_are_those_of_transformers(encoder_folder: EncoderFolder, family: str) -> None:
    folder = encoder_folder(family)
    start = PretrainedEncoder(folder)
    encoder = Encoder(start.config, Embedding(start.config, start.vocabulary, start.config.max_source_length)).eval()
    load_encoder(encoder, start.checkpoint, Weights(start.checkpoint))
    reference = transformers.AutoModel.from_pretrained(folder).eval()
    inputs = transformers.AutoTokenizer.from_pretrained(folder)(sentences(3, 12), return_tensors="pt", padding=True)
    lengths = inputs["attention_mask"].sum(1)
    assert len(set(lengths.tolist())) > 3
    with torch.inference_mode():
        found, expected = encoder(inputs["input_ids"], lengths), reference(**inputs).last_hidden_state
    real = inputs["attention_mask"].bool()
    assert torch.allclose(found[real], expected[real], atol=1e-4)


def write_rows(path: Path) -> None:
    """Write 240 rows whose label is that of the animal in them."""
    rows = [text.replace("cat", "river").replace("dog", "river") for text in sentences(5, 240)]
    lines = [f"{'cat' if i % 2 else 'dog'}{i % 3 * '!'} {text},{'feline' if i % 2 else 'canine'}" for i, text in
             enumerate(text.replace(",", "") for text in rows)]  # fmt: skip
    path.write_text("\n".join(["message,animal", *lines]) + "\n", "utf-8")


def test_table_to_artifact(
    encoder_folder: EncoderFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, table, run = encoder_folder(), tmp_path / "pets.csv", RunFolder(tmp_path / "run")
    write_rows(table)
    arguments = ["training", "fit", str(table), "--initialise-from", str(folder), "--run-folder", str(run.path)]
    monkeypatch.setattr("sys.argv", [*arguments, "--minutes", "1"])
    monkeypatch.setattr(pretrained, "MEASURE_SECONDS", 0.5)
    monkeypatch.setattr(pretrained, "LEAST_UPDATES", 150)
    assert main() == 0
    log = capsys.readouterr().err
    assert f"model: {folder}, 2 layers of width 32" in log
    assert json.loads(run.report.read_text("utf-8"))["valid"]["labels"]["accuracy"] > 90
    task, model = run.open(torch.device("cpu"))
    assert isinstance(task, ClassifyTask)
    manifest = export_run(run, tmp_path / "pets", tmp_path, ExportOptions(sentences=20))
    assert (manifest.labels, manifest.append_eos) == (["canine", "feline"], True)
    artifact = read_artifact(tmp_path / "pets")
    texts = ["dog! runs", "cat runs", "", "[SEP] dog"]
    sources = TextCodec(artifact.tokenizer, manifest).encode(texts, [manifest.special_tokens.bos], append_eos=True)
    assert sources == task.source_ids(texts)
    engine = ClassifyEngine(artifact, Session(artifact.graph("classify"), 1))
    found = [result.probabilities for result in run_requests([engine], [EngineRequest(ids) for ids in sources])]
    assert found == pytest.approx(class_probabilities(model, sources, torch.device("cpu")), abs=1e-4)
    assert found[0][0] > 0.5 > found[1][0]


def test_recipe_takes_model_and_tokenizer_from_the_encoder(encoder_folder: EncoderFolder) -> None:
    start = PretrainedEncoder(encoder_folder())
    recipe = start.adapt(parse_recipe(RECIPE | {"model": {"dropout": 0.3, "max_source_length": 40},
                                                "data": DATA | {"max_length": 40}}, "a.toml"))  # fmt: skip
    assert (recipe.model.width, recipe.model.dropout, recipe.model.max_source_length) == (32, 0.3, 40)
    assert (recipe.tokenizer.kind, recipe.tokenizer.vocabulary) == ("pretrained", start.vocabulary)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"width": 64}}, r"differing in model\.width; leave them out"),
        ({"model": {"architecture": "lstm"}}, r"differing in model\.architecture"),
        ({"model": {"max_source_length": 200}}, "max_source_length is 200; .* reads at most 48"),
        ({"tokenizer": {"kind": "word"}}, r"leave out \[tokenizer\]"),
        ({"task": "translate", "data": {"train": ["x.tsv"], "columns": ["en", "de"], "directions": ["en-de"],
                                        "hold_out": 5}}, "starts a classifier"),
    ],
)  # fmt: skip
def test_recipe_for_another_model_is_refused(
    encoder_folder: EncoderFolder, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        PretrainedEncoder(encoder_folder()).adapt(parse_recipe(RECIPE | changes, "a.toml"))


def test_encoder_that_cannot_be_used_is_refused(encoder_folder: EncoderFolder) -> None:
    folder = encoder_folder(hidden_act="gelu_new")
    with pytest.raises(ImportRefused, match="hidden_act is 'gelu_new'"):
        PretrainedEncoder(folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"hidden_act": "gelu", "vocab_size": 7}), "utf-8")
    with pytest.raises(ImportRefused, match="the embedding has 7; the files do not belong together"):
        PretrainedEncoder(folder)
    (folder / "config.json").write_text(json.dumps(config | {"hidden_act": "gelu"}), "utf-8")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ImportRefused, match=r"tokenizer\.json is missing; write it where the checkpoint works"):
        PretrainedEncoder(folder)
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "t5"}), "utf-8")
    with pytest.raises(ImportRefused, match="model_type is 't5'; a classifier can start from bert, "):
        PretrainedEncoder(folder)


def test_weights_that_are_missing_are_named(encoder_folder: EncoderFolder, tmp_path: Path) -> None:
    folder = encoder_folder()
    start = PretrainedEncoder(folder)
    save_file({"embeddings.word_embeddings.weight": torch.zeros(start.vocabulary, 32)}, folder / "model.safetensors")
    encoder = Encoder(start.config, Embedding(start.config, start.vocabulary, start.config.max_source_length))
    with pytest.raises(ImportRefused, match=r"the weight embeddings\.position_embeddings\.weight is missing"):
        load_encoder(encoder, start.checkpoint, Weights(start.checkpoint))
