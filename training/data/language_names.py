"""Languages by the names that people give to the columns of a parallel corpus."""

import re

NAMES = {  # ISO 639-1 codes by English name; those that models/langid detects
    "afrikaans": "af", "amharic": "am", "arabic": "ar", "azerbaijani": "az", "belarusian": "be", "bulgarian": "bg",
    "bengali": "bn", "bosnian": "bs", "catalan": "ca", "czech": "cs", "welsh": "cy", "danish": "da", "german": "de",
    "greek": "el", "english": "en", "esperanto": "eo", "spanish": "es", "estonian": "et", "basque": "eu",
    "persian": "fa", "farsi": "fa", "finnish": "fi", "french": "fr", "irish": "ga", "gujarati": "gu", "hebrew": "he",
    "hindi": "hi", "croatian": "hr", "hungarian": "hu", "armenian": "hy", "indonesian": "id", "icelandic": "is",
    "italian": "it", "japanese": "ja", "georgian": "ka", "kazakh": "kk", "korean": "ko", "latin": "la", "ganda": "lg",
    "lithuanian": "lt", "latvian": "lv", "maori": "mi", "macedonian": "mk", "mongolian": "mn", "marathi": "mr",
    "malay": "ms", "norwegian": "nb", "bokmal": "nb", "dutch": "nl", "nynorsk": "nn", "oromo": "om", "punjabi": "pa",
    "polish": "pl", "portuguese": "pt", "romanian": "ro", "russian": "ru", "sinhala": "si", "slovak": "sk",
    "slovenian": "sl", "slovene": "sl", "shona": "sn", "somali": "so", "albanian": "sq", "serbian": "sr",
    "sotho": "st", "swedish": "sv", "swahili": "sw", "tamil": "ta", "telugu": "te", "thai": "th", "tigrinya": "ti",
    "tagalog": "tl", "filipino": "tl", "tswana": "tn", "turkish": "tr", "tsonga": "ts", "ukrainian": "uk",
    "urdu": "ur", "vietnamese": "vi", "xhosa": "xh", "yoruba": "yo", "chinese": "zh", "zulu": "zu",
    "deutsch": "de", "français": "fr", "francais": "fr", "español": "es", "espanol": "es", "italiano": "it",
    "português": "pt", "nederlands": "nl", "svenska": "sv", "dansk": "da", "polski": "pl", "русский": "ru",
}  # fmt: skip
CODES = frozenset(NAMES.values())
NAMED = {code: name.capitalize() for name, code in reversed(NAMES.items()) if name.isascii()}

_CODE = re.compile(
    r"(?:(?:source|target|src|tgt|trg|text|sentence|lang|translation)[ _.-])?([a-z]{2})(?:[-_][a-z]{2,4})?"
    r"(?:[ _.-](?:source|target|src|tgt|trg|text|sentence|translation))?"
)


def language_of(column: str) -> str | None:
    """Return the ISO 639-1 code of a column named "en", "en-GB", "text_en", "English" or "German text", else None."""
    name = column.strip().casefold()
    if (match := _CODE.fullmatch(name)) and match[1] in CODES:
        return match[1]
    found = {NAMES[word] for word in re.findall(r"\w+", name) if word in NAMES}
    return found.pop() if len(found) == 1 else None


def language_name(code: str) -> str:
    """Return the English name of a language, or the code if it is unknown."""
    return NAMED.get(code, code)
