"""ASGI middleware that authenticates callers and applies their rate limits."""

from collections.abc import Mapping
from ipaddress import IPv6Address, IPv6Network

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.datastructures import QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import Forbidden, InvalidRequest, MissingKey, RateLimited, Unauthorised, UnsupportedMediaType
from service.http.api_keys import ApiKeys
from service.http.body_limit import BufferedBody
from service.http.docs_page import ASSETS, DOCS_PATH
from service.http.error_formats import ErrorFormats
from service.http.forms import read_json_or_form
from service.http.openapi import OPENAPI_PATH
from service.http.rate_limit import RateLimiter
from service.http.start_page import ASSETS as PAGE_ASSETS
from service.http.start_page import LIVE_PATH
from service.http.uploads import read_upload

# Paths that operators, probes, browsers and LibreTranslate's applications request without a key. They reveal no text of
# any caller, and have no rate limit. Every other path requires a key, unknown paths too, and so does every method that
# does more than read: POST / classifies.
READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PUBLIC_PATHS = frozenset({
    "/", *PAGE_ASSETS, DOCS_PATH, *ASSETS, OPENAPI_PATH, "/healthz", "/readyz", "/metrics", LIVE_PATH,
    "/health", "/ping", "/frontend/settings", "/languages", "/spec", "/v2/health/live", "/v2/health/ready",
})  # fmt: skip
# The URL of a translated file is secret and needs no key, as in LibreTranslate. A key that is sent is checked.
SECRET_PATHS = "/download_file/"
# LibreTranslate's clients send api_key as a field of the form, the JSON body or the query string.
UPLOAD_PATH = "/translate_file"
KEY_FIELD_PATHS = frozenset({"/translate", "/detect", "/suggest", UPLOAD_PATH})
SCHEMES = frozenset({b"bearer", b"deepl-auth-key"})
AUTH_ERRORS = (Unauthorised, MissingKey, RateLimited)  # that the middleware may return on any path that is not public


UNKNOWN_KEY = "unknown API key; check that it is complete and was not withdrawn"


class _KeyField(BaseModel):
    """The field with the key; the route reads the others."""

    api_key: str | None = None


class Authenticator:
    """Identify callers, by API key where keys are configured, by address otherwise; apply their rate limits."""

    def __init__(self, keys: ApiKeys, rate_limiter: RateLimiter) -> None:
        self.keys, self.rate_limiter = keys, rate_limiter

    def authenticate_head(self, scope: Scope) -> bool:
        """Check the key in the head of a request, before its body is read; return whether there is one.

        There may be none where LibreTranslate's clients send it in the body, and for secret paths; that of a request
        for a public path is not checked. Without configured keys, every caller counts as authenticated.

        Raises:
            Unauthorised: the key is missing or unknown.
        """
        if not self.keys.digests:
            return True
        path, key = scope["path"], key_in_head(scope)
        if _is_public(scope) or (key is None and (path in KEY_FIELD_PATHS or path.startswith(SECRET_PATHS))):
            return False
        self._check_key(scope, key)
        return True

    def authenticate(self, scope: Scope, key: bytes | None) -> str:
        """Return the caller and count the request; call `release` when it has ended.

        Set `scope["caller"]` to the caller; where keys are configured, set `scope["key"]` to the name of the key.

        Raises:
            MissingKey, Unauthorised: the key is missing or unknown.
            RateLimited: the caller exceeds a rate limit.
        """
        caller = self._check_key(scope, key) if self.keys.digests else _address(scope)
        scope["caller"] = caller
        self.rate_limiter.acquire(caller)
        return caller

    def check_admin(self, scope: Scope) -> None:
        """Check that the caller may change which models are served; set `scope["key"]` to the name of the key.

        Raises:
            Forbidden: no admin keys are configured, or the key is another one.
            MissingKey, Unauthorised: there is no key, or it is unknown.
        """
        if not self.keys.admins:
            raise Forbidden("models cannot be changed over the network: set ATTENDANT_ADMIN_KEYS, or send SIGHUP")
        key = key_in_headers(dict(scope["headers"]))
        if key is None:
            raise MissingKey()
        if name := self.keys.admin_name_of(key):
            scope["key"] = name
        elif name := self.keys.name_of(key):
            raise Forbidden(f"key {name!r} is not an admin key; send one of ATTENDANT_ADMIN_KEYS")
        else:
            raise Unauthorised(UNKNOWN_KEY)

    def release(self, caller: str) -> None:
        """Count the end of a request."""
        self.rate_limiter.release(caller)

    def _check_key(self, scope: Scope, key: bytes | None) -> str:
        if key is None:
            raise MissingKey()
        name = self.keys.name_of(key)
        if name is None:
            raise Unauthorised(UNKNOWN_KEY)
        scope["key"] = name
        return f"key {name}"


