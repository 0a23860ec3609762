"""The application calls our own middleware directly, unless FastAPI's telemetry needs its layers."""

import pytest
from fastapi.telemetry._asgi import NativeTelemetry
from starlette.middleware.errors import ServerErrorMiddleware

from service.app import ERROR_FORMATS
from service.http.application import Application
from service.http.request_log import RequestLogMiddleware
from service.metrics import Metrics


def application() -> Application:
    app = Application()
    app.add_middleware(RequestLogMiddleware, metrics=Metrics(), error_formats=ERROR_FORMATS)
    return app


def test_requests_begin_with_the_log() -> None:
    app = application()
    assert isinstance(app.build_middleware_stack(), ServerErrorMiddleware)
    assert isinstance(app._first, RequestLogMiddleware)


def test_requests_take_all_layers_with_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NativeTelemetry, "enabled", lambda self: True)
    app = application()
    assert app.build_middleware_stack() is app._first
