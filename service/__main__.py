"""Command line: `python -m service`, configured by environment variables (service/settings.py)."""

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import uvicorn

from service.api.reload import Reloader
from service.app import create_app, create_authenticator
from service.artifact import ArtifactError
from service.engine.process.client import EngineEvents, EngineProcess, do_nothing
from service.engine.process.log_format import JSON
from service.engine.process.runtime import (
    address_space_hint,
    configure_interpreter,
    configured_log_format,
    flush_log,
    freeze_gc,
)
from service.engine.types import EngineFailure
from service.http.api_keys import ApiKeyError, make_api_key
from service.http.connection import AdmissionProtocol
from service.http.descriptors import raise_open_files
from service.http.server import ListenError, Server, listen, on_hangup, stop_signals
from service.metrics import Metrics
from service.models.loading import load_models
from service.models.repository import ModelRepository
from service.settings import SettingsError, read_settings

log = logging.getLogger("attendant")

# Seconds that an idle connection stays open: longer than the connection pools of common clients and load balancers keep
# one (60 s). If the server closed it first, a request could arrive on a connection that has just been closed.
KEEP_ALIVE = 75


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Serve the models. Settings are environment variables: see docs/configuration.md.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    key = commands.add_parser("key", help="make an API key: print the key to stderr and its entry to stdout")
    key.add_argument("name", help="name of the key's owner, shown in logs")
    options = parser.parse_args(arguments)
    try:
        return print_key(options.name) if options.command == "key" else serve()
    except (SettingsError, ApiKeyError, ListenError, ArtifactError, EngineFailure) as error:
        return print_error(str(error))
    except (MemoryError, RuntimeError) as error:  # no memory, no thread
        if hint := address_space_hint():
            return print_error(f"the service cannot start: {type(error).__name__}: {error}{hint}")
        raise


def print_error(message: str) -> int:
    """Print an error that ends the command, after what was logged; return the exit status."""
    if configured_log_format() == JSON:
        for line in message.splitlines():
            log.error("%s", line)
        flush_log()
        return 1
    flush_log()
    sys.stderr.write("".join(f"error: {line}\n" for line in message.splitlines()))
    return 1


def print_key(name: str) -> int:
    """Make a key. Only its entry goes to stdout, so that `>> FILE` does not store the key itself.

    Raises:
        ApiKeyError: the name is invalid.
    """
    key, entry = make_api_key(name)
    sys.stderr.write(f"{key}\nThis is the key; it is not shown again. Its entry belongs in ATTENDANT_KEY_FILE:\n")
    sys.stderr.flush()
    sys.stdout.write(f"{entry}\n")
    return 0


def serve() -> int:
    """Serve until a signal stops the process; return 1 if the engine process died instead.

    Raises:
        SettingsError, ApiKeyError, ListenError, ArtifactError, EngineFailure: the service cannot start.
    """
    settings = read_settings()
    configure_interpreter(settings.log_format)
    raise_open_files(settings.max_connections)
    authenticator, metrics = create_authenticator(settings), Metrics()
    server: Server | None = None

    def on_engine_death() -> None:
        # The service stops as at a signal, but at once, so that its process manager may restart it.
        if server is not None:
            server.stop()

    on_hangup(do_nothing)  # what it would reload is being loaded
    with ExitStack() as stack:
        # The port is taken before the models are loaded, which takes time.
        sockets = [stack.enter_context(bound) for bound in listen(settings.host, settings.port)]
        if settings.grpc_port:  # gRPC takes its port later, by itself: only see that it is free
            for bound in listen(settings.host, settings.grpc_port):
                bound.close()
        engine = stack.enter_context(EngineProcess(EngineEvents(metrics.engine_restarts.inc, on_engine_death)))
        on_stop_signal(lambda: sys.exit(0))
        registry = load_models(settings, metrics, engine.start_pools)
        reloader = Reloader(settings, authenticator, ModelRepository(settings, metrics, registry, engine))
        app = create_app(settings, registry, metrics, authenticator, reloader)
        on_hangup(reloader.request)
        freeze_gc()
        for line in registry.describe():
            log.info("serving %s", line)
        names = ", ".join(sorted(authenticator.keys.digests))
        log.info("API keys: %s", names or "none; every caller is served")
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            http=AdmissionProtocol,
            ws="none",
            log_config=None,
            access_log=False,  # RequestLogMiddleware writes the access log
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
        )
        server = Server(config, app.state.admission, settings.lame_duck_seconds, settings.drain_timeout_seconds)
        server.run(sockets)
        on_stop_signal(engine.kill)  # a further signal
        engine.exit_seconds = 0.0 if server.force_exit else app.state.admission.seconds_left(engine.exit_seconds)
    return 1 if engine.died else 0


def on_stop_signal(action: Callable[[], object]) -> None:
    """Do this at a signal to stop, from now on."""
    for number in stop_signals():
        signal.signal(number, lambda *_: action())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
