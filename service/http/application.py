"""The ASGI application: FastAPI, called without the layers that repeat what our own middleware does."""

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.request_log import RequestLogMiddleware


class Application(FastAPI):
    """FastAPI that begins an HTTP request with the log, unless its telemetry is configured.

    Outside the middleware that is added to it, FastAPI has layers for unexpected exceptions, telemetry and the size of
    bodies. `RequestLogMiddleware` answers exceptions, `BodyLimitMiddleware` limits bodies, and OpenTelemetry is
    configured before the application starts or not at all.
    """

    def add_routes(self, router: APIRouter) -> None:
        """Add the routes of a router as they are.

        `include_router` would build each of them again, for a prefix and dependencies that ours do not get.
        """
        self.router.routes.extend(router.routes)

    def build_middleware_stack(self) -> ASGIApp:
        """Build the layers, and find where an HTTP request may begin."""
        stack = layer = super().build_middleware_stack()
        if not self._native_telemetry.enabled():
            while not isinstance(layer, RequestLogMiddleware):
                layer = layer.app  # type: ignore[attr-defined] # as all of Starlette's middleware has it
        self._first = layer
        return stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.middleware_stack is None or self._first is self.middleware_stack:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await self._first(scope, receive, send)
