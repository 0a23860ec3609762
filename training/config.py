"""Recipes: a TOML file becomes frozen dataclasses, checked before any compute is spent.

Nothing heavy is imported here, so a recipe can be read and refused in milliseconds.
"""

import dataclasses
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

from training.limits import validate


class RecipeError(ValueError):
    """A recipe that cannot be used; the message lists every fault found."""


@dataclass(frozen=True)
class NegativesConfig:
    """Texts of a corpus about something else, for a classifier to learn what is none of its labels."""

    files: list[str] = field(default_factory=list)  # of the same forms as data.train
    columns: list[str] = field(default_factory=lambda: ["text", "label"])  # of these files; "text" is read
    rows: int = 0  # drawn by the seed
    ending: str = ""  # only texts that end so, for example "?"
    label: str = "out_of_scope"


@dataclass(frozen=True)
class DataConfig:
    """Where the corpus is; paths are relative to the data folder given on the command line."""

    train: list[str]  # files, see training/data/corpus.py for the forms
    columns: list[
        str
    ]  # the languages of a parallel corpus, or "label" and "text", in the order of files that name none
    valid: list[str] = field(default_factory=list)
    hold_out: int = 0  # without valid files: this many rows, drawn by the seed, leave the training set to validate
    test: list[str] = field(default_factory=list)
    directions: list[str] = field(default_factory=list)  # for example ["de-en"]; several train one tagged model
    max_length: int = 128  # tokens of either side; longer pairs are left out of training
    max_ratio: float = 9.0  # the longer side may have this many times the tokens of the shorter, plus 10
    negatives: NegativesConfig = NegativesConfig()


@dataclass(frozen=True)
class TokenizerConfig:
    """How text becomes ids."""

    kind: str = "bpe"  # word | character | bpe | unigram
    vocabulary: int = 8000
    joint: bool = True  # one vocabulary for both sides
    lowercase: bool = False
    min_frequency: int = 2


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model. The keys of one family are refused in a recipe for another, see `OWN_KEYS`."""

    architecture: str = "transformer"  # transformer | rnn | gru | lstm | ngrams (a classifier)
    width: int = 256
    heads: int = 4
    kv_heads: int = 4
    feed_forward: int = 1024
    encoder_layers: int = 6
    decoder_layers: int = 6
    dropout: float = 0.1
    norm: str = "pre"  # pre | post
    activation: str = "relu"  # relu | gelu
    positions: str = "sinusoidal"  # sinusoidal | learned
    bidirectional: bool = True  # the encoder reads in both directions, each with half the width
    attention: str = "additive"  # additive | multiplicative | none
    scheduled_sampling: float = 0.0  # share of the decoder's inputs that are its own words, when training ends
    order: int = 3  # tokens of the longest n-gram
    buckets: int = 100_000  # that n-grams of two and more share, each a vector
    tied_embeddings: bool = True
    pooling: str = "mean"  # mean | first (transformer) | last (recurrent); classifiers only
    max_source_length: int = 256  # tokens, language tag and end mark included
    max_target_length: int = 256

    @property
    def family(self) -> str:
        return FAMILIES[self.architecture]


@dataclass(frozen=True)
class TrainingConfig:
    """The optimisation."""

    epochs: int = 20
    updates: int = 0  # end after so many, within an epoch if need be; 0: the epochs end the run
    batch_tokens: int = 4096  # padded tokens of the longer side in one micro-batch
    accumulate: int = 1  # micro-batches an update
    optimizer: str = "adamw"  # adamw | muon, which learns more from an update and takes longer for it
    learning_rate: float = 0.001  # the peak
    schedule: str = "cosine"  # cosine | inverse_sqrt
    warmup: int = 1000  # updates
    weight_decay: float = 0.0
    label_smoothing: float = 0.1
    clip_norm: float = 1.0
    validate_every: int = 1  # epochs
    patience: int = 0  # validations without a better figure before stopping; 0 never stops early
    keep_last: int = 5  # checkpoints kept, one an epoch, and averaged at the end


@dataclass(frozen=True)
class AugmentConfig:
    """The shares of the training text that are changed anew every epoch, see training/data/augment.py."""

    cut: float = 0.0  # of a classifier's texts, to one or two words
    ended: float = 0.0  # of a classifier's texts, with a mark at the end; the other keys are a translator's
    copied: float = 0.0  # of the pairs: their names and numbers become others, or they are given a number
    joined: float = 0.0  # of the pairs, in groups of several sentences
    lowercase: float = 0.0  # of the sources, like those below; one text has one change
    uppercase: float = 0.0
    unpunctuated: float = 0.0  # and lower-cased
    misspelt: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run, besides the machine."""

    name: str
    task: str  # translate | classify
    data: DataConfig
    tokenizer: TokenizerConfig
    model: ModelConfig
    training: TrainingConfig
    augment: AugmentConfig = AugmentConfig()
    seed: int = 1
    licence: str = "not stated"  # of the weights, as the data allows
    description: str = ""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The translation directions as (source, target)."""
        possible = {f"{one}-{other}": (one, other) for one, other in permutations(self.data.columns, 2)}
        return [possible[direction] for direction in self.data.directions]

    @property
    def tagged(self) -> bool:
        """Whether sources carry a target-language tag."""
        return len(self.data.directions) > 1


FAMILIES = {
    "transformer": "transformer", "rnn": "recurrent", "gru": "recurrent", "lstm": "recurrent", "ngrams": "ngrams",
}  # fmt: skip
OWN_KEYS = {  # of [model], by family; the other keys are everybody's
    "transformer": ("heads", "kv_heads", "feed_forward", "norm", "activation", "positions"),
    "recurrent": ("bidirectional", "attention", "scheduled_sampling"),
    "ngrams": ("order", "buckets"),
}
LAYERS_KEYS = ("encoder_layers", "decoder_layers", "tied_embeddings", "pooling")  # of every family that has layers
TRANSLATORS_KEYS = ("attention", "scheduled_sampling")  # of a family's own keys


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: the file is missing, is not TOML, has an unknown or missing key, or a value that cannot work.
    """
    try:
        return parse_recipe(tomllib.loads(path.read_text("utf-8")), str(path))
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not a TOML file: {error}") from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None


