"""`python -m service`: start-up, start-up errors, and draining at a signal."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.__main__ import main
from service.artifact import ArtifactError
from service.engine.factory import start_pools
from service.http.server import STOP_SIGNALS
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from tests.service.api.conftest import copy_with_changes
from tests.service.conftest import ROOT, Start, environment, eventually, waiting
from tests.service.fakes import TIMEOUT


def test_sigterm_finishes_accepted_requests_and_exits_with_zero(start: Start) -> None:
    service = start(rows=1, max_texts=4000)
    texts = ["one two three four five"] * 800
    with httpx.Client(base_url=service.url, timeout=TIMEOUT, verify=False) as client, ThreadPoolExecutor() as pool:
        assert client.get("/readyz").status_code == 200
        answer = pool.submit(client.post, "/v1/translate", json={"text": texts, "target": "b"})
        eventually(lambda: "rows_count" in (found := client.get("/metrics").text) and waiting(found) > 100)
        assert service.stop() == 0
        assert not answer.cancelled()
        response = answer.result(TIMEOUT)
    assert response.status_code == 200
    assert {one["text"] for one in response.json()["translations"]} == {"eins zwei drei vier fünf"}
    assert len(response.json()["translations"]) == len(texts)
    assert "Traceback" not in "".join(service.log)


def test_port_in_use_and_interrupt(start: Start, toy_models: Path) -> None:
    service = start()
    port = httpx.URL(service.url).port
    second = subprocess.run(
        [sys.executable, "-m", "service"], cwd=ROOT, env=environment(toy_models, port=port, log_format="json"),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert second.returncode != 0
    error = json.loads(second.stderr)
    assert (error["level"], error["message"].rpartition(": ")[2]) == ("ERROR", "address already in use")
    assert service.stop(signal.SIGINT) == 0
    assert "Traceback" not in "".join(service.log)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command with invalid settings; return what it writes to stderr."""

    def run(**settings: object) -> str:
        monkeypatch.setenv("ATTENDANT_PORT", "0")
        for name, value in settings.items():
            monkeypatch.setenv(f"ATTENDANT_{name.upper()}", str(value))
        handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        try:
            assert main() == 1
        finally:  # the command leaves its own, which would end the tests
            for number, handler in handlers.items():
                signal.signal(number, handler)
        written = capsys.readouterr()
        assert written.out == ""
        assert written.err.startswith("error: ")
        return written.err

    return run


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "http"),
        ("port", "65536"),
        ("rows", "0"),
        ("request_timeout_seconds", "inf"),
        ("threads", "-1"),
        ("device", "gpu"),
    ],
)
def test_setting_out_of_range_is_named(run: Callable[..., str], name: str, value: str) -> None:
    assert f"ATTENDANT_{name.upper()} is '{value}'" in run(**{name: value})


def test_all_invalid_settings_are_named(run: Callable[..., str]) -> None:
    written = run(port="x", rows="y")
    assert "ATTENDANT_PORT" in written
    assert "ATTENDANT_ROWS" in written


def test_misspelt_setting_is_reported_with_a_suggestion(run: Callable[..., str]) -> None:
    written = run(max_body_byte=1000, prot=80, rows=0).splitlines()
    assert written[0] == "error: unknown setting ATTENDANT_MAX_BODY_BYTE; did you mean ATTENDANT_MAX_BODY_BYTES?"
    assert written[1] == "error: unknown setting ATTENDANT_PROT; did you mean ATTENDANT_PORT?"
    assert written[2].startswith("error: ATTENDANT_ROWS is '0'")


def test_gpu_that_cannot_be_used_ends_the_start_with_one_sentence(run: Callable[..., str], toy_models: Path) -> None:
    lines = run(device="cuda:99", models=toy_models).splitlines()
    [error] = [line for line in lines if line.startswith("error: ")]
    assert error.startswith("error: ATTENDANT_DEVICE is 'cuda:99', but this GPU cannot be used (")
    assert error.endswith("or set ATTENDANT_DEVICE to cpu or auto")


@pytest.mark.parametrize("origin", ["example.org", "https://example.org/", "https://example.org/page", "null"])
def test_invalid_origin_is_rejected(run: Callable[..., str], origin: str) -> None:
    assert f"{origin} is not an origin; write https://host" in run(cors_origins=f"https://a.example {origin}")


def test_invalid_keys_are_rejected_before_models_are_loaded(run: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("alice.secret\nbob:secret\n", "utf-8")
    lines = run(key_file=file, models=tmp_path).splitlines()
    assert [line.partition(" is not NAME:HASH")[0] for line in lines] == [
        f"error: {file}, line 1",
        f"error: {file}, line 2",
    ]
    assert "secret" not in "".join(lines)


def test_key_command_prints_only_the_entry_to_stdout(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["key", "alice"]) == 0
    written = capsys.readouterr()
    key = written.err.splitlines()[0]
    (file := tmp_path / "keys").write_text(written.out, "utf-8")
    assert key.partition(".")[2] not in written.out
    service = start(key_file=file)
    found = [httpx.get(f"{service.url}/v1/models", headers={"X-API-Key": sent}) for sent in (key, f"{key}x")]
    assert [response.status_code for response in found] == [200, 401]
    eventually(lambda: any("key=alice" in line for line in service.log))
    assert any("API keys: alice" in line for line in service.log)
    assert not any(key in line for line in service.log)


def test_key_command_rejects_an_invalid_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "a b"]) == 1
    assert capsys.readouterr().err.startswith("error: 'a b' is not a valid key name")


@pytest.mark.parametrize("exists", [True, False])
def test_missing_artifacts_are_an_error(run: Callable[..., str], tmp_path: Path, exists: bool) -> None:
    folder = tmp_path if exists else tmp_path / "nowhere"
    assert f"{folder}: no artifact folder in it; set ATTENDANT_MODELS" in run(models=folder)


def test_unknown_default_models_are_errors(toy_models: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        load_models(
            Settings(models=toy_models, classifier="langid", translator="toy-classifier"), Metrics(), start_pools
        )
    assert str(caught.value).splitlines() == [
        "ATTENDANT_TRANSLATOR is 'toy-classifier', which is not served to translate; there is toy-translator",
        "ATTENDANT_CLASSIFIER is 'langid', which is not served to classify; there is toy-classifier",
    ]


def test_the_choice_among_several_translators_is_logged(
    toy_translator: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("new", "old"):
        copy_with_changes(toy_translator, tmp_path / name, name=name)
    for settings, logged in ((Settings(models=tmp_path), 2), (Settings(models=tmp_path, translator="old"), 0)):
        caplog.clear()
        registry = load_models(settings, Metrics(), start_pools)
        assert registry.direct_step(None, "a", "b").model.name == ("new" if logged else "old")
        assert [record.levelname for record in caplog.records] == ["WARNING"] * logged
        for source, target in [("a", "b"), ("b", "a")][:logged]:
            assert f"{source} to {target}: new translates requests that name no model, before old;" in caplog.text
        registry.drain(TIMEOUT)


def test_invalid_models_folder_exits_without_a_traceback(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    result = subprocess.run(
        [sys.executable, "-m", "service"], cwd=ROOT, env=environment(tmp_path),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "error: one: not an artifact (no manifest.json)",
        "error: two: not an artifact (no manifest.json)",
        f"error: {tmp_path}: no artifact can be served; export them again, or set ATTENDANT_MODELS",
    ]
