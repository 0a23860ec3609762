"""Requests with odd bodies: JSON, forms, content codings. Their framing is right, so each must be answered."""

import gzip
import json
import random
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus

from benchmarks.http.fuzzing.requests import FORM, JSON, MULTIPART, Case, Operation, Operations, framed
from benchmarks.http.fuzzing.values import NAMES, as_pairs, mutate_bytes, mutate_json, odd_text, odd_value, to_json

BOUNDARY = "fuzz"

# JSON


def changed_json(known: Operations, rng: random.Random) -> tuple[Operation, str]:
    """Return an operation, and its example with a few changes."""
    operation = rng.choice(known.with_body)
    body = as_pairs(rng.choice([body for media, body in operation.examples if media == JSON]))
    for _ in range(rng.choice([1, 1, 2, 4])):
        body = mutate_json(rng, body, list(operation.fields))
    return operation, to_json(body)


def json_values(known: Operations, rng: random.Random) -> Case:
    operation, body = changed_json(known, rng)
    return framed("POST", operation.path, [("Content-Type", JSON)], body.encode("utf-8", "surrogatepass"))


# Values that some field takes.
PLAUSIBLE = [
    1, 2, 3, 4, 8, 16, 0, 0.5, 1.0, 2.0, True, False, None, "html", "xml", "markdown", "text", "auto", "de", "en",
    "fr", "EN-GB",
    "DE", "more", "prefer_less", "nonewlines", "1", "langid", "intents", ["score"], ["tokens", "alignment"],
    ["score", "tokens"],
    {"house": "Haus"}, {"the": ""}, ["b", "i"], [1, 2, 3], "The", {"binary_data": True},
    {"source": "de", "target": "en"},
]  # fmt: skip


def texts(known: Operations, rng: random.Random) -> Case:
    """A good request with odd texts, and sometimes with further options."""
    operation = rng.choice(known.with_body)
    body = as_pairs(rng.choice([body for media, body in operation.examples if media == JSON]))
    body = _with_odd_texts(rng, body)
    if isinstance(body, list) and operation.fields and rng.random() < 0.5:
        names = {name for name, _ in body} if body and isinstance(body[0], tuple) else set()
        added = set(rng.choices(operation.fields, k=rng.choice([1, 2, 4]))) - names
        body += [(name, as_pairs(rng.choice(PLAUSIBLE))) for name in sorted(added)]
    return framed("POST", operation.path, [("Content-Type", JSON)], to_json(body).encode())


def _with_odd_texts(rng: random.Random, value: Any) -> Any:
    """Return a value whose texts, the strings with a blank, are odd."""
    if isinstance(value, tuple):
        return value[0], _with_odd_texts(rng, value[1])
    if isinstance(value, list):
        return [_with_odd_texts(rng, one) for one in value]
    if isinstance(value, str) and " " in value:
        at = rng.randrange(len(value))
        return value[:at] + odd_text(rng) + value[at:] if rng.random() < 0.7 else odd_text(rng)
    return value


def json_bytes(known: Operations, rng: random.Random) -> Case:
    operation = rng.choice(known.with_body)
    body = rng.choice([body for media, body in operation.examples if media == JSON])
    text = json.dumps(body, ensure_ascii=rng.random() < 0.5)
    encoding = rng.choice(["utf-8"] * 8 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "utf-7"])
    data = mutate_bytes(rng, text.encode(encoding, "replace"), rng.choice([0, 1, 1, 2, 5]))
    kind = rng.choice([JSON] * 6 + [f"{JSON}; charset={encoding}", "text/json", "application/problem+json", ""])
    return framed("POST", operation.path, [("Content-Type", kind)], data)


# Forms and documents


def form(known: Operations, rng: random.Random) -> Case:
    """A form, mostly for the routes that read one."""
    operation = rng.choice(known.with_form if rng.random() < 0.9 else known.with_body)
    fields = form_fields(rng, operation)
    ways: list[Callable[[str], str]] = [quote_plus, quote, str]
    quoted = rng.choice(ways)
    data = "&".join(f"{quoted(name)}={quoted(value)}" for name, value in fields).encode("utf-8", "replace")
    if rng.random() < 0.5:
        data = mutate_bytes(rng, data, rng.choice([1, 3]))
    if rng.random() < 0.01:
        data = b"&".join([b"q=x"] * 10_001)
    kind = rng.choice([FORM] * 5 + [f"{FORM}; charset=utf-16", "x-www-form-urlencoded", MULTIPART])
    path = operation.path + (f"?{data[:500].decode('latin-1')}" if rng.random() < 0.1 else "")
    return framed("POST", re.sub(r"[\x00-\x20\x7f-\xff]", "%20", path), [("Content-Type", kind)], data)


