"""Import of MarianMT checkpoints: the same ids, the same answers, and errors before anything is written."""

import json
import random
import re
import shutil
from pathlib import Path

import pytest
import torch
from transformers import MarianMTModel, MarianTokenizer

from export.checks.hf_parity import Source, verify_imported_translator
from export.checks.local_engine import run_requests
from export.checks.parity import ParityError
from export.from_hf import ImportOptions, import_checkpoint, main
from export.hf.generation import read_generation
from export.hf.marian import guess_languages
from service.artifact import Artifact, GenerationDefaults
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest
from service.models.options import with_defaults
from service.text.tokenizer import TextCodec
from tests.export.hf.conftest import BAD_WORD, MarianCheckpoint
from tests.training.pretrained.words import sentences
from training.pretrained.checkpoint import ImportRefused, open_checkpoint

OPTIONS = ImportOptions("opus", [("en", "deu")])
ODD_TEXTS = [
    "", "   ", " a  b ", "\ta\u00a0b\n", "x\u200by", "👍🏽 ok", "①②ﬁ", "Ａｂｃ", "e\u0301",
    "▁x ▁", "你好 abc", "U", "UU ü U", "éé", "äöü éèñ", ">>fra<", "\ufeffhi", "a\u00adb", "\x00x",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")  # which normalises nothing that is asked here
def test_ids_and_texts_are_those_of_transformers(original: Path, imported: Artifact) -> None:
    codec = TextCodec(imported.tokenizer, imported.manifest)
    reference = MarianTokenizer.from_pretrained(original)
    generator = random.Random(3)
    letters = "abdeghnorstuäöüéèñU 127.,!?  "
    texts = ODD_TEXTS + sentences(4, 200) + ["".join(generator.choices(letters, k=30)) for _ in range(300)]
    expected = [reference(text)["input_ids"] for text in texts]
    assert codec.encode(texts, [], append_eos=True) == expected
    assert any(1 in ids for ids in expected)  # unknown pieces are among them
    special = imported.manifest.special_tokens
    [end, padding] = codec.encode(["</s>", "<pad>"], [], append_eos=False)  # text, where transformers sees tokens
    assert special.eos not in end
    assert special.pad not in padding
    for text in texts:
        ids = reference(text_target=text)["input_ids"][:-1]
        assert codec.target_ids(text) == ids
        ids = [id for id in ids if id != 1]
        assert codec.decode([ids]) == [reference.decode(ids)]


def test_answers_are_those_of_transformers(original: Path, imported: Artifact) -> None:
    manifest = imported.manifest
    assert 0 < manifest.parity.onnx < 1e-4
    codec, model = TextCodec(imported.tokenizer, manifest), MarianMTModel.from_pretrained(original)
    model.eval()
    sources = codec.encode(sentences(5, 10), manifest.directions[0].prefix, append_eos=True)
    engine = TranslateEngine(TranslateGraphs.load(imported, 1), 64)
    for beam in (1, 4):
        options = DecodingOptions(max_length=30, beam_size=beam)
        found = [result.ids for result in run_requests([engine], [EngineRequest(ids, options) for ids in sources], 64)]
        pad = manifest.special_tokens.pad
        with torch.inference_mode():
            generated = [
                model.generate(
                    torch.tensor([ids]), num_beams=beam, max_new_tokens=30, do_sample=False, forced_eos_token_id=None,
                    early_stopping=False, length_penalty=1.0,
                )[0, 1:].tolist()
                for ids in sources
            ]  # fmt: skip
        expected = [[id for id in ids if id not in (0, pad)] for ids in generated]
        assert found == expected


def test_tag_selects_the_target_language(original: Path, imported: Artifact, tmp_path: Path) -> None:
    ids = json.loads((original / "vocab.json").read_text("utf-8"))
    assert [d.prefix for d in imported.manifest.directions] == [[ids[">>deu<<"]], [ids[">>fra<<"]]]
    with pytest.raises(ImportRefused, match=r"no tag >>ita<<; it has >>deu<<, >>fra<<"):
        import_checkpoint(original, tmp_path / "other", ImportOptions("opus", [("en", "ita")]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation_function": "tanh"}, "activation_function is 'tanh'; relu"),
        ({"normalize_before": True}, "only post-norm"),
        ({"decoder_attention_heads": 2}, "differ in attention heads"),
        ({"vocab_size": 100}, "pieces, but the embedding has 100"),
        ({"encoder_layers": 3}, r"model\.encoder\.layers\.2\.\S+ is missing"),
        ({"d_model": 64}, r"config\.json asks for \(\d+, 64\)"),
        ({"model_type": "t5"}, r"is 't5' \(it would need relative .*\); marian, m2m_100, mbart, bert, "),
        ({"auto_map": {"AutoModel": "x.Y"}}, "never run"),
    ],
)
def test_checkpoint_that_cannot_be_imported_is_refused(
    marian_checkpoint: MarianCheckpoint, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ImportRefused, match=message):
        import_checkpoint(marian_checkpoint(**changes), tmp_path / "artifact", OPTIONS)
    assert not (tmp_path / "artifact").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("source.spm", "source.spm is missing"), ("vocab.json", "vocab.json is missing"),
        ("model.safetensors", "model.safetensors is missing; pytorch_model.bin may run code"),
        ("config.json", "config.json is missing"),
    ],
)  # fmt: skip
def test_missing_file_is_named(marian_checkpoint: MarianCheckpoint, tmp_path: Path, name: str, message: str) -> None:
    folder = marian_checkpoint()
    (folder / name).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ImportRefused, match=message):
        import_checkpoint(folder, tmp_path / "artifact", OPTIONS)
    assert not (tmp_path / "artifact").exists()


