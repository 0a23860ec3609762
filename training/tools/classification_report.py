"""Reports on a classifier's answers to validation or test rows, as CSV files and pictures.

labels.csv (precision, recall and F1 by label), confusion.csv and .svg, errors.csv (the most confident ones first),
calibration.csv and .svg. Of texts that can have several labels, each label of a text is an answer of its own, and none
is mistaken for another: there is no confusion. Shapes: N texts, L labels.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.metrics import Answers
from training.tools.pictures import QUIET, SERIES, colour_bar, heat_map, picture, text_colour

MOST_ERRORS = 500  # lines of errors.csv
MOST_DRAWN = 60  # labels in confusion.svg: those with the most errors
ANNOTATED = 20  # up to this many labels the picture has the counts
BINS = 10  # of the calibration, by confidence


@dataclass(frozen=True)
class Bin:
    """The answers within a range of confidence."""

    least: float
    most: float
    answers: int
    confidence: float  # mean
    accuracy: float


def write_reports(answers: Answers, folder: Path, title: str) -> float:
    """Write all reports into the folder and return the expected calibration error, in per cent."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "labels.csv", ("label", "rows", "precision", "recall", "f1"), _label_lines(answers))
    errors = _multi_label_errors(answers) if answers.multi_label else _error_lines(answers)
    _write(folder / "errors.csv", ("text", "expected", "predicted", "confidence"), errors)
    if not answers.multi_label:
        _write_confusion(answers, folder, title)
    bins = calibration(answers)
    _write(
        folder / "calibration.csv",
        ("confidence from", "to", "answers", "mean confidence", "accuracy"),
        ((b.least, b.most, b.answers, round(b.confidence, 4), round(b.accuracy, 4)) for b in bins),
    )
    draw_calibration(bins, folder / "calibration.svg", title)
    return 100 * calibration_error(bins)


def _write_confusion(answers: Answers, folder: Path, title: str) -> None:
    confusion, names = confusion_matrix(answers), answers.labels
    _write(
        folder / "confusion.csv",
        ("expected \\ predicted", *names),
        ((name, *row) for name, row in zip(names, confusion.tolist(), strict=True)),
    )
    draw_confusion(answers, confusion, folder / "confusion.svg", title)


def confusion_matrix(answers: Answers) -> np.ndarray:
    """Return how often each label (row) was answered as each label (column): (L, L)."""
    matrix = np.zeros((len(answers.labels),) * 2, dtype=np.int64)
    np.add.at(matrix, (answers.expected, answers.predicted), 1)
    return matrix


def calibration(answers: Answers) -> list[Bin]:
    """Return the answers by confidence, in `BINS` equal ranges; those without answers are left out.

    If a text can have several labels, an answer is a label of a text, and it is right if the text has the label.
    """
    if answers.multi_label:
        right, confidence = answers.expected.ravel(), answers.probabilities.ravel()
    else:
        right, confidence = answers.expected == answers.predicted, answers.confidence
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        Bin(
            i / BINS,
            (i + 1) / BINS,
            int(inside.sum()),
            float(confidence[inside].mean()),
            float(right[inside].mean()),
        )
        for i in range(BINS)
        if (inside := place == i).any()
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error (Naeini et al. 2015): the mean gap between confidence and accuracy."""
    return sum(b.answers * abs(b.confidence - b.accuracy) for b in bins) / sum(b.answers for b in bins)


def _label_lines(answers: Answers) -> list[tuple[object, ...]]:
    """Return label, rows, precision, recall and F1 in per cent, the worst label first; empty where undefined."""
    if answers.multi_label:
        decided = answers.decided
        right, expected, predicted = (decided & answers.expected).sum(0), answers.expected.sum(0), decided.sum(0)
    else:
        confusion = confusion_matrix(answers)
        right, expected, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    lines: list[tuple[object, ...]] = []
    for i, label in enumerate(answers.labels):
        f1 = _percent(2 * right[i], expected[i] + predicted[i])
        lines.append((label, int(expected[i]), _percent(right[i], predicted[i]), _percent(right[i], expected[i]), f1))
    return sorted(lines, key=lambda line: (line[4] == "", line[4] if line[4] != "" else 0, str(line[0])))


def _percent(part: int, whole: int) -> float | str:
    return round(100 * float(part / whole), 2) if whole else ""


def _error_lines(answers: Answers) -> list[tuple[object, ...]]:
    wrong = np.flatnonzero(answers.expected != answers.predicted)
    order = wrong[np.argsort(-answers.confidence[wrong], kind="stable")][:MOST_ERRORS]
    name = answers.labels.__getitem__
    return [
        (
            answers.texts[i],
            name(answers.expected[i]),
            name(answers.predicted[i]),
            round(float(answers.confidence[i]), 4),
        )
        for i in order
    ]


def _multi_label_errors(answers: Answers) -> list[tuple[object, ...]]:
    """Return the texts with a wrong or a missing label, those first of whose worst label the model was most sure."""
    wrong = answers.decided != answers.expected  # (N, L)
    sureness = np.where(wrong, np.maximum(answers.probabilities, 1 - answers.probabilities), 0.0).max(-1)  # (N,)
    order = np.argsort(-sureness, kind="stable")[: min(MOST_ERRORS, int(wrong.any(-1).sum()))]

    def names(has: np.ndarray) -> str:
        return "|".join(answers.labels[i] for i in np.flatnonzero(has))

    return [
        (answers.texts[i], names(answers.expected[i]), names(answers.decided[i]), round(float(sureness[i]), 4))
        for i in order
    ]


def _write(path: Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(lines)


def draw_confusion(answers: Answers, confusion: np.ndarray, path: Path, title: str) -> None:
    """Draw the matrix, each row as shares of its label; of many labels those with the most errors."""
    errors = confusion.sum(0) + confusion.sum(1) - 2 * confusion.diagonal()
    drawn = np.sort(np.argsort(-errors, kind="stable")[:MOST_DRAWN])
    if len(drawn) < len(confusion):
        title += f"; the {len(drawn)} labels of {len(confusion)} with the most errors"
    counts = confusion[np.ix_(drawn, drawn)]
    shares = counts / np.maximum(1, confusion.sum(1)[drawn, None])
    side = 3 + 0.22 * len(drawn)
    with picture(path, side + 1.5, side) as figure:
        axis = figure.subplots()
        names = [answers.labels[i][:40] for i in drawn]
        image = heat_map(axis, shares, names, names)
        if len(drawn) <= ANNOTATED:
            for row, column in np.argwhere(counts):
                colour = text_colour(shares[row, column])
                axis.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=colour)
        axis.set(xlabel="predicted", ylabel="expected", title=title)
        colour_bar(figure, image, axis, "share of the expected label")


def draw_calibration(bins: Sequence[Bin], path: Path, title: str) -> None:
    """Draw accuracy over confidence, beside the diagonal on which they are equal."""
    with picture(path, 5, 5) as figure:
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color=QUIET, linestyle="--", label="as confident as right")
        accuracy = [b.accuracy for b in bins]
        axis.bar([b.least for b in bins], accuracy, width=1 / BINS, align="edge", color=SERIES[0], alpha=0.25)
        axis.plot([b.confidence for b in bins], accuracy, color=SERIES[0], marker="o", label="answers")
        axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", title=title)
        axis.legend(loc="upper left")
