"""The two tasks, translation and classification: rows to examples, building the model, evaluation."""

import json
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training import metrics
from training.config import Recipe
from training.data.augment import augment, augment_texts
from training.data.batching import Examples, Ragged
from training.data.corpus import CorpusError, FilterReport, Row, clean
from training.data.labels import row_labels
from training.data.tokenizer import BOS, Codec, load_codec, train_codec
from training.decoding.beam import BeamOptions, beam_search
from training.decoding.greedy import greedy
from training.models import build_classifier, build_translator

GREEDY = BeamOptions(size=1)
CHUNK = 10_000  # texts tokenized at once; the tokenizer's results take a kilobyte each


@dataclass(frozen=True)
class TranslateTask:
    """Translation in one or more directions."""

    recipe: Recipe
    codec: Codec
    metric = "bleu"

    @staticmethod
    def create(recipe: Recipe, rows: list[Row]) -> "TranslateTask":
        """Build the vocabulary from the training rows.

        Raises:
            CorpusError: a direction has no row with both sides.
            TokenizerError: the corpus does not support the vocabulary.
        """
        missing = [
            name
            for name, pair in zip(recipe.data.directions, recipe.pairs, strict=True)
            if not any(parallel_texts(recipe, rows, *pair)[0])
        ]
        if missing:
            raise CorpusError(
                f"no training row has both sides of {', '.join(missing)}; see data.train and data.columns"
            )
        languages = {language for pair in recipe.pairs for language in pair}
        if recipe.tagged and recipe.tokenizer.joint:  # each text once, however many directions it has
            sources = [
                text for row in rows for text, name in zip(row, recipe.data.columns, strict=True) if name in languages
            ]
            targets: list[str] = []
        else:
            sides = [parallel_texts(recipe, rows, *pair) for pair in recipe.pairs]
            sources, targets = ([text for side in sides for text in side[i]] for i in (0, 1))
        tags = sorted({target for _, target in recipe.pairs}) if recipe.tagged else []
        return TranslateTask(recipe, train_codec(recipe.tokenizer, sources, targets, tags))

    @staticmethod
    def load(recipe: Recipe, run: Path) -> "TranslateTask":
        return TranslateTask(recipe, load_codec(run / "tokenizer.json"))

    def save(self, run: Path) -> None:
        self.codec.save(run / "tokenizer.json")

    def build(self) -> nn.Module:
        sizes = self.codec.source.get_vocab_size(), self.codec.target.get_vocab_size()
        return build_translator(self.recipe.model, *sizes, joint=self.codec.joint)

    def parallel_texts(self, rows: list[Row], source: str, target: str) -> tuple[list[str], list[str]]:
        """Return the sources and the targets of the rows that have both."""
        return parallel_texts(self.recipe, rows, source, target)

    def source_ids(self, texts: list[str], target: str) -> list[list[int]]:
        return self.codec.source_ids(texts, target if self.recipe.tagged else None)

    def examples(self, rows: list[Row], report: FilterReport, epoch: int = 0) -> Examples:
        """Return the tokenized pairs of all directions, augmented for this epoch; count filtered rows in `report`."""
        data = self.recipe.data
        rows = clean(rows, report)
        sources: list[array[int]] = []  # a list of ids takes ten times the memory
        targets: list[array[int]] = []
        for direction, (source, target) in enumerate(self.recipe.pairs):
            generator = np.random.default_rng([self.recipe.seed, epoch, direction])
            texts, references = augment(
                *self.parallel_texts(rows, source, target),
                self.recipe.augment,
                generator,
                self.recipe.tokenizer.placeholders,
            )
            for start in range(0, len(texts), CHUNK):
                part = slice(start, start + CHUNK)
                for x, y in zip(
                    self.source_ids(texts[part], target), self.codec.target_ids(references[part]), strict=True
                ):
                    shorter, longer = sorted([len(x), len(y) + 1])
                    if longer > data.max_length:
                        report.too_long += 1
                    elif longer > data.max_ratio * shorter + 10:
                        report.bad_ratio += 1
                    else:
                        report.kept += 1
                        sources.append(array("i", x))
                        targets.append(array("i", y))
        return Examples(Ragged(sources), Ragged(targets))

    def check(self, rows: list[Row]) -> None:
        """Check that the rows can be evaluated.

        Raises:
            CorpusError: no row has both sides of a direction.
        """
        if not any(self.parallel_texts(rows, *pair)[0] for pair in self.recipe.pairs):
            raise CorpusError(f"no row has both sides of {' or '.join(self.recipe.data.directions)}")

    def translate(
        self, model: nn.Module, texts: list[str], target: str, device: torch.device, beam: BeamOptions = GREEDY
    ) -> list[str]:
        """Return translations; empty for a text above the model's length limit, which the service would refuse."""
        return self.translate_with(texts, target, lambda sources: self.translate_ids(model, sources, device, beam))

    def translate_with(
        self, texts: list[str], target: str, decode: Callable[[list[list[int]]], list[list[int]]]
    ) -> list[str]:
        """Return the translations by `decode`, which gets the sources within the model's length limit; else empty."""
        limit = self.recipe.model.max_source_length
        ids = self.source_ids(texts, target)
        translations = iter(self.codec.text(decode([x for x in ids if len(x) <= limit])))
        return [next(translations) if len(x) <= limit else "" for x in ids]

    def translate_ids(
        self, model: nn.Module, sources: list[list[int]], device: torch.device, beam: BeamOptions = GREEDY
    ) -> list[list[int]]:
        """Decode sources (ids with special tokens); return the best target ids without special tokens."""
        if beam.size == 1:
            return greedy(model, sources, device)
        return [found[0].ids for found in beam_search(model, sources, device, beam)]

    def evaluate(
        self, model: nn.Module, rows: list[Row], device: torch.device, beam: BeamOptions = GREEDY
    ) -> dict[str, metrics.Metrics]:
        """Return the metrics of each direction that has rows.

        Raises:
            CorpusError: see `check`.
        """
        self.check(rows)
        results = {}
        for source, target in self.recipe.pairs:
            texts, references = self.parallel_texts(rows, source, target)
            if not texts:
                continue
            hypotheses = self.translate(model, texts, target, device, beam)
            results[f"{source}-{target}"] = metrics.translation_metrics(hypotheses, references)
        return results