class AuthMiddleware:
    """Authenticate every request to a path that is not public. Expects the body as one message."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator, error_formats: ErrorFormats) -> None:
        self.app, self.authenticator, self.error_formats = app, authenticator, error_formats

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_public(scope) or _is_secret(scope):
            await self.app(scope, receive, send)
            return
        key = None
        if self.authenticator.keys.digests:
            key, receive = await self._find_key(scope, receive)
        try:
            caller = self.authenticator.authenticate(scope, key)
        except AUTH_ERRORS as error:
            await self.error_formats.response(scope, error)(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        finally:
            self.authenticator.release(caller)

    async def _find_key(self, scope: Scope, receive: Receive) -> tuple[bytes | None, Receive]:
        """Return the request's key, and `receive` as the application is to have it."""
        key = key_in_head(scope)
        if key is None and scope["path"] in KEY_FIELD_PATHS:
            body = (await receive())["body"]
            key, receive = await _key_in_fields(scope, BufferedBody(body, receive)), BufferedBody(body, receive)
        return key, receive


def _is_public(scope: Scope) -> bool:
    """Return whether a request needs no key."""
    return scope["path"] in PUBLIC_PATHS and scope["method"] in READING_METHODS


def _is_secret(scope: Scope) -> bool:
    """Return whether the path is secret and the request has no key."""
    return scope["path"].startswith(SECRET_PATHS) and key_in_headers(dict(scope["headers"])) is None


def key_in_headers(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the key in the headers of a request."""
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    return key.strip() if scheme.lower() in SCHEMES else headers.get(b"x-api-key")


def key_in_head(scope: Scope) -> bytes | None:
    """Return the key in the headers of a request, or in its query string where it may be there."""
    key = key_in_headers(dict(scope["headers"]))
    if key is None and scope["path"] in KEY_FIELD_PATHS:
        values = QueryParams(scope["query_string"]).getlist("api_key")
        key = values[0].encode("utf-8", "replace") if len(values) == 1 and values[0] else None
    return key


async def _key_in_fields(scope: Scope, receive: Receive) -> bytes | None:
    """Return the key among the fields of the query string or the body; None if they cannot be read.

    An invalid body is an error for the route to report, and only to authenticated callers.
    """
    request = Request(scope, receive)
    try:
        if scope["path"] == UPLOAD_PATH:
            fields = (await read_upload(request)).validated(_KeyField)
        else:
            fields = await read_json_or_form(request, _KeyField)
    except (InvalidRequest, UnsupportedMediaType, RequestValidationError):
        return None
    return fields.api_key.encode("utf-8", "replace") if fields.api_key else None


def _address(scope: Scope) -> str:
    client = scope.get("client")  # None on a Unix socket
    return f"address {_network(client[0])}" if client else "the local caller"


def _network(host: str) -> str:
    """Return an IPv4 address as it is, and of an IPv6 address the /64 network, all of which one caller has."""
    if ":" not in host:
        return host
    address = IPv6Address(host.partition("%")[0])
    return str(address.ipv4_mapped or IPv6Network((address, 64), strict=False))
