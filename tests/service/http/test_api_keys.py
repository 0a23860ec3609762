"""API keys: create them, read their entries from the environment and from a file, recognise them."""

import hashlib
from pathlib import Path

import pytest

from service.http.api_keys import ApiKeyError, ApiKeys, make_api_key, read_api_keys
from service.settings import Settings

ALICE, BOB = make_api_key("alice"), make_api_key("Bob_2-x")


def test_new_key_is_recognised_by_its_entry() -> None:
    key, entry = make_api_key("alice")
    name, _, secret = key.partition(".")
    assert name == "alice"
    assert len(secret) >= 43  # 256 bits
    assert entry == f"alice:{hashlib.sha256(key.encode()).hexdigest()}"
    assert secret not in entry
    assert make_api_key("alice")[0] != key
    assert read_api_keys(Settings(keys=entry)).name_of(key.encode()) == "alice"


@pytest.mark.parametrize("name", ["", "-a", "a b", "a.b", "a:b", "é", "a" * 41, "a\n"])
def test_invalid_name_is_rejected(name: str) -> None:
    with pytest.raises(ApiKeyError, match="is not a valid key name; use 1 to 40 letters"):
        make_api_key(name)


def test_unknown_key_has_no_name() -> None:
    keys = read_api_keys(Settings(keys=f"{ALICE[1]}, {BOB[1]}"))
    assert keys.name_of(BOB[0].encode()) == "Bob_2-x"
    wrong = ["", ".", "alice", "alice.", ALICE[0][:-1], ALICE[0] + "x", "alice." + BOB[0].partition(".")[2], ALICE[1]]
    assert [keys.name_of(key.encode()) for key in wrong] == [None] * len(wrong)
    assert keys.name_of(b"\xff\x00.\xfe") is None
    assert ApiKeys().name_of(ALICE[0].encode()) is None


def test_key_file_may_have_comments_and_adds_to_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"\ufeff# keys of our team\n\n  {ALICE[1]}  # until May\r\n", "utf-8")
    assert read_api_keys(Settings(key_file=file)).digests.keys() == {"alice"}
    assert read_api_keys(Settings(key_file=file, keys=BOB[1])).digests.keys() == {"alice", "Bob_2-x"}


def test_without_settings_there_are_no_keys() -> None:
    assert read_api_keys(Settings()).digests == {}


def rejected(**settings: object) -> list[str]:
    with pytest.raises(ApiKeyError) as caught:
        read_api_keys(Settings(**settings))  # type: ignore[arg-type]
    return str(caught.value).splitlines()


def test_every_invalid_line_is_named_but_not_quoted(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    lines = [ALICE[0], BOB[1], "bob:hunter2", ALICE[1].upper(), BOB[1], f"a b:{'0' * 64}"]
    file.write_text("\n".join(lines), "utf-8")
    errors = rejected(key_file=file)
    assert [error.partition(f"{file}, line ")[2][:1] for error in errors] == ["1", "3", "4", "5", "6"]
    assert "plain keys are not stored" in errors[0]
    assert "`python -m service key NAME`" in errors[0]
    assert "a key named 'Bob_2-x' already exists" in errors[3]
    written = "\n".join(errors)
    assert not [secret for secret in (ALICE[0].partition(".")[2], "hunter2") if secret in written]


def test_plain_key_in_the_environment_is_rejected_but_not_quoted() -> None:
    [error] = rejected(keys=f"{BOB[1]} {ALICE[0]}")
    assert error.startswith("ATTENDANT_KEYS, entry 2 is not NAME:HASH")
    assert ALICE[0] not in error


@pytest.mark.parametrize("text", ["", "# alice\n\n"])
def test_key_file_without_keys_is_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text, "utf-8")
    rest = "has no key; unset it to serve every caller, or add the entry of a key to it"
    assert rejected(key_file=file) == [f"{file} {rest}"]


@pytest.mark.parametrize("text", ["", " ,\n"])
def test_empty_variable_is_an_error(text: str) -> None:
    assert rejected(keys=text)[0].startswith("ATTENDANT_KEYS has no key; unset it")


def test_unreadable_key_file_is_an_error(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for file in (tmp_path / "missing", tmp_path, binary):
        [error] = rejected(key_file=file)
        assert error.startswith(f"ATTENDANT_KEY_FILE: {file} cannot be read: ")
