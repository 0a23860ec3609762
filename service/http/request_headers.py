"""Checks of a request's headers that hold for every route."""

import re
from collections.abc import Mapping

from starlette.types import Scope

from service.errors import ExpectationFailed, InvalidHeader

# Two of these may be read differently here and by a proxy in front, which may have checked only one of them.
SINGLE_HEADERS = frozenset({
    b"host", b"authorization", b"x-api-key", b"content-type", b"content-encoding", b"inference-header-content-length",
})  # fmt: skip
HOST = re.compile(rb"[A-Za-z0-9\-._~%!$&'()*+,;=:\[\]]*")  # RFC 3986, section 3.2: host and port


def check_headers(scope: Scope, headers: Mapping[bytes, bytes]) -> None:
    """Check the headers of a request; `headers` has the last value of each.

    Raises:
        InvalidHeader: HTTP/1.1 without a Host (RFC 9112, section 3.2), a malformed Host, or one of `SINGLE_HEADERS`
            twice.
        ExpectationFailed: Expect is not 100-continue (RFC 9110, section 10.1.1).
    """
    host = headers.get(b"host")
    if host is None:
        if scope.get("http_version") == "1.1":
            raise InvalidHeader("the request has no Host header; HTTP/1.1 needs one")
    elif not HOST.fullmatch(host):
        raise InvalidHeader(f"Host is {_shown(host)}, which is no host and port; send the address of the service")
    if len(headers) != len(scope["headers"]):
        names = [name for name, _ in scope["headers"]]
        for name in SINGLE_HEADERS:
            if (count := names.count(name)) > 1:
                raise InvalidHeader(f"the request has {count} {name.decode().title()} headers; send one")
    expect = headers.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue" and scope.get("http_version") != "1.0":
        raise ExpectationFailed(f"Expect is {_shown(expect)}; only 100-continue is known")


def _shown(value: bytes) -> str:
    return ascii(value.decode("latin-1"))[:60]