def parse_recipe(table: dict[str, object], where: str) -> Recipe:
    """Check a parsed recipe; see `load_recipe`."""
    faults: list[str] = []
    table = {"name": Path(where).stem, **table}
    if isinstance(table.get("model"), dict):
        table["model"] = _model_table(table, faults)
    recipe = _build(Recipe, table, "", faults)
    if not faults:
        faults += validate(recipe)
    if faults:
        raise RecipeError(f"{where}: " + "; ".join(faults))
    return recipe


def recipe_table(recipe: Recipe) -> dict[str, object]:
    """The recipe as plain tables, for JSON, without the keys of other families; `parse_recipe` reads it back."""
    table = dataclasses.asdict(recipe)
    table["model"] = {
        k: v for k, v in table["model"].items() if k not in _foreign_keys(recipe.model.family, recipe.task)
    }
    return table


def differences(one: Recipe, other: Recipe) -> list[str]:
    """The keys in which two recipes differ."""
    first, second = dataclasses.asdict(one), dataclasses.asdict(other)
    return [
        f"{name}.{key}" if key else name
        for name, value in first.items()
        for key in (value if isinstance(value, dict) else [""])
        if (value[key] != second[name][key] if key else value != second[name])
    ]


def _foreign_keys(family: str, task: object) -> set[str]:
    """Keys of [model] that a model of this family and task has no use for."""
    foreign = {key for other, keys in OWN_KEYS.items() if other != family for key in keys}
    foreign |= set(LAYERS_KEYS) if family == "ngrams" else set()
    return foreign | (set(TRANSLATORS_KEYS) if task == "classify" else set())


def _model_table(table: dict[str, typing.Any], faults: list[str]) -> dict[str, object]:
    """The table [model] with its family's keys, whether they stand in it or in [model.FAMILY].

    The tables of other families wait for a change of architecture; a key of theirs in [model] itself is a fault.
    """
    model = dict(table["model"])
    sections = {family: model.pop(family, {}) for family in OWN_KEYS}
    for family, section in sections.items():
        if not isinstance(section, dict):
            faults.append(f"model.{family} must be a table")
            return model
        known = OWN_KEYS[family]
        faults += [f"unknown key model.{family}.{k} (known: {', '.join(known)})" for k in section if k not in known]
    architecture = model.get("architecture", "transformer")
    own = FAMILIES.get(architecture) if isinstance(architecture, str) else None
    if own is None:
        return model  # refused with what else is of a wrong type or no choice
    faults += [f"model.{key} is given twice, in [model] and in [model.{own}]" for key in sections[own] if key in model]
    model |= sections[own]
    foreign = sorted(_foreign_keys(own, table.get("task")) & model.keys())
    kind = "classifier" if table.get("task") == "classify" else "translator"
    faults += [f"model.{key} means nothing to a {kind} of architecture {architecture}; leave it out" for key in foreign]
    return model


def _build(kind: type, table: object, prefix: str, faults: list[str]) -> typing.Any:
    if not isinstance(table, dict):
        faults.append(f"{prefix.rstrip('.')} must be a table")
        return None
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in dataclasses.fields(kind)}
    faults += [f"unknown key {prefix}{key} (known: {', '.join(known)})" for key in table if key not in known]
    values = {}
    for name, definition in known.items():
        if dataclasses.is_dataclass(hints[name]):
            values[name] = _build(hints[name], table.get(name, {}), f"{prefix}{name}.", faults)
        elif name in table:
            values[name] = _check_type(table[name], hints[name], f"{prefix}{name}", faults)
        elif definition.default is dataclasses.MISSING and definition.default_factory is dataclasses.MISSING:
            faults.append(f"{prefix}{name} is missing")
    return None if faults else kind(**values)


def _check_type(value: object, hint: object, where: str, faults: list[str]) -> object:
    if isinstance(hint, types.GenericAlias):
        good = isinstance(value, list) and all(isinstance(item, str) for item in value)
        wanted = "a list of strings"
    else:
        # TOML has integers where a person writes 1 for 1.0; a boolean is never a number.
        good = type(value) is hint or (hint is float and type(value) is int)
        good = good and (type(value) is not float or math.isfinite(value))
        wanted = getattr(hint, "__name__", str(hint))
    if not good:
        faults.append(f"{where} must be {wanted}, not {value!r}")
    return float(value) if good and hint is float else value  # type: ignore[arg-type]
