"""Liveness, readiness and metrics: /healthz, /readyz, /metrics."""

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


def health_router(registry: Registry, metrics: Metrics, admission: Admission) -> APIRouter:
    """Return the routes for orchestrators and monitoring."""
    router = APIRouter(tags=["health"])

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
        content, media_type = metrics.render(request.headers.get("accept", ""))
        return Response(content, media_type=media_type)

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
