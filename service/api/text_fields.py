"""Fields and JSON schemas of texts, with the configured limits."""

from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from service.settings import Settings


def check_text_types(value: Any) -> Any:
    """Raise for the first item of a list that is not a string.

    Pydantic would report every one: a list of a million numbers would block the service for seconds.
    """
    for i, text in enumerate(value if isinstance(value, list) else ()):
        if not isinstance(text, str):
            raise PydanticCustomError("string_type", "text {i} should be a valid string", {"i": i})
    return value


Texts = Annotated[str | list[str], BeforeValidator(check_text_types)]


def text_schema(settings: Settings) -> dict[str, Any]:
    """Return the JSON schema of a text that is not blank."""
    return {"type": "string", "minLength": 1, "maxLength": settings.max_text_characters, "pattern": r"\S"}


def list_schema(item: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the JSON schema of a list with at most as many items as one request may have texts."""
    return {"type": "array", "items": item, "minItems": 1, "maxItems": settings.max_texts}


def texts_schema(settings: Settings, allow_blank: bool = False) -> dict[str, Any]:
    """Return the JSON schema of a text or a list of texts; `allow_blank` allows blank and empty texts."""
    text = {"type": "string", "maxLength": settings.max_text_characters} if allow_blank else text_schema(settings)
    return {"anyOf": [text, list_schema(dict(text), settings)]}
