"""Words that a caller wants translated in a certain way: where they are in a text, and whether a translation has them.

Inflection is tolerated where little can go wrong: a term is found with the endings of its language's regular plurals
and cases, and a translation may add a few letters to its target, or an umlaut.
"""

import re
import unicodedata
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
ADDED = 3  # letters that a target of so many letters or more may take
LONG = 4


class Term(NamedTuple):
    """Where a text has a term of the glossary, and what is to become of it."""

    start: int
    end: int
    source: str
    target: str

    @property
    def span(self) -> Span:
        return self.start, self.end


class Glossary:
    """Source terms and their targets, for texts in one language."""

    def __init__(self, terms: Mapping[str, str], language: str) -> None:
        self._targets = {_folded(source): target for source, target in terms.items()}
        # In capitals it is an acronym, not the same word in small letters.
        self._acronyms = {_folded(source): source for source in terms if source.isupper() and len(source) > 1}
        longest = sorted(terms, key=len, reverse=True)
        endings = _ENDINGS.get(language.split("-")[0].lower(), "")
        choice = "|".join(r"\s+".join(map(re.escape, source.split())) for source in longest)
        self._pattern = re.compile(rf"(?<!\w)({choice})({endings}|)(?!\w)", re.IGNORECASE)

    def find_terms(self, text: str, kept: Sequence[Span]) -> list[Term]:
        """The terms in a text, in order, outside the spans that are kept."""
        terms = []
        for match in self._pattern.finditer(text):
            said = " ".join(match[1].split())
            acronym = self._acronyms.get(_folded(said), said)
            if said == acronym and not any(a < match.end() and match.start() < b for a, b in kept):
                terms.append(Term(*match.span(), match[0], self._targets[_folded(said)]))
        return terms


def missing_terms(terms: Sequence[Term], translation: str) -> list[Term]:
    """The terms that a translation has not, each as many times as its text has it."""
    left = Counter({target: _count(target, translation) for target in {term.target for term in terms}})
    lost = []
    for term in terms:
        left[term.target] -= 1
        if left[term.target] < 0:
            lost.append(term)
    return lost


def _count(target: str, translation: str) -> int:
    bare = _bare(target)
    letters = rf"\w{{0,{ADDED}}}" if len(bare) >= LONG else ""
    return len(re.findall(rf"(?<!\w){re.escape(bare)}{letters}(?!\w)", _bare(translation)))


def _folded(term: str) -> str:
    # Written in capitals or not, with a dot or without, an i is an i to regular expressions that ignore case.
    return " ".join(term.split()).translate({ord("İ"): "i", ord("ı"): "i"}).casefold()


def _bare(text: str) -> str:
    """In small letters and without accents, so that Häuser begins like Haus."""
    apart = unicodedata.normalize("NFD", _folded(text))
    return "".join(c for c in apart if unicodedata.category(c) != "Mn")
