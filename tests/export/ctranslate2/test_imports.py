"""Translators of CTranslate2 become artifacts that give its answers, or are refused with what is missing."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest
import sentencepiece
from ctranslate2.specs.common_spec import Activation

from export import from_hf
from export.checks.local_engine import run_requests
from export.checks.parity import ParityError
from export.ctranslate2.model_file import read_model_file
from export.ctranslate2.translator import build_translator, translator_config
from export.from_hf import ImportOptions, import_checkpoint
from service.artifact import read_artifact
from service.engine.factory import start_pools
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from service.text.tokenizer import TextCodec
from tests.export.ctranslate2.packages import copy_package, write_package
from tests.service.conftest import serving
from tests.training.pretrained.words import sentences
from training.pretrained.checkpoint import ImportRefused

OPTIONS = ImportOptions("argos")
VARIANTS: dict[str, dict[str, Any]] = {
    "as Argos": {},  # with two layers; the others have one, which is traced in less time
    "int8, post-norm, end of source": {
        "layers": 1, "quantization": "int8", "pre_norm": False,
        "config": {"add_source_eos": True, "layer_norm_epsilon": 1e-6},
    },
    "bfloat16, untied, gelu, begin of source": {
        "layers": 1, "quantization": "bfloat16", "tied": False, "activation": Activation.GELU,
        "config": {"add_source_bos": True},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("argos") / "translate-en_de-1_0")


@pytest.mark.parametrize("name", VARIANTS)
def test_artifact_gives_the_answers_of_ctranslate2(
    tmp_path: Path, name: str, trace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_package(tmp_path / "translate-en_de", **VARIANTS[name])
    monkeypatch.setattr(from_hf, "to_onnx", trace)
    manifest = import_checkpoint(folder, tmp_path / "artifact", OPTIONS)
    assert [(d.source, d.target) for d in manifest.directions] == [("en", "de")]
    assert manifest.parity.sentences >= 40  # some are longer than the model reads
    assert manifest.source_eos == ("end" in name)
    artifact = read_artifact(tmp_path / "artifact")
    assert f"with CTranslate2 on {manifest.parity.sentences} texts" in (artifact.path / "MODEL_CARD.md").read_text(
        "utf-8"
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sentencepiece.model"))
    reference = ctranslate2.Translator(str(folder / "model"), compute_type="float32", intra_threads=1)
    texts = sentences(7, 12)
    expected = reference.translate_batch(
        [pieces.encode(text, out_type=str) for text in texts], beam_size=1, max_decoding_length=12
    )
    codec = TextCodec(artifact.tokenizer, manifest)
    engine = TranslateEngine(TranslateGraphs.load(artifact, 1), 64)
    ids = codec.encode(texts, manifest.directions[0].prefix, manifest.source_eos)
    found = run_requests([engine], [EngineRequest(one, DecodingOptions(max_length=12)) for one in ids])
    vocabulary = json.loads((folder / "model" / "shared_vocabulary.json").read_text("utf-8"))
    answers = [[vocabulary[id] for id in result.ids] for result in found]
    assert answers == [one.hypotheses[0] for one in expected]
    assert len({tuple(one) for one in answers}) > 1  # so that the comparison says something
    assert codec.decode([found[0].ids])[0] == pieces.decode(expected[0].hypotheses[0])


def test_service_reads_sources_without_an_end_token(
    tmp_path: Path, trace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_package(tmp_path / "translate-en_de")
    monkeypatch.setattr(from_hf, "to_onnx", trace)
    import_checkpoint(folder, tmp_path / "models" / "argos", OPTIONS)
    reference = ctranslate2.Translator(str(folder / "model"), compute_type="float32", intra_threads=1)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sentencepiece.model"))
    vocabulary = json.loads((folder / "model" / "shared_vocabulary.json").read_text("utf-8"))
    texts, translations = sentences(5, 6), sentences(6, 6)
    tokens = [[pieces.encode(text, out_type=str) for text in side] for side in (texts, translations)]
    expected = [sum(one.log_probs) for one in reference.score_batch(*tokens)]
    settings, metrics = Settings(models=tmp_path / "models", workers=1, threads=1, guard=False), Metrics()
    with serving(settings, load_models(settings, metrics, start_pools), metrics) as service:
        body = {"text": texts, "translation": translations, "source": "en", "target": "de"}
        found = [one["log_probability"] for one in service.post("/v1/score", body).json()["scores"]]
        assert found == pytest.approx(expected, abs=1e-3)
        empty = service.post("/v1/translate", {"text": "\ufeff", "source": "en", "target": "de", "max_length": 4})
        assert empty.status_code == 200, empty.text
        reply = service.post("/v1/translate", {"text": texts[0], "source": "en", "target": "de", "include": ["tokens"]})
    shown = [vocabulary[one["id"]] for one in reply.json()["translations"][0]["tokens"]]
    [answer] = reference.translate_batch(tokens[0][:1], beam_size=1, max_decoding_length=len(shown))
    assert [piece for piece in shown if piece != "</s>"] == answer.hypotheses[0]


def test_another_model_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trace: Any) -> None:
    other = VARIANTS["int8, post-norm, end of source"]  # whose graphs are traced already
    folder = write_package(tmp_path / "translate-en_de", **other | {"pre_norm": True})
    write_package(tmp_path / "other", **other)
    model = read_model_file(tmp_path / "other" / "model" / "model.bin")
    monkeypatch.setattr("export.ctranslate2.imports.read_model_file", lambda path: model)
    monkeypatch.setattr(from_hf, "to_onnx", trace)
    with pytest.raises(ParityError, match=r"the greedy answer is .*, that of CTranslate2 "):
        import_checkpoint(folder, tmp_path / "artifact", OPTIONS)
    assert not (tmp_path / "artifact").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder/activation": np.int8(1)}, "has the activation number 1, which our graphs do not have"),
        ({"encoder/layer_0/ffn/linear_0_noact/weight": np.zeros(1)}, "has gated feed-forward layers, which"),
        ({"encoder/position_encodings/encodings": None}, "has positions that are not stored (OpenNMT-tf), which"),
        ({"decoder/layer_norm/beta": None}, "has RMSNorm, which"),
        ({"decoder/start_from_zero_embedding": np.int8(1)}, "has start_from_zero_embedding, which"),
        ({"encoder/num_heads": np.int16(8)}, "does not give each of 8 heads a multiple of 8"),
    ],
)
def test_model_with_other_layers_is_refused(package: Path, changes: dict[str, Any], message: str) -> None:
    model = read_model_file(package / "model" / "model.bin")
    changed = {name: value for name, value in {**model.variables, **changes}.items() if value is not None}
    with pytest.raises(ImportRefused, match=re.escape(message)):
        translator_config(replace(model, variables=changed), 1e-5)


def test_variables_have_to_fit(package: Path) -> None:
    model = read_model_file(package / "model" / "model.bin")
    config = translator_config(model, 1e-5)
    with pytest.raises(ImportRefused, match=r"the embedding has \d+ tokens, but the vocabulary 1000"):
        build_translator(model, config, 1000)
    changed = {**model.variables, "decoder/layer_0/ffn/linear_0/weight": np.zeros((3, 3), np.float32)}
    with pytest.raises(ImportRefused, match=r"ffn/linear_0/weight has the shape \(3, 3\); the model's sizes ask for"):
        build_translator(replace(model, variables=changed), config, 10)
    with pytest.raises(ImportRefused, match="a model of the kind WhisperSpec; only TransformerSpec translates"):
        translator_config(replace(model, spec="WhisperSpec"), 1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sentencepiece.model": None}, "its tokenizer is missing: sentencepiece.model, or source.spm and target.spm"),
        ({"sentencepiece.model": b"no model"}, "sentencepiece.model: "),
        ({"model/shared_vocabulary.json": None}, "shared_vocabulary.json or shared_vocabulary.txt is missing"),
        ({"model/shared_vocabulary.json": b"{}"}, "shared_vocabulary.json: not a list of tokens"),
        ({"model/shared_vocabulary.json": b'["a", "a"]'}, "shared_vocabulary.json: has a token twice"),
        ({"model/shared_vocabulary.json": b'["a"]'}, "the vocabulary has no token '</s>'"),
        ({"model/source_vocabulary.json": b"[]"}, "source and target have different vocabularies"),
        ({"model/model.bin": b"\x05\0\0\0"}, "version 5 of the format; only 6 can be read"),
        ({"model/model.bin": b"\x06\0\0\0\x02\0a"}, "model.bin: damaged: "),
        ({"metadata.json": b"{}"}, ""),
        ({"metadata.json": b"no JSON"}, "metadata.json: cannot be read"),
    ],
)
def test_damaged_package_is_refused(
    package: Path, tmp_path: Path, changes: dict[str, bytes | None], message: str
) -> None:
    folder = copy_package(package, tmp_path)
    for name, content in changes.items():
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)
    if not message:
        folder = folder.rename(tmp_path / "unnamed")
        message = "its languages are unknown; give it, for example --languages en-de"
    with pytest.raises(ImportRefused, match=re.escape(message)):
        import_checkpoint(folder, tmp_path / "artifact", OPTIONS)
    assert not (tmp_path / "artifact").exists()


def test_two_directions_are_refused(package: Path, tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="a model of CTranslate2 has one direction"):
        import_checkpoint(package, tmp_path / "artifact", ImportOptions("x", [("en", "de"), ("de", "en")]))


def test_cut_file_is_damaged(package: Path, tmp_path: Path) -> None:
    folder = copy_package(package, tmp_path)
    file = folder / "model" / "model.bin"
    file.write_bytes(file.read_bytes()[:-900])
    with pytest.raises(ImportRefused, match=r"model.bin: damaged: \S+ has [\d,]+ bytes, of which [\d,]+ are there"):
        read_model_file(file)


@pytest.mark.parametrize("quantization", [None, "int8", "int16", "float16", "bfloat16"])
def test_arrays_are_read_in_any_precision(tmp_path: Path, quantization: str | None) -> None:
    exact = read_model_file(write_package(tmp_path / "exact") / "model" / "model.bin")
    found = read_model_file(write_package(tmp_path / "other", quantization) / "model" / "model.bin")
    allowed = {None: 0, "int8": 0.01, "int16": 0.001, "float16": 0.001, "bfloat16": 0.01}[quantization]
    for name in exact.variables:
        assert np.abs(exact.array(name) - found.array(name)).max() <= allowed, name
        assert found.array(name).dtype == np.float32
    with pytest.raises(ImportRefused, match="the variable none is missing"):
        found.array("none")
    with pytest.raises(ImportRefused, match="the variable none is missing"):
        found.number("none")
