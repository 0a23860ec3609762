"""Settings of the Python interpreter, the same for the service and its engine process."""

import ctypes
import gc
import logging
import sys

# Seconds after which a thread must hand the interpreter lock to a waiting thread. A worker needs the lock after each
# run of a graph, which takes a millisecond or less; with Python's default it would wait 5 ms for a thread that works.
SWITCH_INTERVAL = 0.0005
M_ARENA_MAX = -8  # parameter number of mallopt, from glibc's malloc.h


def configure_interpreter() -> None:
    """Configure logging, thread switching and memory allocation; call it before anything is loaded."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # the format shows none of them
    sys.setswitchinterval(SWITCH_INTERVAL)
    limit_malloc_arenas()


def limit_malloc_arenas() -> bool:
    """Let all threads allocate from one arena; return whether the C library supports this (glibc does).

    glibc gives each thread an arena of its own. Memory that one thread allocates and another frees fragments all of
    them, and the process grows for hours at full load.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no such function; or Windows, where None is not a library
        return False
    return bool(mallopt(M_ARENA_MAX, 1))


def freeze_gc() -> None:
    """Exclude all objects that exist now from garbage collection; they live as long as the process."""
    gc.collect()
    gc.freeze()
