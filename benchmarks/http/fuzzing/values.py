"""Odd values for fields of requests, and random mutations of JSON and of bytes."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Json = Any
Pairs = list[tuple[str, Json]]  # the members of an object; a name may occur twice


class Literal(str):
    """What `to_json` writes as it is."""


NUMBERS = [
    "0", "-0", "-1", "1", "2", "16", "17", "255", "1001", "2147483648", "-9223372036854775809",
    "18446744073709551616",
    "1e2", "1E400", "-1e400", "1e-400", "0.5", "1.5", "1.0", "0." + "3" * 2000, "9" * 400, "9" * 5000,
    "-" + "9" * 5000,
    "1" + "0" * 308 + ".5", "NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1.", "0x10", "1_000", "١٢",
]  # fmt: skip
SCALARS = [
    "null",
    "true",
    "false",
    "None",
    "True",
    '""',
    '" "',
    "[]",
    "{}",
    "[[]]",
    "[null]",
    '{"":""}',
    "",
    "'a'",
    "undefined",
]
DEEP = [
    "[" * 500 + "]" * 500,
    '{"a":' * 400 + "1" + "}" * 400,
    "[" * 100_000,
    '{"a":' * 50_000,
    "[" * 900 + "1" + "]" * 900,
]
ESCAPES = [
    '"\\ud800"', '"a\\udfffb"', '"\\ud83d\\ude00"', '"\\ude00\\ud83d"', '"\\u0000"', '"\\x41"', '"\\u12"', '"a\nb"',
    '"\\/\\b\\f"', '"\\ufeff"', '"\\uffff"',
]  # fmt: skip
PIECES = [
    "the red house", " ", "  ", "\n", "\r\n", "\n\n", "\t", ".", "...", "!", "?!", ",", ";", ":", "-", "–", "—",
    "…", "“", "”",
    '"', "'", "(", ")", "[", "]", "{", "}", "<", ">", "</", "/>", "<b>", "</b>", "<wbr>", "<br/>", "<p>", "<!--",
    "-->",
    "<script>", "</script ", "<![CDATA[", "]]>", "<?xml", "<a href='x'>", "&", "&amp;", "&#", "&#x",
    "&#99999999999;", "&#0;",
    "&nbsp", "&lt;", "*", "**", "_", "`", "```", "~~~", "#", "# ", "- ", "1. ", "> ", "|", "|-|", "![", "](", "$$",
    "\\", "{{x}}",
    "{0}", "%s", "%(a)s", "${x}", "@a", "#b", "http://a.example/?q=1&r=2", "a@b.example", "C:\\x", "/usr/bin",
    "1,000.5", "12",
    "0", "3.14", "1e9", "½", "²", "٣", "一二三", "1-1-1", "10%", "€5", "0x1F", "2026-01-01", "\0", "\x01", "\x7f",
    "\x85",
    "\u00a0", "\u200b", "\u200d", "\u2028", "\u202e", "\u3000", "\ufeff", "\ufffe", "é", "e\u0301", "\u0301",
    "\u0301" * 50,
    "ß", "İ", "ı", "ﬁ", "Ω", "ж", "א", "ع", "अ", "中", "日本", "한", "ไ", "👩‍👩‍👧", "🇩🇪", "👍🏽", "𝔘", "\U0010ffff",
    "A" * 200,
    "a.b.c", "Mr.", "e.g.", "ABC DEF", "ﷺ",
]  # fmt: skip
NAMES = [
    "", " ", "text", "q", "inputs", "input", "model", "source", "target", "__class__", "__proto__", "a" * 3000,
    "\u0000",
    "é", "😀", "stream", "beam_size", "$ref", "text.", "0",
]  # fmt: skip


def odd_text(rng: random.Random) -> str:
    """Return a text of odd pieces; now and then a long one."""
    kind = rng.random()
    if kind < 0.003:
        piece = rng.choice(PIECES)
        return (piece * (20_200 // len(piece)))[: rng.randrange(2_000, 20_200)]
    count = rng.randrange(1, 400) if kind < 0.03 else rng.randrange(1, 12)
    some = rng.sample(PIECES, 3) if rng.random() < 0.3 else PIECES
    return "".join(rng.choice(some) for _ in range(count))


def odd_value(rng: random.Random) -> Json:
    """Return a value that a field hardly expects."""
    kind = rng.random()
    if kind < 0.45:
        return odd_text(rng)
    if kind < 0.9:
        return Literal(rng.choice(rng.choice([NUMBERS, SCALARS, ESCAPES])))
    if kind < 0.92:
        return Literal(rng.choice(DEEP))
    if kind < 0.96:
        return [odd_value(rng) for _ in range(rng.randrange(4))]
    return [(rng.choice(NAMES), odd_value(rng)) for _ in range(rng.randrange(3))]


def to_json(value: Json) -> str:
    """Write a value as JSON, or nearly: literals as they are, lists of pairs as objects."""
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, dict):
        return to_json(list(value.items())) if value else "{}"
    if _is_object(value):
        return "{" + ",".join(f"{json.dumps(name)}:{to_json(one)}" for name, one in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(to_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _is_object(value: Json) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, tuple) for one in value)


def as_pairs(value: Json) -> Json:
    """Return a copy of a JSON value with its objects as lists of pairs."""
    if isinstance(value, dict):
        return [(name, as_pairs(one)) for name, one in value.items()]
    return [as_pairs(one) for one in value] if isinstance(value, list) else value


def mutate_json(rng: random.Random, value: Json, names: list[str]) -> Json:
    """Return the value with one random change somewhere in it. `names` are fields that may be added."""
    places = list(_places(value))
    if not places or rng.random() < 0.04:
        return odd_value(rng)
    holder, index = rng.choice(places)
    change = rng.randrange(8)
    item = holder[index]
    current = item[1] if isinstance(item, tuple) else item

    def put(new: Json) -> None:
        holder[index] = (item[0], new) if isinstance(item, tuple) else new

    if change <= 2:
        put(odd_value(rng))
    elif change == 3:
        del holder[index]
    elif change == 4:  # the same name twice, or an element more often
        holder.insert(index, item)
        if rng.random() < 0.1:
            holder[index:index] = [item] * rng.choice([3, 30, 300])
    elif change == 5:
        put(rng.choice([[current], [("text", current)], json.dumps(current, default=str), [current, current]]))
    elif change == 6 and isinstance(item, tuple):
        holder[index] = (rng.choice(NAMES + names), current)
    elif isinstance(item, tuple):
        holder.insert(index, (rng.choice(names or NAMES), odd_value(rng)))
    elif isinstance(current, str):
        put(current + odd_text(rng))
    else:
        put(odd_value(rng))
    return value


def _places(value: Json) -> Iterator[tuple[list[Any], int]]:
    """Yield every list with the index of an element, at every depth."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield value, index
            yield from _places(item[1] if isinstance(item, tuple) else item)


