"""Sizes that fit a corpus, the trial of kinds of models, and the messages for a corpus that nothing can learn from."""

import random
import re
from pathlib import Path
from typing import Any

import pytest

from training.autofit.defaults import (
    Plan,
    character_ngrams,
    count_ngrams,
    small_transformer,
    small_translator,
    word_ngrams,
)
from training.autofit.plan import plan_run
from training.autofit.request import Request, name_of
from training.autofit.trial import Planner, run_trial
from training.data.corpus import Row
from training.data.files import CorpusError

BASE = {"name": "x", "task": "classify", "data": {"train": ["x.csv"], "columns": ["text", "label"], "hold_out": 5}}
WORDS = [
    "red",
    "green",
    "blue",
    "yellow",
    "orange",
    "black",
    "white",
    "grey",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
]


def rows(count: int) -> list[Row]:
    generator = random.Random(1)
    texts = [" ".join(generator.choices(WORDS, k=6)) for _ in range(count)]
    return [(text, "colour" if text.startswith(tuple(WORDS[:8])) else "number") for text in texts]


@pytest.mark.parametrize("planner", [character_ngrams, word_ngrams, small_transformer])
@pytest.mark.parametrize("count", [8, 300, 3000])
def test_recipe_of_every_size_is_valid(planner: "type[object]", count: int) -> None:
    corpus = rows(count)
    recipe = planner(BASE, corpus).recipe()  # type: ignore[call-arg, attr-defined]
    assert recipe.tokenizer.vocabulary <= 400
    assert recipe.training.warmup <= 100
    assert recipe.data.max_length <= recipe.model.max_source_length


def test_table_of_ngrams_is_as_large_as_the_corpus_needs() -> None:
    assert count_ngrams([[1, 2, 3], [1, 2, 3]], 2) == 4  # 12, 23, 3 and the end, the end and 1
    few, many = (character_ngrams(BASE, rows(count)).table["model"]["buckets"] for count in (10, 1000))
    assert few < 1000 < many < 100_000


def test_reasons_are_printed_with_their_values() -> None:
    lines = word_ngrams(BASE, rows(300)).lines()
    assert f"tokenizer.vocabulary = {len(WORDS) + 4}: the words of the corpus" in lines


def test_translator_grows_with_its_corpus() -> None:
    base = {"name": "x", "task": "translate", "data": {"train": ["x.csv"], "columns": ["en", "de"], "hold_out": 5,
                                                      "directions": ["en-de"]}}  # fmt: skip
    pairs = [(text, text.upper()) for text, _ in rows(400)]
    small = small_translator(base, pairs).recipe()
    assert small.model.width == 128
    assert small.tokenizer.joint


def two_epochs(planner: Planner) -> Planner:
    """Return the planner with two epochs, because the trial is what is tested."""

    def plan(base: dict[str, Any], corpus: list[Row]) -> Plan:
        planned = planner(base, corpus)
        planned.set("training.epochs", 2)
        return planned

    return plan


def test_trial_prefers_the_cheaper_of_equals_and_fits_the_time() -> None:
    said: list[str] = []
    trial = run_trial((two_epochs(word_ngrams), two_epochs(character_ngrams)), BASE, rows(240), 60, said.append)
    assert [len(candidate.scores) > 0 for candidate in trial.candidates] == [True, True]
    assert trial.best is not None
    assert said[0].startswith("  n-grams of words: ")
    nothing = run_trial((word_ngrams,), BASE, rows(240), 0, said.append)
    assert nothing.best is None
    assert nothing.candidates[0].failed == "not done within 0 s"


def test_names_have_the_letters_of_a_name() -> None:
    names = [name_of(Path(name)) for name in ("Support Mails.csv", "a.v2.tsv.gz", "Übung.XLSX", "---.csv")]
    assert names == ["support-mails", "a.v2", "bung", "model"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\na,x\nb,x\n", "rows.csv: every row has the label 'x'; a classifier needs at least two"),
        ("text,label\n" + "".join(f"t{i},l{i}\n" for i in range(9)), "rows.csv: the label column has 9 different values"
         " in 9 rows ('l0', 'l1', 'l2', ...), so there is nothing to learn from repetition; name another"),
        ("text,label\n,x\n", "rows.csv: no row has both a text and a label"),
        ("en,de\na,b\n", "rows.csv: 1 different pairs with both sides, but a translator needs 50"),
        ("text,label\na,x\nb,y\n", "data.hold_out 1: no row of rows.csv can be held out: each is a label's last row"),
    ],
)  # fmt: skip
def test_corpus_that_nothing_can_learn_from_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        plan_run(Request(tmp_path / "rows.csv", name="x"), lambda line: None)
    assert isinstance(caught.value, CorpusError) or "hold_out" in message
