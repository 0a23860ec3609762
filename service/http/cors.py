"""Which web pages of other origins may send requests and read the responses (CORS, the Fetch standard)."""

from collections.abc import Collection

from fastapi.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS = ["GET", "POST"]
REQUEST_HEADERS = ["Authorization", "X-API-Key", "X-Request-ID"]
EXPOSED_HEADERS = ["Retry-After", "X-Request-ID"]
PREFLIGHT_SECONDS = 600  # that a browser may remember what is allowed
VARY = b"vary: Origin\r\n"


class CorsMiddleware:
    """ASGI middleware that lets pages of some origins use the whole service.

    Without origins, pages of every origin may use the open paths, and no page the others.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str], open_paths: Collection[str]) -> None:
        self._app, self._open_paths = app, None if origins else frozenset(open_paths)
        self._cors = CORSMiddleware(
            app, list(origins) or ["*"], METHODS, REQUEST_HEADERS, expose_headers=EXPOSED_HEADERS,
            max_age=PREFLIGHT_SECONDS,
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (self._open_paths is None or _first(scope["path"]) in self._open_paths):
            await self._cors(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _first(path: str) -> str:
    """Return the first segment of a path, with the slash before it."""
    return "/" + path.split("/", 2)[1] if "/" in path else path


class CorsHeaders:
    """The header lines that let a page read a response which does not pass through CorsMiddleware."""

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
