"""Command line: `python -m service`, configured by environment variables (service/settings.py)."""

import argparse
import logging
import math
import signal
import sys
from collections.abc import Sequence

import uvicorn

from service.app import access_of, create_app
from service.artifact import ArtifactError
from service.engine.process.client import EngineProcess
from service.engine.process.runtime import configure_interpreter, freeze_gc
from service.engine.types import EngineFailure
from service.http.api_keys import KeysError, make_key
from service.http.protocol import BoundedHttpProtocol
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import SettingsError, read_settings

log = logging.getLogger("attendant")

# Seconds that an idle connection stays open: longer than the pools of usual clients and load balancers (60 s) keep one,
# for who ends it first decides whether a request can meet a connection that has just been closed.
KEEP_ALIVE = 75


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m service", description="Serve the models. Settings: see README.md.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    key = commands.add_parser("key", help="make an API key: the key on stderr, its entry for the key file on stdout")
    key.add_argument("name", help="of who will hold it; logs show it")
    options = parser.parse_args(arguments)
    try:
        return print_key(options.name) if options.command == "key" else serve()
    except (SettingsError, KeysError, ArtifactError, EngineFailure) as error:
        sys.stderr.write("".join(f"error: {line}\n" for line in str(error).splitlines()))
        return 1


def print_key(name: str) -> int:
    """Only what may be kept goes to stdout, so that `>> FILE` keeps no key."""
    key, entry = make_key(name)
    sys.stderr.write(f"{key}\nThis is the key; it is shown only now. Its entry belongs into ATTENDANT_KEY_FILE:\n")
    sys.stderr.flush()
    sys.stdout.write(f"{entry}\n")
    return 0


def serve() -> int:
    """Serve until told to stop.

    Raises:
        SettingsError, KeysError, ArtifactError, EngineFailure: it cannot start.
    """
    configure_interpreter()
    settings = read_settings()
    access, metrics = access_of(settings), Metrics()
    # Without its engine the service ends as if told to, so that whatever started it may start it anew.
    with EngineProcess(on_death=lambda: signal.raise_signal(signal.SIGTERM)) as engine:
        registry = load_models(settings, metrics, engine.start_pools)
        app = create_app(settings, registry, metrics, access)
        freeze_gc()
        names = ", ".join(sorted(access.keys.digests))
        log.info("keys: %s", names or "none; whoever reaches the port is served")
        # uvicorn drains at SIGTERM, then raises the signal anew: what was asked for and done is no failure.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1 if engine.died else 0))
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.port,
            http=BoundedHttpProtocol,
            ws="none",
            log_config=None,
            access_log=False,  # the edge writes one line a request, with its id
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=math.ceil(settings.drain_timeout_seconds),
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
