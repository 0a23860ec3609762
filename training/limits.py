"""What no recipe may ask for: values out of range, shapes that do not fit, data that cannot be meant."""

import dataclasses
import re
import typing
from itertools import permutations

if typing.TYPE_CHECKING:
    from training.config import ModelConfig, Recipe

CHOICES = {
    "task": ("translate", "classify"),
    "tokenizer.kind": ("word", "character", "bpe", "unigram"),
    "model.architecture": ("transformer", "rnn", "gru", "lstm", "ngrams"),
    "model.norm": ("pre", "post"),
    "model.activation": ("relu", "gelu"),
    "model.positions": ("sinusoidal", "learned"),
    "model.attention": ("additive", "multiplicative", "none"),
    "model.pooling": ("mean", "first", "last"),
    "training.optimizer": ("adamw", "muon"),
    "training.schedule": ("cosine", "inverse_sqrt"),
}
LEAST = {
    "data.hold_out": 0, "data.negatives.rows": 0, "data.max_length": 1, "data.max_ratio": 1, "tokenizer.vocabulary": 1,
    "tokenizer.min_frequency": 0, "model.width": 1, "model.heads": 1, "model.kv_heads": 1, "model.feed_forward": 1,
    "model.order": 1, "model.buckets": 1, "model.encoder_layers": 1, "model.decoder_layers": 1,
    "model.max_source_length": 1, "model.max_target_length": 1, "training.epochs": 1, "training.updates": 0,
    "training.batch_tokens": 1, "training.accumulate": 1, "training.warmup": 1, "training.weight_decay": 0,
    "training.validate_every": 1, "training.patience": 0, "training.keep_last": 1,
}  # fmt: skip
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")  # of an artifact, as the service has it
CLASSIFIERS_SHARES = {"cut", "ended"}  # keys of [augment]
ROUGH = ("lowercase", "uppercase", "unpunctuated", "misspelt")  # keys of [augment] of which a text has one


def validate(recipe: "Recipe") -> list[str]:
    """Every reason why a recipe of good types cannot be trained."""

    def value(path: str) -> typing.Any:
        owner: typing.Any = recipe
        for part in path.split("."):
            owner = getattr(owner, part)
        return owner

    faults = [
        f"{path} is {value(path)!r}; choose one of {', '.join(choices)}"
        for path, choices in CHOICES.items()
        if value(path) not in choices
    ]
    faults += [
        f"{path} is {value(path)}; it must be at least {least}" for path, least in LEAST.items() if value(path) < least
    ]
    if not NAME.fullmatch(recipe.name):
        faults.append(f"name is {recipe.name!r}; use lower-case letters, digits, '.', '_' and '-'")
    if not 0 <= recipe.seed < 2**32:
        faults.append(f"seed is {recipe.seed}; it must be at least 0 and below 2**32")
    return faults + (
        [] if faults else _impossible_shapes(recipe) + _impossible_data(recipe) + _impossible_shares(recipe)
    )


def _impossible_shapes(recipe: "Recipe") -> list[str]:
    model, training = recipe.model, recipe.training
    faults = []
    if model.family == "transformer":
        faults += _impossible_transformer(model)
    elif model.family == "recurrent":
        faults += _impossible_recurrent(model, recipe.task)
    elif recipe.task == "translate":
        faults.append(
            f"model.architecture is {model.architecture!r}, which only classifies; choose another to translate"
        )
    if not 0 <= model.dropout < 1:
        faults.append(f"model.dropout is {model.dropout}; it must be at least 0 and below 1")
    if not 0 <= training.label_smoothing < 1:
        faults.append(f"training.label_smoothing is {training.label_smoothing}; it must be at least 0 and below 1")
    if training.learning_rate <= 0 or training.clip_norm <= 0:
        faults.append("training.learning_rate and training.clip_norm must be above 0")
    if recipe.task == "translate" and recipe.tokenizer.kind == "character":
        faults.append("tokenizer.kind is 'character', which restores no text; choose another to translate")
    limit = min(model.max_source_length, model.max_target_length)
    if recipe.task == "classify":
        limit = model.max_source_length
    if recipe.data.max_length > limit:
        faults.append(f"data.max_length {recipe.data.max_length} is above the model's limit of {limit} tokens")
    return faults


