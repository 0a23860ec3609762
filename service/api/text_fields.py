"""Pydantic fields and JSON schemas for texts with the configured limits."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from service.settings import Settings


def texts_field(settings: Settings, description: str, example: str) -> Any:
    """The type of a field that holds a text or a list of them, with the settings' limits in its schema."""
    schema = texts_schema(settings) | {"examples": [example]}
    return Annotated[
        str | list[str], BeforeValidator(first_wrong_text), Field(description=description, json_schema_extra=schema)
    ]


def text_schema(settings: Settings) -> dict[str, Any]:
    """The JSON schema of a text that is not blank."""
    return {"type": "string", "minLength": 1, "maxLength": settings.max_text_characters, "pattern": r"\S"}


def list_schema(item: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The JSON schema of as many as one request may have."""
    return {"type": "array", "items": item, "minItems": 1, "maxItems": settings.max_texts}


def texts_schema(settings: Settings, blank: bool = False) -> dict[str, Any]:
    """The JSON schema of a text, or a list of them in which there may be blank ones where that is allowed."""
    one = text_schema(settings)
    item = {"type": "string", "maxLength": settings.max_text_characters} if blank else one
    return {"anyOf": [one, list_schema(item, settings)]}


def first_wrong_text(value: Any) -> Any:
    """One wrong text is told, not a megabyte of them: they would take seconds in which nobody else is served."""
    for i, text in enumerate(value if isinstance(value, list) else ()):
        if not isinstance(text, str):
            raise PydanticCustomError("string_type", "text {i} should be a valid string", {"i": i})
    return value
