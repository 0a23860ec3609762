"""The service's side of the engine process: start it, watch it, and start it again when it dies.

A ping every second asks the process whether its threads run. While it does not answer, or while a new process starts,
the models are not ready and refuse requests; those that were being computed when a process died fail. Everything but
`close` and `drain` of the pools happens in the event loop's thread, from the first request on.
"""

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from service.artifact import Artifact, ArtifactError, read_artifact
from service.engine.interfaces import Observer, PoolConfig, StartedPools
from service.engine.process import messages
from service.engine.process.channel import CAN_INHERIT, MessageChannel, MessageProtocol, encode, start_process
from service.engine.process.remote_pool import RemoteWorkerPool
from service.engine.process.runtime import address_space_hint, configured_log_format
from service.engine.types import EngineFailure

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[3]  # the folder that contains the package `service`
EXIT_SECONDS = 20.0  # until a process that does not exit is killed
PING_SECONDS = 1.0  # between two pings
HUNG_SECONDS = 5.0  # without an answer until the process counts as hung
KILL_SECONDS = 60.0  # without an answer until the process is killed, and a new one is started
RESTART_DELAY = 0.5  # seconds from the death of a process to the start of the next one
RESTART_INTERVAL = 60.0  # seconds; a process that dies sooner after the last restart is not started again

DIED = "the engine process has died and is being restarted; send the request again"
GONE = "the engine process has died"
HUNG = "the engine process does not respond; try again later"
STALLED = "a worker does not respond; try again later"


def do_nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class EngineEvents:
    """What is called in the event loop's thread when the process has been restarted, and when it stays dead."""

    on_restart: Callable[[], object] = do_nothing
    on_death: Callable[[], object] = do_nothing


