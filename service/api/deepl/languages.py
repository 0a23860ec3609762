"""The languages that are served, as DeepL spells and lists them."""

from collections.abc import Iterable
from typing import Literal

from service.api.deepl.responses import DeepLLanguage, DeepLLanguageV3
from service.errors import UnknownModel
from service.text.languages import language_name
from service.text.languages import match_language as find_language
from service.translation.translator import Translator

# As targets, the original's clients accept these languages only with a region.
VARIANTS = {"EN": ["EN-GB", "EN-US"], "PT": ["PT-BR", "PT-PT"]}
# The features of languages by resource; "write" and others are not served.
V3_FEATURES = {"translate_text": ("glossary", "tag_handling"), "translate_document": (), "glossary": ()}


def match_language(code: str, languages: Iterable[str], field: str) -> str:
    """Return the served language for a code such as DE, EN-GB or ZH-HANS.

    Raises:
        UnknownModel: it is not served.
    """
    served = frozenset(languages)
    language = find_language(code, served)
    if language is None:
        known = ", ".join(sorted(map(str.upper, served))) or "no language"
        raise UnknownModel(f"Value for '{field}' not supported: {code!r}; there is {known}")
    return language


def language_codes(translator: Translator) -> tuple[list[str], list[str]]:
    """Return the source and the target languages, in the original's spelling."""
    pairs = translator.language_pairs()
    sources = sorted({source.upper() for source, _ in pairs})
    targets = sorted({target.upper() for _, target in pairs})
    return sources, [variant for code in targets for variant in VARIANTS.get(code, [code])]


def languages_v3(translator: Translator, resource: str) -> list[DeepLLanguageV3]:
    """Return the languages of a resource; none if it is not served."""
    if resource not in V3_FEATURES:
        return []
    pairs = translator.language_pairs()
    sources, targets = {source for source, _ in pairs}, {target for _, target in pairs}
    return [
        DeepLLanguageV3(
            lang=language,
            name=language_name(language),
            usable_as_source=language in sources,
            usable_as_target=language in targets,
            features={feature: {"status": "stable"} for feature in V3_FEATURES[resource]},
        )
        for language in sorted(sources | targets)
    ]


def describe_language(code: str, supports_formality: Literal[False] | None = None) -> DeepLLanguage:
    """Return a language as the lists of version 2 have it; target languages say that they have no formality."""
    return DeepLLanguage(language=code, name=language_name(code), supports_formality=supports_formality)
