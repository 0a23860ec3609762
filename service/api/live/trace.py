"""What happens to the rows of running batches, as a list that the page draws.

    [0, WORKER, ROW, SOURCE TOKENS, WIDTH]   a request joined the batch; WIDTH is its beam
    [1, WORKER]                              the worker computed a step for all rows of its batch
    [2, ROW]                                 the request left, done or cancelled

Rows have numbers of their own; the list says nothing about a caller or a text but its length.
"""

import itertools
from collections.abc import Sequence
from functools import partial

from service.engine.types import EngineRequest

JOINED, STEP, LEFT = 0, 1, 2
MAX_EVENTS = 5000  # between two calls of `take`: far more than a tenth of a second has

Event = list[int]


class BatchTrace:
    """Records the events of the batches of one worker pool; its `BatchWatcher`."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._rows: dict[EngineRequest, int] = {}
        self._numbers = itertools.count()

    def on_joined(self, worker: int, group: Sequence[EngineRequest]) -> None:
        """Record that requests have joined a worker's batch."""
        for request in group:
            row = self._rows[request] = next(self._numbers)
            self._add([JOINED, worker, row, len(request.ids), request.rows])
            # A cancelled request leaves without a result.
            request.future.add_done_callback(partial(self._on_done, request))

    def on_step(self, worker: int) -> None:
        """Record a step of a worker."""
        self._add([STEP, worker])

    def on_left(self, request: EngineRequest) -> None:
        """Record that a request has left its batch; the second time, and for one that joined unseen, do nothing."""
        if (row := self._rows.pop(request, None)) is not None:
            self._add([LEFT, row])

    def _on_done(self, request: EngineRequest, _: object) -> None:
        self.on_left(request)

    def _add(self, event: Event) -> None:
        if len(self._events) < MAX_EVENTS:
            self._events.append(event)

    def take(self) -> list[Event]:
        """Return the events since the last call."""
        events, self._events = self._events, []
        return events
