"""The service as an application is configured for it."""

import pytest

from tests.service.api.applications.server import Server
from tests.service.api.conftest import KEY
from tests.service.conftest import Service


@pytest.fixture(params=["keys off", "keys on"])
def server(request: pytest.FixtureRequest) -> Server:
    """A service between English and German, with keys off and on."""
    if request.param == "keys on":
        return Server(request.getfixturevalue("secured").url, KEY)
    return Server(request.getfixturevalue("bilingual").url, None)


@pytest.fixture
def wrong_key(secured: Service) -> Server:
    """A service that requires a key, with a key that it does not know."""
    return Server(secured.url, "unknown")
