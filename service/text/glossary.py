"""Find glossary terms in a source text, and check that a translation contains their targets.

Inflected forms count where that is safe: a source term is found with the regular plural and case endings of its
language, and a target may carry up to three more letters or an umlaut. With the glossary {"house": "Haus"}, "houses"
is a term, and "Häuser" contains its target.
"""

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from service.text.alignment import Span

_ENDINGS = {
    "en": "'s|’s|s|es",
    "de": "s|es|e|n|en|er|ern|em",
    "nl": "s|en|'s",
    **dict.fromkeys(("es", "fr", "it", "pt", "ca"), "s|es"),
}
# A target of at least MIN_LENGTH letters may be followed by up to MAX_ENDING more letters in the translation.
MAX_ENDING = 3
MIN_LENGTH = 4


class Term(NamedTuple):
    """An occurrence of a glossary term in a text, and its translation."""

    start: int
    end: int
    source: str
    target: str

    @property
    def span(self) -> Span:
        return self.start, self.end


class Glossary:
    """Source terms and their target terms, for texts in one language."""

    def __init__(self, terms: Mapping[str, str], language: str) -> None:
        self._targets = {_folded(source): target for source, target in terms.items()}
        # A term in capitals is an acronym and matches only in capitals: "US" is not "us".
        self._acronyms = {_folded(source): source for source in terms if source.isupper() and len(source) > 1}
        longest_first = sorted(terms, key=len, reverse=True)
        endings = _ENDINGS.get(language.split("-")[0].lower(), "")
        alternatives = "|".join(r"\s+".join(map(re.escape, source.split())) for source in longest_first)
        self._pattern = re.compile(rf"(?<!\w)({alternatives})({endings}|)(?!\w)", re.IGNORECASE)

    def find_terms(self, text: str, protected: Sequence[Span]) -> list[Term]:
        """Return the terms in a text, in order; those that overlap a protected span are left out.

        The protected spans must be in order.
        """
        terms = []
        ends = [end for _, end in protected]
        for match in self._pattern.finditer(text):
            term = " ".join(match[1].split())
            acronym = self._acronyms.get(_folded(term), term)
            k = bisect_right(ends, match.start())
            is_protected = k < len(ends) and protected[k][0] < match.end()
            if term == acronym and not is_protected:
                terms.append(Term(*match.span(), match[0], self._targets[_folded(term)]))
        return terms


def missing_terms(terms: Sequence[Term], translation: str) -> list[Term]:
    """Return the terms whose target the translation lacks; a target must occur as often as its terms do."""
    available = Counter({target: _occurrences(target, translation) for target in {term.target for term in terms}})
    absent = []
    for term in terms:
        available[term.target] -= 1
        if available[term.target] < 0:
            absent.append(term)
    return absent


def _occurrences(target: str, translation: str) -> int:
    plain = _without_accents(target)
    ending = rf"\w{{0,{MAX_ENDING}}}" if len(plain) >= MIN_LENGTH else ""
    return len(re.findall(rf"(?<!\w){re.escape(plain)}{ending}(?!\w)", _without_accents(translation)))


def _folded(term: str) -> str:
    # re.IGNORECASE takes all four Turkish letters i (I, İ, ı, i) for the same letter.
    return " ".join(term.split()).translate({ord("İ"): "i", ord("ı"): "i"}).casefold()


def _without_accents(text: str) -> str:
    """Return the text in lower case without accents, so that "Häuser" begins with "Haus"."""
    decomposed = unicodedata.normalize("NFD", _folded(text))
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
