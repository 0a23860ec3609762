"""A fault for each alert of deploy/prometheus/rules.yml, induced in a running service."""

import json
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from benchmarks.http.fault_scenarios import add_faulty_artifacts
from benchmarks.operations.instance import Clients, Instance, probes, running

SENTENCE = "There are {} books in the house."
LONG_SENTENCE = "There are {} books in the house" + ", and a man with a red hat reads one of them" * 8 + "."
PROBE_SECONDS = 1.0
SMALL_BYTES = 4 << 20
CRASH_SECONDS = 3.0  # from the readiness of the service to its next death
Induce = Callable[[Instance], Iterator[None]]


@dataclass(frozen=True)
class Fault:
    """What is done to a service, the alerts that it must fire, and those that it may fire too."""

    name: str
    alerts: tuple[str, ...]
    induce: Induce  # a generator: the fault begins before its yield; the service is killed before it ends
    may_fire: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[Path], None] = lambda models: None  # changes the folder of models
    scraped: bool = True


def texts(number: int, sentence: str = SENTENCE) -> str:
    """Return the body of a translation of so many texts, each of a sentence with its number."""
    found = [sentence.format(k) for k in range(number)]
    return json.dumps({"text": found, "source": "en", "target": "de"})


def translate(instance: Instance, bodies: list[str], clients: int, addresses: int = 1) -> Clients:
    return Clients(instance.port, "/v1/translate", bodies, clients, addresses)


def nothing(instance: Instance) -> Iterator[None]:
    """Ordinary traffic and probes."""
    with translate(instance, [texts(1), texts(4)], 4).sending(), running(probes(instance.port, "/readyz", 1.0)):
        yield


def killed(instance: Instance) -> Iterator[None]:
    instance.kill()
    yield


def engine_stopped(instance: Instance) -> Iterator[None]:
    """Stop the engine process as a signal does; requests wait and probes are answered 503."""
    instance.engine.suspend()
    with running(probes(instance.port, "/readyz", PROBE_SECONDS)), translate(instance, [texts(2)], 4).sending():
        yield


def crash_loop(instance: Instance) -> Iterator[None]:
    """Kill the service a few seconds after each start."""

    def restart(ended: threading.Event) -> None:
        while not ended.wait(CRASH_SECONDS):
            instance.kill()
            instance.start()

    with running(restart):
        yield


def short_deadline(instance: Instance) -> Iterator[None]:
    """Requests that take longer than the service allows, beside short ones."""
    with translate(instance, [texts(1), texts(1), texts(1), texts(64)], 4).sending():
        yield


def too_many(instance: Instance) -> Iterator[None]:
    with translate(instance, [texts(8)], 24).sending():
        yield


def no_memory(instance: Instance) -> Iterator[None]:
    """Allow the engine process no memory for a large batch, as a full machine does, and ask for one.

    Small allocations succeed: where one fails, the process often dies, which another fault stands for.
    """
    engine = instance.engine
    engine.rlimit(resource.RLIMIT_AS, (engine.memory_info().vms + SMALL_BYTES, resource.RLIM_INFINITY))
    with translate(instance, [texts(128, LONG_SENTENCE)], 1).sending():
        yield


def engine_killed(instance: Instance) -> Iterator[None]:
    instance.engine.kill()
    yield


def flood(instance: Instance) -> Iterator[None]:
    """More sentences than the queue holds, from many callers."""
    with translate(instance, [texts(100)], 40, addresses=40).sending():
        yield


def throttled(instance: Instance) -> Iterator[None]:
    """Stop the process that answers for half of every second, as a CPU quota does."""
    process = psutil.Process(instance.process.pid)

    def throttle(ended: threading.Event) -> None:
        with suppress(psutil.NoSuchProcess):  # it was killed at the end
            while not ended.is_set():
                process.suspend()
                ended.wait(0.5)
                process.resume()
                ended.wait(0.5)

    with translate(instance, [texts(1)], 1).sending(), running(throttle):
        yield


FAULTS = (
    Fault("none: ordinary traffic", (), nothing),
    Fault("service killed", ("AttendantDown",), killed),
    Fault("scaled to zero: no instance is scraped", ("AttendantMissing",), killed, scraped=False),
    Fault("engine process stopped (SIGSTOP)", ("AttendantNotReady", "AttendantStalled"), engine_stopped,
          ("AttendantEngineRestarted", "AttendantServerErrors", "AttendantSlow")),
    Fault("service killed soon after each start", ("AttendantRestarts",), crash_loop, ("AttendantDown",)),
    Fault("deadline of 50 ms, one request in four takes longer", ("AttendantServerErrors",), short_deadline,
          settings={"ATTENDANT_REQUEST_TIMEOUT_SECONDS": "0.05"}),
    Fault("24 clients, 4 requests may be in flight", ("AttendantOverloaded",), too_many,
          settings={"ATTENDANT_MAX_REQUESTS": "4"}),
    Fault("no more memory for the engine process (RLIMIT_AS)", ("AttendantEngineFailures",), no_memory,
          ("AttendantServerErrors", "AttendantEngineRestarted")),
    Fault("engine process killed (SIGKILL)", ("AttendantEngineRestarted",), engine_killed),
    Fault("an artifact with an absurd manifest", ("AttendantFaultyArtifacts",), nothing, prepare=add_faulty_artifacts),
    Fault("40 callers with 100 texts each, again and again",
          ("AttendantSlow", "AttendantQueueSlow", "AttendantQueueNearlyFull"), flood,
          ("AttendantOverloaded", "AttendantEventLoopLag")),
    Fault("process that answers stopped for half of every second", ("AttendantEventLoopLag",), throttled,
          ("AttendantDown",)),
)  # fmt: skip


@contextmanager
def induced(fault: Fault, instance: Instance) -> Iterator[None]:
    """Induce a fault while the context lasts."""
    with contextmanager(partial(fault.induce, instance))():
        yield
