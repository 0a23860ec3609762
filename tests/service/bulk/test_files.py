"""The files of a translation: what is there after an interruption, and who may write to it."""

from pathlib import Path

import pytest

from service.bulk.files import BulkError, BulkOutput, Failure, read_lines

ABC: list[str | Failure] = ["a", Failure("code", "b\nad"), "c\nd"]


def test_lines_are_written_one_for_one_and_errors_have_numbers(tmp_path: Path) -> None:
    with BulkOutput(tmp_path / "out", {}) as output:
        output.write(ABC)
        output.finish()
    assert (tmp_path / "out").read_text("utf-8") == "a\n\nc d\n"
    assert (tmp_path / "out.errors").read_text("utf-8") == "2\tcode\tb ad\n"


def test_interrupted_output_is_continued_after_its_last_complete_line(tmp_path: Path) -> None:
    with BulkOutput(tmp_path / "out", {"x": 1}) as output:
        output.write(ABC)
    with (tmp_path / "out.part").open("ab") as file:
        file.write(b"not com")
    with (tmp_path / "out.errors").open("ab") as file:
        file.write(b"4\tcode\tof a line that is not done\n5\tco")
    with BulkOutput(tmp_path / "out", {"x": 1}) as output:
        assert (output.done, output.failed) == (3, 1)
        output.write(["e"])
        output.finish()
    assert (tmp_path / "out").read_text("utf-8") == "a\n\nc d\ne\n"
    assert (tmp_path / "out.errors").read_text("utf-8") == "2\tcode\tb ad\n"


def test_output_is_written_by_one_process(tmp_path: Path) -> None:
    with (
        BulkOutput(tmp_path / "out", {}),
        pytest.raises(BulkError, match="is being written by another process; wait for it"),
    ):
        BulkOutput(tmp_path / "out", {})
    with pytest.raises(BulkError, match="cannot be written"):
        BulkOutput(tmp_path / "nowhere" / "out", {})


def test_output_without_errors_has_no_file_of_errors(tmp_path: Path) -> None:
    with BulkOutput(tmp_path / "out", {}) as output:
        output.write(["a"])
        output.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_compressed_file_that_has_been_cut_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "in.gz").write_bytes(b"\x1f\x8b\x08\x00\x00")
    with pytest.raises(BulkError, match="in.gz cannot be read"):
        list(read_lines(tmp_path / "in.gz"))
