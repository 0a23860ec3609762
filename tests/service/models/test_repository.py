"""Models that are loaded, swapped and unloaded while the service answers."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from service.http.api_keys import make_api_key
from tests.service.conftest import CLASSIFY, TRANSLATE, Service, assert_problem, corrupt, eventually
from tests.service.fakes import TIMEOUT, EchoEngine
from tests.service.models.helpers import ADMIN, ADMIN_ENTRY, AS_ADMIN, FIRST, SECOND, add_model, load, make_version
from tests.service.models.helpers import reloadable as reloadable_service

OTHER, OTHER_ENTRY = make_api_key("alice")


@pytest.fixture(scope="module")
def reloadable(toy_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service to which each test adds a model of its own."""
    models = shutil.copytree(toy_models, tmp_path_factory.mktemp("repository") / "models")
    with reloadable_service(models) as running:
        yield running


def translations(service: Service, model: str, texts: list[str]) -> list[str]:
    reply = service.post("/v1/translate", {**TRANSLATE, "text": texts, "model": model}).raise_for_status()
    return [one["text"] for one in reply.json()["translations"]]


def translation(service: Service, model: str = "toy-translator") -> str:
    [text] = translations(service, model, [TRANSLATE["text"]])
    return text


def versions(service: Service, *names: str) -> list[tuple[str, str, str]]:
    listed = service.client.get("/v1/models").json()["models"]
    return [(one["name"], one["version"], one["state"]) for one in listed if not names or one["name"] in names]


def test_another_version_takes_the_place_of_the_one_in_its_folder(reloadable: Service, toy_translator: Path) -> None:
    folder = add_model(reloadable, toy_translator, "swapped")
    assert translation(reloadable, "swapped") == FIRST
    make_version(folder, "2")
    loaded = load(reloadable, "swapped")
    assert (loaded["name"], loaded["version"], loaded["state"]) == ("swapped", "2", "ready")
    assert translation(reloadable, "swapped") == SECOND
    assert load(reloadable, "swapped") == loaded


def test_faulty_version_leaves_the_old_one_serving_and_every_place_says_why(
    reloadable: Service, toy_translator: Path
) -> None:
    folder = add_model(reloadable, toy_translator, "faulty")
    corrupt(make_version(folder, "2"), "step.onnx", b"not a graph")
    problem = assert_problem(reloadable.client.put("/v1/models/faulty", headers=AS_ADMIN), 422, "not_loaded")
    assert "faulty/step.onnx: onnxruntime cannot load it" in problem["detail"]
    assert problem["detail"].endswith("; faulty goes on with version 1")
    assert translation(reloadable, "faulty") == FIRST
    assert versions(reloadable, "faulty") == [("faulty", "1", "ready"), ("faulty", "", "faulty")]
    ready = reloadable.client.get("/readyz")
    assert (ready.status_code, ready.json()["faulty"]) == (200, ["faulty"])
    assert reloadable.sample("faulty_artifacts") == 1
    (folder / "weights.bin").unlink()  # written in place, it would change in the memory of the engine too
    (folder / "weights.bin").write_bytes(b"damaged")
    problem = assert_problem(reloadable.client.put("/v1/models/faulty", headers=AS_ADMIN), 422, "not_loaded")
    assert "faulty: weights.bin has sha256" in problem["detail"]
    assert translation(reloadable, "faulty") == FIRST
    reloadable.client.delete("/v1/models/faulty", headers=AS_ADMIN)
    shutil.rmtree(folder)


def test_versions_in_folders_of_their_own_are_served_side_by_side(reloadable: Service, toy_translator: Path) -> None:
    folder = add_model(reloadable, toy_translator, "sides")
    newer = make_version(shutil.copytree(folder, folder.with_name("sides-10")), "10")
    load(reloadable, "sides")
    assert versions(reloadable, "sides") == [("sides", "1", "ready"), ("sides", "10", "ready")]
    twin = shutil.copytree(newer, folder.with_name("another"))
    problem = assert_problem(reloadable.client.put("/v1/models/sides", headers=AS_ADMIN), 422, "not_loaded")
    assert "another: its name 'sides' and version '10' are also those of" in problem["detail"]
    shutil.rmtree(twin)
    assert translation(reloadable, "sides") == translation(reloadable, "sides@10") == SECOND
    assert translation(reloadable, "sides@1") == FIRST
    described = reloadable.client.get("/v1/models/sides@1").json()
    assert (described["name"], described["version"]) == ("sides", "1")
    unknown = reloadable.post("/v1/translate", {**TRANSLATE, "model": "sides@2"})
    assert "no model 'sides@2'" in assert_problem(unknown, 404, "unknown_model")["detail"]
    for version, expected in (("1", FIRST), ("10", SECOND)):
        inputs = [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["red house"]}]
        infer = {"inputs": inputs, "parameters": {"source": "a", "target": "b"}}
        reply = reloadable.post(f"/v2/models/sides/versions/{version}/infer", infer).raise_for_status().json()
        assert (reply["model_version"], reply["outputs"][0]["data"]) == (version, [expected])
    shutil.rmtree(newer)
    load(reloadable, "sides")
    assert versions(reloadable, "sides") == [("sides", "1", "ready")]
    assert translation(reloadable, "sides") == FIRST


