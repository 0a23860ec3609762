"""Server-Sent Events (WHATWG HTML, section 9.2): an answer that is told while it is being made."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import ClientGone, InternalError, ServiceError, Stopping
from service.http.problem_json import PROBLEM

log = logging.getLogger(__name__)
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # nobody on the way may hold it back


class Event(NamedTuple):
    """Its name, and its data as JSON in one line."""

    name: str
    data: str


class EventStream(Response):
    """Sends events as they come; a fault on the way is the last event, and a caller who leaves ends it."""

    media_type = "text/event-stream"

    def __init__(self, first: Event, rest: AsyncGenerator[Event], request_id: str) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._first, self._rest, self._request_id = first, rest, request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for event in self._to_the_end():
            text = f"event: {event.name}\ndata: {event.data}\n\n"
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _to_the_end(self) -> AsyncIterator[Event]:
        yield self._first
        try:
            async with aclosing(self._rest):
                async for event in self._rest:
                    yield event
        except ClientGone:
            return
        except asyncio.CancelledError:  # as the server does with what is left when its time to drain is over
            yield self._error(Stopping())
        except ServiceError as fault:
            yield self._error(fault)
        except Exception as error:
            log.exception("request %s failed", self._request_id)
            yield self._error(InternalError(f"{type(error).__name__}; the log has the details under the request id"))

    def _error(self, fault: ServiceError) -> Event:
        return Event("error", bytes(PROBLEM.response(fault, self._request_id).body).decode())


async def event_stream(events: AsyncGenerator[Event], request_id: str) -> EventStream:
    """A response that begins with the first event; what goes wrong before it is raised, and has a status of its own."""
    return EventStream(await anext(events), events, request_id)
