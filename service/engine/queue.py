"""The queue of one worker pool, shared by its workers: what joins a batch next.

What is admitted is decided by its `Occupancy`, see `occupancy.py`.
"""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from service.engine.fair_order import FairClock, FairOrder
from service.engine.occupancy import SMALL_REQUEST, Occupancy, QueueFull, QueueLimits, decrement
from service.engine.types import EngineRequest, Sender

# Of the rows of a pool's only worker, large requests may take this share while small requests come; of all rows, a
# caller may take it before its requests count as large while other callers are there.
LARGE_SHARE = 4
# While small requests come, large ones may add this share of `encode_tokens` before a step of the only worker.
LARGE_ENCODE_SHARE = 16
# Newcomers that join together cost less: between two joins, steps displace the encoder's weights from the cache.
JOINING_ROWS = 8  # a worker that runs at least as many rows lets newcomers wait until so many can join
JOINING_SHARE = 4  # ... or as many as this share of its rows
CONTENTION_SECONDS = 1.0  # how long large requests leave room after a small one
SMALL_WORKER = 0  # the one of several workers that runs small requests only, as long as both kinds come
BULK_WEIGHT = 1 / 16  # the share of a bulk caller beside an interactive one


class Closed(Exception):
    """The queue accepts no more requests: it is draining, or a worker has died."""


class Unavailable(Exception):
    """No request can be computed now, for a reason that passes."""


