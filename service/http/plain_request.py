"""Recognise a plain request in the bytes that have arrived, without parsing it: a refusal needs to know no more."""

from typing import NamedTuple

from service.http.request_log import REQUEST_ID

MAX_HEAD = 4096
MAX_PLAIN = 16_384  # bytes of a request that is read at once
# Headers that decide where the request ends, or that ask for more than a response. A head that has one of these words
# anywhere is left to the parser.
UNUSUAL = (b"transfer-encoding", b"expect", b"upgrade", b"\r\norigin:")
LENGTH = b"\r\ncontent-length: "
CONNECTION = (b"\r\nconnection: keep-alive\r\n", b"\r\nconnection: close\r\n")


class PlainRequest(NamedTuple):
    """What a refusal needs to know of a request."""

    path: str
    request_id: bytes | None
    keep_alive: bool


def read_plain_request(data: bytes) -> PlainRequest | None:
    """Return the request if the data is one POST in HTTP/1.1 and nothing else; None if that takes a parser to tell.

    Head and body must have arrived completely, and the length of the body must be given once and in the usual form.
    """
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end < 0 or not data.startswith(b"POST /"):
        return None
    head = data[: end + 2].lower()
    target, _, version = head[5 : head.index(b"\r\n")].partition(b" ")
    if version != b"http/1.1" or any(word in head for word in UNUSUAL):
        return None
    before, _, after = head.partition(LENGTH)
    length = after.partition(b"\r\n")[0]
    if head.count(b"content-length") != 1 or not length.isdigit() or end + 4 + int(length) != len(data):
        return None
    keep_alive = b"\r\nconnection: close\r\n" not in head
    if (count := head.count(b"connection")) and (count > 1 or not any(line in head for line in CONNECTION)):
        return None
    path = data[5 : 5 + len(target)].partition(b"?")[0].decode("latin-1")
    return PlainRequest(path, _request_id(data, head), keep_alive)


def _request_id(data: bytes, head: bytes) -> bytes | None:
    start = head.find(b"\r\nx-request-id: ")
    if start < 0:
        return None
    start += len(b"\r\nx-request-id: ")
    given = data[start : head.index(b"\r\n", start)]
    return given if REQUEST_ID.fullmatch(given) and given.isascii() else None
