"""Recipes: what is refused, and with which words."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import training
from tests.training.toys import REVERSE, changed
from training.config import FAMILIES, ModelConfig, RecipeError, differences, load_recipe, parse_recipe, recipe_table

RECIPES = sorted((Path(training.__file__).parent / "recipes").glob("*.toml"))
TO_CLASSIFY = {"task": "classify", "data.columns": ["label", "text"], "data.directions": None}
CLASSIFY = changed(REVERSE, {**TO_CLASSIFY, "model.max_target_length": 4})
RECURRENT = changed(
    REVERSE, {"model": {"architecture": "gru", "width": 16, "max_source_length": 20, "max_target_length": 20}}
)


def refusal(changes: dict[str, Any], table: dict[str, Any] = REVERSE) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(changed(table, changes), "toy.toml")
    return str(caught.value)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_good(path: Path) -> None:
    assert load_recipe(path).licence != "not stated"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.wdith": 16}, "unknown key model.wdith"),
        ({"colour": "red"}, "unknown key colour"),
        ({"data.train": None}, "data.train is missing"),
        ({"task": None}, "task is missing"),
        ({"model.width": "16"}, "model.width must be int, not '16'"),
        ({"training.epochs": True}, "training.epochs must be int, not True"),
        ({"training.learning_rate": "fast"}, "training.learning_rate must be float"),
        ({"training.learning_rate": float("nan")}, "training.learning_rate must be float, not nan"),
        ({"data.train": "train.tsv"}, "data.train must be a list of strings"),
        ({"model": 3}, "model must be a table"),
        ({"task": "summarise"}, "task is 'summarise'; choose one of translate, classify"),
        ({"tokenizer.kind": "char"}, "tokenizer.kind is 'char'"),
        ({"training.epochs": 0}, "training.epochs is 0; it must be at least 1"),
        ({"training.patience": -1}, "training.patience is -1; it must be at least 0"),
        ({"data.valid": None, "data.hold_out": -5}, "data.hold_out is -5"),
        ({"seed": -1}, "seed is -1"),
        ({"model.width": 24}, "model.width 24 does not give each of 2 heads a multiple of 8"),
        ({"model.architecture": "cnn"}, "model.architecture is 'cnn'; choose one of transformer, rnn, gru, lstm"),
        ({"model.architecture": 3}, "model.architecture must be str, not 3"),
        ({"model.architecture": "lstm"}, "model.heads means nothing to a translator of architecture lstm; leave"),
        ({"model.attention": "none"}, "model.attention means nothing to a translator of architecture transformer"),
        ({"model.recurrent": {"heads": 2}}, "unknown key model.recurrent.heads (known: bidirectional, attention"),
        ({"model.transformer": {"heads": 2}}, "model.heads is given twice, in [model] and in [model.transformer]"),
        ({"model.recurrent": 3}, "model.recurrent must be a table"),
        ({"model.pooling": "last"}, "model.pooling is 'last', for recurrent models"),
        ({"model.kv_heads": 3}, "model.heads 2 is not a multiple of model.kv_heads 3"),
        ({"model.dropout": 1.0}, "model.dropout is 1.0"),
        ({"training.label_smoothing": -0.1}, "training.label_smoothing is -0.1"),
        ({"training.learning_rate": 0}, "training.learning_rate"),
        ({"data.max_length": 21}, "data.max_length 21 is above the model's limit of 20"),
        ({"name": "My Model"}, "name is 'My Model'; use lower-case letters"),
        ({"data.train": []}, "data.train names no file"),
        ({"data.columns": ["forth"]}, "data.columns must name two or more"),
        ({"data.columns": ["forth", "forth"]}, "data.columns must name two or more different columns"),
        ({"data.directions": []}, "data.directions is missing; name at least one, for example 'forth-back'"),
        ({"data.directions": ["forth-up"]}, "'forth-up'; data.columns allow back-forth, forth-back"),
        ({"data.directions": ["forth-back", "forth-back"]}, "data.directions repeats itself"),
        ({"data.hold_out": 5}, "either data.valid files or data.hold_out rows"),
        ({"data.valid": None}, "either data.valid files or data.hold_out rows"),
        ({"augment": {"reversed": 0.1}}, "unknown key augment.reversed (known: cut, ended, copied"),
        ({"data.negatives": {"rows": 5}}, "data.negatives needs both files and rows"),
        ({"data.negatives": {"files": ["a.tsv"], "rows": 5}}, "data.negatives are for classifiers; leave them out"),
        ({"data.negatives": {"columns": ["en", "de"]}}, 'must name two columns, one of them "text", not en, de'),
        ({"augment": {"cut": 0.5}}, "augment.cut means nothing to a recipe that is to translate"),
        ({"augment": {"joined": 1.5}}, "augment.joined is 1.5; it must be at least 0 and at most 1"),
        ({"augment": {"lowercase": 0.6, "misspelt": 0.6}}, "add up to more than 1; one text has one change"),
    ],
)  # fmt: skip
def test_a_fault_is_named(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.width": 15}, "model.width 15 is odd; each direction of a bidirectional encoder has half of it"),
        ({"model.width": 20}, "model.width 20 is not a multiple of 8, as the exported attention operator needs"),
        ({"model.attention": "dot"}, "model.attention is 'dot'; choose one of additive, multiplicative, none"),
        ({"model.scheduled_sampling": 1.5}, "model.scheduled_sampling is 1.5; it must be at least 0 and at most 1"),
        ({"model.pooling": "first"}, "model.pooling is 'first', for transformers; a model of gru pools mean or last"),
        ({"model.heads": 2}, "model.heads means nothing to a translator of architecture gru; leave it out"),
        ({"model.bidirectional": 1}, "model.bidirectional must be bool, not 1"),
        ({**TO_CLASSIFY, "model.attention": "none"}, "model.attention means nothing to a classifier of arch"),
    ],
)  # fmt: skip
def test_a_fault_of_a_recurrent_recipe_is_named(changes: dict[str, Any], words: str) -> None:
    assert words in refusal(changes, RECURRENT)


def test_one_word_changes_the_architecture() -> None:
    sections = {"transformer": {"heads": 2, "kv_heads": 1}, "recurrent": {"attention": "multiplicative"}}
    either = changed(REVERSE, {"model": {"width": 16, "max_source_length": 20, "max_target_length": 20, **sections}})
    translators = [architecture for architecture, family in FAMILIES.items() if family != "ngrams"]
    recipes = {a: parse_recipe(changed(either, {"model.architecture": a}), "toy.toml") for a in translators}
    assert recipes["transformer"].model == ModelConfig(
        width=16, heads=2, kv_heads=1, max_source_length=20, max_target_length=20
    )
    for name in ("rnn", "gru", "lstm"):
        assert (recipes[name].model.architecture, recipes[name].model.attention) == (name, "multiplicative")
        assert differences(recipes[name], recipes["transformer"]) == [
            "model.architecture", "model.heads", "model.kv_heads", "model.attention",
        ]  # fmt: skip
    assert not differences(recipes["gru"], recipes["gru"])
    for recipe in recipes.values():
        table: Any = recipe_table(recipe)
        assert ("heads" in table["model"]) == (recipe.model.family == "transformer")
        assert parse_recipe(table, "elsewhere.json") == recipe
    first = parse_recipe(changed(either, {"seed": 3}), "toy.toml")
    assert differences(first, recipes["transformer"]) == ["seed"]


@pytest.mark.parametrize("changes", [{"data.columns": ["de", "en"]}, {"data.directions": ["label-text"]}])
def test_a_classifier_reads_labels_and_texts(changes: dict[str, Any]) -> None:
    assert 'a classifier needs data.columns of "label" and "text"' in refusal(changes, CLASSIFY)


def test_a_classifier_has_no_target_length() -> None:
    assert parse_recipe(CLASSIFY, "toy.toml").data.max_length == 16  # above model.max_target_length
    assert "model's limit of 20" in refusal({"data.max_length": 21}, CLASSIFY)


def test_every_fault_is_reported_at_once() -> None:
    message = refusal({"model.wdith": 16, "training.epochs": "many", "data.columns": None})
    assert message.startswith("toy.toml: ")
    for fault in ("unknown key model.wdith", "training.epochs must be int", "data.columns is missing"):
        assert fault in message
    message = refusal({"model.width": 24, "data.max_length": 21, "data.directions": ["forth-up"]})
    for fault in ("model.width 24", "data.max_length 21", "data.directions has 'forth-up'"):
        assert fault in message


def test_directions_of_languages_with_a_hyphen() -> None:
    columns = {"data.columns": ["pt-BR", "en"], "data.directions": ["pt-BR-en", "en-pt-BR"]}
    assert parse_recipe(changed(REVERSE, columns), "toy.toml").pairs == [("pt-BR", "en"), ("en", "pt-BR")]


def test_a_recipe_survives_its_table() -> None:
    recipe = parse_recipe(REVERSE, "toy.toml")
    assert recipe.name == "toy"
    assert parse_recipe(recipe_table(recipe), "elsewhere.json") == recipe


@pytest.mark.parametrize(
    ("content", "words"), [(b"task = translate", "not a TOML file"), (b"task = '\xff'", "not a TOML file")]
)
def test_a_file_that_is_no_toml(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(RecipeError, match=f"bad.toml: {words}"):
        load_recipe(tmp_path / "bad.toml")


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="none.toml: no such recipe"):
        load_recipe(tmp_path / "none.toml")
    with pytest.raises(RecipeError, match="cannot be read: Is a directory"):
        load_recipe(tmp_path)


def test_reading_recipes_needs_no_torch() -> None:
    script = "import sys, training.config; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(training.__file__).parent.parent).returncode == 0
