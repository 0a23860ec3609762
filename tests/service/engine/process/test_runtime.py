"""What every process of the service changes about its interpreter."""

import platform
import subprocess
import sys

import pytest

ARENAS = """
import ctypes, sys, threading
from service.engine.process.runtime import limit_malloc_arenas

if sys.argv[1:]:
    limit_malloc_arenas()
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no arenas to count")
def test_threads_share_one_arena() -> None:
    def arenas(*arguments: str) -> int:
        found = subprocess.run([sys.executable, "-c", ARENAS, *arguments], capture_output=True, text=True, check=True)
        return found.stdout.count("<heap nr=")

    assert arenas() > 1
    assert arenas("shared") == 1
