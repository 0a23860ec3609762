"""Our own engine behind the surface of benchmarks/common/systems.py: the service's queue, workers and engines."""

from pathlib import Path

from benchmarks.common.systems import MODES, TOGETHER, beam_of
from service.artifact import read_artifact
from service.engine.decoding.options import DecodingOptions
from service.engine.interfaces import NullObserver
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.queue import Queue, QueueLimits
from service.engine.types import EngineRequest
from service.engine.worker import Engine, LocalWorkerPool

ORDERS = ("longest first", "as they come")


class Attendant:
    """An artifact, served with one division of the cores; each worker runs 64 sentences at a time."""

    def __init__(self, artifact: Path, workers: int, threads: int, limit: int) -> None:
        opened = read_artifact(artifact)
        self.name = f"Attendant {opened.manifest.precision}"
        self.modes = list(MODES)
        self.settings = [f"{order}, {workers} x {threads} threads" for order in ORDERS]
        self.graphs = TranslateGraphs.load(opened, threads)
        self.workers, self.limit = workers, limit
        self.worker_pools: dict[int, LocalWorkerPool] = {}

    def translate(self, sources: list[list[int]], mode: str, setting: str) -> list[list[int]]:
        beam = beam_of(mode)
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
        """Workers with rows for 64 sentences each, started when they are first needed."""
        if beam not in self.worker_pools:
            rows = TOGETHER * beam
            engines: list[Engine] = [TranslateEngine(self.graphs, rows) for _ in range(self.workers)]
            limits = QueueLimits(rows=rows * self.workers, queue_segments=10**6, queue_tokens=10**9)
            self.worker_pools[beam] = LocalWorkerPool("benchmark", engines, Queue(limits, self.workers), NullObserver())
            self.worker_pools[beam].start()
        return self.worker_pools[beam]


def load(kind: str, artifact: str, workers: int, threads: int, limit: int) -> Attendant:
    """Options as on the command line of the process."""
    return Attendant(Path(artifact), workers, threads, limit)
