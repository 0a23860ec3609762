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
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from service.artifact import Artifact, ArtifactError, read_artifact
from service.engine.interfaces import Observer, PoolConfig, StartedPools, artifact_of, score_pool_id
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
        self._pool_config: PoolConfig | None = None  # that the models were loaded with
        self._artifacts: dict[str, Artifact] = {}  # that are loaded, by id
        self._pools: dict[str, RemoteWorkerPool] = {}  # by id
        self._drained: set[str] = set()  # ids of pools, when the service stops
        self._changes = ModelChanges()
        self._running = asyncio.Event()
        self._running.set()
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

        `observer` is called with the id of each pool and returns its observer.

        Raises:
            EngineFailure: the engine process has exited, or cannot use the device.
        """
        loaded = self._load_models(messages.LoadModels(artifacts, pool_config))
        self._pool_config = pool_config
        self._artifacts = {artifact.id: artifact for artifact in artifacts if artifact.id not in loaded.faults}
        return StartedPools(self._add_pools(loaded.pools, pool_config, observer), loaded.faults)

    def _add_pools(
        self, workers: Mapping[str, int], pool_config: PoolConfig, observer: Callable[[str], Observer]
    ) -> dict[str, RemoteWorkerPool]:
        """Add pools that run in the engine process, given the number of workers of each by its id."""
        added = {
            id: RemoteWorkerPool(id, replace(pool_config, workers=count), self._send, observer(id), self._on_drained)
            for id, count in workers.items()
        }
        self._pools |= added
        return added

    async def load(
        self, artifact: Artifact, pool_config: PoolConfig, observer: Callable[[str], Observer]
    ) -> Mapping[str, RemoteWorkerPool]:
        """Start the worker pools of one more artifact, beside those that run; return them by id.

        Raises:
            ArtifactError: a graph cannot be loaded, or fails a trial request.
            EngineFailure: the process died meanwhile.
        """
        await self._running.wait()
        loaded = self._changes.begin(artifact.id)
        self._send(messages.LoadModels([artifact], pool_config))
        pools = await loaded
        if not isinstance(pools, messages.ModelsLoaded) or not self._running.is_set():
            raise EngineFailure(DIED)
        if fault := pools.faults.get(artifact.id):
            raise ArtifactError(fault)
        self._artifacts[artifact.id] = artifact
        return self._add_pools(pools.pools, pool_config, observer)

    def retire(self, artifact_id: str) -> None:
        """Have no new process load an artifact, which only requests that have begun still use; then `unload` it."""
        del self._artifacts[artifact_id]

    async def unload(self, artifact_id: str) -> None:
        """End the worker pools of a retired artifact, to which nobody submits any more, and free its memory."""
        await self._running.wait()
        if artifact_id not in self._pools:  # it was not loaded again
            return
        unloaded = self._changes.begin(artifact_id)
        self._send(messages.UnloadModel(artifact_id))
        await unloaded
        for id in (artifact_id, score_pool_id(artifact_id)):
            self._pools.pop(id, None)

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

    def _on_message(self, message: messages.EngineMessage) -> None:
        match message:
            case messages.PoolEvents():
                self._pools[message.pool].handle(message)
            case messages.Pong():
                self._watch.on_pong()
                for id, pool in self._pools.items():
                    pool.queue.problem = STALLED if id in message.stalled else ""
            case messages.ModelsLoaded():
                for id in (*message.pools, *message.faults):
                    self._changes.end(id, message)
            case messages.ModelUnloaded():
                self._changes.end(message.artifact, message)

    async def _ping(self) -> None:
        """Send pings, and note when they are not answered, until the pools are drained."""
        while not self._is_drained:
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

    @property
    def _is_drained(self) -> bool:
        """Whether the service stops, and all pools are drained."""
        return bool(self._drained) and self._drained >= self._pools.keys()

    def _on_drained(self, id: str) -> None:
        """When all pools are drained, close the connection, which ends the engine process."""
        self._drained.add(id)
        if self._is_drained and self._loop is not None:
            self._loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        for task in self._tasks:
            task.cancel()

    def _on_connection_lost(self) -> None:
        self._transport = None
        self._flush()
        self._running.clear()
        self._changes.fail()
        if self._is_drained:
            for pool in self._pools.values():
                pool.on_process_death(GONE)
            return
        again = time.monotonic() - self._started < RESTART_INTERVAL
        log.error("the engine process has died%s", " again within a minute" if again else "; starting another one")
        for pool in self._pools.values():
            pool.on_process_death(GONE if again else DIED)
        self._pools = {id: pool for id, pool in self._pools.items() if artifact_of(id) in self._artifacts}
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
        self._running.set()
        for pool in self._pools.values():
            pool.on_process_start()
        log.info("the engine process has been restarted")
        self._events.on_restart()

    def _start_again(self) -> None:
        """Start a process and load the artifacts, which must not have changed.

        Raises:
            ArtifactError, EngineFailure, OSError: that is not possible.
        """
        assert self._pool_config is not None
        self._socket.close()
        self._process.kill()
        self._process.wait()
        artifacts = list(self._artifacts.values())
        for artifact in artifacts:
            if read_artifact(artifact.path).manifest != artifact.manifest:
                raise ArtifactError(f"{artifact.path}: changed since the service started; restart the service")
        self._start_process()
        if faults := self._load_models(messages.LoadModels(artifacts, self._pool_config)).faults:
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


class ModelChanges:
    """The models that are being loaded or unloaded, each with the future of the engine process's reply."""

    def __init__(self) -> None:
        self._futures: dict[str, asyncio.Future[messages.EngineMessage | None]] = {}

    def begin(self, artifact_id: str) -> "asyncio.Future[messages.EngineMessage | None]":
        """Return the future of the reply about an artifact; None: the process died before it."""
        future = self._futures[artifact_id] = asyncio.get_running_loop().create_future()
        return future

    def end(self, artifact_id: str, reply: messages.EngineMessage) -> None:
        """Set the reply about an artifact, if somebody waits for it."""
        self._set(self._futures.pop(artifact_id, None), reply)

    def fail(self) -> None:
        """Set that the process died before it replied."""
        futures, self._futures = self._futures, {}
        for future in futures.values():
            self._set(future, None)

    @staticmethod
    def _set(
        future: "asyncio.Future[messages.EngineMessage | None] | None", reply: messages.EngineMessage | None
    ) -> None:
        if future is not None and not future.done():
            future.set_result(reply)


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
