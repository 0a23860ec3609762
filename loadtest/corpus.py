"""The pool of texts: real sentence lengths, harmless words, and the same pool for the same seed."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

from loadtest.clauses import CLAUSES

# Tatoeba and WMT newstest length histogram: words per German sentence, up to and including the first number
# of a row, in Tatoeba (172,813 everyday sentences) and in newstest 2008-2018 (25,075 sentences of news; what is
# longer than 60 words is counted in the last row).
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
TRIES_PER_TEXT = 20  # there are few texts of one word: after so many repetitions another length is drawn


class TextsError(ValueError):
    """The pool cannot be filled."""


def draw_length(rng: Random) -> int:
    """Words of one text: half of the texts are everyday sentences, half are news."""
    column = rng.choice((1, 2))
    row = rng.choices(range(len(LENGTHS)), weights=[counts[column] for counts in LENGTHS])[0]
    shortest = LENGTHS[row - 1][0] + 1 if row else 1
    return rng.randint(shortest, LENGTHS[row][0])


def compose(language: str, words: int, rng: Random) -> str:
    """One sentence of exactly so many words; a clause comes back only when all that fit have been used."""
    counted = [(len(clause.split()), clause) for clause in CLAUSES[language]]
    used: list[str] = []
    missing = words
    while missing:
        fitting = [(length, clause) for length, clause in counted if length <= missing]
        fresh = [(length, clause) for length, clause in fitting if clause not in used]
        length, clause = rng.choice(fresh or fitting)
        used.append(clause)
        missing -= length
    sentence = ", ".join(used)
    return sentence[0].upper() + sentence[1:] + "."


def generate(languages: Sequence[str], count: int, rng: Random) -> list[str]:
    """`count` distinct texts, each in one of the languages."""
    unknown = [language for language in languages if language not in CLAUSES]
    if unknown:
        raise TextsError(
            f"no built-in sentences in {', '.join(unknown)} (only {', '.join(CLAUSES)}): give --texts FILE"
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
    """The distinct lines of a file, in its order; of more than `count` lines a sample."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TextsError(f"--texts {path}: {error}") from error
    texts = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not texts:
        raise TextsError(f"--texts {path}: no line holds a text")
    if len(texts) <= count:
        return texts
    return [texts[index] for index in sorted(rng.sample(range(len(texts)), count))]