def test_unloaded_model_stays_so_until_it_is_loaded_by_name(reloadable: Service, toy_translator: Path) -> None:
    folder = add_model(reloadable, toy_translator, "unloaded")
    assert reloadable.client.delete("/v1/models/unloaded", headers=AS_ADMIN).status_code == 204
    assert_problem(reloadable.post("/v1/translate", {**TRANSLATE, "model": "unloaded"}), 404, "unknown_model")
    assert_problem(reloadable.client.get("/v1/models/unloaded"), 404, "unknown_model")
    assert_problem(reloadable.client.delete("/v1/models/unloaded", headers=AS_ADMIN), 404, "unknown_model")
    assert 'attendant_waiting_segments{model="unloaded"}' not in reloadable.client.get("/metrics").text
    assert reloadable.client.get("/readyz").status_code == 200
    make_version(shutil.copytree(folder, folder.with_name("unloaded-2")), "2")
    reloadable.reload()
    eventually(lambda: versions(reloadable, "unloaded") == [("unloaded", "2", "ready")])
    load(reloadable, "unloaded")
    assert versions(reloadable, "unloaded") == [("unloaded", "1", "ready"), ("unloaded", "2", "ready")]


def test_request_that_has_begun_is_answered_by_the_version_it_began_with(
    reloadable: Service, toy_translator: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its model stays loaded until it ends. To translate all its texts takes many times as long as to load a model."""
    caplog.set_level("INFO")
    folder = add_model(reloadable, toy_translator, "begun")
    texts = ["red house", *["red house. " * 20] * 90]
    expected = translations(reloadable, "begun", texts)
    make_version(folder, "2")
    body = {**TRANSLATE, "model": "begun", "text": texts, "stream": True}
    with reloadable.client.stream("POST", "/v1/translate", json=body) as stream:
        lines = stream.iter_lines()
        events = [next(lines)]
        load(reloadable, "begun")
        assert translation(reloadable, "begun") == SECOND
        assert "unloaded begun version 1" not in caplog.text
        events += lines
    found = [json.loads(line.removeprefix("data: ")) for line in events if '"target":"b"' in line]
    assert [one["text"] for one in found] == expected
    eventually(lambda: "unloaded begun version 1" in caplog.text)


def test_nothing_is_lost_or_mixed_while_versions_are_swapped(reloadable: Service, toy_translator: Path) -> None:
    """Each of the texts of a request is translated by the same version, one that served when it was asked."""
    texts = ["red house", "green dog", "one bird", "two dog"] * 3
    answers: list[list[str]] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=reloadable.url, timeout=TIMEOUT) as client:
            while not stop.is_set():
                reply = client.post("/v1/translate", json={**TRANSLATE, "model": "busy", "text": texts})
                answers.append([one["text"] for one in reply.raise_for_status().json()["translations"]])

    folder = add_model(reloadable, toy_translator, "busy")
    first = (folder / "manifest.json").read_bytes()
    complete = translations(reloadable, "busy", texts)
    make_version(folder, "2")
    load(reloadable, "busy")
    short = translations(reloadable, "busy", texts)
    assert not set(short) & set(complete)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(3, 7):
        if number % 2:
            (folder / "manifest.json").write_bytes(first)
        else:
            make_version(folder, str(number))
        seen = len(answers)
        load(reloadable, "busy")
        eventually(lambda seen=seen: len(answers) > seen + 4)  # type: ignore[misc]
    stop.set()
    for thread in threads:
        thread.join(TIMEOUT)
    assert all(answer in (complete, short) for answer in answers)
    assert complete in answers
    assert short in answers


def test_triton_clients_load_and_unload_models(reloadable: Service, toy_translator: Path) -> None:
    folder = add_model(reloadable, toy_translator, "triton")
    load_path, unload_path = (f"/v2/repository/models/triton/{change}" for change in ("load", "unload"))
    client = reloadable.client
    assert client.post(unload_path, headers=AS_ADMIN).content == b""
    assert client.get("/v2/models/triton/ready").status_code == 404
    assert client.post(load_path, headers=AS_ADMIN, json={}).status_code == 200
    assert translation(reloadable, "triton") == FIRST
    response = client.post(load_path, headers=AS_ADMIN, json={"parameters": {"config": "{}"}})
    assert (response.status_code, response.json()["error"].startswith("parameters: ")) == (400, True)
    assert client.post(load_path, headers=AS_ADMIN, json=[]).status_code == 400
    corrupt(make_version(folder, "2"), "step.onnx", b"not a graph")
    response = client.post(load_path, headers=AS_ADMIN)
    assert (response.status_code, "goes on with version 1" in response.json()["error"]) == (400, True)
    client.post(unload_path, headers=AS_ADMIN)
    shutil.rmtree(folder)


def test_model_without_an_artifact_is_not_loaded(reloadable: Service) -> None:
    problem = assert_problem(reloadable.client.put("/v1/models/no-such", headers=AS_ADMIN), 404, "unknown_model")
    assert "no artifact of a model 'no-such' in" in problem["detail"]
    assert "; there is " in problem["detail"]


def test_reload_serves_what_the_folder_has(toy_models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    models = shutil.copytree(toy_models, tmp_path / "models")
    make_version(shutil.copytree(models / "toy-translator", models / "newer"), "2")
    with reloadable_service(models) as service:
        assert (translation(service), translation(service, "toy-translator@1")) == (SECOND, FIRST)
        shutil.rmtree(models / "newer")
        shutil.rmtree(models / "toy-classifier")
        (models / "notes").mkdir()
        service.reload()
        eventually(lambda: len(versions(service)) == 2)
        assert translation(service) == FIRST
        assert versions(service) == [("toy-translator", "1", "ready"), ("notes", "", "faulty")]
        assert_problem(service.post("/v1/classify", CLASSIFY), 404, "unknown_model")
        eventually(lambda: "unloaded toy-classifier version 1" in caplog.text)
        assert "not loaded: notes: not an artifact (no manifest.json)" in caplog.text
        models.rename(models.with_name("elsewhere"))
        service.reload()
        eventually(lambda: "the served models stay: " in caplog.text)
        assert translation(service) == FIRST


def test_watched_folder_is_reloaded_when_it_has_changed(toy_models: Path, tmp_path: Path) -> None:
    models = shutil.copytree(toy_models, tmp_path / "models")
    with reloadable_service(models, watch_seconds=0.02) as service:
        make_version(models / "toy-translator", "2")
        eventually(lambda: translation(service) == SECOND)


@pytest.mark.parametrize(
    ("keys", "headers", "status", "code", "detail"),
    [
        ({}, {}, 403, "forbidden", "set ATTENDANT_ADMIN_KEYS, or send SIGHUP"),
        ({"admin_keys": ADMIN_ENTRY}, {}, 401, "unauthorised", "no API key"),
        ({"admin_keys": ADMIN_ENTRY}, {"X-API-Key": f"{ADMIN}x"}, 401, "unauthorised", "unknown API key"),
        (
            {"admin_keys": ADMIN_ENTRY, "keys": OTHER_ENTRY}, {"X-API-Key": OTHER}, 403, "forbidden",
            "key 'alice' is not an admin key",
        ),
        ({"admin_keys": ADMIN_ENTRY}, AS_ADMIN, 501, "not_supported", "the models of this service cannot be changed"),
    ],
    ids=["no setting", "no key", "unknown", "not an admin", "workers in this process"],
)  # fmt: skip
def test_models_are_changed_only_with_an_admin_key(
    serve_fake: Callable[..., Service],
    keys: dict[str, str],
    headers: dict[str, str],
    status: int,
    code: str,
    detail: str,
) -> None:
    service = serve_fake(EchoEngine(), **keys)
    for method in ("PUT", "DELETE"):
        response = service.client.request(method, "/v1/models/toy-translator", headers=headers)
        assert detail in assert_problem(response, status, code)["detail"]
    for change in ("load", "unload"):
        response = service.client.post(f"/v2/repository/models/toy-translator/{change}", headers=headers)
        assert response.status_code == status
        assert detail in response.json()["error"]


def test_admin_key_is_an_api_key_too(serve_fake: Callable[..., Service]) -> None:
    service = serve_fake(EchoEngine(), keys=OTHER_ENTRY, admin_keys=ADMIN_ENTRY)
    assert service.post("/v1/translate", TRANSLATE).status_code == 401
    assert service.post("/v1/translate", TRANSLATE, headers=AS_ADMIN).status_code == 200
