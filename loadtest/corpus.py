"""The texts that are sent: sentences with realistic lengths, the same ones for the same seed."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

from loadtest.clauses import CLAUSES

# Histogram of words per German sentence: (longest, count in Tatoeba, count in newstest). Tatoeba: 172,813 everyday
# sentences; WMT newstest 2008-2018: 25,075 news sentences, those above 60 words counted in the last row.
LENGTHS: tuple[tuple[int, int, int], ...] = (
    (1, 87, 53),
    (2, 1363, 109),
    (3, 10842, 187),
    (4, 26363, 309),
    (5, 32582, 526),
    (6, 30008, 661),
    (7, 23616, 749),
    (8, 16392, 893),
    (9, 10995, 950),
    (10, 7419, 976),
    (12, 7585, 2004),
    (14, 3123, 2096),
    (16, 1264, 1965),
    (18, 583, 1903),
    (20, 301, 1768),
    (25, 230, 3637),
    (30, 36, 2510),
    (35, 10, 1600),
    (40, 7, 958),
    (50, 6, 849),
    (60, 1, 372),
)
ORIGIN = "clauses of this load test, lengths by the Tatoeba and WMT newstest length histogram (half each)"
TRIES_PER_TEXT = 20  # few texts have one word: after this many duplicates, draw another length


class CorpusError(ValueError):
    """There are no texts to send."""


def draw_length(rng: Random) -> int:
    """Draw the number of words of one text, from everyday sentences or from news with equal probability."""
    column = rng.choice((1, 2))
    row = rng.choices(range(len(LENGTHS)), weights=[counts[column] for counts in LENGTHS])[0]
    shortest = LENGTHS[row - 1][0] + 1 if row else 1
    return rng.randint(shortest, LENGTHS[row][0])


def compose(language: str, words: int, rng: Random) -> str:
    """Compose a sentence of exactly `words` words; no clause is repeated while an unused one fits."""
    counted = [(len(clause.split()), clause) for clause in CLAUSES[language]]
    used: list[str] = []
    missing = words
    while missing:
        fitting = [(length, clause) for length, clause in counted if length <= missing]
        unused = [(length, clause) for length, clause in fitting if clause not in used]
        length, clause = rng.choice(unused or fitting)
        used.append(clause)
        missing -= length
    sentence = ", ".join(used)
    return sentence[0].upper() + sentence[1:] + "."


def generate(languages: Sequence[str], count: int, rng: Random) -> list[str]:
    """Return `count` distinct texts, each in one of the languages.

    Raises:
        CorpusError: there are no built-in clauses in one of the languages.
    """
    unknown = [language for language in languages if language not in CLAUSES]
    if unknown:
        raise CorpusError(
            f"no built-in sentences in {', '.join(unknown)} (only {', '.join(CLAUSES)}): use --texts FILE"
        )
    pool: dict[str, None] = {}
    while len(pool) < count:
        language, words = rng.choice(languages), draw_length(rng)
        for _ in range(TRIES_PER_TEXT):
            text = compose(language, words, rng)
            if text not in pool:
                pool[text] = None
                break
    return list(pool)


def read(path: Path, count: int, rng: Random) -> list[str]:
    """Return the distinct lines of a file in order, or a sample of `count` of them.

    Raises:
        CorpusError: the file cannot be read, or has no text.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"--texts {path}: {error}") from error
    texts = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not texts:
        raise CorpusError(f"--texts {path}: no line contains text")
    if len(texts) <= count:
        return texts
    return [texts[index] for index in sorted(rng.sample(range(len(texts)), count))]