def test_code_of_a_tokenizer_is_never_run(marian_checkpoint: MarianCheckpoint, tmp_path: Path) -> None:
    folder = marian_checkpoint()
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["x.Y", None]}}), "utf-8")
    with pytest.raises(ImportRefused, match=r"tokenizer_config.json: the tokenizer brings code of its own"):
        import_checkpoint(folder, tmp_path / "artifact", OPTIONS)
    assert not (tmp_path / "artifact").exists()


@pytest.mark.parametrize("name", ["source.spm", "vocab.json", "config.json", "model.safetensors"])
def test_damaged_file_is_named(marian_checkpoint: MarianCheckpoint, tmp_path: Path, name: str) -> None:
    folder = marian_checkpoint()
    (folder / name).write_bytes(b"\xff\x00 no such format")
    with pytest.raises(ImportRefused, match=name):
        import_checkpoint(folder, tmp_path / "artifact", OPTIONS)
    assert not (tmp_path / "artifact").exists()


@pytest.mark.parametrize("name", ["model.bin", "model/model.bin"])
def test_model_of_ctranslate2_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ImportRefused, match="a model of CTranslate2 .* but nothing can be trained from it"):
        open_checkpoint(tmp_path)


def test_artifact_that_differs_is_refused(original: Path, imported: Artifact) -> None:
    model = MarianMTModel.from_pretrained(original)
    model.eval()

    def logits(source: torch.Tensor, mask: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model(input_ids=source, attention_mask=mask, decoder_input_ids=target).logits
        return found + shift * torch.arange(found.size(-1))  # (B, T, V)

    codec = TextCodec(imported.tokenizer, imported.manifest)
    encoded = codec.encode(sentences(6, 5), imported.manifest.directions[0].prefix, append_eos=True)
    sources = list(map(Source, encoded))
    never = [imported.manifest.special_tokens.pad, BAD_WORD]
    shift = 0.0
    assert verify_imported_translator(logits, imported, sources, never, 1e-4).sentences == 5
    shift = 1e-5
    with pytest.raises(ParityError, match=r"differs from the trained model by \S+, allowed is 0.0001"):
        verify_imported_translator(logits, imported, sources, never, 1e-4)
    shift = 1.0
    with pytest.raises(ParityError, match=r"greedy answers to \d of 5 texts differ"):
        verify_imported_translator(logits, imported, sources, never, 1e4)


def test_command_describes_the_artifact(imported: Artifact) -> None:
    manifest = imported.manifest
    assert (manifest.name, manifest.version, manifest.precision) == ("opus-mt", "1", "fp32")
    assert manifest.provenance.recipe["checkpoint"] == "opus-mt-en-deu"
    card = (imported.path / "MODEL_CARD.md").read_text("utf-8")
    assert "Directions: en to deu, en to fra." in card
    assert "Licence of the weights: CC BY 4.0." in card


def test_generation_options_become_the_defaults(original: Path, imported: Artifact) -> None:
    manifest, model = imported.manifest, MarianMTModel.from_pretrained(original)
    model.eval()
    assert manifest.generation == GenerationDefaults(beam_size=3, length_penalty=0.6, early_stopping=True)
    card = (imported.path / "MODEL_CARD.md").read_text("utf-8")
    assert "- beam_size: 3\n- length_penalty: 0.6\n- early_stopping: 1\n" in card
    codec = TextCodec(imported.tokenizer, manifest)
    sources = codec.encode(sentences(5, 10), manifest.directions[0].prefix, append_eos=True)
    engine = TranslateEngine(TranslateGraphs.load(imported, 1), 64)
    options = with_defaults(DecodingOptions(max_length=30), frozenset(), manifest.generation, 16)
    found = [result.ids for result in run_requests([engine], [EngineRequest(ids, options) for ids in sources], 64)]
    limit = {"max_new_tokens": 30, "forced_eos_token_id": None}
    with torch.inference_mode():
        generated = [model.generate(torch.tensor([ids]), **limit)[0, 1:].tolist() for ids in sources]
    assert found == [[id for id in ids if id not in (0, manifest.special_tokens.pad)] for ids in generated]
    assert BAD_WORD not in {id for ids in found for id in ids}
    model.generation_config.bad_words_ids = None
    with torch.inference_mode():
        free = {id for ids in sources for id in model.generate(torch.tensor([ids]), **limit)[0].tolist()}
    assert BAD_WORD in free


def test_generation_options_that_the_service_lacks_are_named(marian_checkpoint: MarianCheckpoint) -> None:
    folder = marian_checkpoint()
    options = {"num_beams": 20, "do_sample": True, "bad_words_ids": [[4, 5], [6]], "early_stopping": "never"}
    (folder / "generation_config.json").write_text(json.dumps(options), "utf-8")
    found = read_generation(open_checkpoint(folder))
    assert found.never == (6,)
    assert found.defaults == GenerationDefaults(beam_size=16)
    assert found.left_out == (
        "num_beams = 20, of which the service has at most 16", "early_stopping = 'never'", "bad_words_ids = [4, 5]",
        "do_sample = True",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"num_beams": "many"}, r"generation_config.json: a generation option has a value"),
        ({"length_penalty": -1}, r"a generation option has a value.*length_penalty"),
        ({"bad_words_ids": [[10_000]]}, "the token 10000 is outside the vocabulary"),
        ({"forced_bos_token_id": 5}, "forced_bos_token_id is 5"),
    ],
)
def test_generation_options_that_cannot_be_used_are_refused(
    marian_checkpoint: MarianCheckpoint, tmp_path: Path, table: dict[str, object], message: str
) -> None:
    folder = marian_checkpoint()
    (folder / "generation_config.json").write_text(json.dumps(table), "utf-8")
    with pytest.raises(ImportRefused, match=re.compile(message, re.DOTALL)):
        import_checkpoint(folder, tmp_path / "artifact", OPTIONS)
    assert not (tmp_path / "artifact").exists()


