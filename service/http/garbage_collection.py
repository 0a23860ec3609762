"""Full garbage collections while the service is idle.

A full collection visits every object that was made since the start: with the 2,000 sentences of one large request this
takes 100 ms, in which nothing is answered. So it is left to the moments without a request in flight, when there is
little to visit. Young objects, almost all garbage, are collected as always.
"""

import gc
import time

DUE = 2  # collections of the middle generation after which a full one is due
OVERDUE = 20  # after so many Python makes one at once: up to 1.4 million objects may then be garbage
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
        if gc.get_count()[2] < self._due:
            return
        started = time.perf_counter()
        gc.collect()
        self._due = DUE if time.perf_counter() - started < LONG else OVERDUE // 2
