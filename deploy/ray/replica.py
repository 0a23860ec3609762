"""What one replica of Ray Serve runs, in its process: the engine process, and the application over its models."""

import os
import time
from contextlib import ExitStack

from fastapi import FastAPI

from service.app import create_app
from service.engine.process.client import EngineEvents, EngineProcess
from service.metrics import Metrics
from service.models.loading import load_models
from service.models.registry import Registry
from service.settings import Settings, read_settings

CPUS = int(os.environ.get("RAY_ATTENDANT_CPUS", "2"))  # of a replica
PROBLEM_SECONDS = 90.0  # the service replaces an engine process that does not respond after a minute


class Unhealthy(Exception):
    """The replica cannot answer requests, and does not recover by itself."""


def replica_settings() -> Settings:
    """Return the settings with workers for as many CPUs as Ray assigns: by counting, the process itself could use all.

    Raises:
        SettingsError: they are invalid.
    """
    settings = read_settings()
    return settings if settings.workers else settings.model_copy(update={"workers": CPUS})


class Replica:
    """The engine process, and the application over its models."""

    def __init__(self) -> None:
        settings = replica_settings()
        metrics = Metrics()
        self._stack = ExitStack()  # ends with the replica's process
        self._engine = self._stack.enter_context(EngineProcess(EngineEvents(metrics.engine_restarts.inc)))
        self.registry: Registry = load_models(settings, metrics, self._engine.start_pools)
        self.app: FastAPI = create_app(settings, self.registry, metrics)
        self._ready_at = time.monotonic()

    def check(self) -> None:
        """Check that the replica can answer.

        Raises:
            Unhealthy: it cannot, and has not for so long that it does not recover by itself.
        """
        if self._engine.died:
            raise Unhealthy("the engine process has died again within a minute")
        now = time.monotonic()
        if not any(model.problem for model in self.registry):
            self._ready_at = now
        elif now > self._ready_at + PROBLEM_SECONDS:
            raise Unhealthy("; ".join(f"{model.name}: {model.problem}" for model in self.registry if model.problem))


_replicas: list[Replica] = []  # the one of this process, once it is built


def build() -> FastAPI:
    """Start what a replica runs, in its process, and return the application."""
    replica = Replica()
    _replicas.append(replica)
    return replica.app


def check() -> None:
    """Check the replica of this process.

    Raises:
        Unhealthy: it cannot answer.
    """
    for replica in _replicas:
        replica.check()
