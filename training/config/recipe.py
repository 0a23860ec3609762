"""A whole recipe: the checks that concern several tables, reading, comparing, and the JSON Schema."""

import tomllib
from itertools import permutations
from pathlib import Path
from typing import Any, Literal, Self

import tomli_w
from pydantic import Field, ValidationError, model_validator

from training.config.errors import RecipeError, describe_error, error_path
from training.config.model import (
    FAMILIES,
    FAMILY_KEYS,
    MODEL_CONFIGS,
    TRANSLATOR_KEYS,
    ModelConfig,
    NgramsConfig,
    RecurrentConfig,
    TransformerConfig,
)
from training.config.tables import (
    CLASSIFIER_AUGMENTATION,
    TRANSLATOR_AUGMENTATION,
    AugmentConfig,
    DataConfig,
    NegativesConfig,
    Table,
    TokenizerConfig,
    TrainingConfig,
)

NAME = "[a-z0-9][a-z0-9._-]*"  # of an artifact, as the service has it
RENAMED = {  # keys that earlier versions wrote under another name
    "augment.cut": "augment.word_crop",
    "augment.ended": "augment.add_final_punctuation",
    "augment.copied": "augment.entity_swap",
    "augment.joined": "augment.sentence_concat",
}


class Recipe(Table):
    """Everything that decides a run, besides the machine."""

    name: str = Field(
        pattern=f"^{NAME}$",
        description="Name of the run folder and of the artifact: lower-case letters, digits, '.', '_', '-'. Default: "
        "the file's name.",
    )
    task: Literal["translate", "classify"] = Field(description="What the model learns.")
    data: DataConfig = Field(description="The corpus.")
    tokenizer: TokenizerConfig = Field(default=TokenizerConfig(), description="How text becomes token ids.")
    model: ModelConfig = Field(
        default=TransformerConfig(), discriminator="architecture", description="The architecture and its size."
    )
    training: TrainingConfig = Field(default=TrainingConfig(), description="The optimisation.")
    augment: AugmentConfig = Field(default=AugmentConfig(), description="Changes to the training text, in every epoch.")
    seed: int = Field(
        default=1, ge=0, lt=2**32, description="Decides initial weights, batches, dropout and augmentation."
    )
    licence: str = Field(
        default="not stated", description="Licence of the weights, as the data allows; for the model card."
    )
    description: str = Field(default="", description="What the model does; for the model card.")

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The translation directions as (source, target)."""
        possible = {f"{one}-{other}": (one, other) for one, other in permutations(self.data.columns, 2)}
        return [possible[direction] for direction in self.data.directions]

    @property
    def tagged(self) -> bool:
        """Whether sources begin with a target-language tag."""
        return len(self.data.directions) > 1

    @model_validator(mode="after")
    def _check(self) -> Self:
        tables = (self.data, self.data.negatives, self.model, self.augment)
        problems = [problem for table in tables for problem in table.find_problems()]
        problems += _translator_problems(self) if self.task == "translate" else _classifier_problems(self)
        limit = self.model.max_source_length
        if self.task == "translate":
            limit = min(limit, self.model.max_target_length)
        if self.data.max_length > limit:
            problems.append(
                f"data.max_length {self.data.max_length} is above the model's limit of {limit} tokens; lower it, or "
                "raise model.max_source_length and model.max_target_length"
            )
        foreign = CLASSIFIER_AUGMENTATION if self.task == "translate" else TRANSLATOR_AUGMENTATION
        problems += [
            f"augment.{key} does not apply to task {self.task}; leave it out"
            for key in foreign
            if getattr(self.augment, key)
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self


def _translator_problems(recipe: Recipe) -> list[str]:
    data, model, problems = recipe.data, recipe.model, []
    if isinstance(model, NgramsConfig):
        problems.append("model.architecture is 'ngrams', which only classifies; choose another to translate")
    if isinstance(model, RecurrentConfig) and model.attention != "none" and model.width % 8:
        problems.append(
            f"model.width {model.width} is not a multiple of 8, as the exported attention operator needs; change it, "
            "or set model.attention to 'none'"
        )
    if recipe.tokenizer.kind == "character":
        problems.append("tokenizer.kind is 'character', which cannot restore text; choose another to translate")
    if recipe.tokenizer.placeholders and recipe.tokenizer.kind != "bpe":
        problems.append(
            f"tokenizer.placeholders needs tokenizer.kind 'bpe', not '{recipe.tokenizer.kind}'; change one of them"
        )
    if recipe.augment.placeholders and not recipe.tokenizer.placeholders:
        problems.append("augment.placeholders needs placeholder tokens; set tokenizer.placeholders, for example to 8")
    if data.negatives.files:
        problems.append("data.negatives is for classifiers; leave it out")
    if not data.directions:
        problems.append("data.directions is missing; name at least one, for example " + repr("-".join(data.columns)))
    allowed = {"-".join(pair) for pair in permutations(data.columns, 2)}
    problems += [
        f"data.directions has {direction!r}; data.columns allow {', '.join(sorted(allowed))}"
        for direction in data.directions
        if direction not in allowed
    ]
    return problems


def _classifier_problems(recipe: Recipe) -> list[str]:
    problems = []
    if recipe.tokenizer.placeholders:
        problems.append("tokenizer.placeholders does not apply to a classifier; leave it out")
    if set(recipe.data.columns) != {"label", "text"} or recipe.data.directions:
        problems.append('a classifier needs data.columns of "label" and "text", and no data.directions')
    problems += [
        f"model.{key} does not apply to a classifier; leave it out"
        for key in TRANSLATOR_KEYS
        if key in recipe.model.model_fields_set
    ]
    return problems


TABLES: dict[str, type[Table]] = {  # by path; [model] is one of MODEL_CONFIGS
    "": Recipe, "data": DataConfig, "data.negatives": NegativesConfig, "tokenizer": TokenizerConfig,
    "training": TrainingConfig, "augment": AugmentConfig,
}  # fmt: skip


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


def parse_recipe(table: dict[str, Any], where: str) -> Recipe:
    """Check a parsed recipe; `where` names it in the error. See `load_recipe`."""
    problems: list[str] = []
    table = {"name": Path(where).stem, "data": {}, **table}
    if isinstance(table.get("model"), dict):
        table["model"] = _merge_family_tables(table["model"], problems)
    try:
        recipe = Recipe.model_validate(table)
    except ValidationError as error:
        problems += [_describe(one) for one in error.errors()]
    if problems:
        raise RecipeError(f"{where}: " + "; ".join(problems))
    return recipe


def parse_saved_recipe(table: dict[str, Any], where: str) -> Recipe:
    """Check the recipe of a run folder or an artifact, which an earlier version may have written; see `load_recipe`."""
    table = {name: dict(value) if isinstance(value, dict) else value for name, value in table.items()}
    for old, new in RENAMED.items():
        (section, old_key), (_, new_key) = old.split("."), new.split(".")
        if isinstance(keys := table.get(section), dict) and old_key in keys:
            keys[new_key] = keys.pop(old_key)
    return parse_recipe(table, where)


def recipe_table(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as plain tables, for JSON; `parse_recipe` reads it back."""
    table = recipe.model_dump()
    if not recipe.data.names:
        del table["data"]["names"]  # as earlier versions wrote it
    if recipe.task == "classify":
        table["model"] = {key: value for key, value in table["model"].items() if key not in TRANSLATOR_KEYS}
    return table


