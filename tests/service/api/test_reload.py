"""API keys and rate limits that change while the service runs."""

import signal
from pathlib import Path

import httpx
import pytest

from service.http.api_keys import make_api_key
from service.settings import SettingsError, read_settings
from tests.service.conftest import CLASSIFY, Process, Start, eventually
from tests.service.fakes import TIMEOUT

(ALICE, ALICE_ENTRY), (BOB, BOB_ENTRY) = make_api_key("alice"), make_api_key("bob")


def status(service: Process, key: str) -> int:
    headers = {"X-API-Key": key}
    return httpx.post(f"{service.url}/v1/classify", json=CLASSIFY, headers=headers, timeout=TIMEOUT).status_code


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="the system has no such signal")
def test_hangup_rereads_keys_and_limits(start: Start, tmp_path: Path) -> None:
    file, keys = tmp_path / "settings", tmp_path / "keys"
    file.write_text(f"# comment\nATTENDANT_KEY_FILE={keys}\nATTENDANT_ROWS=16\n", "utf-8")
    keys.write_text(f"{ALICE_ENTRY}\n", "utf-8")
    service = start(settings_file=file)
    assert [status(service, key) for key in (ALICE, BOB)] == [200, 401]

    keys.write_text(f"{BOB_ENTRY}\n", "utf-8")
    file.write_text(f"ATTENDANT_KEY_FILE={keys}\nATTENDANT_REQUESTS_PER_MINUTE=1\nATTENDANT_ROWS=32\n", "utf-8")
    service.process.send_signal(signal.SIGHUP)
    eventually(lambda: any("ATTENDANT_ROWS has changed; this takes effect" in line for line in service.log))
    assert [status(service, key) for key in (ALICE, BOB, BOB)] == [401, 200, 429]

    keys.write_text("no entry\n", "utf-8")
    service.process.send_signal(signal.SIGHUP)
    eventually(lambda: any("API keys and limits stay as they are" in line for line in service.log))
    assert [status(service, key) for key in (ALICE, BOB)] == [401, 429]


def test_file_of_settings_is_read_after_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings"
    file.write_text("ATTENDANT_ROWS=16\nattendant_port=1\n", "utf-8")
    monkeypatch.setenv("ATTENDANT_SETTINGS_FILE", str(file))
    monkeypatch.setenv("ATTENDANT_PORT", "2")
    settings = read_settings()
    assert (settings.rows, settings.port) == (16, 2)


def test_errors_of_the_file_of_settings_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings"
    monkeypatch.setenv("ATTENDANT_SETTINGS_FILE", str(file))
    with pytest.raises(SettingsError, match="ATTENDANT_SETTINGS_FILE: .*settings cannot be read"):
        read_settings()
    file.write_text("ATTENDANT_ROW=16\nPORT=1\nATTENDANT_GUARD=maybe\n", "utf-8")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert str(caught.value).splitlines()[:2] == [
        f"{file}: unknown setting ATTENDANT_ROW; did you mean ATTENDANT_ROWS?",
        f"{file}: unknown setting PORT; did you mean ATTENDANT_PORT?",
    ]
    assert "ATTENDANT_GUARD is 'maybe'" in str(caught.value)
