"""Decompression of request bodies, as far as the limit of their size."""

import zlib

from service.errors import InvalidRequest, UnsupportedMediaType

# The window bits of zlib for each coding (RFC 9110, section 8.4.1): `deflate` is the zlib format.
CODINGS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
ACCEPTED = "gzip, deflate"


class Decompressor:
    """Decompress a body that arrives in chunks."""

    def __init__(self, coding: str) -> None:
        """Start a body with a coding of `CODINGS`."""
        self._coding = coding
        self._stream = zlib.decompressobj(CODINGS[coding])

    def decompress(self, chunk: bytes, max_bytes: int) -> bytes:
        """Return what the chunk adds to the body, at most `max_bytes`; the rest is lost.

        Raises:
            InvalidRequest: the data is not in the coding, or goes on after its end.
        """
        try:
            body = self._stream.decompress(chunk, max_bytes)
        except zlib.error as error:
            raise InvalidRequest(f"body: it is not valid {self._coding}: {error}"[:200]) from None
        if self._stream.unused_data:
            raise InvalidRequest(f"body: data follows the end of the {self._coding} data; send one compressed stream")
        return body

    def finish(self) -> None:
        """Check that the body is complete.

        Raises:
            InvalidRequest: it is not.
        """
        if not self._stream.eof:
            raise InvalidRequest(f"body: the {self._coding} data ends too early; send all of it")


def find_coding(value: bytes) -> str | None:
    """Return the coding in the value of Content-Encoding, None for `identity`.

    Raises:
        UnsupportedMediaType: it is an unknown coding, or several.
    """
    coding = value.decode("latin-1").strip().lower()
    if coding in ("identity", ""):
        return None
    if coding not in CODINGS:
        raise UnsupportedMediaType(
            f"Content-Encoding is {ascii(coding)[:60]}; send gzip or deflate, or the body as it is",
            {"Accept-Encoding": ACCEPTED},
        )
    return coding
