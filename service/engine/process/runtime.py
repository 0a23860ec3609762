"""Settings of the Python interpreter, the same for the service and its engine process."""

import ctypes
import gc
import logging
import sys

from service.engine.process.log_format import JSON, TEXT, JsonFormatter, make_formatter
from service.engine.process.log_handler import BackgroundLogHandler

# Seconds after which a thread must hand the interpreter lock to a waiting thread. A worker needs the lock after each
# run of a graph, which takes a millisecond or less; with Python's default it would wait 5 ms for a thread that works.
SWITCH_INTERVAL = 0.0005
# Objects made and not deleted until the young ones are collected; Python's default is 700. Hundreds of requests in
# flight have more than that, all of them alive, and each visit to them stops the service. Cyclic garbage is rare here,
# see ResultFuture, but a collection of much of it would take long: 100,000 objects take 0.3 s on a slow machine.
YOUNG_OBJECTS = 20_000
# Collections of young objects until those that survived them are collected too. With Python's 10, a request with 16
# hypotheses of each of 2,000 sentences has 220,000 of those: 80 ms in one go. Each is visited once in either case.
MIDDLE_COLLECTIONS = 1
M_ARENA_MAX = -8  # parameter number of mallopt, from glibc's malloc.h


def configure_interpreter(log_format: str = TEXT) -> None:
    """Configure logging, thread switching and memory allocation; call it before anything is loaded."""
    configure_logging(log_format)
    gc.set_threshold(YOUNG_OBJECTS, MIDDLE_COLLECTIONS)
    # What the format does not show is not found out for every line; see "Optimization" in the docs of `logging`.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.logAsyncioTasks = False  # type: ignore[attr-defined] # since Python 3.12
    logging._srcfile = None
    sys.setswitchinterval(SWITCH_INTERVAL)
    limit_malloc_arenas()


def configure_logging(log_format: str) -> None:
    """Log to stderr, in a thread, unless logging is configured already."""
    if logging.root.handlers:
        return
    # Without stderr, its descriptor may be that of something else.
    handler = logging.NullHandler() if sys.stderr is None else BackgroundLogHandler(sys.stderr.fileno())
    handler.setFormatter(make_formatter(log_format))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def configured_log_format() -> str:
    """Return the format of this process's log, TEXT or JSON."""
    return JSON if any(isinstance(handler.formatter, JsonFormatter) for handler in logging.root.handlers) else TEXT


def flush_log() -> None:
    """Wait until everything that was logged is written, or until nobody reads it."""
    for handler in logging.root.handlers:
        handler.flush()


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


def release_memory() -> None:
    """Return memory that was freed to the system, where the C library would keep it for later (glibc)."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # as in `limit_malloc_arenas`
        return


def address_space_hint() -> str:
    """Return what to add to an error at start if the address space of this process is limited; else an empty string."""
    if sys.platform == "win32":
        return ""
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return ""
    return (
        f"; the address space is limited to {soft // 1024} kB: raise it with `ulimit -v`, or lower ATTENDANT_WORKERS "
        "and ATTENDANT_THREADS"
    )


def freeze_gc() -> None:
    """Exclude all objects that exist now from garbage collection; they live as long as the process."""
    gc.collect()
    gc.freeze()
