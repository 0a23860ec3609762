"""The translation engine: encode newcomers, step all rows together, one token each."""

from dataclasses import dataclass

import numpy as np

from service.artifact import Artifact
from service.engine.decoding.beam import BeamGroup
from service.engine.decoding.greedy import GreedyGroup, processes_logits
from service.engine.decoding.logits_processors import process_logits
from service.engine.decoding.sampling import SamplingGroup
from service.engine.decoding.search import Candidates, SearchGroup, SearchStep
from service.engine.models.session import Arrays, BoundSession, Session
from service.engine.models.state_pool import DecoderStatePool
from service.engine.types import EngineRequest, FinishedRequest


def pad(sources: list[list[int]], filler: int) -> Arrays:
    """Sources of a group as the graphs read them: a right-padded matrix (B, S) and its lengths (B,)."""
    lengths = np.array([len(ids) for ids in sources], dtype=np.int32)
    matrix = np.full((len(sources), lengths.max()), filler, dtype=np.int64)
    for row, ids in enumerate(sources):
        matrix[row, : len(ids)] = ids
    return {"source": matrix, "source_length": lengths}


@dataclass(frozen=True)
class TranslateGraphs:
    """The graphs of an artifact, loaded once and shared by the model's workers."""

    artifact: Artifact
    encode: Session
    step: Session
    select: Session

    @staticmethod
    def load(artifact: Artifact, threads: int) -> "TranslateGraphs":
        """With `threads` threads a run; with one, a run stays in the thread that calls it."""
        return TranslateGraphs(
            artifact, *(Session(artifact.graph(name), threads) for name in ("encode", "step", "select"))
        )


