"""Requests with odd headers, paths, methods and framing, and garbage."""

import json
import random
import re
from dataclasses import replace
from urllib.parse import quote

from benchmarks.http.fuzzing.bodies import changed_json, json_values
from benchmarks.http.fuzzing.requests import JSON, Case, Operations, framed, raw_request, split
from benchmarks.http.fuzzing.values import NAMES, PIECES, mutate_bytes, odd_text

METHODS = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"]

HOSTS = [
    "", "[", "]", "[::1", "[::1]", "[::1]:80", "a:b", "a:99999", "a:-1", ":", "::", "a:80:80", "%", "%zz", "a_b",
    "*", "a,b", "1.2.3.4.5", "x" * 300, "a..b", ".", "-", "[v1.a]", "[]", "()", "'", "~", "é", "a b", "a/b", "a@b",
    "a?b", "a#b", "\\", "xn--a",
]  # fmt: skip
HEADER_VALUES: dict[str, list[str]] = {
    "Host": HOSTS,
    "Content-Type": [
        "",
        ";",
        "/",
        "json",
        "application/json;",
        "application/json; charset=x",
        "application/+json",
        "*/*",
        "é",
        "a" * 9000,
        "multipart/form-data",
        "text/plain",
        "application/json, text/plain",
    ],
    "Accept": ["", "*/*", "text/event-stream", "application/xml", "é", "q=0", "a" * 9000],
    "Accept-Encoding": ["gzip", "br;q=1.0", "*", "identity;q=0"],
    "Authorization": [
        "",
        "Bearer",
        "Bearer ",
        "Bearer \xff",
        "Basic eDp5",
        "DeepL-Auth-Key x",
        "Bearer " + "k" * 9000,
        "bearer a.b",
    ],
    "X-API-Key": ["", "x", "é", "k" * 9000, "a.b"],
    "X-Request-ID": ["", "a", "é", "x" * 101, "a b", "%0d%0a", "a\tb", "<b>"],
    "X-Forwarded-For": [
        "",
        "1.2.3.4",
        "a",
        ",,,",
        "::1",
        "1.2.3.4, 5.6.7.8",
        "é",
        "[::1]:80",
        "999.999.999.999",
        "fe80::1%eth0",
    ],
    "X-Forwarded-Proto": ["https", "", "é", "javascript", "ws"],
    "Forwarded": ["for=1.2.3.4", "for=", "é"],
    "Origin": ["https://page.example", "null", "", "é", "*"],
    "Access-Control-Request-Method": ["POST", "", "é"],
    "Priority": ["u=7", "u=9", "u=-1", "u", "i", "u=7, i", "é", "u=" + "7" * 5000, "=", "u=1.5"],
    "Expect": ["100-continue", "200-ok", "", "100-Continue", "é"],
    "Upgrade": ["h2c", "websocket", "", "TLS/1.0"],
    "Connection": ["close", "keep-alive", "upgrade", "", "close, close", "x", "Host", "Content-Length"],
    "Cookie": ["a=b", ";", "é", "c" * 9000],
    "Range": [
        "bytes=0-1",
        "bytes=-1",
        "bytes=5-1",
        "bytes=0-0,2-3",
        "x",
        "bytes=" + "0-1," * 100,
        "bytes=99999999999999999999-",
    ],
    "If-Range": ["x", "é"],
    "If-None-Match": ["*", '"x"'],
    "Inference-Header-Content-Length": ["0", "-1", "5", "9" * 30, "x", "", "1.5", "٣", " 7 ", "9" * 5000],
    "Content-Encoding": ["", "gzip", "x"],
    "Content-Length": ["0", "1"],
    "Transfer-Encoding": ["chunked", "gzip"],
    "TE": ["trailers"],
    "Trailer": ["X"],
    "X": ["", " ", "x" * 60_000, "\t", "é", "\x7f"],
}
FRAMING = {"Content-Length", "Transfer-Encoding", "Expect", "Upgrade", "Connection"}


def headers(known: Operations, rng: random.Random) -> Case:
    """A good request with odd headers. Some of them change where the request ends."""
    operation, (media, body) = rng.choice(known.valid)
    given = {} if body is None else {"Content-Type": media}
    content = b"" if body is None else json.dumps(body).encode()
    names = rng.sample(list(HEADER_VALUES), rng.choice([1, 1, 2, 4]))
    sent = [*given.items(), *((name, rng.choice(HEADER_VALUES[name])) for name in names)]
    if rng.random() < 0.1:
        sent += rng.choices(sent, k=2)
    if rng.random() < 0.02:
        sent += [(f"X-{n}", "x") for n in range(rng.choice([100, 5000, 20_000]))]
    method = rng.choice(METHODS) if rng.random() < 0.1 else operation.method
    clean = not FRAMING & set(names) and len(sent) < 1000 and all(value.isprintable() for _, value in sent)
    if "Host" in names:  # replaces the one that raw_request adds
        raw = raw_request(method, operation.path, sent, content).replace(b"Host: localhost\r\n", b"", 1)
        return Case("", operation.path, (raw,), framed=clean, method=method)
    return replace(framed(method, operation.path, sent, content), framed=clean)


