"""Recipes: a TOML file becomes frozen pydantic models, checked before any compute is spent.

Nothing heavy is imported here, so a bad recipe is refused in milliseconds. `recipe_schema` gives the same rules as a
JSON Schema, for editors and for the documentation.
"""

from training.config.errors import RecipeError
from training.config.model import FAMILIES, ModelConfig, NgramsConfig, RecurrentConfig, TransformerConfig
from training.config.recipe import (
    NAME,
    Recipe,
    differences,
    load_recipe,
    parse_recipe,
    parse_saved_recipe,
    recipe_schema,
    recipe_table,
    recipe_toml,
)
from training.config.tables import AugmentConfig, DataConfig, NegativesConfig, TokenizerConfig, TrainingConfig

__all__ = [
    "FAMILIES",
    "NAME",
    "AugmentConfig",
    "DataConfig",
    "ModelConfig",
    "NegativesConfig",
    "NgramsConfig",
    "Recipe",
    "RecipeError",
    "RecurrentConfig",
    "TokenizerConfig",
    "TrainingConfig",
    "TransformerConfig",
    "differences",
    "load_recipe",
    "parse_recipe",
    "parse_saved_recipe",
    "recipe_schema",
    "recipe_table",
    "recipe_toml",
]