class EngineProcess:
    """The engine process and the connection to it; a context manager that ends the process.

    If the process dies before its worker pools are drained, its requests fail and it is started again; if it dies a
    second time within a minute, or cannot be started, it stays dead. `inherit_socket` says how the process gets its
    end of the connection, see `channel.py`. `exit_seconds` is how long the process may take to exit at the end; then it
    is killed.
    """

    def __init__(self, events: EngineEvents = EngineEvents(), *, inherit_socket: bool = CAN_INHERIT) -> None:  # noqa: B008
        self.died = False
        self.exit_seconds = EXIT_SECONDS
        self._events, self._inherit_socket = events, inherit_socket
        self._load: messages.LoadModels | None = None
        self._pools: dict[str, RemoteWorkerPool] = {}
        self._undrained: set[str] = set()  # names of pools
        self._commands: list[messages.Command] = []  # not sent yet
        self._later = deque[messages.Command]()  # of large requests, not sent yet
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()  # the event loop keeps only a weak reference to a task
        self._transport: asyncio.Transport | None = None
        self._watch = Watch()
        self._started = -RESTART_INTERVAL  # time.monotonic() of the last restart
        self._start_process()

    def _start_process(self) -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-m", "service.engine.process", configured_log_format()]
        environment = {**os.environ, "PYTHONPATH": path}
        self._process, self._socket = start_process(command, environment, self._inherit_socket)

    def start_pools(
        self, artifacts: Sequence[Artifact], pool_config: PoolConfig, observer: Callable[[str], Observer]
    ) -> StartedPools[RemoteWorkerPool]:
        """Start the worker pools of the artifacts in the engine process.

        `observer` is called with the name of each pool and returns its observer.

        Raises:
            EngineFailure: the engine process has exited, or cannot use the device.
        """
        loaded = self._load_models(messages.LoadModels(artifacts, pool_config))
        good = [artifact for artifact in artifacts if artifact.manifest.name not in loaded.faults]
        self._load = messages.LoadModels(good, pool_config)
        self._pools = {
            name: RemoteWorkerPool(
                name, replace(pool_config, workers=workers), self._send, observer(name), self._on_drained
            )
            for name, workers in loaded.pools.items()
        }
        self._undrained = set(self._pools)
        return StartedPools(self._pools, loaded.faults)

    def _load_models(self, load: messages.LoadModels) -> messages.ModelsLoaded:
        """Have the process load the models.

        Raises:
            EngineFailure: the process has exited, or cannot use the device.
        """
        channel = MessageChannel(self._socket)
        channel.send(load)
        reply: messages.ModelsLoaded | messages.CannotStart | None = channel.receive()
        if isinstance(reply, messages.CannotStart):
            raise EngineFailure(reply.reason)
        if reply is None:
            status = self._process.wait()
            raise EngineFailure(f"the engine process ended at once, with status {status}{address_space_hint()}")
        return reply

    def _send(self, command: messages.Command) -> None:
        """Send a command; the commands of one iteration of the event loop share a message, which wakes the process.

        Of large requests one command is sent in each iteration, so that those of small ones do not wait for all.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._run(self._connect())
            self._run(self._ping())
        elif self._transport is not None and not (self._commands or self._later):
            self._loop.call_soon(self._flush)
        # A cancellation must not overtake the request.
        later = isinstance(command, messages.CancelRequest) if self._later else False
        if later or (isinstance(command, messages.SubmitRequests) and command.large):
            self._later.append(command)
        else:
            self._commands.append(command)

    def _run(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        assert self._loop is not None
        self._transport, _ = await self._loop.create_connection(
            lambda: MessageProtocol(self._on_message, self._on_connection_lost), sock=self._socket
        )
        self._watch = Watch()
        self._flush()

    def _flush(self) -> None:
        if self._transport is None:  # the process has died
            self._commands = []
            self._later.clear()
            return
        commands, self._commands = self._commands, []
        while self._later:
            commands.append(self._later.popleft())
            if isinstance(commands[-1], messages.SubmitRequests):
                break
        if commands:
            self._transport.write(encode(commands))
        if self._later and self._loop is not None:
            self._loop.call_soon(self._flush)

    def _on_message(self, message: messages.PoolEvents | messages.Pong) -> None:
        if isinstance(message, messages.Pong):
            self._watch.on_pong()
            for name, pool in self._pools.items():
                pool.queue.problem = STALLED if name in message.stalled else ""
        else:
            self._pools[message.pool].handle(message)

    async def _ping(self) -> None:
        """Send pings, and note when they are not answered, until the pools are drained."""
        while self._undrained:
            await asyncio.sleep(PING_SECONDS)
            if self._transport is None:
                continue
            silent = self._watch.on_ping()
            self._send(messages.Ping())
            if silent > HUNG_SECONDS:
                for pool in self._pools.values():
                    pool.queue.problem = HUNG
                if not self._watch.reported:
                    self._watch.reported = True
                    log.error("the engine process has not responded for %.0f s", silent)
            if silent > KILL_SECONDS:
                self.kill()

    def _on_drained(self, name: str) -> None:
        """When all pools are drained, close the connection, which ends the engine process."""
        self._undrained.discard(name)
        if not self._undrained and self._loop is not None:
            self._loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        for task in self._tasks:
            task.cancel()

    def _on_connection_lost(self) -> None:
        self._transport = None
        self._flush()
        if not self._undrained:
            for pool in self._pools.values():
                pool.on_process_death(GONE)
            return
        again = time.monotonic() - self._started < RESTART_INTERVAL
        log.error("the engine process has died%s", " again within a minute" if again else "; starting another one")
        for pool in self._pools.values():
            pool.on_process_death(GONE if again else DIED)
        if again:
            self._give_up()
        else:
            self._run(self._restart())

    def _give_up(self) -> None:
        self.died = True
        for pool in self._pools.values():
            pool.queue.close()
        self._events.on_death()

    async def _restart(self) -> None:
        """Start another process with the same models, unless the service stops meanwhile."""
        await asyncio.sleep(RESTART_DELAY)
        self._started = time.monotonic()
        try:
            await asyncio.to_thread(self._start_again)
        except (ArtifactError, EngineFailure, OSError) as error:
            log.error("the engine process could not be restarted: %s", error)  # noqa: TRY400 -- says it all
            self._give_up()
            return
        await self._connect()
        for pool in self._pools.values():
            pool.on_process_start()
        log.info("the engine process has been restarted")
        self._events.on_restart()

    def _start_again(self) -> None:
        """Start a process and load the artifacts, which must not have changed.

        Raises:
            ArtifactError, EngineFailure, OSError: that is not possible.
        """
        assert self._load is not None
        self._socket.close()
        self._process.kill()
        self._process.wait()
        for artifact in self._load.artifacts:
            if read_artifact(artifact.path).manifest != artifact.manifest:
                raise ArtifactError(f"{artifact.path}: changed since the service started; restart the service")
        self._start_process()
        if faults := self._load_models(self._load).faults:
            raise ArtifactError("; ".join(faults.values()))

    def __enter__(self) -> "EngineProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the connection, which ends the process; kill the process if it does not exit in time."""
        self._socket.close()
        try:
            self._process.wait(self.exit_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()

    def kill(self) -> None:
        """Kill the process, stopped or not. It holds nothing that has to be saved."""
        self._process.kill()


class Watch:
    """When the process last answered a ping, in monotonic seconds."""

    def __init__(self) -> None:
        self._answered = self._ticked = time.monotonic()
        self.reported = False  # that it does not answer

    def on_ping(self) -> float:
        """Return for how long the process has not answered; time in which this process did not run counts for none."""
        now = time.monotonic()
        pause = max(0.0, now - self._ticked - 2 * PING_SECONDS)
        self._ticked = now
        self._answered += pause
        return now - self._answered

    def on_pong(self) -> None:
        """Note an answer."""
        self._answered = time.monotonic()
        if self.reported:
            log.info("the engine process responds again")
        self.reported = False
