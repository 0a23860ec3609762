"""The plural forms of languages in gettext files: how many a language has, and which one belongs to the number 1."""

import gettext
import re
from typing import NamedTuple

MAX_FORMS = 10
_HEADER = re.compile(r"\s*nplurals\s*=\s*(\d{1,3})\s*;\s*plural\s*=\s*([^;]{1,500});?\s*")
_SLAVIC = "n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2"
# From the manual of gettext and the rules of Unicode CLDR. All other languages have two forms, by n != 1.
_RULES = {
    (1, "0"): "ja ko zh vi th id ms lo my km",
    (2, "(n > 1)"): "fr pt-br tr fa hy oc uz ti ln mg wa br tl fil",
    (2, "(n%10 != 1 || n%100 == 11)"): "is mk",
    (3, f"(n%10==1 && n%100!=11 ? 0 : {_SLAVIC})"): "ru uk be sr hr bs",
    (3, f"(n==1 ? 0 : {_SLAVIC})"): "pl",
    (3, "(n==1 ? 0 : n>=2 && n<=4 ? 1 : 2)"): "cs sk",
    (3, "(n%10==1 && n%100!=11 ? 0 : n%10>=2 && (n%100<10 || n%100>=20) ? 1 : 2)"): "lt",
    (3, "(n%10==1 && n%100!=11 ? 0 : n != 0 ? 1 : 2)"): "lv",
    (3, "(n==1 ? 0 : (n==0 || (n%100 > 0 && n%100 < 20)) ? 1 : 2)"): "ro",
    (4, "(n%100==1 ? 0 : n%100==2 ? 1 : n%100==3 || n%100==4 ? 2 : 3)"): "sl",
    (4, "(n==1 ? 0 : n==2 ? 1 : (n != 8 && n != 11) ? 2 : 3)"): "cy",
    (4, "(n==1 ? 0 : n==0 || (n%100>1 && n%100<11) ? 1 : (n%100>10 && n%100<20) ? 2 : 3)"): "mt",
    (5, "(n==1 ? 0 : n==2 ? 1 : n<7 ? 2 : n<11 ? 3 : 4)"): "ga",
    (6, "(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5)"): "ar",
}


class PluralForms(NamedTuple):
    """The plural forms of a language, as the header `Plural-Forms` has them."""

    number: int
    rule: str

    @property
    def header(self) -> str:
        """The value of the header."""
        return f"nplurals={self.number}; plural={self.rule};"

    @property
    def singular(self) -> int | None:
        """The index of the form for the number 1; None if all numbers share one form."""
        return gettext.c2py(self.rule)(1) if self.number > 1 else None


_BY_LANGUAGE = {language: PluralForms(*rule) for rule, languages in _RULES.items() for language in languages.split()}


def plural_forms(language: str) -> PluralForms:
    """Return the forms of a language, given as a tag such as `pt-BR`."""
    tag = language.lower().replace("_", "-")
    return _BY_LANGUAGE.get(tag) or _BY_LANGUAGE.get(tag.partition("-")[0]) or PluralForms(2, "(n != 1)")


def parse_header(value: str) -> PluralForms | None:
    """Return the forms that a header declares; None if it is missing or a template's, or no valid rule."""
    match = _HEADER.fullmatch(value)
    if match is None or not 0 < int(match[1]) <= MAX_FORMS:
        return None
    forms = PluralForms(int(match[1]), match[2].strip())
    try:
        valid = 0 <= gettext.c2py(forms.rule)(1) < forms.number
    except (ValueError, ZeroDivisionError, OverflowError, RecursionError):
        return None
    return forms if valid else None
