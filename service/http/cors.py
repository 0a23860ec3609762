"""Which web pages of other origins may send requests and read the responses (CORS, the Fetch standard)."""

from collections.abc import Collection
from typing import Any

EXPOSED_HEADERS = ("Retry-After", "X-Request-ID")
VARY = b"vary: Origin\r\n"


def cors_options(origins: Collection[str]) -> dict[str, Any]:
    """Return the options of Starlette's CORSMiddleware."""
    return {
        "allow_origins": origins,
        "allow_methods": ["GET", "POST"],
        "allow_headers": ["Authorization", "X-API-Key", "X-Request-ID"],
        "expose_headers": EXPOSED_HEADERS,
    }


class CorsHeaders:
    """The header lines that let a page read a response which does not pass through CORSMiddleware."""

    def __init__(self, origins: Collection[str] = ()) -> None:
        self._by_origin: dict[bytes, bytes] = {}
        self._otherwise = VARY if origins else b""
        exposed = f"access-control-expose-headers: {', '.join(EXPOSED_HEADERS)}\r\n".encode()
        for origin in origins:
            lines = f"access-control-allow-origin: {origin}\r\n".encode() + exposed
            if origin == "*":
                self._otherwise = lines
            else:
                self._by_origin[origin.encode()] = lines + VARY

    def lines(self, origin: bytes | None) -> bytes:
        """Return the lines for the value of a request's Origin header, each with its end; empty if CORS is off."""
        if origin is None:
            return b""
        return self._by_origin.get(origin, self._otherwise)
