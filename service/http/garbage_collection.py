"""Garbage collections while the service is idle.

A collection visits every object that was made since the last one, and so under load all requests in flight: with the
2,000 sentences of one large request a full one takes 100 ms, in which nothing is answered. Almost everything is freed
without a collection. So they are left to the moments without a request in flight, when there is little to visit; only
far more garbage than usual is collected under load.
"""

import gc
import time

DUE = 5_000  # objects made and not deleted since the last collection, after which an idle service collects
DUE_LATER = 50_000  # ... after a collection that took long
OVERDUE = 100  # collections of the middle generation after which Python makes a full one at once
LONG = 0.02  # seconds of a collection


class IdleCollector:
    """Makes full collections when they are due and the service is idle."""

    def __init__(self) -> None:
        self._due = DUE

    def start(self) -> None:
        """Have Python make full collections only when they are long overdue."""
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, OVERDUE)

    def on_idle(self) -> None:
        """Make a full collection if it is due; call it when no request is in flight.

        After one that took long, because a document is being translated, the next one is due later.
        """
        young, middle, old = gc.get_count()
        if young < self._due and not (self._due == DUE and (middle or old)):
            return
        started = time.perf_counter()
        gc.collect()
        self._due = DUE if time.perf_counter() - started < LONG else DUE_LATER
