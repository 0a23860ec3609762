"""Server-Sent Events (WHATWG HTML, section 9.2): a response that is sent while it is computed."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import NamedTuple

from fastapi.sse import format_sse_event
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import ClientGone, InternalError, ServiceError, Stopping
from service.http.problem_json import PROBLEM_FORMAT

log = logging.getLogger(__name__)
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # no proxy may cache or buffer the stream


class Event(NamedTuple):
    """The name of an event, and its data as JSON."""

    name: str
    data: str


class EventStream(Response):
    """Send events as they are generated; an error becomes the last event, named `error`.

    FastAPI's EventSourceResponse is for generator routes: it sends status 200 before the first event is computed, and
    ends the connection on an error.
    """

    media_type = "text/event-stream"

    def __init__(self, first: Event, rest: AsyncGenerator[Event], request_id: str) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._first, self._rest, self._request_id = first, rest, request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for event in self._with_errors():
            body = format_sse_event(event=event.name, data_str=event.data)
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _with_errors(self) -> AsyncIterator[Event]:
        """Yield all events, and an error event if the generator fails."""
        yield self._first
        try:
            async with aclosing(self._rest):
                async for event in self._rest:
                    yield event
        except ClientGone:
            return
        except asyncio.CancelledError:  # the server cancels what still runs when its time to drain is over
            yield self._error_event(Stopping())
        except ServiceError as error:
            yield self._error_event(error)
        except Exception as error:
            log.exception("request %s failed", self._request_id)
            yield self._error_event(
                InternalError(f"{type(error).__name__}; the log has the details under the request id")
            )

    def _error_event(self, error: ServiceError) -> Event:
        return Event("error", bytes(PROBLEM_FORMAT.response(error, self._request_id).body).decode())


async def event_stream(events: AsyncGenerator[Event], request_id: str) -> EventStream:
    """Wait for the first event and return the response that sends it and the rest.

    An error before the first event is raised, so that the response has the status of the error.
    """
    return EventStream(await anext(events), events, request_id)
