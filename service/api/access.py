"""Who may come in: keys where some are configured, everybody by address where none are, and the limits of each."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.types import Scope

from service.api.limits import Limits
from service.errors import Unauthorised
from service.keys import Keys

# What operators, probes and browsers ask before they have a key. It tells nothing of anybody's text, so it needs no key
# and is never limited. Every other path is closed, one that leads nowhere included.
OPEN = frozenset({
    "/", "/docs", "/docs/oauth2-redirect", "/openapi.json", "/healthz", "/readyz", "/metrics",
    "/health", "/frontend/settings", "/v2/health/live", "/v2/health/ready",
})  # fmt: skip
# LibreTranslate's clients send api_key among the fields of the form, the JSON or the query.
KEY_AMONG_FIELDS = frozenset({"/translate", "/detect", "/languages"})
MOST_FIELDS = 1000  # of a form
SCHEMES = frozenset({b"bearer", b"deepl-auth-key"})


class Access:
    """Lets callers in by name and sees them out."""

    def __init__(self, keys: Keys, limits: Limits) -> None:
        self.keys, self.limits = keys, limits

    def enter(self, scope: Scope, headers: Mapping[bytes, bytes], body: bytes) -> str | None:
        """The caller, who has to be seen out with `leave`; None on a path that is open.

        Where there are keys, `scope["key"]` becomes the name of the caller's.

        Raises:
            Unauthorised: there is no key, or it is not known.
            RateLimited: the caller asks too often or too much at once.
        """
        if scope["path"] in OPEN:
            return None
        caller = self._holder(scope, headers, body) if self.keys.digests else _address(scope)
        self.limits.enter(caller)
        return caller

    def leave(self, caller: str | None) -> None:
        """The request has ended, in whatever way."""
        if caller is not None:
            self.limits.leave(caller)

    def _holder(self, scope: Scope, headers: Mapping[bytes, bytes], body: bytes) -> str:
        key = _key_in_headers(headers)
        if key is None and scope["path"] in KEY_AMONG_FIELDS:
            key = _key_among_fields(scope["query_string"], headers.get(b"content-type", b""), body)
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


def _key_in_headers(headers: Mapping[bytes, bytes]) -> bytes | None:
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() in SCHEMES:
        return key.strip()
    return headers.get(b"x-api-key")


def _key_among_fields(query: bytes, content_type: bytes, body: bytes) -> bytes | None:
    """LibreTranslate's api_key; a body that cannot be read has none, its fault is told to those who may come in."""
    if content_type.partition(b";")[0].strip().lower() == b"application/json":
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            return None
        found = fields.get("api_key") if isinstance(fields, dict) else None
    else:
        found = _in_form(body)
    found = found or _in_form(query)
    return found.encode("utf-8", "replace") if isinstance(found, str) else None


def _in_form(form: bytes) -> str | None:
    try:
        return parse_qs(form.decode("latin-1"), max_num_fields=MOST_FIELDS).get("api_key", [None])[0]
    except ValueError:  # more fields than that
        return None
