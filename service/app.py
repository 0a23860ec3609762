"""The composition root: build the application from settings and loaded models."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from starlette.routing import BaseRoute

from service import __version__
from service.api import infinity, libretranslate, tei, tei_tokens
from service.api.administration import ModelAdministration
from service.api.deepl import glossaries as deepl_glossaries
from service.api.deepl import routes as deepl
from service.api.documents import deepl as deepl_documents
from service.api.documents import libretranslate as libretranslate_documents
from service.api.health import health_router
from service.api.live.routes import LiveView, live_router
from service.api.native.models import models_router
from service.api.native.routes import native_router
from service.api.native.score import score_router
from service.api.open_inference import routes as open_inference
from service.api.open_inference.inference import Inference
from service.api.reload import Reloader
from service.api.tei_metrics import TeiMetrics
from service.documents.jobs import DocumentJobs
from service.documents.translation import DocumentTranslator
from service.glossaries.store import GlossaryStore
from service.http.admission import Admission, AdmissionLimits
from service.http.api_keys import read_api_keys
from service.http.application import Application
from service.http.auth import PUBLIC_PATHS, UPLOAD_PATH, Authenticator, AuthMiddleware
from service.http.body_limit import BodyLimitMiddleware
from service.http.cors import CorsHeaders, CorsMiddleware
from service.http.descriptors import connection_limit
from service.http.docs_page import DOCS_PATH, docs_router
from service.http.error_formats import ErrorFormats
from service.http.fast_routes import FastRoutesMiddleware
from service.http.methods import MethodMiddleware
from service.http.openapi import customise_openapi
from service.http.problem_json import PROBLEM_FORMAT, add_error_handlers
from service.http.rate_limit import RateLimiter
from service.http.request_log import RequestLogMiddleware
from service.http.start_page import page_router
from service.metrics import Metrics
from service.models.registry import Registry
from service.settings import Settings, SettingsError
from service.translation.translator import Translator

if TYPE_CHECKING:
    from service.api.open_inference.grpc.server import GrpcServer
    from service.tracing.spans import Tracer

DIALECTS = (libretranslate, deepl, tei, infinity, open_inference, deepl_documents, libretranslate_documents)
ERROR_FORMATS = ErrorFormats(
    PROBLEM_FORMAT, {path: dialect.ERROR_FORMAT for dialect in DIALECTS for path in dialect.PATHS}
)
# Browser extensions and web pages use LibreTranslate's API from any origin, unless ATTENDANT_CORS_ORIGINS names some.
ANY_ORIGIN_PATHS = (*libretranslate.PATHS, *libretranslate_documents.PATHS)
UPLOAD_PATHS = (deepl_documents.UPLOAD_PATH, UPLOAD_PATH)
UPLOAD_OVERHEAD_BYTES = 65_536  # of the form around a document
DESCRIPTION = (
    "Translation and classification with continuous batching. The answer to a request never depends on which other "
    "requests were in the batch."
)


def create_app(
    settings: Settings,
    registry: Registry,
    metrics: Metrics,
    authenticator: Authenticator | None = None,
    reloader: Reloader | None = None,
) -> FastAPI:
    """Create the application over loaded models. It warms them up before it accepts requests, and drains them at the
    end.

    Without `authenticator`, one is created from the settings; without `reloader`, the models stay as they are.
    `app.state.admission` is for the server, `app.state.grpc_server` is the gRPC server, or None.

    Raises:
        ApiKeyError: the API keys in the settings are invalid.
        SettingsError: the settings ask for gRPC or traces, which are missing; or the file of the glossaries cannot
            be opened.
    """
    authenticator = authenticator or create_authenticator(settings)
    limits = AdmissionLimits(settings.max_requests, connection_limit(settings.max_connections))
    admission = Admission(limits, metrics, ERROR_FORMATS, CorsHeaders(settings.origins))

    administration = ModelAdministration(authenticator, reloader.repository if reloader else None)

    translator = Translator(registry, settings)
    inference = Inference(translator, settings)
    grpc_server = None
    if settings.grpc_port is not None:
        grpc_server = _grpc_server(registry, inference, metrics, admission, authenticator, administration)

    tracer = _tracer(settings.traces) if settings.traces else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for model in registry:
            await model.warm_up()
        if grpc_server:
            await grpc_server.start()
        if reloader:
            reloader.start()
        yield
        await documents.stop()
        if grpc_server:
            await grpc_server.stop(admission.seconds_left(settings.drain_timeout_seconds))
        if reloader:
            await reloader.stop()
        await asyncio.to_thread(registry.drain, admission.seconds_left(settings.drain_timeout_seconds))
        glossaries.close()
        if tracer:
            await asyncio.to_thread(tracer.close, admission.seconds_left(settings.drain_timeout_seconds))

    app = Application(
        title="Attendant", version=__version__, description=DESCRIPTION, lifespan=lifespan,
        # FastAPI's own root_path would take /translate for itself, not for a route, below a path of that name.
        servers=[{"url": settings.root_path}] if settings.root_path else None,
        docs_url=None, redoc_url=None,  # FastAPI's pages load scripts from other hosts
        openapi_url=None,  # FastAPI's route would generate the document in the event loop
        redirect_slashes=False,  # a redirect would use the client's Host header, and is not an error in our format
    )  # fmt: skip
    app.state.admission, app.state.grpc_server = admission, grpc_server
    add_error_handlers(app, ERROR_FORMATS)
    public = PUBLIC_PATHS | {libretranslate_documents.DOWNLOAD_PATH}
    customise_openapi(app, ERROR_FORMATS, public if authenticator.keys.digests else None)
    documents = DocumentJobs(DocumentTranslator(translator, settings), settings)
    glossaries, usage = GlossaryStore(settings.glossary_file), deepl.UsageCounter()
    app.add_routes(deepl_documents.document_router(documents, translator, glossaries, usage))
    app.add_routes(deepl.deepl_router(translator, settings, glossaries, usage))
    app.add_routes(deepl_glossaries.glossary_router(glossaries, translator))
    app.add_routes(libretranslate_documents.file_router(documents, translator, settings.root_path))
    fast_routes = _add_routes(app, settings, registry, metrics, inference, admission, administration)
    app.add_middleware(MethodMiddleware, routes=app.routes, error_formats=ERROR_FORMATS)
    app.add_middleware(FastRoutesMiddleware, routes=fast_routes, error_formats=ERROR_FORMATS)
    _add_middleware(app, settings, metrics, authenticator, tracer)
    return app


def _tracer(share: float) -> "Tracer":
    """Return what begins traces; OpenTelemetry's SDK is imported only where it is needed, as it is an extra."""
    try:
        from service.tracing.otel import OtelTracer
    except ImportError as error:
        raise SettingsError(
            f"ATTENDANT_TRACES is {share:g}, but the package {error.name} is missing; install the extra `otel`"
        ) from None
    return OtelTracer(share)


