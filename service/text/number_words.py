"""Number words of English, German, French and Spanish, and the values that they stand for.

Two kinds of words: a cardinal such as "three" names a value and nothing else; a hint such as "third", "twice", "dozen"
or "both" may be translated with a number, or be the translation of one. Articles ("one", "ein", "un") are hints.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

# Numbers up to this one may be written as words where a text has digits.
MAX_SPELLED_OUT = 12

_WORD = re.compile(r"[^\W\d_]+")


class NumberWord(NamedTuple):
    """A number word of a text."""

    start: int
    end: int
    value: int
    cardinal: bool  # a number and nothing else; otherwise a hint


# From zero on; the tens follow after a bar.
_UNITS_AND_TENS = {
    "en": """
        zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
        seventeen eighteen nineteen | twenty thirty forty fifty sixty seventy eighty ninety
    """,
    "de": """
        null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn
        siebzehn achtzehn neunzehn | zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig
    """,
    "fr": """
        zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept
        dix-huit dix-neuf | vingt trente quarante cinquante soixante
    """,
    "es": """
        cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis
        diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco
        veintiséis veintisiete veintiocho veintinueve | treinta cuarenta cincuenta sesenta setenta ochenta
        noventa
    """,
}

# Cardinals that are common words too: French "neuf" (new), German "Elf" (a team) and "Acht" (attention).
_AMBIGUOUS = {"en": {"one"}, "de": {"eins", "acht", "elf", "null"}, "fr": {"un", "neuf"}, "es": {"uno"}}

# word=value,value; a word that ends with * stands for all words that begin so.
_HINTS = {
    "en": """
        a=1 an=1 once=1 single=1 first=1 second=2 seconds=2 twice=2 double=2 doubles=2 doubled=2 both=2 pair=2
        pairs=2 couple=2 couples=2 twin=2 twins=2 either=2 neither=2 each=2 half=30,2 halves=2 third=3 thirds=3
        thrice=3 triple=3 triplets=3 fourth=4 fourths=4 quarter=4,15 quarters=4 fifth=5 sixth=6 seventh=7
        eighth=8 ninth=9 tenth=10 decade=10 decades=10 eleventh=11 twelfth=12 dozen=12 dozens=12 noon=12
        midday=12 midnight=0,12,24 fortnight=14,15 week=7,8 weeks=14,15 twentieth=20 score=20 century=100
        centuries=100 hundreds=100 thousands=1000 millennium=1000 teenager=13 teenagers=13 nobody=0 none=0 no=0
        o=0 nil=0 thirteenth=13 fourteenth=14 fifteenth=15 sixteenth=16 seventeenth=17 eighteenth=18
        nineteenth=19
    """,
    "de": """
        ein*=1 erst*=1 zwei*=2 zwo*=2 beid*=2 doppel*=2 verdoppel*=2 paar*=2 ehepaar*=2 zwilling*=2 halb*=2,30
        hälfte=2 anderthalb*=1,2 drei*=3 dritt*=3 viert*=4,15 vier*=4 fünf*=5 sechs*=6 sieb*=7 acht*=8 neun*=9
        zehn*=10 elf*=11 zwölf*=12 jahrzehnt*=10 dutzend*=12 mittag*=12 mittern*=0,12,24 jahrhundert*=100
        hunderte=100 tausende=1000 jahrtausend*=1000 woche*=7,8,14,15 kein*=0 niemand*=0 dreizehn*=13
        vierzehn*=14 fünfzehn*=15 sechzehn*=16 siebzehn*=17 achtzehn*=18 neunzehn*=19 zwanzig*=20
    """,
    "fr": """
        une=1 premier*=1 première*=1 second*=2 deuxi*=2 double*=2 doubl*=2 paire*=2 couple*=2 jumeau*=2 jumel*=2
        moitié=2 demi*=2,30 bis=2 troisi*=3 tiers=3 triple*=3 quatri*=4 quart*=4,15 cinqui*=5 sixi*=6 septi*=7
        semaine*=7,8,14,15 huiti*=8 huitaine=8 neuf=9 neuv*=9 dixi*=10 dizaine*=10 décennie*=10 onzi*=11
        douzi*=12 douzaine*=12 midi=12 minuit=0,12,24 quinzaine*=14,15 vingtaine*=20 siècle*=100 centaine*=100
        millier*=1000 aucun*=0 personne=0
    """,
    "es": """
        un=1 una=1 unos=1 unas=1 primer*=1 segund*=2 doble*=2 dobl*=2 ambos=2 ambas=2 par=2 pareja*=2 gemel*=2
        melliz*=2 mitad=2 medio=2,30 media=2,30 tercer*=3 tercio*=3 triple*=3 trillizo*=3 cuart*=4,15 quint*=5
        sext*=6 séptim*=7 octav*=8 noven*=9 décim*=10 década*=10 docena*=12 mediodía=12 medianoche=0,12,24
        quincena*=14,15 semana*=7,8,14,15 siglo*=100 centenar*=100 cientos=100 cientas=100 miles=1000
        milenio*=1000 ningun*=0 ningún=0 nadie=0
    """,
}


def _cardinals() -> dict[str, dict[str, int]]:
    tables: dict[str, dict[str, int]] = {}
    tens: dict[str, list[str]] = {}
    for language, listed in _UNITS_AND_TENS.items():
        low, high = listed.split("|")
        tables[language] = {word: value for value, word in enumerate(low.split())}
        tens[language] = high.split()
        first = len(tables[language]) // 10 * 10  # 20, or 30 in Spanish
        tables[language] |= {word: first + 10 * k for k, word in enumerate(tens[language])}
    german = tables["de"]
    german |= {"zwo": 2, "dreissig": 30, "fuenf": 5, "zwoelf": 12}
    units = {"ein" if word == "eins" else word: value for word, value in list(german.items()) if 0 < value < 10}
    german |= {
        f"{unit}und{ten}": value + 20 + 10 * k for unit, value in units.items() for k, ten in enumerate(tens["de"])
    }
    below_100 = dict(german)
    for unit, value in {"": 1, **units}.items():
        german[f"{unit}hundert"] = 100 * value
        german |= {f"{unit}hundert{rest}": 100 * value + low for rest, low in below_100.items() if low}
        german[f"{unit}tausend"] = 1000 * value
    tables["fr"] |= {"quatre-vingts": 80, "quatre-vingt": 80, "septante": 70, "huitante": 80, "nonante": 90}
    tables["es"] |= {"dieciseis": 16, "veintiún": 21, "veintiuna": 21, "veintidos": 22, "veintitres": 23,
                     "veintiseis": 26, "cien": 100, "ciento": 100, "quinientos": 500, "quinientas": 500,
                     "setecientos": 700, "novecientos": 900}  # fmt: skip
    for k, word in ((2, "dos"), (3, "tres"), (4, "cuatro"), (6, "seis"), (8, "ocho")):
        tables["es"] |= {f"{word}cientos": 100 * k, f"{word}cientas": 100 * k}
    return tables


_CARDINALS = _cardinals()
_SCALES = {
    "en": {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9},
    "de": {"million": 10**6, "millionen": 10**6, "milliarde": 10**9, "milliarden": 10**9, "tausend": 1000,
           "hundert": 100},
    "fr": {"cent": 100, "cents": 100, "mille": 1000, "million": 10**6, "millions": 10**6, "milliard": 10**9,
           "milliards": 10**9},
    "es": {"mil": 1000, "millón": 10**6, "millones": 10**6},
}  # fmt: skip
_JOINED_BY = {"en": {"and"}, "fr": {"et"}, "es": {"y"}, "de": {"und"}}


def _hint_tables() -> tuple[dict[str, dict[str, tuple[int, ...]]], dict[str, dict[str, tuple[int, ...]]]]:
    exact: dict[str, dict[str, tuple[int, ...]]] = {}
    stems: dict[str, dict[str, tuple[int, ...]]] = {}
    for language, listed in _HINTS.items():
        exact[language], stems[language] = {}, {}
        for entry in listed.split():
            word, _, values = entry.partition("=")
            table = stems if word.endswith("*") else exact
            table[language][word.rstrip("*")] = tuple(map(int, values.split(",")))
    return exact, stems


_EXACT_HINTS, _STEM_HINTS = _hint_tables()
_STEM_LENGTHS = {language: sorted({len(stem) for stem in stems}) for language, stems in _STEM_HINTS.items()}
LANGUAGES = frozenset(_CARDINALS)
_COUNTED = {language: frozenset([*_CARDINALS[language], *_SCALES[language]]) for language in LANGUAGES}
_LETTERS_ONLY = {code: " " for code in range(128) if not chr(code).isalpha()}  # for str.translate
_WORDS = {
    language: {value: word for word, value in reversed(table.items()) if value <= MAX_SPELLED_OUT}
    for language, table in _CARDINALS.items()
}


def number_word(value: int, language: str) -> str:
    """Return the word for a number from zero to twelve, in another language or for another number its digits."""
    return _WORDS[language][value] if language in LANGUAGES and value in _WORDS[language] else str(value)


def has_cardinal(text: str, language: str) -> bool:
    """Return whether there may be a cardinal in a text; much faster than to read all its number words."""
    if language not in LANGUAGES:
        return False
    text = text.lower()
    words = text.translate(_LETTERS_ONLY).split() if text.isascii() else _WORD.findall(text)
    return not _COUNTED[language].isdisjoint(words)


def find_number_words(text: str, language: str) -> list[NumberWord]:
    """Return the number words of a text, in order; none for a language whose number words are not known.

    Consecutive words that form one number are one: "two hundred and five", "quatre-vingt-dix", "treinta y dos".
    """
    if language not in LANGUAGES:
        return []
    return list(_Reader(text, language).read())


class _Reader:
    """Reads the number words of one text."""

    def __init__(self, text: str, language: str) -> None:
        self._text, self._language = text, language
        self._cardinals, self._scales = _CARDINALS[language], _SCALES[language]
        self._words = [(match.start(), match.end(), match[0].lower()) for match in _WORD.finditer(text)]

    def read(self) -> Iterator[NumberWord]:
        k = 0
        while k < len(self._words):
            start, end, word = self._words[k]
            if word not in self._cardinals and word not in self._scales:
                yield from self._hints(start, end, word)
                k += 1
                continue
            value, stop = self._cardinal(k)
            last = self._words[stop - 1][1]
            alone = stop == k + 1
            if self._language == "de" and k and self._words[k - 1][2] == "halb":  # half past two is "halb drei"
                yield NumberWord(start, last, value - 1, False)
                yield NumberWord(start, last, value, False)
                k = stop
                continue
            # "Elf" begins a sentence as a number: a team would have an article.
            ambiguous = word in _AMBIGUOUS[self._language] and (k > 0 or value == 0)
            certain = not (alone and (ambiguous or word in self._scales or value == 1))
            yield NumberWord(start, last, value, certain)
            k = stop

    def _hints(self, start: int, end: int, word: str) -> Iterator[NumberWord]:
        values = _EXACT_HINTS[self._language].get(word)
        if values is None:
            stems = _STEM_HINTS[self._language]
            values = next((stems[word[:n]] for n in reversed(_STEM_LENGTHS[self._language]) if word[:n] in stems), ())
        for value in values:
            yield NumberWord(start, end, value, False)

    def _cardinal(self, k: int) -> tuple[int, int]:
        """Return the value of the number that begins with the k-th word, and the index after its last word."""
        total, current = 0, 0
        at = last = k
        while at < len(self._words):
            word = self._words[at][2]
            if at > k and not self._is_joined(at):
                break
            if word in _JOINED_BY[self._language] and at > k:
                at += 1
                continue
            if word in self._scales:
                scale = self._scales[word]
                if scale == 100:
                    current = max(current, 1) * 100
                else:
                    total, current = total + max(current, 1) * scale, 0
            elif word in self._cardinals and self._fits(current, self._cardinals[word], at == k):
                value = self._cardinals[word]
                is_eighty = self._language == "fr" and (current, value) == (4, 20)
                current = 80 if is_eighty else current + value
            else:
                break
            at += 1
            last = at
        return total + current, last

    def _is_joined(self, at: int) -> bool:
        """Return whether only a space or a hyphen is between a word and the one before it."""
        return self._text[self._words[at - 1][1] : self._words[at][0]] in {" ", "-", "\u00a0"}

    def _fits(self, current: int, value: int, is_first: bool) -> bool:
        """Return whether a word of this value can follow in the same number: "twenty two", but not "two two"."""
        if is_first or current == 0:
            return True
        if self._language == "fr" and (
            (current == 4 and value == 20)
            or (current in (60, 80) and 0 < value < 20)
            or (current == 10 and 6 < value < 10)
        ):
            return True
        if current % 100 == 0:
            return 0 < value < 100
        return current % 100 >= 20 and current % 10 == 0 and 0 < value < 10
