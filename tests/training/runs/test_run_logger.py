"""The log of a run: its unit of speed, the validation loss, and the curves."""

import json

import pytest

from training.runs.run import RunFolder
from training.runs.run_logger import smooth


def records(run: RunFolder) -> list[dict[str, float]]:
    return [json.loads(line) for line in run.metrics.read_text("utf-8").splitlines()]


def test_speed_counts_what_is_predicted(toy_classification_run: RunFolder, toy_translation_run: RunFolder) -> None:
    assert "texts_per_second" in records(toy_classification_run)[0]
    assert "tokens_per_second" in records(toy_translation_run)[0]


def test_validation_loss_is_recorded_and_falls(toy_classification_run: RunFolder) -> None:
    losses = [record["valid_loss"] for record in records(toy_classification_run) if "valid_loss" in record]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert "</svg>" in (toy_classification_run.path / "curves.svg").read_text("utf-8")


def test_smoothed_values_follow_slowly() -> None:
    assert smooth([]) == []
    assert smooth([1.0, 2.0]) == [1.0, 2.0]  # few values are left as they are
    assert smooth([0.0] * 500 + [1.0])[-1] == pytest.approx(50 / 501)