def test_int8_is_measured_on_rows_that_it_was_not_calibrated_on(imported_int8: Artifact) -> None:
    manifest = imported_int8.manifest
    assert manifest.precision == "int8"
    found = {(e.precision, e.metric, e.data, e.split) for e in manifest.evaluation}
    assert found == {(p, "bleu", "rows.tsv", "gate en-deu") for p in ("fp32", "int8")}
    assert "calibrated on other rows" in (imported_int8.path / "MODEL_CARD.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("one\ttwo\n", "rows.tsv as en, deu", "1 rows with en and deu; int8 needs 20 or more"),
        ("one\ttwo\n", "rows.tsv as en, fra", "name two or more different columns"),
        ("one\n", "rows.tsv", "expected 2 tab-separated fields"),
    ],
)
def test_rows_for_int8_that_cannot_be_used_are_refused(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, name: str, message: str
) -> None:
    (tmp_path / "rows.tsv").write_text(content, "utf-8")
    arguments = ["--languages", "en-deu", "--int8", "--data", str(tmp_path / name)]
    assert main([str(original), str(tmp_path / "artifact"), *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "artifact").exists()


def test_artifact_is_not_replaced_without_force(
    original: Path, imported: Artifact, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(original), str(imported.path), "--languages", "en-deu"]) == 1
    assert "opus-mt 1 (fp32); add --force to replace it" in capsys.readouterr().err


def test_languages_come_from_the_name_or_must_be_given(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guess_languages(open_checkpoint(original)) == [("en", "deu")]
    unnamed = shutil.copytree(original, tmp_path / "checkpoint")
    assert main([str(unnamed), str(tmp_path / "x")]) == 1
    assert "its languages are unknown; give them, for example --languages en-de" in capsys.readouterr().err
