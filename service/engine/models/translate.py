"""The translation engine: encode the requests that join, then generate one token per row and step.

Shapes: B rows of the running batch, N requests of a search group, k rows per request, S source length, V vocabulary.
"""

from dataclasses import dataclass

import numpy as np

from service.artifact import Artifact
from service.engine.decoding.beam import BeamGroup
from service.engine.decoding.greedy import GreedyGroup
from service.engine.decoding.logits_processors import process_group
from service.engine.decoding.sampling import SamplingGroup
from service.engine.decoding.search import Candidates, SearchGroup, SearchStep
from service.engine.models.session import Arrays, BoundSession, Session
from service.engine.models.source import SourceFormat
from service.engine.models.state_pool import DecoderStatePool
from service.engine.types import EngineRequest, FinishedRequest


@dataclass(frozen=True)
class TranslateGraphs:
    """The graphs of a translation model, loaded once and shared by the workers of its pool."""

    artifact: Artifact
    encode: Session
    step: Session
    select: Session

    @staticmethod
    def load(artifact: Artifact, threads: int) -> "TranslateGraphs":
        """Load the graphs; each run uses `threads` threads, and with one it stays in the calling thread.

        Raises:
            ArtifactError: a graph cannot be loaded.
        """
        return TranslateGraphs(
            artifact, *(Session(artifact.graph(name), threads) for name in ("encode", "step", "select"))
        )


