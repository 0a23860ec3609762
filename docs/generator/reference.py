"""Tables of the service's settings and of a recipe's keys, from the pydantic classes that define them."""

import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from docs.generator.blocks import table
from service.settings import PREFIX, Settings
from training.config import Recipe
from training.config.model import FAMILY_KEYS, MODEL_CONFIGS

TYPES: dict[object, str] = {int: "integer", float: "number", bool: "true or false", str: "text", Path: "path"}
SIGNS: tuple[tuple[type, str], ...] = ((Ge, "≥"), (Gt, ">"), (Le, "≤"), (Lt, "<"))


def settings() -> str:
    """Return one line for each environment variable of the service."""
    rows = ((f"`{PREFIX}{name.upper()}`", *cells(field)) for name, field in Settings.model_fields.items())
    return table(["variable", "type", "default", "limits", "meaning"], rows)


def keys(model: type[BaseModel], leave_out: Iterable[str] = ()) -> str:
    """Return one line for each scalar or list key of a table of the recipe."""
    rows = (
        (f"`{name}`", *cells(field))
        for name, field in model.model_fields.items()
        if name not in leave_out and not is_table(field.annotation)
    )
    return table(["key", "type", "default", "limits", "meaning"], rows)


def is_table(annotation: object) -> bool:
    """Return whether a key is a table of its own, or a union of tables."""
    members = typing.get_args(annotation) or (annotation,)
    return all(isinstance(one, type) and issubclass(one, BaseModel) for one in members)


def cells(field: FieldInfo) -> tuple[str, str, str, str]:
    """Return type, default, limits and meaning of a field."""
    return type_name(field.annotation), default_value(field), limits(field), field.description or ""


def type_name(annotation: object) -> str:
    """Return a type in words; the choices of a Literal; for an optional type the type itself."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(type_name(one) for one in arguments if one is not type(None))
    if typing.get_origin(annotation) is list:
        return "list of texts"
    if typing.get_origin(annotation) is dict:
        return "table of texts"
    return TYPES[annotation]


def default_value(field: FieldInfo) -> str:
    """Return the default as it is written in a recipe or a variable; "required" or "none" if there is none."""
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return "`[" + ", ".join(f'"{one}"' for one in value) + "]`"
    return f"`{value}`"


def limits(field: FieldInfo) -> str:
    """Return the limits of a number, such as "≥ 0, < 1"."""
    found = []
    for constraint in field.metadata:
        for kind, sign in SIGNS:
            if isinstance(constraint, kind):
                found.append(f"{sign} {getattr(constraint, kind.__name__.lower()):,}")
    return ", ".join(found)


def recipe() -> str:
    """Return a section for each table of a recipe, with one line per key."""
    return "\n".join(f"### {heading}\n\n{text}" for heading, text in recipe_sections())


def recipe_sections() -> Iterable[tuple[str, str]]:
    """Yield heading and table of each section, in the order of the recipe."""
    required, filled_in = "| `name` | text | required |", "| `name` | text | the file's name |"
    yield "Top level", keys(Recipe).replace(required, filled_in)
    for name, field in Recipe.model_fields.items():
        if name == "model":
            yield "`[model]`", model_keys()
            for family, own in FAMILY_KEYS.items():
                text = f"These keys may also be in `[model]` itself.\n\n{keys(own)}"
                yield f"`[model.{family}]`", text
        elif is_table(field.annotation):
            table_class = typing.cast(type[BaseModel], field.annotation)
            yield f"`[{name}]`", keys(table_class)
            for inner, inner_field in table_class.model_fields.items():
                if is_table(inner_field.annotation):
                    yield f"`[{name}.{inner}]`", keys(typing.cast(type[BaseModel], inner_field.annotation))


def model_keys() -> str:
    """Return one line for each key of [model] that several families share, with the choices of all families."""
    shared: dict[str, list[FieldInfo]] = {}
    for family, config in MODEL_CONFIGS.items():
        for name, field in config.model_fields.items():
            if name not in FAMILY_KEYS[family].model_fields:
                shared.setdefault(name, []).append(field)
    rows = []
    for name, fields in shared.items():
        _, default, limit, meaning = cells(fields[0])
        names = dict.fromkeys(one for field in fields for one in type_name(field.annotation).split(", "))
        rows.append((f"`{name}`", ", ".join(names), default, limit, meaning))
    return table(["key", "type", "default", "limits", "meaning"], rows)


BLOCKS: dict[str, Callable[[], str]] = {"settings": settings, "recipe": recipe}