class Queue:
    """The waiting requests of one worker pool, and what its workers run.

    Requests are taken in fair order: see `fair_order.py`. A step takes longer the more rows it has, so while small
    requests come, large ones, and those that are marked as bulk, keep out of the batch of one worker; of an only
    worker they take a part of the rows.
    """

    def __init__(self, limits: QueueLimits, workers: int = 1) -> None:
        self.limits = limits
        self.workers = workers
        self._occupancy = Occupancy(limits)
        self._rows_waiting = self._rows_running = 0
        clock = FairClock()
        self._small: FairOrder[EngineRequest] = FairOrder(2, clock)
        self._large: FairOrder[EngineRequest] = FairOrder(2, clock)
        self._bulk: FairOrder[EngineRequest] = FairOrder(2, clock, BULK_WEIGHT)
        self._large_unfinished = 0  # segments that wait or run
        self._by_sender, self._by_caller = Counter[Sender](), Counter[int]()  # unfinished segments
        self._contended_until = 0.0  # monotonic seconds
        self._rows_of = Counter[int]()  # running rows by worker
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False

    def add_worker(self) -> int:
        """Return the number under which a further worker takes requests."""
        return next(self._numbers)

    @property
    def rows_per_worker(self) -> int:
        """Rows that one worker may run; a request that needs more is never scheduled."""
        return max(1, self.limits.rows // self.workers)

    @property
    def waiting(self) -> int:
        """Segments in the queue."""
        return self._occupancy.segments

    @property
    def closed(self) -> bool:
        """Whether the queue accepts no more requests."""
        return self._closed

    def submit(self, requests: Sequence[EngineRequest]) -> None:
        """Add all of the requests, which have the same sender, or none of them.

        Raises:
            QueueFull: they exceed the limits together with the requests that already wait.
            Closed: the queue accepts no more requests.
        """
        self._add(requests, bounded=True)

    def reserve(self, sender: Sender, segments: int) -> None:
        """Hold a place for so many segments until the sender submits something, or until `end_reservation`.

        Raises:
            QueueFull: there is none.
        """
        with self._changed:
            self._check(lambda: self._occupancy.reserve(sender, segments))

    def end_reservation(self, sender: Sender) -> None:
        """Give up the place that is held for a sender, if there is one."""
        with self._changed:
            self._occupancy.end_reservation(sender)

    def submit_admitted(self, requests: Sequence[EngineRequest]) -> None:
        """Add requests that were admitted elsewhere, however many wait: the limits apply once, where they are admitted.

        Raises:
            Closed: the queue accepts no more requests.
        """
        self._add(requests, bounded=False)

    def _add(self, requests: Sequence[EngineRequest], *, bounded: bool) -> None:
        with self._changed:
            if self._closed:
                raise Closed("the model takes no more requests")
            if not requests:
                return
            if bounded:
                self._check(lambda: self._occupancy.use_reservation(requests))
            elif self._occupancy.overflows(len(requests)):
                self._remove_cancelled()
            lane = self._lane(requests)
            self._occupancy.add(requests)
            for request in requests:
                request.large = lane is not self._small
                lane.push((request.sender.caller, request.sender.request), request)
                self._count(request)
            self._changed.notify_all()

    def _check(self, check: Callable[[], None]) -> None:
        """Check for room, again without the cancelled requests if there is none."""
        try:
            check()
        except QueueFull:
            self._remove_cancelled()
            check()

    def _lane(self, requests: Sequence[EngineRequest]) -> FairOrder[EngineRequest]:
        """Return the lane for requests of one sender, counted together with the sender's unfinished ones."""
        sender = requests[0].sender
        if sender.bulk:
            return self._bulk
        own = len(requests) + self._by_caller[sender.caller] if len(self._by_caller) > 1 else 0
        if len(requests) + self._by_sender[sender] > SMALL_REQUEST or own * LARGE_SHARE > self.limits.rows:
            return self._large
        return self._small

    def _count(self, request: EngineRequest) -> None:
        """Count a request that begins to wait, but for its occupancy."""
        self._rows_waiting += request.rows
        self._large_unfinished += request.large
        self._by_sender[request.sender] += 1
        self._by_caller[request.sender.caller] += 1
        self._note_contention(request)

    def _count_out(self, request: EngineRequest) -> None:
        """Count a request that is finished or cancelled."""
        self._large_unfinished -= request.large
        decrement(self._by_sender, request.sender)
        decrement(self._by_caller, request.sender.caller)
        self._note_contention(request)

    def _note_contention(self, request: EngineRequest) -> None:
        """When a small request meets large ones, have the large ones leave room for a while."""
        if self._large_unfinished and not request.large:
            self._contended_until = time.monotonic() + CONTENTION_SECONDS

    def _leave_queue(self, request: EngineRequest) -> None:
        self._occupancy.remove(request)
        self._rows_waiting -= request.rows

    def _remove_cancelled(self) -> None:
        for lane in (self._small, self._large, self._bulk):
            for request in lane.remove_cancelled():
                self._leave_queue(request)
                self._count_out(request)

    def dequeue(
        self, worker: int, running_rows: int, large_rows: int = 0, wait: bool = True
    ) -> list[EngineRequest] | None:
        """Return the next requests for a worker, in fair order; None when closed and empty.

        As many requests as fit into the worker's rows, of which it runs `running_rows` and of these `large_rows` for
        large requests, its fair share of all rows, and the encode budget. Blocks while nothing waits for the worker and
        it runs nothing, unless `wait` is False.
        """
        with self._changed:
            while not (lanes := self._lanes(worker, running_rows)) and wait and not running_rows:
                if self._closed and not self.waiting:
                    return None
                # What waits for another worker is everybody's when the contention ends.
                self._changed.wait(max(0.0, self._contended_until - time.monotonic()) if self.waiting else None)
            selected = self._select(lanes, running_rows, large_rows)
            rows = sum(request.rows for request in selected)
            self._rows_of[worker] += rows
            self._rows_running += rows
            return selected

    def too_few_can_join(self, running_rows: int) -> bool:
        """Return whether the requests that can join a worker's batch should wait for others to join with them.

        Never if the worker runs few rows, so that a request on an idle machine is computed at once, nor while small
        requests meet large ones.
        """
        with self._changed:
            if not self.waiting or running_rows < JOINING_ROWS or self._contended:
                return False
            can_join = min(self._rows_waiting, self.rows_per_worker - running_rows)
            return can_join < min(JOINING_ROWS, self.rows_per_worker // JOINING_SHARE)

    def _lanes(self, worker: int, occupied: int) -> list[FairOrder[EngineRequest]]:
        """Return the lanes from which a worker with so many occupied rows takes requests now, if they have any."""
        lanes: tuple[FairOrder[EngineRequest], ...] = (self._small, self._large, self._bulk)
        if self.workers > 1 and self._contended:
            if worker == SMALL_WORKER:
                lanes = (self._small,)
            elif occupied >= self._rows_of[SMALL_WORKER]:
                lanes = (self._large, self._bulk)
        return [lane for lane in lanes if lane]

    @property
    def _contended(self) -> bool:
        """Whether small requests come beside large ones."""
        return time.monotonic() < self._contended_until

    def _select(self, lanes: list[FairOrder[EngineRequest]], occupied: int, large_rows: int) -> list[EngineRequest]:
        """Take requests out of these lanes; the last one may take the worker beyond its fair share.

        A worker of many rows may exceed it by `JOINING_ROWS`: two half groups would cost more than one.
        """
        share = -(-(self._rows_waiting + self._rows_running) // self.workers)
        if occupied >= JOINING_ROWS:
            share = max(share, occupied + JOINING_ROWS)
        contended = self.workers == 1 and self._contended
        budget = _LargeBudget(self.limits, self.rows_per_worker, large_rows, contended)
        selected: list[EngineRequest] = []
        longest = 0
        while lanes and occupied < share:
            lane = min(lanes, key=lambda one: one.tag)
            request = lane.peek()
            if request.cancelled:
                self._count_out(request)
            elif request.large and not budget.allows(request):
                lanes.remove(lane)
                continue
            else:
                longest = max(longest, len(request.ids))
                if occupied + request.rows > self.rows_per_worker:
                    break
                if selected and longest * (len(selected) + 1) > self.limits.encode_tokens:
                    break
                selected.append(request)
                occupied += request.rows
                budget.spend(request)
            self._leave_queue(lane.pop())
            if not lane:
                lanes.remove(lane)
        return selected

    def release(self, worker: int, requests: Iterable[EngineRequest]) -> None:
        """Count the rows of a worker's finished requests as free."""
        with self._changed:
            for request in requests:
                self._rows_running -= request.rows
                self._rows_of[worker] -= request.rows
                self._count_out(request)

    def close(self) -> None:
        """Accept no more requests; the waiting ones are still computed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def fail_waiting(self, error: Exception) -> None:
        """Close, and fail every waiting request."""
        self.close()
        with self._changed:
            for lane in (self._small, self._large, self._bulk):
                for request in lane:
                    request.future.set_exception(error)
                    self._leave_queue(request)
                    self._count_out(request)
                lane.clear()


class _LargeBudget:
    """What large requests may add to a worker's batch before one step."""

    def __init__(self, limits: QueueLimits, rows: int, running: int, contended: bool) -> None:
        """`running` of the worker's `rows` are running for large requests; `contended`: small requests come, too."""
        self._rows, self._tokens = rows, limits.encode_tokens
        if contended:
            self._rows, self._tokens = rows // LARGE_SHARE, limits.encode_tokens // LARGE_ENCODE_SHARE
        self._running, self._joining, self._longest = running, 0, 0

    def allows(self, request: EngineRequest) -> bool:
        """Return whether the request may join now; one large request always may run."""
        if self._running and self._running + request.rows > self._rows:
            return False
        return not self._joining or max(self._longest, len(request.ids)) * (self._joining + 1) <= self._tokens

    def spend(self, request: EngineRequest) -> None:
        """Count a request that joins."""
        if request.large:
            self._running += request.rows
            self._joining += 1
            self._longest = max(self._longest, len(request.ids))