def mutate_bytes(rng: random.Random, data: bytes, changes: int = 1) -> bytes:
    """Return the data with random changes of single bytes, of slices, and of what they say."""
    changed = bytearray(data)
    for _ in range(changes):
        at = rng.randrange(len(changed) + 1)
        _CHANGES[rng.randrange(len(_CHANGES))](rng, changed, at)
    return bytes(changed)


def _insert(rng: random.Random, data: bytearray, at: int) -> None:
    data[at:at] = rng.choice(TOKENS)


def _random_byte(rng: random.Random, data: bytearray, at: int) -> None:
    data[at : at + 1] = bytes([rng.randrange(256)])


def _delete(rng: random.Random, data: bytearray, at: int) -> None:
    del data[at : at + rng.choice([1, 1, 2, 5, 50])]


def _truncate(rng: random.Random, data: bytearray, at: int) -> None:
    del data[at:]


def _repeat(rng: random.Random, data: bytearray, at: int) -> None:
    data[at:at] = data[at : at + rng.choice([1, 10, 100])] * rng.choice([1, 2, 20])


def _swap(rng: random.Random, data: bytearray, at: int) -> None:
    data[at : at + 2] = data[at : at + 2][::-1]


_CHANGES: list[Callable[[random.Random, bytearray, int], None]] = [
    _insert, _insert, _random_byte, _random_byte, _delete, _repeat, _swap, _truncate,
]  # fmt: skip
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b",", b'"', b"\\", b"{", b"}", b"[", b"]", b"%",
    b"%00",
    b"%ff", b"&", b"=", b"--", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf4\x90\x80\x80", b"\xff\xfe",
    b"0\r\n\r\n",
    b"\r\n ", b"HTTP/1.1", b"\x80", b"9" * 30, b"-1", b"NaN", b"<", b"&#9;", b"\x1f\x8b", b"PK\x03\x04",
]  # fmt: skip
