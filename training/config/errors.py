"""Pydantic's errors in words that name a recipe's key, the value, the limit and the remedy."""

from collections.abc import Collection
from typing import Any


class RecipeError(ValueError):
    """A recipe that cannot be used; the message lists every problem found."""


WANTED = {  # by pydantic's error type
    "int_type": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a string",
    "list_type": "a list of strings",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
LIMITS = {  # by pydantic's error type; the word before the limit and the limit's name in the error's context
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


def error_path(location: tuple[int | str, ...]) -> str:
    """Return the key of an error as a recipe spells it: `model.width` for ("model", "lstm", "width")."""
    path = ""
    for depth, part in enumerate(location):
        if isinstance(part, int):
            path += f"[{part}]"
        elif depth != 1 or location[0] != "model":  # there pydantic names the architecture that it checked
            path += f".{part}" if path else part
    return path


def describe_error(error: Any, known: Collection[str]) -> str:
    """Describe one of pydantic's error dicts; `known` are the keys of the table that it is about."""
    kind, path, value, context = error["type"], error_path(error["loc"]), error["input"], error.get("ctx", {})
    match kind:
        case "missing":
            return f"{path} is missing"
        case "extra_forbidden":
            return f"unknown key {path} (known: {', '.join(known)})"
        case "literal_error":
            return f"{path} is {value!r}; choose one of {_unquoted(context['expected'])}"
        case "union_tag_invalid":
            return (
                f"{path}.architecture is {value['architecture']!r}; choose one of {_unquoted(context['expected_tags'])}"
            )
        case "string_pattern_mismatch":
            return f"{path} is {value!r}; use lower-case letters, digits, '.', '_' and '-'"
        case "value_error":
            return str(context["error"])
    if kind in LIMITS:
        word, name = LIMITS[kind]
        limit = context[name]
        return f"{path} is {value}; it must be {word} {int(limit) if limit == int(limit) else limit}"
    return f"{path} must be {WANTED.get(kind, error['msg'])}, not {value!r}"


def _unquoted(choices: str) -> str:
    """Turn pydantic's "'one', 'two' or 'three'" into "one, two, three"."""
    return choices.replace(" or ", ", ").replace("'", "")
