"""Reports on a classifier's answers: figures by label, confusion, errors, calibration, and their pictures."""

import csv
from pathlib import Path

import numpy as np
import pytest

from training.metrics import Answers
from training.runs.run import RunFolder
from training.tools.classification_report import calibration, calibration_error, confusion_matrix, write_reports

LABELS = ["a, b", "c", "d"]
ANSWERS = Answers(
    LABELS,
    ["one", "two", "three", 'a "quoted", text', "five"],
    np.array([0, 0, 1, 1, 0]),
    np.array([[0.9, 0.1, 0.0], [0.3, 0.65, 0.05], [0.1, 0.85, 0.05], [0.95, 0.05, 0.0], [0.55, 0.4, 0.05]]),
)


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_reports_are_written(tmp_path: Path) -> None:
    error = write_reports(ANSWERS, tmp_path / "reports", "a title")
    assert read(tmp_path / "reports" / "labels.csv") == [
        ["label", "rows", "precision", "recall", "f1"],
        ["c", "2", "50.0", "50.0", "50.0"],
        ["a, b", "3", "66.67", "66.67", "66.67"],
        ["d", "0", "", "", ""],
    ]
    assert read(tmp_path / "reports" / "confusion.csv") == [
        ["expected \\ predicted", *LABELS], ["a, b", "2", "1", "0"], ["c", "1", "1", "0"], ["d", "0", "0", "0"],
    ]  # fmt: skip
    assert read(tmp_path / "reports" / "errors.csv") == [
        ["text", "expected", "predicted", "confidence"],
        ['a "quoted", text', "c", "a, b", "0.95"],
        ["two", "a, b", "c", "0.65"],
    ]
    assert error == pytest.approx(100 * calibration_error(calibration(ANSWERS)))
    assert len(read(tmp_path / "reports" / "calibration.csv")) == 1 + 4
    for picture in ("confusion.svg", "calibration.svg"):
        assert "</svg>" in (tmp_path / "reports" / picture).read_text("utf-8")


def test_calibration_error_is_the_mean_gap() -> None:
    confident = np.array([[1.0, 0.0]] * 10)
    right = Answers(["x", "y"], ["t"] * 10, np.zeros(10, int), confident)
    assert calibration_error(calibration(right)) == 0
    half = Answers(["x", "y"], ["t"] * 10, np.array([0, 1] * 5), confident)
    assert calibration_error(calibration(half)) == pytest.approx(0.5)


def test_picture_of_many_labels_shows_those_with_errors(tmp_path: Path) -> None:
    labels = [f"label {i}" for i in range(200)]
    probabilities = np.eye(200)[np.r_[1:200, 0]]
    write_reports(Answers(labels, ["t"] * 200, np.arange(200), probabilities), tmp_path, "title")
    assert confusion_matrix(Answers(labels, ["t"] * 200, np.arange(200), probabilities)).trace() == 0
    assert (tmp_path / "confusion.svg").is_file()


def test_training_writes_reports_on_validation_rows(toy_classification_run: RunFolder) -> None:
    folder = toy_classification_run.path / "reports"
    assert sorted(path.name for path in folder.iterdir()) == ["valid"]
    lines = read(folder / "valid" / "labels.csv")[1:]
    assert {line[0] for line in lines} == {"warm", "cold", "none"}
    assert sum(int(line[1]) for line in lines) == 60


def test_reports_of_several_labels(tmp_path: Path) -> None:
    probabilities = np.array([[0.9, 0.8, 0.1], [0.2, 0.4, 0.05], [0.7, 0.1, 0.0]])
    expected = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], dtype=bool)
    answers = Answers(LABELS, ["one", "two", "three"], expected, probabilities)
    write_reports(answers, tmp_path, "a title")
    assert read(tmp_path / "labels.csv")[1:] == [
        ["a, b", "1", "50.0", "100.0", "66.67"], ["c", "2", "100.0", "50.0", "66.67"], ["d", "0", "", "", ""],
    ]  # fmt: skip
    assert read(tmp_path / "errors.csv")[1:] == [["three", "", "a, b", "0.7"], ["two", "c", "", "0.6"]]
    assert {file.name for file in tmp_path.iterdir()} == {
        "labels.csv", "errors.csv", "calibration.csv", "calibration.svg",
    }  # fmt: skip
    assert sum(one.answers for one in calibration(answers)) == 9
