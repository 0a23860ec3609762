"""Routes of the Open Inference Protocol's extensions that administer a server: repository, trace, log, shared memory.

Models are loaded and unloaded for callers with an admin key. Other settings are fixed at start: these routes return
the state, settings as they are may be set, and a change is refused.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from service.api.administration import ModelAdministration
from service.api.open_inference.descriptions import (
    LOG_SETTINGS,
    REFUSALS,
    TRACE_SETTINGS,
    check_settings,
    repository_index,
)
from service.api.open_inference.error_format import ERROR_FORMAT
from service.api.open_inference.inference import find_model
from service.api.shared import MIDDLEWARE_ERRORS, refuse
from service.errors import FaultyModel, Forbidden, InvalidRequest, NotLoaded, NotSupported, UnknownModel
from service.http.forms import parse_json
from service.http.openapi import json_body, response_example
from service.models.registry import Registry

ModelPath = Annotated[str, Path(description="A model's name, or NAME@VERSION.")]
INDEX_EXAMPLE = [{"name": "langid", "version": "2", "state": "READY", "reason": ""}]
INDEX_BODY = json_body({"type": "object", "properties": {"ready": {"type": "boolean"}}}, {"ready": {"ready": True}})
INDEX_BODY["requestBody"]["required"] = False
SETTINGS_BODY = json_body({"type": "object"}, {})
SETTINGS_BODY["requestBody"]["required"] = False
REFUSED_PATHS = {
    "/systemsharedmemory/region/{region}/register": "shared_memory",
    "/cudasharedmemory/region/{region}/register": "shared_memory",
}


def administration_router(registry: Registry, administration: ModelAdministration) -> APIRouter:
    """Return the routes; they belong below /v2."""
    router = APIRouter()
    errors = ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS)
    of_model = ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS, UnknownModel, FaultyModel)
    of_body = ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS, InvalidRequest)

    @router.post("/repository/index", responses=of_body | response_example(INDEX_EXAMPLE), openapi_extra=INDEX_BODY)
    async def index(request: Request) -> list[dict[str, Any]]:
        """Return the state of every model, READY or UNAVAILABLE; with `ready`, only those that are ready."""
        return repository_index(registry, _ready_filter(await request.body()))

    of_change = ERROR_FORMAT.openapi_responses(*MIDDLEWARE_ERRORS, Forbidden, UnknownModel, NotLoaded, NotSupported)

    @router.post("/repository/models/{model}/load", responses=of_change | {200: {"content": {}}})
    async def load(model: ModelPath, request: Request) -> Response:
        """Load a model, or its new and changed versions, from the models folder; it needs an admin key.

        The body may be empty; parameters are not supported.
        """
        administration.check(request.scope)
        check_no_parameters(parse_json(await request.body() or b"{}"))
        await administration.load(request.scope, model)
        return Response()

    @router.post("/repository/models/{model}/unload", responses=of_change | {200: {"content": {}}})
    async def unload(model: ModelPath, request: Request) -> Response:
        """Unload all versions of a model; it needs an admin key. Requests that have begun are still answered."""
        await administration.unload(request.scope, model)
        return Response()

    @router.get("/trace/setting", responses=errors | response_example(TRACE_SETTINGS))
    async def trace_settings() -> dict[str, Any]:
        """Return the trace settings: nothing is traced."""
        return TRACE_SETTINGS

    @router.get("/models/{model}/trace/setting", responses=of_model | response_example(TRACE_SETTINGS))
    async def model_trace_settings(model: str) -> dict[str, Any]:
        """Return the trace settings of a model: nothing is traced."""
        find_model(registry, model)
        return TRACE_SETTINGS

    @router.post("/trace/setting", responses=of_body | response_example(TRACE_SETTINGS), openapi_extra=SETTINGS_BODY)
    async def set_trace(request: Request) -> dict[str, Any]:
        """Return the trace settings, if none of them would change."""
        check_settings(_object(await request.body()), TRACE_SETTINGS)
        return TRACE_SETTINGS

    @router.post(
        "/models/{model}/trace/setting",
        responses=of_model | of_body | response_example(TRACE_SETTINGS),
        openapi_extra=SETTINGS_BODY,
    )
    async def set_model_trace(model: str, request: Request) -> dict[str, Any]:
        """Return the trace settings of a model, if none of them would change."""
        find_model(registry, model)
        check_settings(_object(await request.body()), TRACE_SETTINGS)
        return TRACE_SETTINGS

    @router.get("/logging", responses=errors | response_example(LOG_SETTINGS))
    async def log_settings() -> dict[str, Any]:
        """Return the log settings."""
        return LOG_SETTINGS

    @router.post("/logging", responses=of_body | response_example(LOG_SETTINGS), openapi_extra=SETTINGS_BODY)
    async def set_log(request: Request) -> dict[str, Any]:
        """Return the log settings, if none of them would change."""
        check_settings(_object(await request.body()), LOG_SETTINGS)
        return LOG_SETTINGS

    for kind in ("system", "cuda"):  # clients unregister all regions before they begin
        router.get(f"/{kind}sharedmemory/status", include_in_schema=False)(_no_regions)
        router.post(f"/{kind}sharedmemory/unregister", include_in_schema=False)(_no_regions)
    for path, refusal in REFUSED_PATHS.items():
        router.post(path, include_in_schema=False)(refuse(REFUSALS[refusal]))
    return router


def check_no_parameters(body: Any) -> None:
    """Check that a request to load a model asks for nothing that is not done.

    Raises:
        InvalidRequest: it has parameters, such as another configuration or the files of a model.
    """
    if not isinstance(body, dict):
        raise InvalidRequest("body: give an object, or nothing")
    if body.get("parameters"):
        raise InvalidRequest("parameters: models are loaded as they are in the models folder; leave the parameters out")


async def _no_regions() -> list[str]:
    """Return the regions of shared memory: there are none."""
    return []


def _ready_filter(body: bytes) -> bool:
    """Return the field `ready` of a request for the index; the body may be empty.

    Raises:
        InvalidRequest: the body is not an object, or `ready` is not a boolean.
    """
    ready = _object(body).get("ready", False)
    if not isinstance(ready, bool):
        raise InvalidRequest("ready: give true or false")
    return ready


def _object(body: bytes) -> dict[str, Any]:
    """Return the fields of a body, which may be empty.

    Raises:
        InvalidRequest: the body is not an object.
    """
    fields = parse_json(body) if body else {}
    if not isinstance(fields, dict):
        raise InvalidRequest('body: give an object, such as {"ready": true}')
    return fields