def _grpc_server(
    registry: Registry,
    inference: Inference,
    metrics: Metrics,
    admission: Admission,
    authenticator: Authenticator,
    administration: ModelAdministration,
) -> "GrpcServer":
    """Return the gRPC server; grpcio is imported only where it is needed, as it is an extra."""
    try:
        from service.api.open_inference.grpc.answers import Answers
        from service.api.open_inference.grpc.server import GrpcServer
    except ImportError as error:
        raise SettingsError(
            f"ATTENDANT_GRPC_PORT is set, but the package {error.name} is missing; install the extra `grpc`"
        ) from None
    answers = Answers(registry, inference, metrics, admission, administration)
    return GrpcServer(answers, inference.settings, metrics, admission, authenticator)


def create_authenticator(settings: Settings) -> Authenticator:
    """Create the authenticator with the API keys and the rate limits of the settings.

    Raises:
        ApiKeyError: the API keys are invalid.
    """
    return Authenticator(
        read_api_keys(settings), RateLimiter(settings.requests_per_minute, settings.concurrent_requests)
    )


def _add_routes(
    app: Application,
    settings: Settings,
    registry: Registry,
    metrics: Metrics,
    inference: Inference,
    admission: Admission,
    administration: ModelAdministration,
) -> list[BaseRoute]:
    """Add all routes except those of documents, and return those of the native API."""
    translator = inference.translator
    native, score = native_router(registry, translator, settings), score_router(registry, settings)
    app.add_routes(native)
    app.add_routes(score)
    app.add_routes(models_router(registry, administration))
    app.add_routes(libretranslate.libretranslate_router(translator, settings))
    app.add_routes(tei.tei_router(registry, translator, settings, admission))
    app.add_routes(tei_tokens.tei_tokens_router(registry, settings))
    metrics.registry.register(TeiMetrics(metrics))
    app.add_routes(infinity.infinity_router(registry, settings))
    app.add_routes(open_inference.inference_router(registry, inference, metrics, admission, administration))
    app.add_routes(health_router(registry, metrics, admission))
    app.add_routes(docs_router())

    if settings.page:
        app.add_routes(page_router())
        app.add_routes(live_router(LiveView(registry, metrics, admission)))
    else:

        @app.get("/", include_in_schema=False)
        async def root() -> RedirectResponse:
            return RedirectResponse(settings.root_path + DOCS_PATH)

    return [*native.routes, *score.routes]


def _add_middleware(
    app: FastAPI, settings: Settings, metrics: Metrics, authenticator: Authenticator, tracer: "Tracer | None"
) -> None:
    """Add the middleware, the innermost first.

    Authentication is inside the body limit, because LibreTranslate's clients send their key in the body; a key in the
    head is checked before the body is read. CORS is
    outside both, so that a browser may read why a request was rejected; the log is outside all, so that every request
    is logged and counted.
    """
    app.add_middleware(AuthMiddleware, authenticator=authenticator, error_formats=ERROR_FORMATS)
    app.add_middleware(
        BodyLimitMiddleware,
        max_bytes=settings.max_body_bytes,
        timeout_seconds=settings.body_timeout_seconds,
        error_formats=ERROR_FORMATS,
        authenticate_head=authenticator.authenticate_head,
        path_limits=dict.fromkeys(UPLOAD_PATHS, settings.max_document_bytes + UPLOAD_OVERHEAD_BYTES),
    )
    app.add_middleware(CorsMiddleware, origins=settings.origins, open_paths=ANY_ORIGIN_PATHS)
    app.add_middleware(RequestLogMiddleware, metrics=metrics, error_formats=ERROR_FORMATS, tracer=tracer)
