"""The files of a translation: a line of output for each line of input, in order, resumable after any end.

    OUT.part         the translations so far; renamed to OUT when all are done
    OUT.part.json    what they are translations of: the input, the options, the models
    OUT.errors       the lines that could not be translated, with their numbers and the reasons; the output has an empty
                     line for each

The number of lines in OUT.part says where to go on: there is no other record that could contradict it.
"""

import gzip
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

BLOCK = 1 << 20  # bytes


class BulkError(Exception):
    """Files that cannot be used; the message says what to do."""


class Failure(NamedTuple):
    """Why a line could not be translated."""

    code: str
    detail: str


class InputLine(NamedTuple):
    """A line of the input without its end, and how many bytes of the file come up to its end."""

    text: str | Failure
    position: int


def read_lines(path: Path, skip: int = 0) -> Iterator[InputLine]:
    """Yield the lines of a file in UTF-8, which may be compressed (.gz), after those to skip.

    Raises:
        BulkError: the file cannot be read.
    """
    try:
        with path.open("rb") as raw, gzip.open(raw) if path.suffix == ".gz" else raw as file:
            for number, line in enumerate(file):
                if number >= skip:
                    yield InputLine(_decoded(line), raw.tell() if file is not raw else file.tell())
    except (OSError, EOFError) as error:  # EOFError: a compressed file that has been cut
        raise BulkError(f"{path} cannot be read: {error}") from None


def _decoded(line: bytes) -> str | Failure:
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        return Failure("invalid_text", f"the line is not UTF-8: {error.reason} at byte {error.start}")


def lock(file: IO[bytes]) -> None:
    """Lock a file until it is closed, where the system can (not Windows).

    Raises:
        BlockingIOError: another process has locked it.
    """
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class BulkOutput:
    """The output of one translation; a context manager. `done` lines are there already.

    `identity` is what the lines are translations of; an output of anything else is not continued.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Open the output, or open it again after an interruption.

        Raises:
            BulkError: it exists, belongs to another translation, or cannot be written.
        """
        self.path = path
        self._part, self._state = (path.with_name(f"{path.name}{suffix}") for suffix in (".part", ".part.json"))
        self._errors_path = path.with_name(f"{path.name}.errors")
        self.failed = 0
        if path.exists():
            raise BulkError(f"{path} exists; remove it, or name another output")
        try:
            with ExitStack() as stack:
                self._file: IO[bytes] = stack.enter_context(self._part.open("ab+"))
                lock(self._file)
                self._check(identity)
                self.done = self._complete_lines()
                self._errors = self._kept_errors()
                stack.pop_all()
        except BlockingIOError:
            raise BulkError(f"{self._part} is being written by another process; wait for it") from None
        except OSError as error:
            raise BulkError(f"{path} cannot be written: {error}") from None

    def _check(self, identity: Mapping[str, Any]) -> None:
        """Check that the lines that are there belong to the same translation, or record what they will belong to."""
        text = json.dumps(identity, indent=1, sort_keys=True)
        if self._part.stat().st_size and self._state.exists():
            found = json.loads(self._state.read_text("utf-8"))
            changed = sorted(key for key in identity if found.get(key) != json.loads(text)[key])
            if changed:
                what = " and ".join(changed)
                raise BulkError(f"{self._part} was begun with other {what}; use the same, or remove it to begin again")
            return
        self._state.write_text(text, "utf-8")

    def _complete_lines(self) -> int:
        """Cut off a line that was not written completely; return how many there are."""
        self._file.seek(0)
        lines = end = position = 0
        while block := self._file.read(BLOCK):
            if found := block.count(b"\n"):
                lines += found
                end = position + block.rindex(b"\n") + 1
            position += len(block)
        self._file.truncate(end)
        self._file.seek(end)
        return lines

    def _kept_errors(self) -> IO[bytes]:
        """Open the file of errors with those of the lines that are done."""
        kept = []
        with suppress(FileNotFoundError):
            for line in self._errors_path.read_bytes().splitlines(keepends=True):
                number = line.partition(b"\t")[0]
                if line.endswith(b"\n") and number.isdigit() and int(number) <= self.done:
                    kept.append(line)
        self.failed = len(kept)
        file = self._errors_path.open("wb")
        file.writelines(kept)
        file.flush()
        return file

    def write(self, results: list[str | Failure]) -> None:
        """Append the translations of the next lines, or why there is none."""
        lines = []
        for result in results:
            self.done += 1
            if isinstance(result, Failure):
                self.failed += 1
                detail = " ".join(result.detail.split())
                self._errors.write(f"{self.done}\t{result.code}\t{detail}\n".encode())
                result = ""
            lines.append(" ".join(result.splitlines()) + "\n")
        # In this order: after an interruption, errors of lines that are not done yet are dropped.
        self._errors.flush()
        self._file.write("".join(lines).encode())
        self._file.flush()

    def translations(self, path: Path, count: int) -> Iterator[tuple[str, str]]:
        """Yield the last `count` lines of the input that are done, and their translations; not those that are no UTF-8.

        Raises:
            BulkError: the input cannot be read.
        """
        first = max(0, self.done - count)
        with self._part.open(encoding="utf-8", newline="\n") as file:
            for line, translation in zip(read_lines(path, first), islice(file, first, self.done), strict=False):
                if isinstance(line.text, str):
                    yield line.text, translation.removesuffix("\n")

    def finish(self) -> None:
        """Give the output its name; the file of errors stays only if there are some."""
        os.fsync(self._file.fileno())
        self._part.rename(self.path)
        self._state.unlink()
        if not self.failed:
            self._errors_path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._errors.close()
        self._file.close()
