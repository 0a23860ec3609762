"""Send requests exactly as an application does."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from tests.service.fakes import TIMEOUT


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A service as an application is configured for it: its URL, and the key, if there is one.

    An application that insists on a key has any, where the service requires none.
    """

    url: str
    key: str | None

    @property
    def authority(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def deepl_header(self) -> dict[str, str]:
        """The header with the key in DeepL's dialect."""
        return {"Authorization": f"DeepL-Auth-Key {self.key or 'any'}"}

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Send a request with these headers, Content-Length if there is a body, and no others."""
        connection = HTTPConnection(self.authority, timeout=TIMEOUT)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()


def compact(value: Any) -> bytes:
    """Return JSON without spaces, as Ruby, Elixir and httpx write it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