@dataclass(frozen=True)
class ClassifyTask:
    """Classification into the labels of the training corpus: one for each text, or with `multi_label` any number."""

    recipe: Recipe
    codec: Codec
    labels: list[str]

    @property
    def multi_label(self) -> bool:
        """Whether a text can have several labels."""
        return bool(self.recipe.data.label_separator)

    @property
    def metric(self) -> str:
        """The metric that runs are compared by."""
        return primary_label_metric(self.recipe)

    @staticmethod
    def create(recipe: Recipe, rows: list[Row]) -> "ClassifyTask":
        """Build vocabulary and labels from the training rows.

        Raises:
            CorpusError: there are fewer than two labels.
            TokenizerError: the corpus does not support the vocabulary.
        """
        labels = ClassifyTask.labels_of(recipe, rows)
        texts, _ = _texts_and_labels(recipe, clean(rows, FilterReport(), distinct=False))
        return ClassifyTask(recipe, train_codec(recipe.tokenizer, texts, [], []), labels)

    @staticmethod
    def labels_of(recipe: Recipe, rows: list[Row]) -> list[str]:
        """Return the labels of the training rows, sorted.

        Raises:
            CorpusError: there are fewer than two labels.
        """
        _, labels_of_rows = _texts_and_labels(recipe, clean(rows, FilterReport(), distinct=False))
        labels = [label for found in labels_of_rows for label in found]
        if not labels:
            raise CorpusError("no training row has both a label and a text; see data.train and data.columns")
        if len(set(labels)) < 2:
            raise CorpusError(f"every training row has the label {labels[0]}; a classifier needs at least two")
        return sorted(set(labels))

    @staticmethod
    def load(recipe: Recipe, run: Path) -> "ClassifyTask":
        file = run / "labels.json"
        try:
            labels = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise CorpusError(f"{file}: missing or damaged: {error}") from None
        return ClassifyTask(recipe, load_codec(run / "tokenizer.json"), labels)

    def save(self, run: Path) -> None:
        self.codec.save(run / "tokenizer.json")
        (run / "labels.json").write_text(json.dumps(self.labels, ensure_ascii=False), "utf-8")

    def build(self) -> nn.Module:
        size = self.recipe.tokenizer.vocabulary if self._pretrained else self.codec.source.get_vocab_size()
        return build_classifier(self.recipe.model, size, len(self.labels), self.multi_label)

    @property
    def _pretrained(self) -> bool:
        return self.recipe.tokenizer.kind == "pretrained"

    def source_ids(self, texts: list[str]) -> list[list[int]]:
        """Return [bos] + ids of each text, so that even an empty text has a token to pool.

        A pretrained encoder's tokenizer adds its own special tokens, before and after the text.
        """
        if self._pretrained:
            return [e.ids for e in self.codec.source.encode_batch(texts, add_special_tokens=True)]
        return [[BOS, *e.ids] for e in self.codec.source.encode_batch(texts, add_special_tokens=False)]

    def examples(self, rows: list[Row], report: FilterReport, epoch: int = 0) -> Examples:
        """Return the tokenized training texts, augmented for this epoch; count filtered rows in `report`."""
        texts, labels = _texts_and_labels(self.recipe, clean(rows, report, distinct=False))
        texts = augment_texts(texts, self.recipe.augment, np.random.default_rng([self.recipe.seed, epoch]))
        ids = self.source_ids(texts)
        kept = [i for i, x in enumerate(ids) if self._fits(x, report)]
        return Examples(Ragged([ids[i] for i in kept]), self._expected(labels)[kept])

    def _expected(self, labels: list[list[str]]) -> np.ndarray:
        """Return the index of each text's label (N,), or with `multi_label` whether it has a label (N, L)."""
        index = {label: i for i, label in enumerate(self.labels)}
        if not self.multi_label:
            return np.array([index[label] for (label,) in labels], dtype=np.int64)
        matrix = np.zeros((len(labels), len(self.labels)), dtype=bool)
        for row, found in zip(matrix, labels, strict=True):
            row[[index[label] for label in found]] = True
        return matrix

    def _fits(self, ids: list[int], report: FilterReport) -> bool:
        fits = len(ids) <= self.recipe.data.max_length
        report.kept += fits
        report.too_long += not fits
        return fits

    def check(self, rows: list[Row]) -> None:
        """Check that the rows can be evaluated.

        Raises:
            CorpusError: a label does not occur in the training data.
        """
        texts, labels = _texts_and_labels(self.recipe, rows)
        if unseen := sorted({label for found in labels for label in found} - set(self.labels)):
            text = next(text for text, found in zip(texts, labels, strict=True) if unseen[0] in found)
            raise CorpusError(
                f"{count(len(unseen), 'label')} of validation or test rows not in the training data "
                f"({', '.join(self.recipe.data.train)}): {', '.join(unseen[:10])}; the first is that of "
                f"{text[:60]!r}; add training rows for it, or delete this one"
            )

    def evaluate_with(self, rows: list[Row], classify: Callable[[list[list[int]]], np.ndarray]) -> metrics.Metrics:
        """Return the metrics of `classify`, see `answers`; texts above the length limit count as wrong."""
        answers, too_long = self.answers(rows, classify)
        expected = np.concatenate([answers.expected, too_long])
        if self.multi_label:
            return metrics.multi_label_metrics(np.concatenate([answers.decided, ~too_long]), expected)
        predicted = np.concatenate([answers.predicted, (too_long + 1) % len(self.labels)])
        return metrics.classification_metrics(predicted, expected, len(self.labels))

    def answers(
        self, rows: list[Row], classify: Callable[[list[list[int]]], np.ndarray]
    ) -> tuple[metrics.Answers, np.ndarray]:
        """Return the answers to the texts within the length limit, and the expected labels of the others.

        `classify` returns probabilities (N, labels) for the ids of N texts.
        """
        texts, labels = _texts_and_labels(self.recipe, rows)
        ids, expected = self.source_ids(texts), self._expected(labels)
        fits = np.array([len(x) <= self.recipe.model.max_source_length for x in ids], dtype=bool)
        chosen = np.flatnonzero(fits)
        probabilities = classify([ids[i] for i in chosen]) if len(chosen) else np.zeros((0, len(self.labels)))
        answers = metrics.Answers(self.labels, [texts[i] for i in chosen], expected[fits], probabilities)
        return answers, expected[~fits]

    def evaluate(self, model: nn.Module, rows: list[Row], device: torch.device) -> dict[str, metrics.Metrics]:
        """Return the metrics of the labels; a text above the model's length limit counts as wrong."""
        self.check(rows)
        return {"labels": self.evaluate_with(rows, lambda sources: metrics.class_probabilities(model, sources, device))}


