"""The service as a deployment of Ray Serve: the same routes and settings, with Ray's proxy, autoscaling and restarts.

    serve run deploy.ray.app:app

from the root of a checkout, in an environment with the runtime dependencies and `ray[serve]`. Every replica is a whole
service without its own listener: it loads the models, has an engine process, and is replaced when /readyz would say 503
for long. ATTENDANT_ variables set it up as they do elsewhere, except for the address, and for the stop, which is Ray's.
"""

import os
from contextlib import ExitStack

from fastapi import FastAPI
from ray import serve

from service.app import create_app
from service.engine.process.client import EngineEvents, EngineProcess
from service.metrics import Metrics
from service.models.loading import load_models
from service.models.registry import Registry
from service.settings import read_settings

CPUS = int(os.environ.get("RAY_ATTENDANT_CPUS", "2"))  # of a replica
MIN_REPLICAS = int(os.environ.get("RAY_ATTENDANT_MIN_REPLICAS", "2"))
MAX_REPLICAS = int(os.environ.get("RAY_ATTENDANT_MAX_REPLICAS", "10"))


class Unhealthy(Exception):
    """The replica cannot answer requests, and does not recover by itself."""


class Replica:
    """What one replica runs: the engine process, and the application over its models."""

    def __init__(self) -> None:
        settings = read_settings()
        if not settings.workers:  # Ray assigns CPUs by counting: the process itself could use all
            settings = settings.model_copy(update={"workers": CPUS})
        metrics = Metrics()
        self._stack = ExitStack()  # ends with the replica's process
        self._engine = self._stack.enter_context(EngineProcess(EngineEvents(metrics.engine_restarts.inc)))
        self.registry: Registry = load_models(settings, metrics, self._engine.start_pools)
        self.app: FastAPI = create_app(settings, self.registry, metrics)

    def check(self) -> None:
        """Check that the replica can answer.

        Raises:
            Unhealthy: it cannot; an engine process that is just being restarted is no reason.
        """
        if self._engine.died:
            raise Unhealthy("the engine process has died again within a minute")


_replicas: list[Replica] = []  # the one of this process, once it is built


def build() -> FastAPI:
    """Start what a replica runs, in its process, and return the application."""
    replica = Replica()
    _replicas.append(replica)
    return replica.app


@serve.deployment(
    name="attendant",
    ray_actor_options={"num_cpus": CPUS},
    max_ongoing_requests=128,  # ATTENDANT_MAX_REQUESTS, which counts in our own listener only
    max_queued_requests=256,  # of each proxy, for all replicas: further requests get 503
    health_check_period_s=2,
    health_check_timeout_s=10,
    graceful_shutdown_wait_loop_s=1,
    graceful_shutdown_timeout_s=35,
    autoscaling_config={
        "min_replicas": MIN_REPLICAS,
        "max_replicas": MAX_REPLICAS,
        "target_ongoing_requests": 32,
        "upscale_delay_s": 5,
        "downscale_delay_s": 300,
    },
)
@serve.ingress(build)
class Attendant:
    """One replica."""

    def check_health(self) -> None:
        """Have Ray replace the replica if it cannot answer."""
        for replica in _replicas:
            replica.check()


app = Attendant.bind()  # type: ignore[attr-defined] # what the decorators return has it
