"""Language tags (BCP 47): their match among the served languages, and their English names."""

from collections.abc import Iterable
from functools import lru_cache

from langcodes import Language
from langcodes.tag_parser import LanguageTagError

NAMES = {
    "af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "bg": "Bulgarian",
    "bn": "Bengali", "bs": "Bosnian", "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "eo": "Esperanto", "es": "Spanish", "et": "Estonian", "eu": "Basque",
    "fa": "Persian", "fi": "Finnish", "fr": "French", "ga": "Irish", "gl": "Galician", "gu": "Gujarati",
    "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian",
    "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ka": "Georgian", "kk": "Kazakh", "ko": "Korean",
    "la": "Latin", "lg": "Ganda", "lt": "Lithuanian", "lv": "Latvian", "mi": "Maori", "mk": "Macedonian",
    "mn": "Mongolian", "mr": "Marathi", "ms": "Malay", "nb": "Norwegian Bokmål", "nl": "Dutch",
    "nn": "Norwegian Nynorsk", "no": "Norwegian", "om": "Oromo", "pa": "Punjabi", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "si": "Sinhala", "sk": "Slovak", "sl": "Slovenian", "sn": "Shona",
    "so": "Somali", "sq": "Albanian", "sr": "Serbian", "st": "Southern Sotho", "sv": "Swedish", "sw": "Swahili",
    "ta": "Tamil", "te": "Telugu", "th": "Thai", "ti": "Tigrinya", "tl": "Tagalog", "tn": "Tswana", "tr": "Turkish",
    "ts": "Tsonga", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "xh": "Xhosa", "yo": "Yoruba",
    "zh": "Chinese", "zu": "Zulu",
}  # fmt: skip

MAX_CACHED_TAGS = 4096


def match_language(tag: str, languages: Iterable[str]) -> str | None:
    """Return the language that a tag means: a lookup (RFC 4647, section 3.4) among `languages`, None without a match.

    Subtags are dropped from the end until a language has the rest as its tag: `de-AT` finds `de`. Case, `_` instead of
    `-`, deprecated codes and three-letter codes make no difference. A tag without a script also means its likely one:
    `zh-TW` finds `zh-Hant` before `zh`. If none is found, a more specific one is: `de` finds `de-AT`.
    """
    languages = frozenset(languages)
    if tag in languages:
        return tag
    served, (standard, requested) = _by_tag(languages), _requested_tags(tag)
    if found := next((served[one] for one in requested if one in served), None):
        return found
    return next((served[one] for one in sorted(served) if standard and one.startswith(f"{standard}-")), None)


@lru_cache(maxsize=256)
def _by_tag(languages: frozenset[str]) -> dict[str, str]:
    """Return the languages by each tag that finds them; a tag that names one finds it before others."""
    tags = {language: names for language in sorted(languages) if (names := _standard_tags(language))}
    found = {standard: language for language, (standard, _) in tags.items()}
    for language, (_, full) in tags.items():
        found.setdefault(full, language)
    return found


@lru_cache(maxsize=MAX_CACHED_TAGS)
def _requested_tags(tag: str) -> tuple[str, tuple[str, ...]]:
    """Return the canonical tag of a requested one, and the tags to look up, the most specific first."""
    if not (names := _standard_tags(tag)):
        return "", ()
    standard, full = map(_truncated, names)
    return names[0], (*standard[:-1], *full[:-1], *standard[-1:])


def _truncated(tag: str) -> list[str]:
    """Return a tag, and what remains when subtags are dropped one by one, a single letter with the one after it."""
    parts = tag.split("-")
    return ["-".join(parts[:end]) for end in range(len(parts), 0, -1) if len(parts[end - 1]) > 1]


def _standard_tags(tag: str) -> tuple[()] | tuple[str, str]:
    """Return the canonical tag, then the one with the likely script and region; none if it names no language."""
    if len(Language._PARSE_CACHE) + len(Language._INSTANCES) > MAX_CACHED_TAGS:
        # The library remembers every tag that it has seen, and clients may send any.
        Language._PARSE_CACHE.clear()
        Language._INSTANCES.clear()
    try:
        language = Language.get(tag)
    except LanguageTagError:
        return ()
    if language.language is None:  # "und" and the like, whose likely language would be English
        return ()
    language = language.prefer_macrolanguage()  # "cmn" is "zh", as in CLDR
    if language.language == "no":  # detectors and models name what it means
        language = Language.get("nb" + language.to_tag().removeprefix("no"))
    return language.simplify_script().to_tag(), language.maximize().to_tag()


def language_name(code: str) -> str:
    """Return the English name of a language code: "German" for `de`, "Chinese (TW)" for `zh-TW`.

    An unknown code is returned as it is.
    """
    language, _, region = code.replace("_", "-").partition("-")
    name = NAMES.get(language.lower())
    if name is None:
        return code
    return f"{name} ({region})" if region else name
