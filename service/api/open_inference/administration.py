"""Routes of the Open Inference Protocol's extensions that administer a server: repository, trace, log, shared memory.

The service's models and settings are fixed at start, so these routes return the state; a change is refused.
"""

from typing import Any

from fastapi import APIRouter, Request

from service.api.open_inference.descriptions import LOG_SETTINGS, REFUSALS, TRACE_SETTINGS, repository_index
from service.api.open_inference.error_format import ERROR_FORMAT
from service.api.open_inference.inference import find_model
from service.api.shared import MIDDLEWARE_ERRORS, refuse
from service.errors import FaultyModel, InvalidRequest, UnknownModel
from service.http.forms import parse_json
from service.http.openapi import json_body, response_example
from service.models.registry import Registry

INDEX_EXAMPLE = [{"name": "langid", "version": "2", "state": "READY", "reason": ""}]
INDEX_BODY = json_body({"type": "object", "properties": {"ready": {"type": "boolean"}}}, {"ready": {"ready": True}})
INDEX_BODY["requestBody"]["required"] = False
REFUSED_PATHS = {
    "/repository/models/{model}/load": "loading",
    "/repository/models/{model}/unload": "loading",
    "/systemsharedmemory/region/{region}/register": "shared_memory",
    "/cudasharedmemory/region/{region}/register": "shared_memory",
}


def administration_router(registry: Registry) -> APIRouter:
    """Return the routes; they belong below /v2."""
    router = APIRouter()
    errors = ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS)
    of_model = ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS, UnknownModel, FaultyModel)
    of_body = ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS, InvalidRequest)

    @router.post("/repository/index", responses=of_body | response_example(INDEX_EXAMPLE), openapi_extra=INDEX_BODY)
    async def index(request: Request) -> list[dict[str, Any]]:
        """Return the state of every model, READY or UNAVAILABLE; with `ready`, only those that are ready."""
        return repository_index(registry, _ready_filter(await request.body()))

    @router.get("/trace/setting", responses=errors | response_example(TRACE_SETTINGS))
    async def trace_settings() -> dict[str, Any]:
        """Return the trace settings: nothing is traced."""
        return TRACE_SETTINGS

    @router.get("/models/{model}/trace/setting", responses=of_model | response_example(TRACE_SETTINGS))
    async def model_trace_settings(model: str) -> dict[str, Any]:
        """Return the trace settings of a model: nothing is traced."""
        find_model(registry, model)
        return TRACE_SETTINGS

    @router.get("/logging", responses=errors | response_example(LOG_SETTINGS))
    async def log_settings() -> dict[str, Any]:
        """Return the log settings."""
        return LOG_SETTINGS

    for kind in ("system", "cuda"):  # clients unregister all regions before they begin
        router.get(f"/{kind}sharedmemory/status", include_in_schema=False)(_no_regions)
        router.post(f"/{kind}sharedmemory/unregister", include_in_schema=False)(_no_regions)
    for path, refusal in REFUSED_PATHS.items():
        router.post(path, include_in_schema=False)(refuse(REFUSALS[refusal]))
    return router


async def _no_regions() -> list[str]:
    """Return the regions of shared memory: there are none."""
    return []


def _ready_filter(body: bytes) -> bool:
    """Return the field `ready` of a request for the index; the body may be empty.

    Raises:
        InvalidRequest: the body is not an object, or `ready` is not a boolean.
    """
    fields = parse_json(body) if body else {}
    if not isinstance(fields, dict):
        raise InvalidRequest('body: give an object, such as {"ready": true}')
    ready = fields.get("ready", False)
    if not isinstance(ready, bool):
        raise InvalidRequest("ready: give true or false")
    return ready
