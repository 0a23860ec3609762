"""The application below a path of a proxy, which removes the path."""

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from service.settings import Settings
from tests.service.conftest import Service
from tests.service.fakes import EchoEngine


@pytest.mark.parametrize("root_path", ["/translate", "/apps/attendant"])
def test_urls_begin_with_the_root_path(serve_fake: Callable[..., Service], root_path: str) -> None:
    """/translate is the path of a route as well, which a request must reach."""
    service = serve_fake(EchoEngine(), root_path=root_path, page=False)
    assert service.client.get("/").headers["location"] == f"{root_path}/docs"
    assert service.client.get("/openapi.json").json()["servers"] == [{"url": root_path}]
    uploaded = service.client.post(
        "/translate_file", data={"source": "a", "target": "b"}, files={"file": ("one.txt", b"red house")}
    )
    url = uploaded.json()["translatedFileUrl"]
    assert url.startswith(f"{service.url}{root_path}/download_file/")
    assert service.client.get(url.replace(root_path, "")).status_code == 200
    assert service.post("/translate", {"q": "red", "source": "a", "target": "b"}).status_code == 200


@pytest.mark.parametrize("root_path", ["attendant", "/attendant/", "/", "//a", "/a?b", "https://example.org"])
def test_invalid_root_paths_are_rejected(root_path: str) -> None:
    with pytest.raises(ValidationError, match="write a path such as /attendant"):
        Settings(root_path=root_path)
