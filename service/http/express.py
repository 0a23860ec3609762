"""The way of nearly all requests, in plain ASGI: a body that is right goes straight to its endpoint.

FastAPI takes 0.15 ms to find a route, solve its dependencies and read its body, as long as many a classification takes.
What is not plainly right here, by its path, method, media type, JSON or fields, is left to FastAPI, so that faults are
found and worded in one place; endpoints and types of bodies are the router's own.
"""

import inspect
import json
import typing
from collections.abc import Collection

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ServiceError
from service.http.body_limit import Replay
from service.http.error_formats import ErrorFormats


class Express:
    """Wraps the application, inside the door: bodies come whole. `paths` are the router's routes that are meant."""

    def __init__(self, app: ASGIApp, router: APIRouter, paths: Collection[str], error_formats: ErrorFormats) -> None:
        self.app, self.error_formats = app, error_formats
        routes = [route for route in router.routes if isinstance(route, APIRoute) and route.path in paths]
        self.routes = {
            (method, route.path): (route, body_of(route)) for route in routes for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self.routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if found is None or (b"content-type", b"application/json") not in scope["headers"]:
            await self.app(scope, receive, send)
            return
        route, kind = found
        message = await receive()
        try:
            body = kind.model_validate(json.loads(message["body"]))
        except (ValueError, RecursionError):
            await self.app(scope, Replay(message["body"], receive), send)
            return
        scope["route"] = route  # for whoever counts requests by it
        try:
            response = await route.endpoint(Request(scope, receive), body)
        except ServiceError as fault:
            response = self.error_formats.answer(scope, fault)
        await response(scope, receive, send)


def body_of(route: APIRoute) -> type[BaseModel]:
    """The type of the parameter `body` of a route's endpoint, which takes it and the request and nothing else."""
    request, body = inspect.signature(route.endpoint).parameters.values()
    assert (request.annotation, body.name) == (Request, "body"), route.path
    kind: type[BaseModel] = typing.get_args(body.annotation)[0]
    return kind
