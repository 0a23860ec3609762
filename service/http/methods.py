"""ASGI middleware for the methods that HTTP defines for every resource: HEAD and OPTIONS (RFC 9110, section 9.3)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.error_formats import ErrorFormats
from service.http.problem_json import error_response


@dataclass(frozen=True)
class Resource:
    """All routes with one path."""

    path: str  # with parameters in braces; RequestLogMiddleware reads it
    pattern: re.Pattern[str]
    methods: frozenset[str]  # that it has, HEAD and OPTIONS included

    @property
    def allow(self) -> str:
        """The value of the Allow header."""
        return ", ".join(sorted(self.methods))


class MethodMiddleware:
    """Answer HEAD as GET, whose body the server leaves out, OPTIONS with Allow, and other methods than a path's own.

    An unknown path is left to the application.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute], error_formats: ErrorFormats) -> None:
        self.app, self.error_formats = app, error_formats
        resources = list(_resources(routes))
        self._exact = {resource.path: resource for resource in resources if "{" not in resource.path}
        self._templates = [resource for resource in resources if "{" in resource.path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        resource = self._find(scope["path"]) if scope["type"] == "http" else None
        if resource is None:
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD" and "GET" in resource.methods:
            await self._get(scope, receive, send)
            return
        scope["route"] = resource
        if scope["method"] == "OPTIONS":
            await Response(status_code=204, headers={"Allow": resource.allow})(scope, receive, send)
        elif scope["method"] in resource.methods:
            await self.app(scope, receive, send)
        else:
            error = HTTPException(405, headers={"Allow": resource.allow})
            await error_response(self.error_formats, scope, error)(scope, receive, send)

    def _find(self, path: str) -> Resource | None:
        return self._exact.get(path) or next((one for one in self._templates if one.pattern.match(path)), None)

    async def _get(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application as for GET. In the server's own scope the method stays HEAD."""
        inner = {**scope, "method": "GET"}
        try:
            await self.app(inner, receive, send)
        finally:
            scope["route"] = inner.get("route")


def _resources(routes: Iterable[BaseRoute]) -> Iterable[Resource]:
    """Return the resources of an application; `*` is the server as a whole, for OPTIONS."""
    found: dict[str, tuple[re.Pattern[str], set[str]]] = {}
    for route in iter_route_contexts(list(routes)):
        if route.path is not None and route.methods:
            _, methods = found.setdefault(route.path, (route.path_regex, {"OPTIONS"}))
            methods |= route.methods | ({"HEAD"} if "GET" in route.methods else set())
    for path, (pattern, methods) in found.items():
        yield Resource(path, pattern, frozenset(methods))
    yield Resource("*", re.compile(r"\*$"), frozenset[str]().union(*(methods for _, methods in found.values())))
