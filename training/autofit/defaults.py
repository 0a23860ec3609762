"""Recipes whose sizes fit a corpus: vocabulary, table of n-grams, width, lengths, batches, epochs and warm-up.

Shapes: N texts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from training.config import Recipe, TokenizerConfig, parse_recipe
from training.data.corpus import Row
from training.data.tokenizer import supported_codec

MAX_BUCKETS = 100_000  # of the hashed n-grams; more gained nothing on 15,000 rows of CLINC150, and take time and space
MAX_NGRAM_LENGTH = 20_480  # characters or words
MAX_TRANSFORMER_LENGTH = 512  # tokens: attention is quadratic
MAX_VOCABULARY = 30_000
SAMPLED_TOKENS = 2_000_000  # that different n-grams are counted in
VALID_SHARE, MAX_VALID = 0.1, 2000


@dataclass
class Plan:
    """A recipe's table, and for each choice the reason, in the order in which they are printed."""

    kind: str  # the model, in words
    table: dict[str, Any]
    reasons: dict[str, str] = field(default_factory=dict)  # by key of the recipe, such as "tokenizer.vocabulary"
    updates: int = 0  # of all epochs together, at least

    def set(self, key: str, value: object, reason: str = "") -> None:
        section, _, name = key.partition(".")
        self.table.setdefault(section, {})[name] = value
        if reason:
            self.reasons[key] = reason

    def recipe(self) -> Recipe:
        return parse_recipe(self.table, f"{self.table['name']}.toml")

    def lines(self) -> list[str]:
        """Return the choices with their reasons, one a line."""
        values = {key: self.table[key.split(".")[0]][key.split(".")[1]] for key in self.reasons}
        return [f"{key} = {values[key]}: {reason}" for key, reason in self.reasons.items()]


@dataclass(frozen=True)
class Lengths:
    """Tokens of the texts of a corpus, special tokens included."""

    longest: int
    usual: int  # of all but one text in 200
    total: int

    @staticmethod
    def of(ids: Sequence[Sequence[int]]) -> "Lengths":
        lengths = np.array([len(x) + 1 for x in ids])
        return Lengths(int(lengths.max()), int(np.quantile(lengths, 0.995)), int(lengths.sum()))


def validation_rows(rows: int) -> int:
    """Return how many rows to hold out: a tenth, at most 2,000."""
    return max(1, min(MAX_VALID, round(VALID_SHARE * rows)))


def character_ngrams(base: dict[str, Any], rows: list[Row]) -> Plan:
    """n-grams of characters: spellings, stems and word order within five characters; any language."""
    plan = Plan("n-grams of characters", _copy(base))
    ids, lengths = _tokenize(plan, rows, {"kind": "character", "lowercase": True}, MAX_VOCABULARY)
    _size_ngrams(plan, ids, lengths, order=5, dropout=0.4)
    return plan


def word_ngrams(base: dict[str, Any], rows: list[Row]) -> Plan:
    """n-grams of words: topics."""
    plan = Plan("n-grams of words", _copy(base))
    ids, lengths = _tokenize(plan, rows, {"kind": "word", "lowercase": True}, MAX_VOCABULARY)
    _size_ngrams(plan, ids, lengths, order=2, dropout=0.3)
    return plan