def paths(known: Operations, rng: random.Random) -> Case:
    """A request for an odd path, with an odd query, or with another method."""
    operation = rng.choice(known.all)
    path = operation.path
    change = rng.randrange(5)
    if change == 0:
        path += "?" + "&".join(f"{quote(rng.choice(NAMES))}={quote(odd_text(rng))}" for _ in range(rng.randrange(1, 4)))
    elif change == 1:
        at = rng.randrange(len(path) + 1)
        piece = rng.choice(
            [*PIECES, "..", "/", "//", "%2e%2e", "%", "%zz", "%00", "%ff", "%0d%0a", "?", "#", ";", "x" * 3000]
        )
        path = path[:at] + rng.choice([piece, quote(piece)]) + path[at:]
    elif change == 2:
        path = "/" + quote(odd_text(rng)[:2000]) + rng.choice(["", "/", "/x"])
    elif change == 3:
        path = rng.choice(
            ["*", "http://localhost" + path, "http://[", "//", "//x" + path, "?", "localhost:80", "/." + path]
        )
    method = rng.choice(METHODS)
    body = b"" if method in ("GET", "HEAD", "OPTIONS", "TRACE") else b"{}"
    case = framed(method, path, [("Content-Type", JSON)] if body else [], body)
    target = path.encode("utf-8", "replace")
    return replace(case, framed=bool(re.fullmatch(rb"/[!-~]*", target)))


# Framing and garbage


def chunks(known: Operations, rng: random.Random) -> Case:
    """A chunked body whose framing may be broken."""
    operation, body = changed_json(known, rng)
    data = body.encode("utf-8", "replace")[:5000]
    head = raw_request(
        "POST", operation.path, [("Content-Type", JSON), ("Transfer-Encoding", "chunked")], b"", length=False
    )
    pieces = split(rng, data)
    coded = b"".join(b"%x%b\r\n%b\r\n" % (len(p), b";a=b" if rng.random() < 0.1 else b"", p) for p in pieces if p)
    end = rng.choice([b"0\r\n\r\n"] * 3 + [b"0\r\nX: y\r\n\r\n", b"00\r\n\r\n", b"0;x\r\n\r\n", b""])
    broken = rng.random() < 0.5
    if broken:
        coded = mutate_bytes(rng, coded, rng.choice([1, 2]))
    return Case("", operation.path, (head, coded + end), framed=not broken and bool(end), method="POST")


LENGTHS = [
    "0", "-1", "+5", "5,5", "5, 6", "0x5", "1e1", " 5", "05", "", "5.0", "٥", "9" * 20, "9" * 400, "1000000000000",
]  # fmt: skip


def lengths(known: Operations, rng: random.Random) -> Case:
    """A body whose declared length is wrong, or declared twice."""
    operation, body = changed_json(known, rng)
    data = body.encode("utf-8", "replace")[:5000]
    length = rng.choice([*LENGTHS, str(len(data) + 1), str(max(0, len(data) - 1)), str(len(data) * 2)])
    sent = [("Content-Type", JSON), ("Content-Length", length)]
    if rng.random() < 0.2:
        sent.append(rng.choice([("Content-Length", str(len(data))), ("Transfer-Encoding", "chunked")]))
    return Case("", operation.path, (raw_request("POST", operation.path, sent, data, length=False),), framed=False)


def pipeline(known: Operations, rng: random.Random) -> Case:
    """Several requests at once, good and bad."""
    parts = []
    for _ in range(rng.randrange(2, 8)):
        make = rng.choice([json_values, headers, paths, chunks, valid])
        parts.append(make(known, rng).sent[:70_000])
    if rng.random() < 0.5:
        parts.append(garbage(known, rng).sent)
    return Case("", "several", (b"".join(parts),), framed=False)


def mutated(known: Operations, rng: random.Random) -> Case:
    """The bytes of a good request, changed anywhere."""
    case = known.valid_case(rng.randrange(len(known.valid)))
    return replace(case, writes=(mutate_bytes(rng, case.sent, rng.choice([1, 1, 2, 5])),), framed=False, valid=None)


OPENINGS = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/0.9\r\n\r\n",
    b"GET /\r\n",
    b"\r\n\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", b"\0" * 100,
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"GET  /  HTTP/1.1\r\n\r\n",
    b"POST /v1/translate HTTP/1.1\r\n",
    b"SSH-2.0-x\r\n", b"*1\r\n$4\r\nPING\r\n", b"\x05\x01\x00", b"GET /healthz HTTP/1.1\nHost: x\n\n",
    b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n", b"GET /healthz HTTP/1.1\r\n Host: x\r\n\r\n", b"{}", b"GET",
]  # fmt: skip


def garbage(known: Operations, rng: random.Random) -> Case:
    opening = rng.choice(OPENINGS) if rng.random() < 0.6 else b""
    size = rng.choice([0, 1, 10, 100, 1000, 70_000] if opening else [1, 10, 100, 1000, 70_000])
    data = rng.randbytes(size) if rng.random() < 0.5 else bytes(rng.choices(range(32, 127), k=size))
    return Case("", "none", (opening + data,), framed=False)


def valid(known: Operations, rng: random.Random) -> Case:
    return known.valid_case(rng.randrange(len(known.valid)))
