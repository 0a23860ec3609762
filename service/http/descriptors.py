"""The limit of open files, and how many connections it allows."""

import logging
import os
import sys

log = logging.getLogger("attendant")

# File descriptors for everything but connections: models, pipes, the event loop, and connections about to be closed.
RESERVE = 256


def raise_open_files(connections: int) -> None:
    """Raise this process's soft limit of open files, as far as allowed, so that it can have so many connections."""
    if sys.platform == "win32":  # no such limit
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + RESERVE
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connection_limit(wanted: int) -> int:
    """Return how many connections this process can have open, at most `wanted`; log if these are fewer."""
    if sys.platform == "win32":
        return wanted
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or wanted + RESERVE <= soft:
        return wanted
    found = max(1, soft - max(min(RESERVE, soft // 4), 0) - _open_files())
    log.warning(
        "ATTENDANT_MAX_CONNECTIONS is %d, but the limit of %d open files allows %d; raise it with `ulimit -n`",
        wanted, soft, found,
    )  # fmt: skip
    return min(wanted, found)


def _open_files() -> int:
    """Return the file descriptors in use; an estimate where the system does not list them."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 32