class TranslateEngine:
    """Every array of the running rows, the searches that own them, and the graphs that compute on them."""

    def __init__(self, graphs: TranslateGraphs, rows: int) -> None:
        manifest = graphs.artifact.manifest
        self.graphs, self.special_tokens, self.limits = graphs, manifest.special_tokens, manifest.limits
        lengths = {"growing": manifest.limits.target_length, "constant": manifest.limits.source_length}
        self.pool = DecoderStatePool(manifest.state, rows, lengths)
        self.token = np.zeros(rows, dtype=np.int64)
        self.position = np.zeros(rows, dtype=np.int32)  # target tokens in the caches
        self.source_length = np.zeros(rows, dtype=np.int32)
        self.logits = np.zeros((0, manifest.vocabulary), dtype=np.float32)
        self.replaced: Arrays = {}
        self.groups: dict[object, SearchGroup] = {}
        self._bound: dict[int, BoundSession] = {}
        self._generation = -1

    @property
    def pool_bytes(self) -> int:
        """Memory of the state pool."""
        return self.pool.bytes

    def join(self, group: list[EngineRequest]) -> None:
        """Encode a group and append its rows, as many a request as its search is wide."""
        source = pad([request.ids for request in group], self.special_tokens.pad)
        copies = np.array([request.rows for request in group])
        start, stop = self.pool.live_rows, self.pool.live_rows + int(copies.sum())
        initial = self.graphs.encode.run(source)
        self._fit(stop, int(source["source_length"].max()))
        self.pool.append(initial, copies)
        self.token[start:stop], self.position[start:stop] = self.special_tokens.bos, 0
        self.source_length[start:stop] = np.repeat(source["source_length"], copies)
        first = start + np.concatenate([[0], np.cumsum(copies)[:-1]])
        for key in dict.fromkeys(map(search_of, group)):
            chosen = [i for i, request in enumerate(group) if search_of(request) == key]
            rows = first[chosen][:, None] + np.arange(group[chosen[0]].rows)  # (N, k)
            self._group(key).join([group[i] for i in chosen], rows)

    def _group(self, key: object) -> SearchGroup:
        if key not in self.groups:
            kind = SamplingGroup if key == "sampling" else GreedyGroup
            room = self.limits.target_length
            self.groups[key] = (
                BeamGroup(key, self.special_tokens.eos, room)
                if isinstance(key, int)
                else kind(self.special_tokens.eos, room)
            )
        return self.groups[key]

    def _fit(self, rows: int, source: int = 0) -> None:
        """Have room in the pool for what the next step needs; `source` is the longest newcomer."""
        count = self.pool.live_rows
        written = int(self.position[:count].max(initial=0))
        read = int(self.source_length[:count].max(initial=0))
        lengths = {"growing": written + 1, "constant": max(read, source)}
        self.pool.fit(rows, lengths, {"growing": written, "constant": read})

    def step(self) -> list[FinishedRequest]:
        """Advance every row by one token."""
        logits = self.forward()
        groups = [group for group in self.groups.values() if group.requests]
        self._edit(logits, groups)
        candidates = self._candidates(logits, max(group.width for group in groups))
        choices = [group.choose(logits, candidates, self.token) for group in groups]
        self.position[: self.pool.live_rows] += 1
        for choice in choices:
            self._follow(choice)
        self._free()
        return [finished for choice in choices for finished in choice.finished]

    def forward(self) -> np.ndarray:
        """Run the step graph on the live rows: logits (B, V) of the next token, caches one token longer."""
        count = self.pool.live_rows
        self._fit(count)
        self._reset_buffers()
        if count not in self._bound:
            self._bound[count] = self._bind(count)
        self._bound[count].run()
        for name, values in self.replaced.items():
            self.pool.view(name)[:] = values[:count]
        return self.logits[:count]

    def _reset_buffers(self) -> None:
        """Where the pool has moved, what was bound to it is void."""
        if self._generation == self.pool.generation:
            return
        self._bound, self._generation = {}, self.pool.generation
        if len(self.logits) != self.pool.capacity:
            self.logits = np.zeros((self.pool.capacity, self.logits.shape[1]), dtype=np.float32)
        names = [state.input for state in self.pool.states if state.kind == "replaced"]
        self.replaced = {name: np.empty_like(self.pool.array(name)) for name in names}

    def _bind(self, count: int) -> BoundSession:
        """Bind a prefix of `count` rows; it serves until the pool moves."""
        inputs: Arrays = {"token": self.token, "position": self.position, "source_length": self.source_length}
        prefixes = {name: array[:count] for name, array in inputs.items()}
        states = {state.input: self.pool.array(state.input)[:count] for state in self.pool.states}
        outputs = {"logits": self.logits[:count]}
        for state in self.pool.states:
            fresh = self.replaced.get(state.input)
            outputs[state.output] = states[state.input] if fresh is None else fresh[:count]
        return self.graphs.step.bind(prefixes | states, outputs)

    def _edit(self, logits: np.ndarray, groups: list[SearchGroup]) -> None:
        for group in groups:
            for index in processes_logits(group):
                options = group.requests[index].options
                for row, written in zip(group.rows[index].tolist(), group.generated(index), strict=True):
                    process_logits(logits[row], written, options, self.special_tokens.eos)

    def _candidates(self, logits: np.ndarray, width: int) -> Candidates | None:
        """The `width` most probable tokens of every row, where a search asks for any."""
        if not width:
            return None
        found = self.graphs.select.run({"logits": logits, "count": np.array([width], dtype=np.int64)})
        return Candidates(found["token"], found["log_probability"])

    def _follow(self, choice: SearchStep) -> None:
        """Rows that go on from others take over their state; what encode computed is the same for both."""
        if len(choice.target_rows):
            # The cache at position p belongs to the token read there: the begin mark at 0, the p-th written id at p.
            spans = {"growing": (choice.shared_length + 1, int(self.position[choice.source_rows].max()))}
            self.pool.move(choice.target_rows, choice.source_rows, spans, ("growing", "replaced"))

    def _free(self) -> None:
        """Close the holes that finished requests leave with rows from the end."""
        live = np.zeros(self.pool.live_rows, dtype=bool)
        for group in self.groups.values():
            live[group.rows] = True
        count = int(live.sum())
        if count == self.pool.live_rows:
            return
        holes = np.flatnonzero(~live[:count])
        rows = count + np.flatnonzero(live[count:])
        if len(rows):
            spans = {
                "growing": (0, int(self.position[rows].max())),
                "constant": (0, int(self.source_length[rows].max())),
            }
            self.pool.move(holes, rows, spans, ("growing", "constant", "replaced"))
            for array in (self.token, self.position, self.source_length):
                array[holes] = array[rows]
            place = np.arange(self.pool.live_rows)
            place[rows] = holes
            for group in self.groups.values():
                group.rows = place[group.rows]
        self.pool.live_rows = count
        if not count:
            self._rest()

    def _rest(self) -> None:
        """Nothing runs: give back the memory of all but a few rows."""
        self.pool.rest()
        self._reset_buffers()

    def drop(self, requests: list[EngineRequest]) -> None:
        """Forget requests that nobody waits for."""
        if not requests:
            return
        gone = set(map(id, requests))
        for group in self.groups.values():
            group.keep(np.array([id(request) not in gone for request in group.requests], dtype=bool))
        self._free()

    def clear(self) -> None:
        """Drop all rows."""
        self.groups = {}
        self._rest()


def search_of(request: EngineRequest) -> object:
    """The search that a request asks for: "greedy", "sampling", or a beam by its width."""
    options = request.options
    if options.is_sampling:
        return "sampling"
    return options.beam_size if options.beam_size > 1 or options.log_probabilities else "greedy"