class TranslateEngine:
    """The running batch of one worker: the arrays of its rows, the searches that own the rows, and the graphs."""

    def __init__(self, graphs: TranslateGraphs, rows: int) -> None:
        manifest = graphs.artifact.manifest
        self.graphs, self.special_tokens, self.limits = graphs, manifest.special_tokens, manifest.limits
        self.source_format = SourceFormat.of(graphs.encode, manifest.special_tokens.pad)
        max_positions = {"growing": manifest.limits.target_length, "constant": manifest.limits.source_length}
        self.pool = DecoderStatePool(manifest.state, rows, max_positions)
        self.token = np.zeros(rows, dtype=np.int64)
        self.position = np.zeros(rows, dtype=np.int32)  # target tokens in the caches
        self.source_length = np.zeros(rows, dtype=np.int32)
        self.logits = np.zeros((0, manifest.vocabulary), dtype=np.float32)
        self.replaced: Arrays = {}  # outputs of the `replaced` states, copied into the pool after each step
        self.groups: dict[object, SearchGroup] = {}
        self._bound: dict[int, BoundSession] = {}  # by number of rows
        self._generation = -1  # of the pool when the arrays were bound

    @property
    def pool_bytes(self) -> int:
        """Memory of the decoder state pool, in bytes."""
        return self.pool.bytes

    def divide(self, requests: list[EngineRequest]) -> list[list[EngineRequest]]:
        """Divide newcomers into the groups that are encoded together."""
        return self.source_format.divide(requests)

    def join(self, group: list[EngineRequest]) -> None:
        """Encode a group and append its rows: as many per request as its search needs."""
        source = self.source_format.arrays([request.ids for request in group])
        copies = np.array([request.rows for request in group])  # (N,)
        start, stop = self.pool.live_rows, self.pool.live_rows + int(copies.sum())
        initial = self.graphs.encode.run(source)
        self._resize_pool(stop, int(source["source_length"].max()))
        self.pool.append(initial, copies)
        self.token[start:stop], self.position[start:stop] = self.special_tokens.bos, 0
        self.source_length[start:stop] = np.repeat(source["source_length"], copies)
        first = start + np.concatenate([[0], np.cumsum(copies)[:-1]])  # (N,)
        for key in dict.fromkeys(map(search_key, group)):
            selected = [i for i, request in enumerate(group) if search_key(request) == key]
            rows = first[selected][:, None] + np.arange(group[selected[0]].rows)  # (N, k)
            self._search_group(key).join([group[i] for i in selected], rows)

    def _search_group(self, key: object) -> SearchGroup:
        if key not in self.groups:
            eos, max_length = self.special_tokens.eos, self.limits.target_length
            if isinstance(key, int):
                self.groups[key] = BeamGroup(key, eos, max_length)
            else:
                self.groups[key] = (SamplingGroup if key == "sampling" else GreedyGroup)(eos, max_length)
        return self.groups[key]

    def _resize_pool(self, rows: int, joining_source_length: int = 0) -> None:
        """Provide room in the pool for the next step of `rows` rows."""
        count = self.pool.live_rows
        generated = int(self.position[:count].max(initial=0))
        source = int(self.source_length[:count].max(initial=0))
        positions = {"growing": generated + 1, "constant": max(source, joining_source_length)}
        self.pool.resize(rows, positions, {"growing": generated, "constant": source})

    def step(self) -> list[FinishedRequest]:
        """Generate one token for every row; return the requests that finished."""
        logits = self.forward()
        groups = [group for group in self.groups.values() if group.requests]
        for group in groups:
            process_group(logits, group, self.special_tokens.eos)
        candidates = self._candidates(logits, max(group.width for group in groups))
        steps = [group.choose(logits, candidates, self.token) for group in groups]
        self.position[: self.pool.live_rows] += 1
        for step in steps:
            self._copy_states(step)
        self._compact()
        return [finished for step in steps for finished in step.finished]

    def forward(self) -> np.ndarray:
        """Run the decoder step on the live rows: the caches grow by one token; return the next logits (B, V)."""
        count = self.pool.live_rows
        self._resize_pool(count)
        self._reset_buffers()
        if count not in self._bound:
            self._bound[count] = self._bind(count)
        self._bound[count].run()
        for name, values in self.replaced.items():
            self.pool.view(name)[:] = values[:count]
        return self.logits[:count]

    def _reset_buffers(self) -> None:
        """Discard the bindings and output buffers if the pool has replaced an array."""
        if self._generation == self.pool.generation:
            return
        self._bound, self._generation = {}, self.pool.generation
        if len(self.logits) != self.pool.capacity:
            self.logits = np.zeros((self.pool.capacity, self.logits.shape[1]), dtype=np.float32)
        names = [state.input for state in self.pool.states if state.kind == "replaced"]
        self.replaced = {name: np.empty_like(self.pool.array(name)) for name in names}

    def _bind(self, count: int) -> BoundSession:
        """Bind the first `count` rows of all arrays; valid until the pool replaces an array."""
        inputs: Arrays = {"token": self.token, "position": self.position, "source_length": self.source_length}
        prefixes = {name: array[:count] for name, array in inputs.items()}
        states = {state.input: self.pool.array(state.input)[:count] for state in self.pool.states}
        outputs = {"logits": self.logits[:count]}
        for state in self.pool.states:
            buffer = self.replaced.get(state.input)
            outputs[state.output] = states[state.input] if buffer is None else buffer[:count]
        return self.graphs.step.bind(prefixes | states, outputs)

    def _candidates(self, logits: np.ndarray, width: int) -> Candidates | None:
        """Return the `width` most probable tokens of every row; None if no search needs them."""
        if not width:
            return None
        outputs = self.graphs.select.run({"logits": logits, "count": np.array([width], dtype=np.int64)})
        return Candidates(outputs["token"], outputs["log_probability"])

    def _copy_states(self, step: SearchStep) -> None:
        """Copy the states of rows that are continued by other rows; rows of a request share the constant states."""
        if len(step.target_rows):
            # The cache at position p belongs to the token read there: bos at 0, the p-th generated token at p.
            spans = {"growing": (step.shared_length + 1, int(self.position[step.source_rows].max()))}
            self.pool.copy_rows(step.target_rows, step.source_rows, spans, ("growing", "replaced"))

    def _compact(self) -> None:
        """Move the last live rows into the rows that finished requests have left."""
        live = np.zeros(self.pool.live_rows, dtype=bool)
        for group in self.groups.values():
            live[group.rows] = True
        count = int(live.sum())
        if count == self.pool.live_rows:
            return
        free = np.flatnonzero(~live[:count])
        rows = count + np.flatnonzero(live[count:])
        if len(rows):
            spans = {
                "growing": (0, int(self.position[rows].max())),
                "constant": (0, int(self.source_length[rows].max())),
            }
            self.pool.copy_rows(free, rows, spans, ("growing", "constant", "replaced"))
            for array in (self.token, self.position, self.source_length):
                array[free] = array[rows]
            new_row = np.arange(self.pool.live_rows)
            new_row[rows] = free
            for group in self.groups.values():
                group.rows = new_row[group.rows]
        self.pool.live_rows = count
        if not count:
            self._release_memory()

    def _release_memory(self) -> None:
        """Release the memory of all but a few rows when nothing runs."""
        self.pool.clear()
        self._reset_buffers()

    def drop(self, requests: list[EngineRequest]) -> None:
        """Remove cancelled requests."""
        if not requests:
            return
        dropped = set(map(id, requests))
        for group in self.groups.values():
            group.keep(np.array([id(request) not in dropped for request in group.requests], dtype=bool))
        self._compact()

    def clear(self) -> None:
        """Remove all requests."""
        self.groups = {}
        self._release_memory()


def search_key(request: EngineRequest) -> object:
    """Return the kind of search that a request needs: "greedy", "sampling", or the beam size as an integer."""
    options = request.options
    if options.is_sampling:
        return "sampling"
    return options.beam_size if options.beam_size > 1 or options.log_probabilities else "greedy"
