"""Import of multilingual translators: the ids, logits and answers of transformers, with each target language forced."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from export.checks.sample_texts import texts_of
from export.from_hf import parse_directions
from export.hf.imports import TranslatorImport
from service.artifact import Artifact, Manifest, read_artifact
from service.engine.factory import start_pools
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from service.text.tokenizer import TextCodec
from tests.export.hf.conftest import run_import
from tests.export.hf.multilingual import CODES, KINDS, write_checkpoint
from tests.service.conftest import Service, serving
from tests.training.pretrained.words import sentences
from training.pretrained.checkpoint import ImportRefused, open_checkpoint

TEXTS = [" ".join(re.findall(r"\w+", text)) for text in sentences(5, 12)]  # each a single sentence
ODD_TEXTS = ["", " ", " a  b ", "👍🏽 ok", "①②ﬁ", "e\u0301", "▁x ▁", "你好 abc", "éé äö", "__de__ de_DE", "zzz"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("multilingual")
    return {kind: write_checkpoint(folder / kind, kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_ids_and_logits_are_those_of_transformers(checkpoints: dict[str, Path], tmp_path: Path, kind: str) -> None:
    found = TranslatorImport(open_checkpoint(checkpoints[kind]), [("en", "de"), ("de", "en")])
    found.save_tokenizer(tmp_path / "tokenizer.json")
    codec = TextCodec(tmp_path / "tokenizer.json", Manifest.model_construct(special_tokens=found.special_tokens))
    reference = AutoTokenizer.from_pretrained(checkpoints[kind], split_special_tokens=True)
    english, german, _ = CODES[kind]
    texts = [*ODD_TEXTS, *sentences(4, 200)]
    for direction, code, other in zip(found.directions, (english, german), (german, english), strict=True):
        reference.src_lang, reference.tgt_lang = code, other
        assert codec.encode(texts, direction.prefix, append_eos=True) == [reference(t)["input_ids"] for t in texts]
        targets = [[*direction.target_prefix, *codec.target_ids(text)] for text in texts]
        assert targets == [reference(text_target=text)["input_ids"][:-1] for text in texts]
    known = [ids[1:] for ids in targets if found.special_tokens.unk not in ids]
    assert codec.decode(known) == reference.batch_decode(known, skip_special_tokens=True)
    model = AutoModelForSeq2SeqLM.from_pretrained(checkpoints[kind]).eval()
    source = torch.tensor([reference("the old dog sees 2 cats .")["input_ids"]])
    target = torch.tensor([[found.special_tokens.bos, *targets[-1]]])
    with torch.inference_mode():
        expected = model(input_ids=source, decoder_input_ids=target).logits
        own = found.model(source, torch.tensor([source.size(1)]), target)
    assert (own - expected).abs().max() < 1e-4
    assert expected.std() > 0.5


@pytest.fixture(scope="module")
def imported(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, trace: Any) -> Artifact:
    """An M2M-100 checkpoint, imported from the command line with all directions of three languages."""
    folder = tmp_path_factory.mktemp("artifacts") / "m2m"
    run_import([str(checkpoints["m2m_100"]), str(folder), "--languages", "en", "de", "cs"], trace)
    return read_artifact(folder)


@pytest.fixture(scope="module")
def running(imported: Artifact) -> Iterator[Service]:
    settings = Settings(models=imported.path.parent, workers=1, threads=1, guard=False)
    metrics = Metrics()
    with serving(settings, load_models(settings, metrics, start_pools), metrics) as service:
        yield service


@pytest.fixture(scope="module")
def generate(checkpoints: dict[str, Path]) -> Callable[..., list[tuple[str, list[int]]]]:
    """Return a function that gives the translations of `generate()` and their ids, without special tokens."""
    path = checkpoints["m2m_100"]
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    model.eval()
    model.generation_config.max_length = None

    def translate(source: str, target: str, beam: int) -> list[tuple[str, list[int]]]:
        tokenizer.src_lang, found = source, []
        first = tokenizer.get_lang_id(target)
        options: dict[str, Any] = {"num_beams": beam, "early_stopping": False, "max_new_tokens": 21}
        for text in TEXTS:
            inputs = tokenizer(text, return_tensors="pt")
            with torch.inference_mode():
                ids = model.generate(**inputs, forced_bos_token_id=first, **options)[0, 2:].tolist()
            words = re.sub("__..__|<unk>", "", tokenizer.decode(ids, skip_special_tokens=True))
            found.append((words, [id for id in ids if id != 2]))
        return found

    return translate


@pytest.mark.parametrize(("target", "beam"), [("de", 1), ("de", 4), ("cs", 4)])
def test_answers_over_http_are_those_of_generate(
    running: Service, generate: Callable[..., list[tuple[str, list[int]]]], target: str, beam: int
) -> None:
    body = {"text": TEXTS, "source": "en", "target": target, "beam_size": beam, "include": ["tokens"]}
    reply = running.post("/v1/translate", body | {"max_length": 20, "early_stopping": False}).json()
    expected = generate("en", target, beam)
    found = reply["translations"]
    assert [[token["id"] for token in one["tokens"]] for one in found] == [ids for _, ids in expected]
    assert [one["text"].split() for one in found] == [text.split() for text, _ in expected]
    assert len({text for text, _ in expected}) > len(TEXTS) // 2


def test_score_counts_the_translation_alone(running: Service) -> None:
    body = {"text": "the dog", "translation": "a cat", "source": "en", "target": "de", "include": ["tokens"]}
    [scored] = running.post("/v1/score", body).json()["scores"]
    assert "".join(token["text"] for token in scored["tokens"]).startswith("▁a▁cat")
    log_probs = [token["log_probability"] for token in scored["tokens"]]
    assert scored["score"] == pytest.approx(sum(log_probs) / len(log_probs), abs=1e-5)
    [aligned] = running.post("/v1/score", body | {"include": ["alignment"]}).json()["scores"]
    assert aligned["alignment"]


def test_manifest_names_the_directions(imported: Artifact) -> None:
    manifest = imported.manifest
    assert 0 < manifest.parity.onnx < 1e-4
    names = [(d.source, d.target) for d in manifest.directions]
    assert names == [(a, b) for a in ("en", "de", "cs") for b in ("en", "de", "cs") if a != b]
    tokens = {d.source: d.prefix for d in manifest.directions}
    assert all(d.target_prefix == tokens[d.target] for d in manifest.directions)
    assert manifest.generation.beam_size == 2


def test_texts_of_many_directions_are_shared_out() -> None:
    texts = [str(i) for i in range(44)]
    assert all(texts_of(texts, i, 4) == texts for i in range(4))
    assert {text for i in range(20) for text in texts_of(texts, i, 20)} == set(texts)
    assert all(texts_of(["one"], i, 90) == ["one"] for i in range(90))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], r"between 8 languages; give directions, .*: en, ha, "),
        ([("en", "it")], "does not have the language it; it has en, ha"),
    ],
)
def test_languages_that_the_model_lacks_are_refused(
    checkpoints: dict[str, Path], given: list[tuple[str, str]], message: str
) -> None:
    with pytest.raises(ImportRefused, match=message):
        TranslatorImport(open_checkpoint(checkpoints["m2m_100"]), given)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("config.json", {"vocab_size": 50}, "tokens, but the embedding has 50"),
        ("config.json", {"tie_word_embeddings": False}, "tie_word_embeddings is not set"),
        ("config.json", {"encoder_layers": 2}, r"model\.encoder\.layers\.1\.\S+ is missing"),
        ("generation_config.json", {"forced_bos_token_id": 92}, r"translates to \w+ alone .*, not to de"),
        ("tokenizer_config.json", {"tokenizer_class": "MBartTokenizer"}, "adds </s> en_XX to a source"),
    ],
)
def test_checkpoint_that_cannot_be_imported_is_refused(
    tmp_path: Path, file: str, changes: dict[str, object], message: str
) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint", "mbart" if "tokenizer" in file else "nllb")
    table = json.loads((folder / file).read_text("utf-8")) | changes
    (folder / file).write_text(json.dumps(table), "utf-8")
    if file == "generation_config.json":
        table["forced_bos_token_id"] = (
            TranslatorImport(open_checkpoint(write_checkpoint(tmp_path / "other", "nllb")), [("fr", "en")])
            .directions[0]
            .prefix[0]
        )
        (folder / file).write_text(json.dumps(table), "utf-8")
    with pytest.raises(ImportRefused, match=message):
        TranslatorImport(open_checkpoint(folder), [("en", "de")])


@pytest.mark.parametrize("given", [["en"], ["en-"], ["-de", "en-fr"]])
def test_half_a_direction_is_refused(given: list[str]) -> None:
    with pytest.raises(ImportRefused, match=f"--languages {given[0]}: give directions"):
        parse_directions(given)
    assert parse_directions(["en-de", "de", "fr"]) == [("en", "de"), ("de", "fr"), ("fr", "de")]
