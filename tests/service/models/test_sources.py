"""Artifacts from several folders and from URLs: fetched once, checked, resumed, and there while the URL is not."""

import http.server
import json
import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import fsspec
import pytest

from service.artifact import ArtifactError, read_artifact
from service.models.sources import ModelSources
from tests.service.models.helpers import FIRST, SECOND, load, make_version, reloadable

REQUEST = {"text": "red house", "source": "a", "target": "b"}


class FileServer(http.server.ThreadingHTTPServer):
    """Files over HTTP; `paths` are the requests so far."""

    def __init__(self, folder: Path) -> None:
        self.paths: list[str] = []
        server = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_request(self, *_: object) -> None:
                server.paths.append(self.path)

            def log_error(self, *_: object) -> None: ...

        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://user:secret@127.0.0.1:{self.server_port}"


@pytest.fixture
def shared(toy_translator: Path, tmp_path: Path) -> Iterator[tuple[Path, FileServer]]:
    """A folder with one artifact, and a server of it."""
    shutil.copytree(toy_translator, tmp_path / "shared" / "toy")
    with FileServer(tmp_path / "shared") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield tmp_path / "shared" / "toy", server
        finally:
            server.shutdown()
            thread.join()


def test_all_folders_are_searched(toy_translator: Path, toy_classifier: Path, tmp_path: Path) -> None:
    for name, artifact in (("one", toy_translator), ("two", toy_classifier)):
        shutil.copytree(artifact, tmp_path / name / "toy")
    sources = ModelSources(f"{tmp_path / 'one'}, {tmp_path / 'two'}", tmp_path / "cache")
    assert sources.find().folders == [tmp_path / "one" / "toy", tmp_path / "two" / "toy"]
    with pytest.raises(ArtifactError, match="no artifact folder in it; set ATTENDANT_MODELS"):
        ModelSources(str(tmp_path / "none"), tmp_path / "cache").find()


def test_an_artifact_is_fetched_once_and_is_there_without_its_server(
    shared: tuple[Path, FileServer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    artifact, server = shared
    sources = ModelSources(f"{server.url}/toy", tmp_path / "cache")
    [folder] = sources.find().folders
    assert read_artifact(folder).manifest == read_artifact(artifact).manifest
    before = len(server.paths)
    assert sources.find().folders == [folder]
    assert {path for path in server.paths[before:]} == {"/toy/manifest.json"}
    shutil.rmtree(artifact)
    assert sources.find().folders == [folder]
    assert "cannot be fetched, what it had before is used" in caplog.text
    assert "secret" not in caplog.text + str(sources)
    another = ModelSources(f"{server.url}/other", tmp_path / "cache").find()
    assert (another.folders, list(another.missing)) == ([], ["other"])
    assert "secret" not in another.missing["other"]


def test_a_download_goes_on_where_it_was(shared: tuple[Path, FileServer], tmp_path: Path) -> None:
    artifact, _ = shared
    sources = ModelSources(f"file://{artifact}", tmp_path / "cache")
    [folder] = sources.find().folders
    partial_folder = folder.with_name(f".{folder.name}")
    folder.rename(partial_folder)
    half = (artifact / "weights.bin").stat().st_size // 2
    os.truncate(partial_folder / "weights.bin", half)
    (partial_folder / "manifest.json").unlink()
    read = fsspec.implementations.local.LocalFileOpener.seek
    sought: list[int] = []

    def noted(self: object, offset: int, *whence: int) -> object:
        sought.append(offset)
        return read(self, offset, *whence)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fsspec.implementations.local.LocalFileOpener.seek", noted)
        assert sources.find().folders == [folder]
    assert half in sought
    assert read_artifact(folder).manifest == read_artifact(artifact).manifest


@pytest.mark.parametrize(
    ("beginning", "is_resumed"),
    [(b"", False), (b"another", True), (b"x" * 10_000_000, False)],
    ids=["nothing", "other", "longer"],
)
def test_what_is_no_beginning_of_the_file_is_not_kept(
    shared: tuple[Path, FileServer], tmp_path: Path, beginning: bytes, is_resumed: bool
) -> None:
    artifact, _ = shared
    sources = ModelSources(f"file://{artifact}", tmp_path / "cache")
    [folder] = sources.find().folders
    shutil.rmtree(folder)
    partial_folder = folder.with_name(f".{folder.name}")
    partial_folder.mkdir()
    (partial_folder / "weights.bin").write_bytes(beginning)
    if is_resumed:  # the hash shows that the beginning was wrong; the next attempt starts over
        assert "weights.bin has sha256" in sources.find().missing["toy"]
    assert sources.find().folders == [folder]
    assert read_artifact(folder).manifest == read_artifact(artifact).manifest


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"../weights.bin": "0" * 64}, "'../weights.bin', which is not a plain file name"),
        ({"weights.bin": "0" * 64}, "weights.bin has sha256"),
        ([], "is not that of an artifact"),
    ],
)
def test_a_wrong_manifest_is_an_error_and_leaves_no_artifact(
    shared: tuple[Path, FileServer], tmp_path: Path, files: object, reason: str
) -> None:
    artifact, _ = shared
    manifest = json.loads((artifact / "manifest.json").read_text("utf-8"))
    (artifact / "manifest.json").write_text(json.dumps(manifest | {"files": files}), "utf-8")
    found = ModelSources(f"file://{artifact}", tmp_path / "cache").find()
    assert not found.folders
    assert reason in found.missing["toy"]
    assert not list((tmp_path / "cache").glob("[!.]*"))


def test_a_service_gets_the_new_version_of_a_url(
    shared: tuple[Path, FileServer], toy_classifier: Path, tmp_path: Path
) -> None:
    artifact, server = shared
    shutil.copytree(toy_classifier, tmp_path / "models" / "toy-classifier")
    models = f"{tmp_path / 'models'},{server.url}/toy,{server.url}/none"
    with reloadable(models, cache=tmp_path / "cache") as service:

        def answer() -> str:
            reply = service.post("/v1/translate", REQUEST).raise_for_status().json()
            return str(reply["translations"][0]["text"])

        assert answer() == FIRST
        listed = {one["name"]: one["state"] for one in service.client.get("/v1/models").json()["models"]}
        assert listed == {"toy-translator": "ready", "toy-classifier": "ready", "none": "faulty"}
        make_version(artifact, "2")
        assert load(service, "toy-translator")["version"] == "2"
        assert answer() == SECOND
        assert [model.version for model in service.registry if model.name == "toy-translator"] == ["2"]
