"""Write a synthetic parallel corpus: sentence lengths of news, word frequencies by Zipf's law."""

import random
from pathlib import Path

from benchmarks.synthetic.lengths import sample_lengths

SPECIAL_TOKENS = 4  # in every vocabulary
LONGEST = 100
FILES = ("train", "valid")
VALID = 4  # rows


def write_corpus(folder: Path, vocabulary: int, pairs: int, seed: int = 1) -> None:
    """Write FILE.tsv for this project's loop and FILE.src, FILE.trg for others; every word occurs at least once."""
    generator = random.Random(seed)
    words = [f"w{i}" for i in range(vocabulary - SPECIAL_TOKENS)]
    weights = [1 / (i + 1) for i in range(len(words))]
    lengths = [min(length, LONGEST) for length in sample_lengths("news", pairs + VALID, seed)]

    def sentence(length: int) -> list[str]:
        return generator.choices(words, weights, k=length)

    rows = [(sentence(n), sentence(max(1, min(LONGEST, round(n * generator.uniform(0.9, 1.2)))))) for n in lengths]
    missing = [words[i : i + LONGEST // 2] for i in range(0, len(words), LONGEST // 2)]
    rows[: len(missing)] = [(some, some) for some in missing]
    for name, part in zip(FILES, (rows[:-VALID], rows[-VALID:]), strict=True):
        source, target = ([" ".join(side) for side in sides] for sides in zip(*part, strict=True))
        (folder / f"{name}.tsv").write_text("".join(f"{x}\t{y}\n" for x, y in zip(source, target, strict=True)))
        (folder / f"{name}.src").write_text("".join(f"{x}\n" for x in source))
        (folder / f"{name}.trg").write_text("".join(f"{y}\n" for y in target))
    (folder / "vocabulary.txt").write_text("".join(f"{word}\n" for word in words))
