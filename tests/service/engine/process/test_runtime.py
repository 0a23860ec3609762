"""Settings of the interpreter."""

import ctypes
import platform
import subprocess
import sys

import pytest

from service.engine.process.runtime import limit_malloc_arenas

COUNT_ARENAS = """
import ctypes, sys, threading
from service.engine.process.runtime import limit_malloc_arenas

if sys.argv[1:]:
    assert limit_malloc_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.fdopen.restype = ctypes.c_void_p
ready = threading.Barrier(5)

def work():
    libc.malloc(1000)
    ready.wait()

threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
ready.wait()
file = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, file)
libc.fflush(file)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas to count")
def test_threads_share_one_malloc_arena() -> None:
    def arenas(*arguments: str) -> int:
        command = [sys.executable, "-c", COUNT_ARENAS, *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        return result.stdout.count("<heap nr=")

    assert arenas() > 1
    assert arenas("limited") == 1


@pytest.mark.parametrize("error", [TypeError, OSError], ids=["Windows", "no C library"])
def test_malloc_arenas_stay_as_they_are_without_a_c_library(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def load(name: None) -> None:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert not limit_malloc_arenas()


def test_malloc_arenas_stay_as_they_are_without_mallopt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not limit_malloc_arenas()