def form_fields(rng: random.Random, operation: Operation) -> list[tuple[str, str]]:
    """Return the fields of an example; in half of the cases some are changed, removed or added."""
    example = next((body for _, body in operation.examples if isinstance(body, dict)), {})
    fields: list[tuple[str, str]] = []
    good = rng.random() < 0.5
    for name, value in example.items():
        for one in value if isinstance(value, list) else [value]:
            odd = rng.random() < (0.5 if " " in str(one) else 0.0 if good else 0.3)
            if good or rng.random() < 0.9:
                fields.append((name, odd_text(rng) if odd else str(one)))
    for name in rng.choices([*operation.fields, *NAMES], k=0 if good else rng.randrange(3)):
        value = odd_value(rng)
        fields.append((name, value if isinstance(value, str) else to_json(value)))
    return fields


PART_HEADERS = [
    'Content-Disposition: form-data; name="{name}"', "Content-Disposition: form-data; name={name}",
    "Content-Disposition: form-data", "Content-Disposition: attachment", "", "X: y",
    "Content-Disposition: form-data; name*=utf-8''{name}", 'content-disposition:form-data;name="{name}";filename=""',
    'Content-Disposition: form-data; name="{name}"; filename="a.txt"\r\nContent-Type: text/plain; charset=utf-16',
    'Content-Disposition: form-data; name="{name}"\r\nContent-Transfer-Encoding: base64',
]  # fmt: skip
CHARSETS = [
    "", "; charset=utf-16", "; charset=idna", "; charset=nothing", "; charset=rot13", "; charset=base64",
    "; charset=zlib",
    "; charset=\u00e9", "; charset=utf-7", "; charset=punycode", "; charset=undefined", "; charset=unicode_escape",
    '; charset="', "; charset=" + "x" * 300, "; charset=mbcs", "; charset=utf-8-sig", "; charset=hex",
]  # fmt: skip
BOUNDARIES = [
    f"; boundary={BOUNDARY}", f'; boundary="{BOUNDARY}"', "", "; boundary=", "; boundary=other",
    "; boundary=" + "b" * 300,
    f"; boundary={BOUNDARY}; boundary=x", "; boundary=\u00e9", f"; boundary=' {BOUNDARY}'", ";;;", "; boundary",
]  # fmt: skip


def multipart(known: Operations, rng: random.Random) -> Case:
    operation = rng.choice(known.with_form)
    parts = [(part_header(rng, name), value.encode("utf-8", "replace")) for name, value in form_fields(rng, operation)]
    return multipart_case(rng, operation, parts)


def part_header(rng: random.Random, name: str) -> str:
    return (PART_HEADERS[0] if rng.random() < 0.9 else rng.choice(PART_HEADERS)).replace("{name}", name)


def multipart_case(rng: random.Random, operation: Operation, parts: list[tuple[str, bytes]]) -> Case:
    boundary, charset = f"; boundary={BOUNDARY}", ""
    data = b"".join(
        b"--%b\r\n%b\r\n\r\n%b\r\n" % (BOUNDARY.encode(), header.encode("utf-8", "replace"), value)
        for header, value in parts
    )
    data += b"--%b--\r\n" % BOUNDARY.encode()
    if rng.random() < 0.3:
        data = mutate_bytes(rng, data, rng.choice([1, 3]))
    if rng.random() < 0.1:
        boundary = rng.choice(BOUNDARIES)
    if rng.random() < 0.1:
        charset = rng.choice(CHARSETS)
    upload = operation.path in ("/v2/document", "/translate_file")
    case = framed("POST", operation.path, [("Content-Type", MULTIPART + boundary + charset)], data)
    return replace(case, upload=upload)


# Codings of the content


def coding(known: Operations, rng: random.Random) -> Case:
    operation = rng.choice(known.with_body)
    body = json.dumps(rng.choice([body for media, body in operation.examples if media == JSON])).encode()
    if rng.random() < 0.03:
        body += b" " * rng.choice([1_000_000, 20_000_000])
    name = rng.choice(
        ["gzip", "deflate"] * 4 + ["br", "zstd", "gzip, gzip", "x-gzip", "identity", "", "GZIP", "g" * 200]
    )
    data = zlib.compress(body) if name == "deflate" else gzip.compress(body, mtime=0)
    if rng.random() < 0.6:
        data = mutate_bytes(rng, data, rng.choice([1, 3]))
    return framed("POST", operation.path, [("Content-Type", JSON), ("Content-Encoding", name)], data)
