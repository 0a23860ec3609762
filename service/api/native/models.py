"""The native API's /v1/models: list, load and unload the models."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from service.api.administration import ModelAdministration
from service.api.native.responses import DirectionInfo, ModelInfo, ModelsReply
from service.api.shared import MIDDLEWARE_ERRORS
from service.errors import FaultyModel, Forbidden, NotLoaded, NotSupported, UnknownModel
from service.http.openapi import response_example
from service.http.problem_json import PROBLEM_FORMAT
from service.models.registry import Registry
from service.models.served_model import ServedModel

MODEL_EXAMPLE = {
    "name": "langid", "state": "ready", "reason": "", "version": "1", "task": "classify",
    "description": "the language of a text", "directions": [], "labels": ["de", "en"], "multi_label": False,
    "limits": {"source_length": 512, "target_length": 256}, "precision": "fp32", "licence": "CC-BY-4.0",
    "evaluation": [{"data": "leipzig", "split": "test", "metric": "accuracy", "value": 97.1}],
    "files": {"weights.bin": "51a4df881a5d3dfe95934da261686ac125e24a146bae56f2ecef130e5d583f46"},
}  # fmt: skip
CHANGE_ERRORS = (*MIDDLEWARE_ERRORS, Forbidden, UnknownModel, NotSupported)
Name = Annotated[str, Path(description="A model's name, or NAME@VERSION.", examples=["langid"])]


def models_router(registry: Registry, administration: ModelAdministration) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1", tags=["native"])
    errors = PROBLEM_FORMAT.openapi_responses

    @router.get("/models", responses=errors(*MIDDLEWARE_ERRORS) | response_example({"models": [MODEL_EXAMPLE]}))
    async def models() -> ModelsReply:
        """List the models: the served ones, then those whose artifact could not be loaded."""
        faulty = [ModelInfo(name=one.name, state="faulty", reason=one.reason) for one in registry.faulty]
        return ModelsReply(models=[*map(_model_info, registry), *faulty])

    @router.get(
        "/models/{name}",
        responses=errors(*MIDDLEWARE_ERRORS, UnknownModel, FaultyModel) | response_example(MODEL_EXAMPLE),
    )
    async def model(name: Name) -> ModelInfo:
        """Describe a served model: its newest version, or the one that is named."""
        return _model_info(registry.get(name))

    @router.put("/models/{name}", responses=errors(*CHANGE_ERRORS, NotLoaded) | response_example(MODEL_EXAMPLE))
    async def load(name: Name, request: Request) -> ModelInfo:
        """Load a model, or its new and changed versions, from the models folder; it needs an admin key.

        Requests go to the new version as soon as it has been verified and warmed up. One that fails leaves the old one
        serving, and the answer says why.
        """
        return _model_info(await administration.load(request.scope, name))

    @router.delete("/models/{name}", status_code=204, responses=errors(*CHANGE_ERRORS), response_class=Response)
    async def unload(name: Name, request: Request) -> None:
        """Unload a model, all of its versions or the one that is named; it needs an admin key.

        Requests that have begun are still answered. The model stays unloaded until it is loaded by name, its artifact
        changes, or the service starts again.
        """
        await administration.unload(request.scope, name)

    return router


def _model_info(model: ServedModel) -> ModelInfo:
    manifest = model.manifest
    return ModelInfo(
        name=manifest.name,
        state="not_ready" if model.problem else "ready",
        reason=model.problem,
        version=manifest.version,
        task=manifest.task,
        description=manifest.provenance.description,
        directions=[DirectionInfo(source=d.source, target=d.target) for d in manifest.directions],
        labels=manifest.labels,
        multi_label=manifest.multi_label,
        limits=manifest.limits.model_dump(),
        precision=manifest.precision,
        licence=manifest.provenance.licence,
        evaluation=[evaluation.model_dump() for evaluation in manifest.evaluation],
        files=manifest.files,
    )
