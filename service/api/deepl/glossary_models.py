"""Requests and responses about glossaries."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from service.glossaries.entries import EntriesFormat

MAX_DICTIONARIES = 1000  # in one request
MAX_NAME = 1024
ID_EXAMPLE, TIME_EXAMPLE = "559192ed-8e23-46d3-a4c0-6b1f4d0f3c6b", "2026-04-17T13:12:24.123Z"
PAIR_EXAMPLE = {"source_lang": "en", "target_lang": "de"}
ENTRIES_EXAMPLE = {"entries": "dog\tKöter\nhouse\tHaus", "entries_format": "tsv"}
DICTIONARY_EXAMPLE = PAIR_EXAMPLE | {"entry_count": 2}
V2_EXAMPLE = {
    "glossary_id": ID_EXAMPLE, "name": "My glossary", "ready": True, **DICTIONARY_EXAMPLE,
    "creation_time": TIME_EXAMPLE,
}  # fmt: skip
V3_EXAMPLE = {
    "glossary_id": ID_EXAMPLE, "name": "My glossary", "dictionaries": [DICTIONARY_EXAMPLE],
    "creation_time": TIME_EXAMPLE,
}  # fmt: skip
Language = Annotated[str, Field(min_length=1, max_length=35)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=r"\S")]


class DictionaryBody(BaseModel):
    """The entries of one pair of languages."""

    source_lang: Language
    target_lang: Language
    entries: Annotated[str, Field(description="One entry a line: source term, tab or comma, target term.")]
    entries_format: EntriesFormat


class GlossaryV2Body(DictionaryBody):
    """A new glossary of one pair of languages."""

    name: Name


# DeepL's clients for JavaScript and Java send dictionaries as fields of a form.
FORM_FIELD = re.compile(r"dictionaries\[(\d{1,4})\]\.(\w+)")


def _nest_form_fields(body: Any) -> Any:
    """Turn fields such as `dictionaries[0].entries` into a list of dictionaries, in the order of their numbers."""
    if not isinstance(body, dict):
        return body
    fields, dictionaries = dict[str, Any](), dict[int, dict[str, Any]]()
    for name, value in body.items():
        if found := FORM_FIELD.fullmatch(name):
            dictionaries.setdefault(int(found[1]), {})[found[2]] = value
        else:
            fields[name] = value
    if dictionaries:
        fields["dictionaries"] = [dictionaries[number] for number in sorted(dictionaries)]
    return fields


class BodyWithDictionaries(BaseModel):
    """A body that may be a form."""

    _nest = model_validator(mode="before")(_nest_form_fields)


Dictionaries = Annotated[list[DictionaryBody], Field(max_length=MAX_DICTIONARIES)]


class GlossaryV3Body(BodyWithDictionaries):
    """A new glossary."""

    name: Name
    dictionaries: Annotated[list[DictionaryBody], Field(min_length=1, max_length=MAX_DICTIONARIES)]


class GlossaryChanges(BodyWithDictionaries):
    """A new name, and entries to add."""

    name: Name | None = None
    dictionaries: Dictionaries = []


class DeepLDictionary(BaseModel):
    """A dictionary without its entries."""

    source_lang: str
    target_lang: str
    entry_count: int


class DeepLGlossaryV2(DeepLDictionary):
    """A glossary of one pair of languages."""

    glossary_id: str
    name: str
    ready: Literal[True] = True
    creation_time: str


class DeepLGlossariesV2(BaseModel):
    """All glossaries of one pair of languages."""

    glossaries: list[DeepLGlossaryV2]


class DeepLGlossaryV3(BaseModel):
    """A glossary."""

    glossary_id: str
    name: str
    dictionaries: list[DeepLDictionary]
    creation_time: str


class DeepLGlossariesV3(BaseModel):
    """All glossaries."""

    glossaries: list[DeepLGlossaryV3]


class DeepLDictionaryEntries(BaseModel):
    """A dictionary with its entries."""

    source_lang: str
    target_lang: str
    entries: str
    entries_format: Literal["tsv"] = "tsv"


class DeepLEntries(BaseModel):
    """The entries of a dictionary."""

    dictionaries: list[DeepLDictionaryEntries]


class LanguagePair(BaseModel):
    """Languages between which a glossary may be used."""

    source_lang: str
    target_lang: str


class LanguagePairs(BaseModel):
    """All pairs of languages between which a glossary may be used."""

    supported_languages: list[LanguagePair]