Task = TranslateTask | ClassifyTask


def count(number: int, thing: str) -> str:
    """Return "1 row" or "2 rows"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def create_task(recipe: Recipe, rows: list[Row]) -> Task:
    """Return a task with tokenizer (and labels) built from the training rows."""
    return TranslateTask.create(recipe, rows) if recipe.task == "translate" else ClassifyTask.create(recipe, rows)


def load_task(recipe: Recipe, run: Path) -> Task:
    """Load the task of a run folder."""
    return TranslateTask.load(recipe, run) if recipe.task == "translate" else ClassifyTask.load(recipe, run)


def parallel_texts(recipe: Recipe, rows: list[Row], source: str, target: str) -> tuple[list[str], list[str]]:
    """Return the columns `source` and `target` of the rows that have both."""
    i, j = recipe.data.columns.index(source), recipe.data.columns.index(target)
    chosen = [(row[i], row[j]) for row in rows if row[i] and row[j]]
    return [one for one, _ in chosen], [other for _, other in chosen]


def primary_metric(task: Task, results: dict[str, metrics.Metrics]) -> float:
    """Return the number that runs are compared by: the mean of the task's metric over its directions."""
    return float(np.mean([float(result[task.metric]) for result in results.values()]))


def primary_label_metric(recipe: Recipe) -> str:
    """Return the metric that classifiers are compared by."""
    return "micro_f1" if recipe.data.label_separator else "accuracy"


def _texts_and_labels(recipe: Recipe, rows: list[Row]) -> tuple[list[str], list[list[str]]]:
    text = recipe.data.columns.index("text")
    return [row[text].strip() for row in rows], [row_labels(recipe.data, row) for row in rows]