def recipe_toml(recipe: Recipe, comment: str = "") -> str:
    """Return the recipe as the text of a TOML file, which `load_recipe` reads back, with a comment above it."""
    table = recipe_table(recipe)
    empty = NegativesConfig().model_dump()
    table["data"] = {key: value for key, value in table["data"].items() if value not in ([], {}, "", empty)}
    plain = {key: value for key, value in table.items() if not isinstance(value, dict) and value != ""}
    tables = {key: value for key, value in table.items() if isinstance(value, dict)}
    if recipe.augment == AugmentConfig():
        del tables["augment"]
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    return lines + tomli_w.dumps(plain | tables)


def differences(one: Recipe, other: Recipe) -> list[str]:
    """Return the keys in which two recipes differ, of those that both have."""
    first, second = one.model_dump(), other.model_dump()
    return [
        f"{name}.{key}" if key else name
        for name, value in first.items()
        for key in ([key for key in value if key in second[name]] if isinstance(value, dict) else [""])
        if (value[key] != second[name][key] if key else value != second[name])
    ]


def recipe_schema() -> dict[str, Any]:
    """Return the JSON Schema of a recipe file, with the tables [model.FAMILY] that are merged into [model]."""
    schema = Recipe.model_json_schema()
    schema["required"].remove("name")  # the file's name is its default
    for keys in FAMILY_KEYS.values():
        schema["$defs"][keys.__name__] = keys.model_json_schema()
    for config in MODEL_CONFIGS.values():
        schema["$defs"][config.__name__]["properties"] |= {
            family: {"$ref": f"#/$defs/{keys.__name__}"} for family, keys in FAMILY_KEYS.items()
        }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _merge_family_tables(model: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """Return the table [model] with the keys of its family's own table, [model.FAMILY].

    The tables of other families are only checked for unknown keys: they wait for a change of architecture.
    """
    model = {"architecture": "transformer", **model}
    tables = {family: model.pop(family, {}) for family in FAMILY_KEYS}
    for family, table in tables.items():
        if not isinstance(table, dict):
            problems.append(f"model.{family} must be a table, not {table!r}")
            return model
        known = FAMILY_KEYS[family].model_fields
        problems += [f"unknown key model.{family}.{k} (known: {', '.join(known)})" for k in table if k not in known]
    architecture = model["architecture"]
    family = FAMILIES.get(architecture, "") if isinstance(architecture, str) else ""
    own = tables.get(family, {})
    problems += [f"model.{key} is given twice, in [model] and in [model.{family}]" for key in own if key in model]
    return model | {key: value for key, value in own.items() if key in FAMILY_KEYS[family].model_fields}


def _describe(error: Any) -> str:
    """Describe a pydantic error; of a key that has another name or another architecture, say that."""
    path = error_path(error["loc"])
    if error["type"] != "extra_forbidden":
        return describe_error(error, ())
    if path in RENAMED:
        return f"{path} is now called {RENAMED[path]}; rename it"
    section, _, key = path.rpartition(".")
    if section != "model":
        return describe_error(error, TABLES[section].model_fields)
    architecture = str(error["loc"][1])
    if any(key in config.model_fields for config in MODEL_CONFIGS.values()):
        return f"{path} does not apply to architecture {architecture}; leave it out"
    return describe_error(error, MODEL_CONFIGS[FAMILIES[architecture]].model_fields)
