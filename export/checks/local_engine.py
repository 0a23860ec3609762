"""Run requests through the service's own queue, workers and engines, in this process and without HTTP."""

from collections.abc import Sequence

from service.engine.interfaces import NullObserver
from service.engine.occupancy import QueueLimits
from service.engine.queue import Queue
from service.engine.types import EngineRequest, EngineResult
from service.engine.worker import Engine, LocalWorkerPool

DEFAULT_ROWS = 32


def run_requests(
    engines: Sequence[Engine], requests: list[EngineRequest], rows: int = DEFAULT_ROWS
) -> list[EngineResult]:
    """Submit all requests at once, compute up to `rows` of them at a time with a worker per engine, return results."""
    for engine in engines:
        engine.clear()
    tokens = sum(request.tokens for request in requests)
    limits = QueueLimits(rows=rows, queue_segments=len(requests), queue_tokens=tokens)
    pool = LocalWorkerPool("local", list(engines), Queue(limits, len(engines)), NullObserver())
    pool.start()
    pool.queue.submit(requests)
    results = [request.future.result() for request in requests]
    pool.drain(timeout=60)
    return results
