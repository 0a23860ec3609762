"""API keys: made, kept as hashes, read from the environment and from a file, recognised."""

import hashlib
from pathlib import Path

import pytest

from service.http.api_keys import Keys, KeysError, make_key, read_keys
from service.settings import Settings

ALICE, BOB = make_key("alice"), make_key("Bob_2-x")


def test_a_new_key_is_recognised_by_its_entry_alone() -> None:
    key, entry = make_key("alice")
    name, _, secret = key.partition(".")
    assert name == "alice"
    assert len(secret) >= 43  # 256 bits
    assert entry == f"alice:{hashlib.sha256(key.encode()).hexdigest()}"
    assert secret not in entry
    assert make_key("alice")[0] != key
    assert read_keys(Settings(keys=entry)).holder(key.encode()) == "alice"


@pytest.mark.parametrize("name", ["", "-a", "a b", "a.b", "a:b", "é", "a" * 41, "a\n"])
def test_a_name_that_no_entry_can_hold(name: str) -> None:
    with pytest.raises(KeysError, match="names no key: give 1 to 40 letters"):
        make_key(name)


def test_what_is_no_key_has_no_holder() -> None:
    keys = read_keys(Settings(keys=f"{ALICE[1]}, {BOB[1]}"))
    assert keys.holder(BOB[0].encode()) == "Bob_2-x"
    wrong = ["", ".", "alice", "alice.", ALICE[0][:-1], ALICE[0] + "x", "alice." + BOB[0].partition(".")[2], ALICE[1]]
    assert [keys.holder(key.encode()) for key in wrong] == [None] * len(wrong)
    assert keys.holder(b"\xff\x00.\xfe") is None
    assert Keys().holder(ALICE[0].encode()) is None


def test_a_file_has_comments_and_blank_lines_and_adds_to_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"\ufeff# who may ask\n\n  {ALICE[1]}  # until May\r\n", "utf-8")
    assert read_keys(Settings(key_file=file)).digests.keys() == {"alice"}
    assert read_keys(Settings(key_file=file, keys=BOB[1])).digests.keys() == {"alice", "Bob_2-x"}


def test_without_a_source_there_are_no_keys() -> None:
    assert read_keys(Settings()).digests == {}


def refused(**settings: object) -> list[str]:
    with pytest.raises(KeysError) as caught:
        read_keys(Settings(**settings))  # type: ignore[arg-type]
    return str(caught.value).splitlines()


def test_every_bad_line_is_named_and_none_is_repeated(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    lines = [ALICE[0], BOB[1], "bob:hunter2", ALICE[1].upper(), BOB[1], f"a b:{'0' * 64}"]
    file.write_text("\n".join(lines), "utf-8")
    faults = refused(key_file=file)
    assert [fault.partition(f"{file}, line ")[2][:1] for fault in faults] == ["1", "3", "4", "5", "6"]
    assert "keys themselves are not kept" in faults[0]
    assert "`python -m service key NAME`" in faults[0]
    assert "a key named 'Bob_2-x' already" in faults[3]
    written = "\n".join(faults)
    assert not [secret for secret in (ALICE[0].partition(".")[2], "hunter2") if secret in written]


def test_a_plain_key_in_the_environment_is_refused_without_being_repeated() -> None:
    [fault] = refused(keys=f"{BOB[1]} {ALICE[0]}")
    assert fault.startswith("ATTENDANT_KEYS, entry 2 is not NAME:HASH")
    assert ALICE[0] not in fault


@pytest.mark.parametrize("text", ["", "# alice\n\n"])
def test_a_file_without_a_key_does_not_open_the_service(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text, "utf-8")
    rest = "holds no key; unset it to serve everybody, or add the entry of a key to it"
    assert refused(key_file=file) == [f"{file} {rest}"]


@pytest.mark.parametrize("text", ["", " ,\n"])
def test_an_empty_variable_does_not_open_the_service(text: str) -> None:
    assert refused(keys=text)[0].startswith("ATTENDANT_KEYS holds no key; unset it")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for file in (tmp_path / "missing", tmp_path, binary):
        [fault] = refused(key_file=file)
        assert fault.startswith(f"ATTENDANT_KEY_FILE: {file} cannot be read: ")
