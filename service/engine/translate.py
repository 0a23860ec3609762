"""The translation engine: encode newcomers, step all rows together, one token each."""

import numpy as np

from service.artifact import Artifact
from service.engine.scheduler import Answer, Running, Ticket
from service.engine.search import greedy
from service.engine.session import Arrays, Bound, Session
from service.engine.state import StatePool


def pad(sources: list[list[int]], filler: int) -> Arrays:
    """Sources of a group as the graphs read them: a right-padded matrix (B, S) and its lengths (B,)."""
    lengths = np.array([len(ids) for ids in sources], dtype=np.int32)
    matrix = np.full((len(sources), lengths.max()), filler, dtype=np.int64)
    for row, ids in enumerate(sources):
        matrix[row, : len(ids)] = ids
    return {"source": matrix, "source_length": lengths}


class TranslateEngine:
    """Every array of the running rows, and the two graphs that compute on them."""

    def __init__(self, artifact: Artifact, rows: int, threads: int) -> None:
        manifest = artifact.manifest
        self.marks = manifest.marks
        self.encode = Session(artifact.graph("encode"), threads)
        self.step_graph = Session(artifact.graph("step"), threads)
        lengths = {"growing": manifest.limits.target_length, "constant": manifest.limits.source_length}
        self.pool = StatePool(manifest.state, rows, lengths)
        self.token = np.zeros(rows, dtype=np.int64)
        self.position = np.zeros(rows, dtype=np.int32)
        self.source_length = np.zeros(rows, dtype=np.int32)
        vocabulary = next(t.shape[1] for t in manifest.graphs["step"].outputs if t.name == "logits")
        self.logits = np.zeros((rows, int(vocabulary)), dtype=np.float32)
        self.replaced = {
            s.input: np.empty_like(self.pool.arrays[s.input]) for s in manifest.state if s.kind == "replaced"
        }
        self._bound: dict[int, Bound] = {}

    def join(self, group: list[Ticket]) -> None:
        """Encode a group and append its rows."""
        source = pad([ticket.ids for ticket in group], self.marks.pad)
        rows = slice(self.pool.count, self.pool.count + len(group))
        self.pool.append(self.encode.run(source))
        self.token[rows], self.position[rows] = self.marks.bos, 0
        self.source_length[rows] = source["source_length"]

    def step(self) -> list[int]:
        """Advance every row by one token."""
        count = self.pool.count
        self.forward()
        chosen = greedy(self.logits[:count])
        self.token[:count] = chosen
        self.position[:count] += 1
        return chosen.tolist()  # type: ignore[no-any-return]

    def forward(self) -> np.ndarray:
        """Run the step graph on the live rows: logits (B, V) of the next token, caches one token longer."""
        count = self.pool.count
        if count not in self._bound:
            self._bound[count] = self._bind(count)
        self._bound[count].run()
        for name, values in self.replaced.items():
            self.pool.view(name)[:] = values[:count]
        return self.logits[:count]

    def _bind(self, count: int) -> Bound:
        """Bind a prefix of `count` rows. The pool never moves, so a binding serves as long as the engine lives."""
        inputs: Arrays = {"token": self.token, "position": self.position, "source_length": self.source_length}
        prefixes = {name: array[:count] for name, array in inputs.items()}
        states = {s.input: self.pool.arrays[s.input][:count] for s in self.pool.states}
        outputs = {"logits": self.logits[:count]}
        for state in self.pool.states:
            fresh = self.replaced.get(state.input)
            outputs[state.output] = states[state.input] if fresh is None else fresh[:count]
        return self.step_graph.bind(prefixes | states, outputs)

    def leave(self, rows: list[int]) -> None:
        """Drop rows in the order given, each time moving the last row into the hole."""
        for row in rows:
            last = self.pool.count - 1
            for array in (self.token, self.position, self.source_length):
                array[row] = array[last]
            self.pool.remove(row)

    def clear(self) -> None:
        """Drop all rows."""
        self.pool.clear()

    def advance(self, running: Running, token: int) -> Answer | None:
        """Record a row's token; its answer when it is complete."""
        if token == self.marks.eos:
            return Answer(ids=running.ids, finish_reason="stop")
        running.ids.append(token)
        if len(running.ids) >= running.ticket.max_length:
            return Answer(ids=running.ids, finish_reason="length")
        return None