def _impossible_transformer(model: "ModelConfig") -> list[str]:
    faults = []
    if model.width % (8 * model.heads):
        faults.append(
            f"model.width {model.width} does not give each of {model.heads} heads a multiple of 8, as the exported "
            "attention operator needs; change model.width or model.heads"
        )
    if model.heads % model.kv_heads:
        faults.append(f"model.heads {model.heads} is not a multiple of model.kv_heads {model.kv_heads}")
    if model.pooling == "last":
        faults.append("model.pooling is 'last', for recurrent models; a transformer pools mean or first")
    return faults


def _impossible_recurrent(model: "ModelConfig", task: str) -> list[str]:
    faults = []
    if model.bidirectional and model.width % 2:
        faults.append(f"model.width {model.width} is odd; each direction of a bidirectional encoder has half of it")
    if task == "translate" and model.attention != "none" and model.width % 8:
        faults.append(
            f"model.width {model.width} is not a multiple of 8, as the exported attention operator needs; change "
            "it, or set model.attention to 'none'"
        )
    if not 0 <= model.scheduled_sampling <= 1:
        faults.append(f"model.scheduled_sampling is {model.scheduled_sampling}; it must be at least 0 and at most 1")
    if model.pooling == "first":
        faults.append(f"model.pooling is 'first', for transformers; a model of {model.architecture} pools mean or last")
    return faults


def _impossible_data(recipe: "Recipe") -> list[str]:
    data = recipe.data
    if not data.train:
        return ["data.train names no file"]
    if bool(data.valid) == bool(data.hold_out):
        return ["give either data.valid files or data.hold_out rows to validate on"]
    if len(data.columns) < 2 or len(set(data.columns)) < len(data.columns):
        return [f"data.columns must name two or more different columns, not {', '.join(data.columns) or 'none'}"]
    if faults := _impossible_negatives(recipe):
        return faults
    if recipe.task == "classify":
        good = set(data.columns) == {"label", "text"} and not data.directions
        return [] if good else ['a classifier needs data.columns of "label" and "text", and no data.directions']
    if not data.directions:
        return ["data.directions is missing; name at least one, for example " + repr("-".join(data.columns))]
    if len(set(data.directions)) < len(data.directions):
        return [f"data.directions repeats itself: {', '.join(data.directions)}"]
    allowed = {"-".join(pair) for pair in permutations(data.columns, 2)}
    return [
        f"data.directions has {direction!r}; data.columns allow {', '.join(sorted(allowed))}"
        for direction in data.directions
        if direction not in allowed
    ]


def _impossible_shares(recipe: "Recipe") -> list[str]:
    shares = dataclasses.asdict(recipe.augment)
    faults = [
        f"augment.{key} is {share}; it must be at least 0 and at most 1"
        for key, share in shares.items()
        if not 0 <= share <= 1
    ]
    own = CLASSIFIERS_SHARES if recipe.task == "classify" else shares.keys() - CLASSIFIERS_SHARES
    faults += [
        f"augment.{key} means nothing to a recipe that is to {recipe.task}; leave it out"
        for key, share in shares.items()
        if share and key not in own
    ]
    if sum(shares[key] for key in ROUGH) > 1:
        faults.append(f"the shares of augment.{', '.join(ROUGH)} add up to more than 1; one text has one change")
    return faults


def _impossible_negatives(recipe: "Recipe") -> list[str]:
    negatives = recipe.data.negatives
    if bool(negatives.files) != bool(negatives.rows):
        return ["data.negatives needs both files and rows"]
    if negatives.files and recipe.task != "classify":
        return ["data.negatives are for classifiers; leave them out"]
    if len(negatives.columns) != 2 or negatives.columns.count("text") != 1:
        return [f'data.negatives.columns must name two columns, one of them "text", not {", ".join(negatives.columns)}']
    return []
