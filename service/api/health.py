"""Is it alive, is it ready, how does it do: /healthz, /readyz, /metrics."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from service.errors import NotReady
from service.http.problem_json import responses
from service.metrics import Metrics
from service.models.registry import Registry


class Health(BaseModel):
    """A word for people; machines read the status code."""

    status: str


def health_router(registry: Registry, metrics: Metrics) -> APIRouter:
    """The routes that orchestrators ask."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def healthz() -> Health:
        """The process answers."""
        return Health(status="alive")

    @router.get("/readyz", responses=responses(NotReady))
    async def readyz() -> Health:
        """Every model's workers are alive and take requests."""
        ready(registry)
        return Health(status="ready")

    @router.get("/metrics", response_class=Response)
    async def prometheus() -> Response:
        """Prometheus exposition."""
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return router


def ready(registry: Registry) -> None:
    """Raises NotReady unless every model is being served."""
    if out := [model.name for model in registry if not model.ready]:
        raise NotReady(f"not serving: {', '.join(out)}; restart the process")
