"""What every process of the service changes about its interpreter."""

import ctypes
import gc
import logging
import sys

# Seconds that a thread keeps the interpreter from others. A worker comes back for it after every run of a graph, of a
# millisecond or less, and would wait 5 ms, Python's default, for another one or for who reads a request.
SWITCH_INTERVAL = 0.0005
M_ARENA_MAX = -8  # mallopt's number for it, from glibc's malloc.h


def configure_interpreter() -> None:
    """Before anything is loaded."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line tells of them
    sys.setswitchinterval(SWITCH_INTERVAL)
    limit_malloc_arenas()


def limit_malloc_arenas() -> None:
    """Have all threads allocate from one arena. glibc gives each its own, and what one thread allocates and another
    frees leaves holes in all of them: memory grows for hours at full load. Other C libraries have nothing to set."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def freeze_gc() -> None:
    """It stays, and need not be looked through every time that garbage is collected."""
    gc.collect()
    gc.freeze()