def small_transformer(base: dict[str, Any], rows: list[Row]) -> Plan:
    """A Transformer of two layers: word order and context, if there are rows enough to learn from."""
    plan = Plan("small Transformer", _copy(base))
    _, lengths = _tokenize(plan, rows, {"kind": "bpe", "lowercase": True}, 4000)
    limit = min(MAX_TRANSFORMER_LENGTH, max(64, 32 * math.ceil(1.25 * lengths.usual / 32)))
    for key, value in {"architecture": "transformer", "heads": 4, "kv_heads": 4, "feed_forward": 256,
                       "encoder_layers": 2, "dropout": 0.3}.items():  # fmt: skip
        plan.set(f"model.{key}", value)
    plan.set("model.width", 128, "small, for a corpus of this size")
    _set_lengths(plan, lengths, limit, limit)
    least = max(300, min(1200, len(rows) // 4))
    _set_training(plan, lengths, len(rows), learning_rate=0.002, least_updates=least, most_epochs=60, batch=4096)
    return plan


CLASSIFIERS: tuple[Callable[[dict[str, Any], list[Row]], Plan], ...] = (
    word_ngrams, character_ngrams, small_transformer,
)  # fmt: skip


def small_translator(base: dict[str, Any], rows: Sequence[Row]) -> Plan:
    """A Transformer with a joint vocabulary, as large as the corpus can teach."""
    plan = Plan("Transformer", _copy(base))
    texts = [text for row in rows for text in row]
    config = {"kind": "bpe", "joint": True}
    _, lengths = _tokenize(plan, rows, config, 8000, texts)
    small = len(rows) < 20_000
    width = 128 if small else 256
    for key, value in {"architecture": "transformer", "heads": 4, "kv_heads": 4, "feed_forward": 4 * width,
                       "encoder_layers": 3 if small else 4, "decoder_layers": 2,
                       "dropout": 0.2 if small else 0.1}.items():  # fmt: skip
        plan.set(f"model.{key}", value)
    plan.set("model.width", width, f"for {len(rows):,} pairs")
    limit = min(256, max(64, 32 * math.ceil(1.25 * lengths.usual / 32)))
    _set_lengths(plan, lengths, limit, limit)
    plan.set("model.max_target_length", limit)
    _set_training(plan, lengths, len(rows), learning_rate=0.002, least_updates=3000, most_epochs=30, batch=4096)
    return plan


def _copy(base: dict[str, Any]) -> dict[str, Any]:
    return {key: dict(value) if isinstance(value, dict) else value for key, value in base.items()}


def _tokenize(
    plan: Plan, rows: Sequence[Row], config: dict[str, Any], most: int, texts: list[str] | None = None
) -> tuple[list[list[int]], Lengths]:
    """Choose the largest vocabulary up to `most` that the corpus supports; return the ids of all texts."""
    if texts is None:
        place = plan.table["data"]["columns"].index("text")
        texts = [row[place] for row in rows]
    least = 1 if len(rows) < 500 else 2
    codec, size = supported_codec(TokenizerConfig(**config, vocabulary=most, min_frequency=least), texts)
    what = {"word": "words", "character": "characters", "bpe": "pieces of words"}[config["kind"]]
    for key, value in config.items():
        plan.set(f"tokenizer.{key}", value)
    plan.set("tokenizer.min_frequency", least)
    plan.set(
        "tokenizer.vocabulary", size, f"the {what} of the corpus" + (", the most frequent" if size == most else "")
    )
    ids = [encoding.ids for encoding in codec.source.encode_batch(texts, add_special_tokens=False)]
    return ids, Lengths.of(ids)


def _size_ngrams(plan: Plan, ids: list[list[int]], lengths: Lengths, order: int, dropout: float) -> None:
    different = count_ngrams(ids, order)
    buckets = max(100, min(MAX_BUCKETS, different))
    plan.set("model.architecture", "ngrams")
    plan.set("model.order", order)
    plan.set("model.dropout", dropout)
    plan.set("model.width", 64)
    plan.set("model.buckets", buckets, f"the corpus has {different:,} different n-grams")
    accepted = min(MAX_NGRAM_LENGTH, max(1024, 2 * lengths.longest))
    _set_lengths(plan, lengths, accepted, accepted)
    _set_training(plan, lengths, len(ids), learning_rate=0.02, least_updates=500, most_epochs=30, batch=16_384)
    plan.table["training"].setdefault("label_smoothing", 0.05)


def count_ngrams(ids: list[list[int]], order: int) -> int:
    """Return about how many different n-grams of two to `order` tokens the texts have."""
    flat = np.concatenate([np.array([*x, 0], dtype=np.int64) for x in ids])[:SAMPLED_TOKENS]
    hashed, count = flat, 0
    with np.errstate(over="ignore"):
        for length in range(2, order + 1):
            hashed = hashed[:-1] * np.int64(1_000_003) + flat[length - 1 :]
            count += len(np.unique(hashed))
    return count


def _set_lengths(plan: Plan, lengths: Lengths, accepted: int, trained: int) -> None:
    plan.set("model.max_source_length", accepted, f"tokens of a text; the longest here has {lengths.longest:,}")
    plan.set("data.max_length", trained)


def _set_training(
    plan: Plan, lengths: Lengths, rows: int, *, learning_rate: float, least_updates: int, most_epochs: int, batch: int
) -> None:
    """Choose batches for about 40 updates an epoch, more for a large corpus, and epochs for enough updates."""
    longest = min(lengths.longest, plan.table["data"]["max_length"])
    batch_tokens = max(longest, min(batch, lengths.total // 40))
    updates = max(1, lengths.total // batch_tokens)  # at least, of an epoch: padding adds to them
    epochs = max(4, min(most_epochs, math.ceil(least_updates / updates)))
    plan.set("training.batch_tokens", batch_tokens, f"about {updates:,} updates an epoch")
    plan.set("training.epochs", epochs, f"at least {least_updates:,} updates, at most {most_epochs} epochs")
    plan.updates = epochs * updates
    plan.set("training.warmup", max(1, min(100, plan.updates // 10)), "a tenth of the updates, at most 100")
    plan.set("training.learning_rate", learning_rate)
    plan.set("training.keep_last", 1 if epochs < 10 else 2)
