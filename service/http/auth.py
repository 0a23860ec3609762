"""Who may come in: keys where some are configured, everybody by address where none are, and the limits of each."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.types import Receive, Scope

from service.errors import InvalidRequest, Unauthorised
from service.http.api_keys import Keys
from service.http.forms import read_fields
from service.http.rate_limit import RateLimiter

# What operators, probes and browsers ask before they have a key. It tells nothing of anybody's text, so it needs no key
# and is never limited. Every other path is closed, one that leads nowhere included.
OPEN = frozenset({
    "/", "/docs", "/docs/oauth2-redirect", "/openapi.json", "/healthz", "/readyz", "/metrics",
    "/health", "/frontend/settings", "/v2/health/live", "/v2/health/ready",
})  # fmt: skip
# LibreTranslate's clients send api_key among the fields of the form, the JSON or the query.
KEY_AMONG_FIELDS = frozenset({"/translate", "/detect", "/languages"})
SCHEMES = frozenset({b"bearer", b"deepl-auth-key"})


class _Fields(BaseModel):
    """What is of interest here; the other fields are read later."""

    api_key: str | None = None


class Authenticator:
    """Lets callers in by name and sees them out."""

    def __init__(self, keys: Keys, rate_limiter: RateLimiter) -> None:
        self.keys, self.rate_limiter = keys, rate_limiter

    async def enter(self, scope: Scope, headers: Mapping[bytes, bytes], body: Receive) -> str | None:
        """The caller, who has to be seen out with `leave`; None on a path that is open. `body` hands out the body.

        Where there are keys, `scope["key"]` becomes the name of the caller's.

        Raises:
            Unauthorised: there is no key, or it is not known.
            RateLimited: the caller asks too often or too much at once.
        """
        if scope["path"] in OPEN:
            return None
        caller = self._holder(scope, await key_of(scope, headers, body)) if self.keys.digests else _address(scope)
        self.rate_limiter.enter(caller)
        return caller

    def leave(self, caller: str | None) -> None:
        """The request has ended, in whatever way."""
        if caller is not None:
            self.rate_limiter.leave(caller)

    def _holder(self, scope: Scope, key: bytes | None) -> str:
        if key is None:
            raise Unauthorised("no API key; send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`")
        name = self.keys.holder(key)
        if name is None:
            raise Unauthorised("the API key is not known here; check that it is complete and was not withdrawn")
        scope["key"] = name
        return f"key {name}"


def document_keys(app: FastAPI) -> None:
    """Say in the OpenAPI document where a key is needed; the page at /docs then has a field for it."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        description = describe()
        description["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        for path in description["paths"].keys() - OPEN:
            for route in description["paths"][path].values():
                route["security"] = [{"bearer": []}, {"header": []}]
        return description

    app.openapi = openapi  # type: ignore[method-assign]


def _address(scope: Scope) -> str:
    client = scope.get("client")  # none on a Unix socket
    return f"address {client[0]}" if client else "the local caller"


async def key_of(scope: Scope, headers: Mapping[bytes, bytes], body: Receive) -> bytes | None:
    """The key that a request carries; `body` hands out the whole body."""
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() in SCHEMES:
        return key.strip()
    if b"x-api-key" in headers or scope["path"] not in KEY_AMONG_FIELDS:
        return headers.get(b"x-api-key")
    try:
        fields = await read_fields(Request(scope, body), _Fields)
    except (InvalidRequest, RequestValidationError):
        return None  # what is wrong with the body is told to those who may come in
    return None if fields.api_key is None else fields.api_key.encode("utf-8", "replace")
