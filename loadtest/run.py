"""Run the load with locust, inside this process, for a fixed time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from locust.env import Environment

from loadtest.client import ANSWER_TIMEOUT_S, Workload
from loadtest.stats import StatsRecorder
from loadtest.users import ClassifyUser, EndpointUser, TranslateUser

USERS: dict[str, type[EndpointUser]] = {"/v1/translate": TranslateUser, "/v1/classify": ClassifyUser}


@dataclass(frozen=True)
class Load:
    """The size, duration and target of the load."""

    url: str
    users: int
    spawn_rate: float
    duration_s: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """The measurements of a load, and what locust noticed."""

    recorder: StatsRecorder
    generator_was_busy: bool  # locust used more than 90 % of a core: part of the latency is its own
    errors: tuple[str, ...]  # exceptions inside a user: bugs of the load test


def run_load(load: Load, workloads: Sequence[Workload], headers: dict[str, str]) -> Outcome:
    """Start the users, let them send requests for the load's duration, and wait for their last responses."""
    user_classes: list[type[EndpointUser]] = []
    for workload in workloads:
        user_class = USERS[workload.endpoint.path]
        user_class.workload, user_class.seed, user_class.headers = workload, load.seed, headers
        user_classes.append(user_class)
    environment = Environment(
        user_classes=[*user_classes],
        host=load.url,
        locustfile="python -m loadtest",
        reset_stats=True,
        stop_timeout=ANSWER_TIMEOUT_S + 5,
    )
    runner = environment.create_local_runner()
    recorder = StatsRecorder([workload.endpoint.path for workload in workloads])
    events: Any = environment.events  # untyped in locust
    events.request.add_listener(recorder.on_request)
    events.spawning_complete.add_listener(recorder.on_spawning_complete)
    runner.start(load.users, spawn_rate=load.spawn_rate)
    try:
        if runner.spawning_greenlet:
            runner.spawning_greenlet.join()
        time.sleep(load.duration_s)
    except KeyboardInterrupt:
        pass  # ended early: report the measurements so far
    runner.quit()
    return Outcome(
        recorder=recorder,
        generator_was_busy=runner.cpu_warning_emitted,
        errors=tuple(error["msg"] for error in runner.exceptions.values()),
    )
