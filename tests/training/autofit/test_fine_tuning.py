"""A table and a trained run: the run's model, the table's rows."""

import re
from pathlib import Path

import pytest

from training.autofit.fine_tuning import plan_fine_tuning
from training.autofit.request import Request
from training.config import RecipeError
from training.data.files import CorpusError
from training.runs.run import RunFolder
from training.trainer import fit


def plan(path: Path, content: str, start: RunFolder):  # type: ignore[no-untyped-def]
    (path / "rows.csv").write_text(content)
    return plan_fine_tuning(Request(path / "rows.csv", name="mine"), start, lambda line: None)


def test_classifier_is_trained_further_on_a_table(toy_classification_run: RunFolder, tmp_path: Path) -> None:
    lines = "".join(f"red orange {i},warm\nblue cyan {i},cold\n" for i in range(40))
    recipe = plan(tmp_path, "utterance,intent\n" + lines, toy_classification_run)
    assert recipe.model == toy_classification_run.recipe().model
    assert recipe.training.learning_rate == pytest.approx(0.01 / 4)
    report = fit(recipe, tmp_path, RunFolder(tmp_path / "run"), resume=False, start=toy_classification_run)
    assert report["valid"]["labels"]["accuracy"] == 100  # type: ignore[index]


def test_table_that_does_not_fit_the_run_is_refused(
    toy_classification_run: RunFolder, toy_translation_run: RunFolder, tmp_path: Path
) -> None:
    with pytest.raises(
        CorpusError, match=re.escape("1 labels that") + ".* does not have .hot.; it has cold, none, warm"
    ):
        plan(tmp_path, "text,label\nred,hot\nblue,cold\ncyan,cold\n", toy_classification_run)
    with pytest.raises(RecipeError, match="is a translate run, but .*rows.csv has columns to classify"):
        plan(tmp_path, "text,label\nred,hot\nblue,cold\ncyan,cold\n", toy_translation_run)
    with pytest.raises(RecipeError, match="has the columns a, b, not de, en; rename them"):
        plan(tmp_path, "en,de\nred,rot\n", toy_translation_run)
