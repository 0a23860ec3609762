"""Text files as numbered lines: UTF-8 or UTF-16, with or without a byte order mark, gzipped or not."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class CorpusError(ValueError):
    """A corpus that cannot be used; the message names file and line."""


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line, with its line end.

    UTF-8 is decoded line by line, so that an error names its line.

    Raises:
        CorpusError: the file is missing, damaged or neither UTF-8 nor UTF-16.
    """
    number = 0
    try:
        with _open(path) as stream:
            encoding, mark = _encoding(stream.peek(4))
            stream.read(mark)
            if encoding != "utf-8":
                yield from _decode_whole(path, stream.read(), encoding)
                return
            for number, line in enumerate(stream, start=1):
                if number == 1 and b"\0" in line:
                    raise CorpusError(
                        f"{path}:1: NUL bytes: UTF-16 without a byte order mark, or no text file; save it as UTF-8"
                    )
                yield number, line.decode("utf-8")
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; give the data folder with --data") from None
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path}:{number}: not UTF-8: {error}; save it as UTF-8, for example with `iconv -f WINDOWS-1252 -t UTF-8`"
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CorpusError(f"{path}:{number + 1}: damaged gzip file: {error}") from None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from None


def encoding_of(path: Path) -> str:
    """Return the encoding that `read_lines` decodes: `utf-8`, `utf-16-le` or `utf-16-be`.

    Raises:
        OSError: the file cannot be read.
    """
    with _open(path) as stream:
        return _encoding(stream.peek(4))[0]


def _open(path: Path) -> io.BufferedReader:
    if path.suffix == ".gz":
        return io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(path)))
    return path.open("rb")


def _encoding(start: bytes) -> tuple[str, int]:
    """Return the encoding of a file by its first bytes, and the length of its byte order mark."""
    return next(((name, len(mark)) for mark, name in BYTE_ORDER_MARKS if start.startswith(mark)), ("utf-8", 0))


def _decode_whole(path: Path, data: bytes, encoding: str) -> Iterator[tuple[int, str]]:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].decode(encoding, "ignore").count("\n") + 1
        raise CorpusError(f"{path}:{line}: not {encoding.upper()}: {error.reason}; save it as UTF-8") from None
    yield from enumerate(io.StringIO(text, newline="\n"), start=1)
