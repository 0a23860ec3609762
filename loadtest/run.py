"""The load itself: a locust run inside this process, which ends when its time is up."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from locust.env import Environment
from locust.html import get_html_report
from locust.stats import stats_history

from loadtest.client import ANSWER_TIMEOUT_S, Bench
from loadtest.stats import Recorder
from loadtest.users import BenchUser, ClassifyUser, TranslateUser

make_page: Callable[..., str] = get_html_report
USERS: dict[str, type[BenchUser]] = {"/v1/translate": TranslateUser, "/v1/classify": ClassifyUser}


@dataclass(frozen=True)
class Load:
    """How much, how long, and where to."""

    url: str
    users: int
    spawn_rate: float
    duration_s: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    recorder: Recorder
    html: str  # locust's own page
    generator_was_busy: bool  # locust saw its own process above 90 % of a core: latencies are partly ours
    errors: tuple[str, ...]  # exceptions inside a user, which is a fault of the load test


def drive(load: Load, benches: Sequence[Bench], headers: dict[str, str]) -> Outcome:
    """Spawn the users, let them ask for the load's duration, let them finish their last request."""
    user_classes: list[type[BenchUser]] = []
    for bench in benches:
        user_class = USERS[bench.endpoint.path]
        user_class.bench, user_class.seed, user_class.headers = bench, load.seed, headers
        user_classes.append(user_class)
    environment = Environment(
        user_classes=[*user_classes],
        host=load.url,
        locustfile="python -m loadtest",
        reset_stats=True,
        stop_timeout=ANSWER_TIMEOUT_S + 5,
    )
    runner = environment.create_local_runner()
    recorder = Recorder([bench.endpoint.path for bench in benches])
    events: Any = environment.events  # locust leaves these untyped
    events.request.add_listener(recorder.on_request)
    events.spawning_complete.add_listener(recorder.on_spawning_complete)
    runner.start(load.users, spawn_rate=load.spawn_rate)
    try:
        if runner.spawning_greenlet:
            runner.spawning_greenlet.join()
        runner.greenlet.spawn(stats_history, runner)  # the curves of the page
        time.sleep(load.duration_s)
    except KeyboardInterrupt:
        pass  # ended early: what was measured is reported
    runner.quit()
    return Outcome(
        recorder=recorder,
        html=make_page(environment, show_download_link=False),
        generator_was_busy=runner.cpu_warning_emitted,
        errors=tuple(error["msg"] for error in runner.exceptions.values()),
    )
