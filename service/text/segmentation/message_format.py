"""Find the arguments of ICU message format that hold messages: plural, selectordinal and select.

In "{n, plural, one {One dog} other {# dogs}} here." the argument ends before " here.", and its messages are "One dog"
and "# dogs". The syntax around the messages must not change; the messages are texts to translate.
"""

import re
from collections.abc import Iterator

from service.text.alignment import Span

_HEAD = re.compile(r"\{\s{0,3}\w{1,60}\s{0,3},\s{0,3}(?:plural|selectordinal|select)\s{0,3},")
_SELECTOR = re.compile(r"\s*+(?:offset:\d++\s*+)?(?:=\d++|[\w-]++)\s*+\{")
_BRACE = re.compile(r"[{}]")


def find_arguments(text: str) -> list[Span]:
    """Return the spans of the arguments, the outer ones only; one whose braces are not closed is none."""
    heads = [match.start() for match in _HEAD.finditer(text)] if "{" in text else []
    if not heads:
        return []
    ends = _closing_braces(text)
    spans: list[Span] = []
    for start in heads:
        if start in ends and (not spans or start >= spans[-1][1]):
            spans.append((start, ends[start]))
    return spans


def is_argument(text: str) -> bool:
    """Return whether a text begins with an argument."""
    return text.startswith("{") and _HEAD.match(text) is not None


def split_argument(argument: str) -> Iterator[tuple[str, bool]]:
    """Yield the pieces of an argument, and for each whether it is a message."""
    head = _HEAD.match(argument)
    ends = _closing_braces(argument)
    at = start = head.end() if head else len(argument)
    yield argument[:at], False
    while (selector := _SELECTOR.match(argument, at)) and selector.end() - 1 in ends:
        end = ends[selector.end() - 1] - 1
        yield argument[start : selector.end()], False
        yield argument[selector.end() : end], True
        start, at = end, end + 1
    yield argument[start:], False


def _closing_braces(text: str) -> dict[int, int]:
    """Return for the position of each opening brace the end of its closing brace, if there is one."""
    ends: dict[int, int] = {}
    opened: list[int] = []
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            opened.append(match.start())
        elif opened:
            ends[opened.pop()] = match.end()
    return ends
