"""This project's engine as a system of the offline benchmark: the service's queue, workers and engines."""

from pathlib import Path

from benchmarks.common.systems import BATCH, MODES, beam_size_of
from service.artifact import read_artifact
from service.engine.interfaces import NullObserver
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.occupancy import QueueLimits
from service.engine.options import DecodingOptions
from service.engine.queue import Queue
from service.engine.types import EngineRequest
from service.engine.worker import Engine, LocalWorkerPool

ORDERS = ("longest first", "as they come")


class Attendant:
    """An artifact with one division of the cores; each worker runs 64 sentences at a time."""

    def __init__(self, artifact: Path, workers: int, threads: int, limit: int) -> None:
        open_translator = read_artifact(artifact)
        self.name = f"Attendant {open_translator.manifest.precision}"
        self.modes = list(MODES)
        self.settings = [f"{order}, {workers} x {threads} threads" for order in ORDERS]
        self.graphs = TranslateGraphs.load(open_translator, threads)
        self.workers, self.limit = workers, limit
        self.worker_pools: dict[int, LocalWorkerPool] = {}

    def translate(self, sources: list[list[int]], mode: str, setting: str) -> list[list[int]]:
        beam = beam_size_of(mode)
        if mode == "single":
            return [self._answers([ids], beam)[0] for ids in sources]
        order = list(range(len(sources)))
        if setting.startswith("longest first"):
            order.sort(key=lambda i: -len(sources[i]))
        answers = dict(zip(order, self._answers([sources[i] for i in order], beam), strict=True))
        return [answers[i] for i in range(len(sources))]

    def _answers(self, sources: list[list[int]], beam: int) -> list[list[int]]:
        options = DecodingOptions(max_length=self.limit, beam_size=beam)
        requests = [EngineRequest(ids, options) for ids in sources]
        self._worker_pool(beam).queue.submit(requests)
        return [request.future.result().ids for request in requests]

    def _worker_pool(self, beam: int) -> LocalWorkerPool:
        """Return workers with rows for 64 sentences each, started on first use."""
        if beam not in self.worker_pools:
            rows = BATCH * beam
            engines: list[Engine] = [TranslateEngine(self.graphs, rows) for _ in range(self.workers)]
            limits = QueueLimits(rows=rows * self.workers, queue_segments=10**6, queue_tokens=10**9)
            self.worker_pools[beam] = LocalWorkerPool("benchmark", engines, Queue(limits, self.workers), NullObserver())
            self.worker_pools[beam].start()
        return self.worker_pools[beam]


def load(kind: str, artifact: str, workers: int, threads: int, limit: int) -> Attendant:
    """Load the system; the arguments are the options on the process's command line."""
    return Attendant(Path(artifact), workers, threads, limit)
