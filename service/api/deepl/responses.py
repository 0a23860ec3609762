"""What DeepL's dialect answers."""

from typing import Literal

from pydantic import BaseModel

from service.http.openapi import response_example

UNLIMITED = 1_000_000_000_000  # how the original reports that there is no limit
TRANSLATE_RESPONSE = response_example({"translations": [{"detected_source_language": "DE", "text": "Good morning."}]})
LANGUAGES_RESPONSE = response_example([{"language": "DE", "name": "German", "supports_formality": False}])
LANGUAGES_V3_RESPONSE = response_example([
    {
        "lang": "de", "name": "German", "status": "stable", "usable_as_source": True, "usable_as_target": True,
        "features": {"glossary": {"status": "stable"}, "tag_handling": {"status": "stable"}},
    }
])  # fmt: skip
USAGE_RESPONSE = response_example({
    "character_count": 180118, "character_limit": UNLIMITED, "document_count": 3, "document_limit": UNLIMITED,
})  # fmt: skip


class DeepLTranslation(BaseModel):
    """The translation of one text."""

    detected_source_language: str
    text: str
    billed_characters: int | None = None
    model_type_used: str | None = None
    warnings: list[str] | None = None


class DeepLReply(BaseModel):
    """One translation per text, in order."""

    translations: list[DeepLTranslation]


class DeepLLanguage(BaseModel):
    """A language; target languages also have `supports_formality`."""

    language: str
    name: str
    supports_formality: Literal[False] | None = None


class DeepLLanguageV3(BaseModel):
    """A language, and what is possible with it."""

    lang: str
    name: str
    status: Literal["stable"] = "stable"
    usable_as_source: bool
    usable_as_target: bool
    features: dict[str, dict[str, str]]


class DeepLUsage(BaseModel):
    """What was translated by this API since the process started."""

    character_count: int
    character_limit: int = UNLIMITED
    document_count: int
    document_limit: int = UNLIMITED
