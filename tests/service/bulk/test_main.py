"""Translation of files: every line once and in order, whatever happens on the way."""

import gzip
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.bulk.__main__ import main
from tests.conftest import LEXICON
from tests.service.conftest import ROOT, environment, eventually
from tests.service.fakes import TIMEOUT

COMMAND = [sys.executable, "-m", "service.bulk"]
LANGUAGES = ["--source", "a", "--target", "b", "--model", "toy-translator"]


def write_lines(path: Path, count: int) -> list[str]:
    generator = random.Random(1)
    lines = [" ".join(generator.choices(list(LEXICON), k=generator.randint(1, 4))) for _ in range(count)]
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return lines


@pytest.mark.usefixtures("_settings")
def test_each_line_gets_a_line_and_failed_ones_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"red house\n\n  \r\nred \xff house\ngreen dog\r\nred house. green dog.\nred bird")
    before = signal.getsignal(signal.SIGTERM)
    assert main([str(source), str(output), *LANGUAGES]) == 2
    assert signal.getsignal(signal.SIGTERM) == before
    lines = output.read_text("utf-8").split("\n")
    assert lines[:2] == ["rot Haus", ""]
    assert not lines[2].strip()
    assert lines[3:5] == ["", "grün Hund"]
    assert [lines[6], *lines[7:]] == ["rot Vogel", ""]
    reason = "4\tinvalid_text\tthe line is not UTF-8: invalid start byte at byte 4\n"
    assert (tmp_path / "out.errors").read_text("utf-8") == reason
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "out.errors"]
    written = capsys.readouterr().err
    assert "7 lines, 100.0 %" in written
    assert f"1 lines could not be translated: see {output}.errors" in written
    assert main([str(source), str(output), *LANGUAGES]) == 1
    assert f"error: {output} exists; remove it, or name another output" in capsys.readouterr().err


def test_killed_translation_goes_on_without_losing_or_doubling_a_line(toy_models: Path, tmp_path: Path) -> None:
    source, output, part = tmp_path / "in.gz", tmp_path / "out", tmp_path / "out.part"
    lines = write_lines(tmp_path / "in", 6000)
    source.write_bytes(gzip.compress((tmp_path / "in").read_bytes()))
    command, settings = [*COMMAND, str(source), str(output), *LANGUAGES], environment(toy_models, workers=1)
    process = subprocess.Popen(command, cwd=ROOT, env=settings, stderr=subprocess.DEVNULL)
    eventually(lambda: part.exists() and part.stat().st_size > 0)
    if hasattr(signal, "SIGSTOP"):
        os.kill(process.pid, signal.SIGSTOP)  # it cannot finish in the meantime
    process.kill()
    process.wait(TIMEOUT)
    done = part.read_bytes().count(b"\n")
    assert 0 < done < len(lines)
    with part.open("ab") as file:
        file.write(b"half a li")
    subprocess.run(command, cwd=ROOT, env=settings, stderr=subprocess.DEVNULL, check=True, timeout=60)
    again = tmp_path / "again"
    whole = [*COMMAND, str(tmp_path / "in"), str(again), *LANGUAGES]
    subprocess.run(whole, cwd=ROOT, env=settings, stderr=subprocess.DEVNULL, check=True, timeout=60)
    assert output.read_bytes() == again.read_bytes()
    assert output.read_bytes().count(b"\n") == len(lines)
    assert not part.exists()


@pytest.mark.usefixtures("_settings")
def test_output_of_another_translation_is_not_continued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    write_lines(source, 3)
    (tmp_path / "out.part").write_text("something\n", "utf-8")
    (tmp_path / "out.part.json").write_text('{"input": {}, "options": {}, "models": {}}', "utf-8")
    assert main([str(source), str(output), *LANGUAGES]) == 1
    expected = f"error: {output}.part was begun with other input and models and options; use the same, or remove it"
    assert expected in capsys.readouterr().err
    assert (tmp_path / "out.part").read_text("utf-8") == "something\n"


@pytest.mark.usefixtures("_settings")
def test_what_cannot_be_translated_at_all_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in"
    assert main([str(source), str(tmp_path / "out"), *LANGUAGES]) == 1
    assert "in cannot be read: No such file" in capsys.readouterr().err
    write_lines(source, 1)
    assert main([str(source), str(tmp_path / "out"), "--source", "a", "--target", "x"]) == 1
    assert "error: model 'toy-translator' does not translate a to x; it offers a-b, b-a" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(source), str(tmp_path / "out"), "--target", "b", "--beam-size", "99"])
    assert "--beam-size is 99; give 1 to 16" in capsys.readouterr().err
