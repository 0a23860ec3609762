"""Recipes: what is rejected and why, saved recipes, and the JSON Schema."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

import training
from tests.training.toys import REVERSE, changed
from training.config import (
    FAMILIES,
    AugmentConfig,
    RecipeError,
    RecurrentConfig,
    TransformerConfig,
    differences,
    load_recipe,
    parse_recipe,
    parse_saved_recipe,
    recipe_schema,
    recipe_table,
)
from training.runs.run import RunFolder

ROOT = Path(training.__file__).parent.parent
RECIPES = sorted((ROOT / "training" / "recipes").glob("*.toml"))
MANIFESTS = sorted((ROOT / "models").glob("*/manifest.json"))
TO_CLASSIFY = {"task": "classify", "data.columns": ["label", "text"], "data.directions": None}
CLASSIFY = changed(REVERSE, {**TO_CLASSIFY, "model.max_target_length": 4})
RECURRENT = changed(
    REVERSE, {"model": {"architecture": "gru", "width": 16, "max_source_length": 20, "max_target_length": 20}}
)


def error_of(changes: dict[str, Any], table: dict[str, Any] = REVERSE) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(changed(table, changes), "toy.toml")
    return str(caught.value)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path: Path) -> None:
    assert load_recipe(path).licence != "not stated"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.wdith": 16}, "unknown key model.wdith"),
        ({"colour": "red"}, "unknown key colour"),
        ({"data.train": None}, "data.train is missing"),
        ({"task": None}, "task is missing"),
        ({"model.width": "16"}, "model.width must be an integer, not '16'"),
        ({"training.epochs": True}, "training.epochs must be an integer, not True"),
        ({"training.learning_rate": "fast"}, "training.learning_rate must be a number, not 'fast'"),
        ({"training.learning_rate": float("nan")}, "training.learning_rate must be a finite number, not nan"),
        ({"data.train": "train.tsv"}, "data.train must be a list of strings, not 'train.tsv'"),
        ({"data.train": ["train.tsv", 3]}, "data.train[1] must be a string, not 3"),
        ({"model": 3}, "model must be a table, not 3"),
        ({"data": 3}, "data must be a table, not 3"),
        ({"task": "summarise"}, "task is 'summarise'; choose one of translate, classify"),
        ({"tokenizer.kind": "char"}, "tokenizer.kind is 'char'; choose one of word, character, bpe, unigram"),
        ({"training.epochs": 0}, "training.epochs is 0; it must be at least 1"),
        ({"training.patience": -1}, "training.patience is -1; it must be at least 0"),
        ({"data.valid": None, "data.hold_out": -5}, "data.hold_out is -5; it must be at least 0"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
        ({"seed": 2**32}, "seed is 4294967296; it must be below 4294967296"),
        ({"model.width": 24}, "model.width 24 does not give each of 2 heads a multiple of 8"),
        ({"model.architecture": "cnn"}, "model.architecture is 'cnn'; choose one of transformer, rnn, gru, lstm"),
        ({"model.architecture": 3}, "model.architecture is 3; choose one of transformer, rnn, gru, lstm, ngrams"),
        ({"model.architecture": "lstm"}, "model.heads does not apply to architecture lstm; leave it out"),
        ({"model.attention": "none"}, "model.attention does not apply to architecture transformer; leave it out"),
        ({"model.recurrent": {"heads": 2}}, "unknown key model.recurrent.heads (known: bidirectional, attention"),
        ({"model.transformer": {"heads": 2}}, "model.heads is given twice, in [model] and in [model.transformer]"),
        ({"model.recurrent": 3}, "model.recurrent must be a table, not 3"),
        ({"model.pooling": "last"}, "model.pooling is 'last'; choose one of mean, first"),
        ({"model.kv_heads": 3}, "model.heads 2 is not a multiple of model.kv_heads 3"),
        ({"model.dropout": 1.0}, "model.dropout is 1.0; it must be below 1"),
        ({"training.label_smoothing": -0.1}, "training.label_smoothing is -0.1; it must be at least 0"),
        ({"training.learning_rate": 0}, "training.learning_rate is 0; it must be above 0"),
        ({"training.clip_norm": 0.0}, "training.clip_norm is 0.0; it must be above 0"),
        ({"data.max_length": 21}, "data.max_length 21 is above the model's limit of 20"),
        ({"name": "My Model"}, "name is 'My Model'; use lower-case letters"),
        ({"data.train": []}, "data.train names no file"),
        ({"data.columns": ["forth"]}, "data.columns must name two or more"),
        ({"data.columns": ["forth", "forth"]}, "data.columns must name two or more different columns"),
        ({"data.directions": []}, "data.directions is missing; name at least one, for example 'forth-back'"),
        ({"data.directions": ["forth-up"]}, "'forth-up'; data.columns allow back-forth, forth-back"),
        ({"data.directions": ["forth-back", "forth-back"]}, "data.directions has duplicates: forth-back, forth-back"),
        ({"data.hold_out": 5}, "either data.valid files or data.hold_out rows"),
        ({"data.valid": None}, "either data.valid files or data.hold_out rows"),
        ({"augment": {"reversed": 0.1}}, "unknown key augment.reversed (known: word_crop, add_final_punctuation"),
        ({"data.negatives": {"rows": 5}}, "data.negatives needs both files and rows"),
        ({"data.negatives": {"files": ["a.tsv"], "rows": 5}}, "data.negatives is for classifiers; leave it out"),
        ({"data.negatives": {"columns": ["en", "de"]}}, 'must name two columns, one of them "text", not en, de'),
        ({"augment": {"word_crop": 0.5}}, "augment.word_crop does not apply to task translate; leave it out"),
        ({"augment": {"sentence_concat": 1.5}}, "augment.sentence_concat is 1.5; it must be at most 1"),
        ({"augment": {"cut": 0.5}}, "augment.cut is now called augment.word_crop; rename it"),
        ({"augment": {"ended": 0.5}}, "augment.ended is now called augment.add_final_punctuation; rename it"),
        ({"augment": {"copied": 0.5}}, "augment.copied is now called augment.entity_swap; rename it"),
        ({"augment": {"joined": 0.5}}, "augment.joined is now called augment.sentence_concat; rename it"),
        ({"augment": {"lowercase": 0.6, "misspelt": 0.6}}, "add up to 1.2, more than 1; a source gets at most one"),
    ],
)  # fmt: skip
def test_invalid_recipe_error_names_key_value_and_limit(changes: dict[str, Any], words: str) -> None:
    assert words in error_of(changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.width": 15}, "model.width 15 is odd, but each direction of a bidirectional encoder has half of it"),
        ({"model.width": 20}, "model.width 20 is not a multiple of 8, as the exported attention operator needs"),
        ({"model.attention": "dot"}, "model.attention is 'dot'; choose one of additive, multiplicative, none"),
        ({"model.scheduled_sampling": 1.5}, "model.scheduled_sampling is 1.5; it must be at most 1"),
        ({"model.pooling": "first"}, "model.pooling is 'first'; choose one of mean, last"),
        ({"model.heads": 2}, "model.heads does not apply to architecture gru; leave it out"),
        ({"model.bidirectional": 1}, "model.bidirectional must be true or false, not 1"),
        ({**TO_CLASSIFY, "model.attention": "none"}, "model.attention does not apply to a classifier; leave it out"),
    ],
)  # fmt: skip
def test_invalid_recurrent_recipe_error_names_key_value_and_limit(changes: dict[str, Any], words: str) -> None:
    assert words in error_of(changes, RECURRENT)


def test_architecture_selects_its_family_table() -> None:
    sections = {"transformer": {"heads": 2, "kv_heads": 1}, "recurrent": {"attention": "multiplicative"}}
    either = changed(REVERSE, {"model": {"width": 16, "max_source_length": 20, "max_target_length": 20, **sections}})
    translators = [architecture for architecture, family in FAMILIES.items() if family != "ngrams"]
    recipes = {a: parse_recipe(changed(either, {"model.architecture": a}), "toy.toml") for a in translators}
    assert recipes["transformer"].model == TransformerConfig(
        width=16, heads=2, kv_heads=1, max_source_length=20, max_target_length=20
    )
    for name in ("rnn", "gru", "lstm"):
        model = recipes[name].model
        assert isinstance(model, RecurrentConfig)
        assert (model.architecture, model.attention) == (name, "multiplicative")
        assert differences(recipes[name], recipes["transformer"]) == ["model.architecture"]
    assert not differences(recipes["gru"], recipes["gru"])
    for recipe in recipes.values():
        table: Any = recipe_table(recipe)
        assert ("heads" in table["model"]) == (recipe.model.family == "transformer")
        assert parse_recipe(table, "elsewhere.json") == recipe
    first = parse_recipe(changed(either, {"seed": 3}), "toy.toml")
    assert differences(first, recipes["transformer"]) == ["seed"]


@pytest.mark.parametrize("changes", [{"data.columns": ["de", "en"]}, {"data.directions": ["label-text"]}])
def test_classifier_needs_label_and_text_columns(changes: dict[str, Any]) -> None:
    assert 'a classifier needs data.columns of "label" and "text"' in error_of(changes, CLASSIFY)


def test_classifier_ignores_target_length() -> None:
    assert parse_recipe(CLASSIFY, "toy.toml").data.max_length == 16  # above model.max_target_length
    assert "model's limit of 20" in error_of({"data.max_length": 21}, CLASSIFY)


def test_all_problems_are_reported_at_once() -> None:
    message = error_of({"model.wdith": 16, "training.epochs": "many", "data.columns": None})
    assert message.startswith("toy.toml: ")
    for problem in ("unknown key model.wdith", "training.epochs must be an integer", "data.columns is missing"):
        assert problem in message
    message = error_of({"model.width": 24, "data.max_length": 21, "data.directions": ["forth-up"]})
    for problem in ("model.width 24", "data.max_length 21", "data.directions has 'forth-up'"):
        assert problem in message


def test_directions_allow_languages_with_hyphens() -> None:
    columns = {"data.columns": ["pt-BR", "en"], "data.directions": ["pt-BR-en", "en-pt-BR"]}
    assert parse_recipe(changed(REVERSE, columns), "toy.toml").pairs == [("pt-BR", "en"), ("en", "pt-BR")]


def test_recipe_survives_round_trip_through_its_table() -> None:
    recipe = parse_recipe(REVERSE, "toy.toml")
    assert recipe.name == "toy"
    assert parse_recipe(recipe_table(recipe), "elsewhere.json") == recipe


@pytest.mark.parametrize(
    ("content", "words"), [(b"task = translate", "not a TOML file"), (b"task = '\xff'", "not a TOML file")]
)
def test_invalid_toml_is_rejected(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(RecipeError, match=f"bad.toml: {words}"):
        load_recipe(tmp_path / "bad.toml")


def test_missing_recipe_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="none.toml: no such recipe"):
        load_recipe(tmp_path / "none.toml")
    with pytest.raises(RecipeError, match="cannot be read: Is a directory"):
        load_recipe(tmp_path)


def test_config_imports_neither_torch_nor_numpy() -> None:
    script = "import sys, training.config; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0


OLD_KEYS = {"cut": 0.0, "ended": 0.0, "copied": 0.1, "joined": 0.2}


def test_saved_recipe_of_an_earlier_version_is_read_with_its_old_keys() -> None:
    saved = {**REVERSE, "augment": {**OLD_KEYS, "lowercase": 0.3}}
    recipe = parse_saved_recipe(saved, "recipe.json")
    assert recipe.augment == AugmentConfig(entity_swap=0.1, sentence_concat=0.2, lowercase=0.3)
    assert saved["augment"] == {**OLD_KEYS, "lowercase": 0.3}  # the caller's table is not changed
    with pytest.raises(RecipeError, match="augment.copied is now called augment.entity_swap"):
        parse_recipe(saved, "recipe.toml")


def test_run_folder_of_an_earlier_version_opens(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps({**REVERSE, "augment": OLD_KEYS}))
    assert RunFolder(tmp_path).recipe().augment == AugmentConfig(entity_swap=0.1, sentence_concat=0.2)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)
def test_recipe_in_a_shipped_manifest_can_be_trained_again(path: Path) -> None:
    table = json.loads(path.read_text("utf-8"))["provenance"]["recipe"]
    now = recipe_table(parse_recipe(table, str(path)))
    for section, value in table.items():  # a key that is newer than the manifest has its default
        assert ({key: now[section][key] for key in value} if isinstance(value, dict) else now[section]) == value


def schema_tables(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"Recipe": schema, **schema["$defs"]}


def test_schema_describes_every_key_in_a_sentence() -> None:
    for name, table in schema_tables(recipe_schema()).items():
        assert table["additionalProperties"] is False, name
        for key, field in table["properties"].items():
            if "#/$defs/" not in json.dumps(field) or name == "Recipe":
                assert field["description"].endswith("."), f"{name}.{key}"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_schema_accepts_shipped_recipes(path: Path) -> None:
    jsonschema_rs.Draft202012Validator(recipe_schema()).validate(tomllib.loads(path.read_text("utf-8")))


@pytest.mark.parametrize(
    "changes",
    [
        {"model.wdith": 16},
        {"colour": "red"},
        {"data.train": None},
        {"model.width": "16"},
        {"training.epochs": 0},
        {"model.architecture": "cnn"},
        {"model.architecture": "lstm"},
        {"model.recurrent": {"heads": 2}},
        {"model.pooling": "last"},
        {"name": "My Model"},
        {"augment": {"cut": 0.5}},
    ],
)
def test_schema_rejects_what_the_parser_rejects(changes: dict[str, Any]) -> None:
    error_of(changes)
    assert not jsonschema_rs.Draft202012Validator(recipe_schema()).is_valid(changed(REVERSE, changes))
