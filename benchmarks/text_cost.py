"""Measure how the time of every function over user text grows with hostile texts.

    python -m benchmarks.text_cost [--pairs] [--share N] [--json FILE]

The texts are runs of every punctuation mark, digit, tag, entity, bracket, quotation mark, combining mark and kind of
space, with `--pairs` also of pairs of them. A row is a function and a text for which 16,000 characters take more than
LIMIT times as long as 4,000, or a single function longer than SLOWEST seconds. Exits with status 1 if there is one.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.common.figures import write_figures
from service.text.alignment import AlignedText, AlignmentLink, anchor_identical_words, compose_links
from service.text.glossary import Glossary, missing_terms
from service.text.markup.document import parse
from service.text.markup.markdown import parse_markdown
from service.text.markup.tag_placement import proportional_links
from service.text.markup.tokenizer import Mode
from service.text.numbers import compare_numbers, find_numbers
from service.text.quality_checks import find_issues
from service.text.segmentation.casing import is_all_caps, lowercase, uppercase
from service.text.segmentation.protected_spans import find_protected_spans
from service.text.segmentation.segmenter import plan_segmentation
from service.text.segmentation.sentences import find_sentences
from service.text.sign_placement import place_signs
from service.text.signs import has_changed_signs
from service.text.words import word_spans
from service.translation.detection import sample

SHORT, LONG = 4_000, 16_000  # characters
LIMIT = 6.0  # the largest accepted ratio of the times; linear is 4
FLOOR = 0.004  # seconds added to both times, so that the clock's noise is no growth
SLOWEST = 3.0  # seconds of CPU time for LONG characters
TRIES = 3  # the least of so many times counts
MAX_TOKENS = 100

PIECES = [
    *"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    *"…–—·•‘’“”„«»‹›¿¡§、。，；：！？．｡「」『』（）【】",
    *"0٣１aAzßİıſ漢あ한ไקع",
    *"\u0301\u200d\u20e3\ufe0f\U0001f600\U0001f3fb\ufffc\ufffd\xad\u200b\u202e",
    *" \t\n\r\x0b\x0c\x1c\x85\xa0\u1680\u2003\u2028\u202f\u3000\ufeff\x00",
    "<b>", "</b>", "<br>", "<img>", "<wbr>", "<!--", "-->", "<p>", "<b></b>", "<a href='", "<script>", "</script ",
    "<![CDATA[", "]]>", "<?", "<code>", "</code>", "<x-y>", "<a ", 'class="',
    "&", "&amp;", "&#", "&#65;", "&#x", "&#0;", "&nbsp;", "&lt", "&unknown;",
    "{a}", "{{", "%s", "%(", "http://", "www.", "a@b.de", "a.", "a.b.", "1-", "-1", "1,000", "1. ", "Mr. ", "I ",
    "a b ", "9 million ", "![", "[a](", "**a ", "> ", "a|\n", "[a]: x\n",
]  # fmt: skip

Work = Callable[[str], object]


def _count_tokens(texts: list[str]) -> list[int]:
    return [len(text) // 4 + 1 for text in texts]


def segment(text: str) -> None:
    """Segment a text and restore each unit from several translations, with alignment."""
    planned = plan_segmentation(text, "en", "de", _count_tokens, MAX_TOKENS)
    for unit in planned.units:
        for translation in (f"{unit.model_input}.", unit.model_input.swapcase()):
            links = (AlignmentLink(0, len(unit.model_input), 0, len(translation)),)
            unit.restore(AlignedText(translation, links))
        unit.fallback_parts()
        assert unit.model_input or unit.is_verbatim


def _markup(mode: Mode, change: Callable[[str], AlignedText]) -> Work:
    def work(text: str) -> None:
        document = parse(text, mode)
        document.render([change(block) for block in document.block_texts])

    return work


def _markdown(text: str) -> None:
    document = parse_markdown(text)
    document.render([_unlinked(block) for block in document.block_texts])


def _unlinked(text: str) -> AlignedText:
    return AlignedText(f"{text} x")


def _reversed(text: str) -> AlignedText:
    return AlignedText(text[::-1], tuple(proportional_links(text, text[::-1])))


def _identity(text: str) -> AlignedText:
    return AlignedText(f"{text}.", AlignedText.identity(text).links)


def _links(text: str) -> None:
    links = tuple(proportional_links(text, text[::-1]))
    anchor_identical_words(compose_links(links, links), text, text[::-1])


def _signs(text: str) -> None:
    links = tuple(proportional_links(text, text[1:]))
    has_changed_signs(text, place_signs(text, AlignedText(text[1:], links), "fr").text)


GLOSSARY = Glossary({"a b": "c", "!": "?", **{f"{'!' * 40}{k}": "x" for k in range(50)}, "a": "b"}, "en")


def _glossary(text: str) -> None:
    missing_terms(GLOSSARY.find_terms(text, find_protected_spans(text)), text)


FUNCTIONS: dict[str, Work] = {
    "segment": segment,
    "find_protected_spans": lambda text: find_protected_spans(text, "en"),
    "find_sentences": lambda text: find_sentences(text, "de", find_protected_spans(text)),
    "numbers": lambda text: (find_numbers(text), compare_numbers(text, text[1:], "en", "de")),
    "signs": _signs,
    "casing": lambda text: (is_all_caps(text), uppercase(lowercase(text, "tr", True), "tr")),
    "quality_checks": lambda text: find_issues(f"x {text}", f"{text} x", "ru"),
    "glossary": _glossary,
    "links": _links,
    "words": lambda text: list(word_spans(text)),
    "sample": sample,
    "html": _markup("html", _unlinked),
    "html, reversed": _markup("html", _reversed),
    "html, same": _markup("html", _identity),
    "xml": _markup("xml", _unlinked),
    "markdown": _markdown,
}


def texts(pairs: bool) -> Iterator[tuple[str, ...]]:
    """Yield the pieces of which a text is a run."""
    yield from ((piece,) for piece in PIECES)
    if pairs:
        yield from itertools.permutations(PIECES, 2)


def run_of(pieces: tuple[str, ...], length: int) -> str:
    """Return a text of so many characters: a word, the pieces over and over, and an end that no run expects."""
    unit = "".join(pieces)
    return ("One " + unit * (length // len(unit) + 1))[: length - 2] + "a>"


def seconds(work: Work, text: str) -> float:
    """Return the CPU time of the work on this thread."""
    started = time.thread_time()
    work(text)
    return time.thread_time() - started


def growth(work: Work, pieces: tuple[str, ...]) -> tuple[float, float]:
    """Return the ratio of the times of the long and the short text, and the time of the long one.

    The times are repeated only as long as the ratio is above the limit, so that most texts are measured once.
    """
    short, long = run_of(pieces, SHORT), run_of(pieces, LONG)
    best_short, best_long = seconds(work, short), seconds(work, long)
    for _ in range(TRIES - 1):
        if (best_long + FLOOR) / (best_short + FLOOR) <= LIMIT:
            break
        best_short, best_long = max(best_short, seconds(work, short)), min(best_long, seconds(work, long))
    return (best_long + FLOOR) / (best_short + FLOOR), best_long


def measure(pieces: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield a row for each function: the pieces, the ratio and the seconds."""
    for name, work in FUNCTIONS.items():
        ratio, long = growth(work, pieces)
        yield {"function": name, "pieces": list(pieces), "ratio": round(ratio, 2), "seconds": round(long, 4)}


def is_wrong(row: dict[str, Any]) -> bool:
    """Return whether a row's time grows faster than linearly, or is too long."""
    return bool(row["ratio"] > LIMIT or row["seconds"] > SLOWEST)


def main() -> int:
    """Run the command; return 1 if a time grows faster than linearly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", action="store_true", help="pairs of pieces too")
    parser.add_argument("--share", type=int, default=1, help="only one text in so many")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    worst: dict[str, dict[str, Any]] = {}
    wrong = []
    chosen = list(texts(options.pairs))[:: options.share]
    for pieces in chosen:
        for row in measure(pieces):
            if is_wrong(row):
                wrong.append(row)
                sys.stdout.write(f"{row}\n")
            if row["seconds"] >= worst.get(row["function"], row)["seconds"]:
                worst[row["function"]] = row
    for row in worst.values():
        sys.stdout.write(f"slowest: {row}\n")
    sys.stdout.write(f"{len(chosen)} texts, {len(FUNCTIONS)} functions: {len(wrong)} grow faster than linearly\n")
    if options.json:
        write_figures(options.json, "growth of the time with the text", list(worst.values()), texts=len(chosen))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
