"""What the comparisons with transformers share: texts, and requests to a running service."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from training.data.corpus import read_corpus

LINES = "langid/sentences.test.tsv.gz"  # 79 languages
ODD = [
    "👍🏽 {}",
    "{} 🇩🇪🏳️‍🌈",
    "  {}",
    "{}\u00a0",
    "\t{}",
    "{}\u200b!",
    "e\u0301 {}",
    "①②ﬁ {}",
    "{} Ａｂｃ",
    "{}  {}",
    "{}…",
    "«{}»",
]
BATCH = 16
TIMEOUT = 600.0


def mixed_lines(data: Path, count: int) -> list[str]:
    """Return lines in all languages of the language corpus; every fourth has emoji, odd spaces or rare characters.

    Raises:
        CorpusError: the corpus is missing.
    """
    generator = random.Random(1)
    lines = [row[1] for row in read_corpus([LINES], ["label", "text"], data)]
    chosen = [
        generator.choice(lines) if count > len(lines) else line
        for line in generator.sample(lines, min(count, len(lines)))
    ]
    for i in range(0, len(chosen), 4):
        form = ODD[i // 4 % len(ODD)]
        chosen[i] = form.format(chosen[i], chosen[i][:20])
    return chosen


def posted(port: int, path: str, body: dict[str, Any]) -> Any:
    """Return the JSON of a reply.

    Raises:
        httpx.HTTPStatusError: the service refused the request.
    """
    reply = httpx.post(f"http://127.0.0.1:{port}{path}", json=body, timeout=TIMEOUT)
    reply.raise_for_status()
    return reply.json()


def batches(texts: Sequence[str], size: int = BATCH) -> Iterator[list[str]]:
    """Yield the texts in order, some at a time."""
    for start in range(0, len(texts), size):
        yield list(texts[start : start + size])
