"""The only composer: settings and models become an application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import RedirectResponse

from service.api import deepl, infinity, libretranslate, tei
from service.api.health import health_router
from service.api.native.routes import native_router
from service.api.native.score import score_router
from service.api.open_inference import routes as open_inference
from service.http import problem_json
from service.http.api_keys import read_keys
from service.http.auth import Authenticator, document_keys
from service.http.body_limit import Door
from service.http.error_formats import ErrorFormats
from service.http.express import Express
from service.http.rate_limit import RateLimiter
from service.http.request_log import RequestLogMiddleware
from service.metrics import Metrics
from service.models.registry import Registry
from service.settings import Settings
from service.translation.translator import Translator

DIALECTS = (libretranslate, deepl, tei, infinity, open_inference)
ERROR_FORMATS = ErrorFormats(
    problem_json.PROBLEM, {path: dialect.ERROR_FORMAT for dialect in DIALECTS for path in dialect.PATHS}
)
VERSION = "0.1.0"
DESCRIPTION = (
    "Translation and classification by continuous batching. An answer never depends on who else was in the batch."
)


def create_app(
    settings: Settings, registry: Registry, metrics: Metrics, access: Authenticator | None = None
) -> FastAPI:
    """The application over models that are loaded; it warms them up before it answers, and drains them at the end.

    Without `access`, the settings say who may come in.
    """

    translator = Translator(registry, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for model in registry:
            await model.warm_up()
        yield
        await asyncio.to_thread(registry.drain, settings.drain_timeout_seconds)

    app = FastAPI(
        title="Attendant", version=VERSION, description=DESCRIPTION, lifespan=lifespan, redoc_url=None,
        redirect_slashes=False,  # a redirect would be built from the Host header, and is no problem+json
    )  # fmt: skip
    problem_json.install(app, ERROR_FORMATS)
    native = native_router(registry, translator, settings)
    app.include_router(native)
    app.include_router(score_router(registry, settings))
    app.include_router(libretranslate.libretranslate_router(translator, settings))
    app.include_router(deepl.deepl_router(translator, settings))
    app.include_router(tei.tei_router(registry, settings))
    app.include_router(infinity.infinity_router(registry, settings))
    app.include_router(open_inference.inference_router(registry, translator, settings))
    app.include_router(health_router(registry, metrics))

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    access = access or access_of(settings)
    if access.keys.digests:
        document_keys(app)
    # From the inside out: what the door refuses is counted, and a browser may read why.
    app.add_middleware(Express, router=native, paths=("/v1/translate", "/v1/classify"), error_formats=ERROR_FORMATS)
    app.add_middleware(Door, settings=settings, access=access, error_formats=ERROR_FORMATS)
    if origins := settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "X-API-Key", "X-Request-ID"],
            expose_headers=["Retry-After", "X-Request-ID"],
        )
    app.add_middleware(RequestLogMiddleware, metrics=metrics, error_formats=ERROR_FORMATS)
    return app


def access_of(settings: Settings) -> Authenticator:
    """Who may come in, and how much each may ask.

    Raises:
        KeysError: the keys are not what they should be.
    """
    return Authenticator(read_keys(settings), RateLimiter(settings.requests_per_minute, settings.concurrent_requests))
