"""Liveness, readiness and metrics: /healthz, /readyz, /metrics."""

import asyncio

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from service.errors import NotReady
from service.http.admission import Admission
from service.http.openapi import response_example
from service.http.problem_json import PROBLEM_FORMAT
from service.metrics import Metrics
from service.models.registry import Registry


class HealthStatus(BaseModel):
    """The state in a word, for people; probes read the HTTP status. `faulty` has the names of artifacts that could
    not be loaded; GET /v1/models says why."""

    status: str
    faulty: list[str] | None = None


class MetricsPage:
    """Renders the metrics in a thread, once for all who ask meanwhile.

    With many routes, statuses and models a page has thousands of lines and takes 100 ms, which must not hold up the
    event loop, nor be repeated for each of many scrapers at once.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._running: dict[str, asyncio.Task[bytes]] = {}  # by media type

    async def response(self, accept: str) -> Response:
        """Return the page in the format that an Accept header chooses."""
        media_type = self._metrics.media_type(accept)
        running = self._running.get(media_type)
        if running is None:
            running = asyncio.create_task(asyncio.to_thread(self._metrics.render, accept))
            self._running[media_type] = running
            running.add_done_callback(lambda _: self._running.pop(media_type))
        return Response(await asyncio.shield(running), media_type=media_type)


def health_router(registry: Registry, metrics: Metrics, admission: Admission) -> APIRouter:
    """Return the routes for orchestrators and monitoring."""
    router, page = APIRouter(tags=["health"]), MetricsPage(metrics)

    @router.get("/healthz", response_model_exclude_none=True, responses=response_example({"status": "alive"}))
    async def healthz() -> HealthStatus:
        """Return 200 while the process answers."""
        return HealthStatus(status="alive")

    @router.get(
        "/readyz",
        response_model_exclude_none=True,
        responses=PROBLEM_FORMAT.openapi_responses(NotReady) | response_example({"status": "ready"}),
    )
    async def readyz() -> HealthStatus:
        """Return 200 while the workers of every served model are alive and accept requests, and the service does not
        stop."""
        check_ready(registry, admission)
        return HealthStatus(status="ready", faulty=[artifact.name for artifact in registry.faulty] or None)

    @router.get("/metrics", response_class=Response)
    async def prometheus(request: Request) -> Response:
        """Return the metrics in Prometheus' exposition format, or in OpenMetrics if `Accept` has it."""
        return await page.response(request.headers.get("accept", ""))

    return router


def check_ready(registry: Registry, admission: Admission) -> None:
    """Check that every model is being served, and that the service is not about to stop.

    Raises:
        NotReady: some are not, or it is.
    """
    if admission.stopping:
        raise NotReady("the service is stopping")
    if problems := [f"{model.name}: {model.problem}" for model in registry if model.problem]:
        raise NotReady(f"not serving {'; '.join(problems)}")
