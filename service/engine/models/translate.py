"""The translation engine: encode the requests that join, then generate one token per row and step.

Shapes: B rows of the running batch, N requests of a search group, k rows per request, S source length, V vocabulary.
"""

import numpy as np

from service.engine.decoding.beam import BeamGroup
from service.engine.decoding.greedy import GreedyGroup
from service.engine.decoding.logits_processors import process_group
from service.engine.decoding.sampling import SamplingGroup
from service.engine.decoding.search import Logits, SearchGroup
from service.engine.models.decoder import Decoder, HostDecoder
from service.engine.models.device_decoder import DeviceDecoder
from service.engine.models.graphs import TranslateGraphs as TranslateGraphs
from service.engine.models.source import SourceFormat
from service.engine.types import EngineRequest, FinishedRequest


class TranslateEngine:
    """The running batch of one worker: the searches that own its rows, and the decoder that computes them."""

    def __init__(self, graphs: TranslateGraphs, rows: int) -> None:
        manifest = graphs.artifact.manifest
        self.graphs, self.special_tokens, self.limits = graphs, manifest.special_tokens, manifest.limits
        self.source_format = SourceFormat.of(graphs.encode, manifest.special_tokens.pad)
        self.decoder: Decoder = DeviceDecoder(graphs, rows) if graphs.device.resident else HostDecoder(graphs, rows)
        self.rows = rows
        self.token, self.position = self.decoder.token, self.decoder.position
        self.source_length = self.decoder.source_length
        self.groups: dict[object, SearchGroup] = {}

    @property
    def pool_bytes(self) -> int:
        """Memory of the decoder state pool, in bytes."""
        return self.decoder.pool.bytes

    def divide(self, requests: list[EngineRequest]) -> list[list[EngineRequest]]:
        """Divide newcomers into the groups that are encoded together."""
        return self.source_format.divide(requests)

    def join(self, group: list[EngineRequest]) -> None:
        """Encode a group and append its rows: as many per request as its search needs."""
        source = self.source_format.arrays([request.ids for request in group])
        copies = np.array([request.rows for request in group])  # (N,)
        start, stop = self.decoder.pool.live_rows, self.decoder.pool.live_rows + int(copies.sum())
        self.decoder.append(source, copies)
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

    def step(self) -> list[FinishedRequest]:
        """Generate one token for every row; return the requests that finished."""
        logits = self.forward()
        groups = [group for group in self.groups.values() if group.requests]
        for group in groups:
            process_group(logits, group, self.special_tokens.eos)
        width = max(group.width for group in groups)
        candidates = self.decoder.candidates(logits, width) if width else None
        steps = [group.choose(logits, candidates, self.token) for group in groups]
        self.position[: self.decoder.pool.live_rows] += 1
        for step in steps:
            if len(step.target_rows):
                self.decoder.copy_states(step)
        self._compact()
        return [finished for step in steps for finished in step.finished]

    def forward(self) -> Logits:
        """Run the decoder step on the live rows: the caches grow by one token; return the next logits."""
        return self.decoder.forward()

    def _compact(self) -> None:
        """Move the last live rows into the rows that finished requests have left."""
        live = np.zeros(self.decoder.pool.live_rows, dtype=bool)
        for group in self.groups.values():
            live[group.rows] = True
        count = int(live.sum())
        if count == self.decoder.pool.live_rows:
            return
        free = np.flatnonzero(~live[:count])
        rows = count + np.flatnonzero(live[count:])
        if len(rows):
            self.decoder.move(free, rows)
            for array in (self.token, self.position, self.source_length):
                array[free] = array[rows]
            new_row = np.arange(self.decoder.pool.live_rows)
            new_row[rows] = free
            for group in self.groups.values():
                group.rows = new_row[group.rows]
        self.decoder.pool.live_rows = count
        if not count:
            self.decoder.release()

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
        self.decoder.pool.live_rows = 0
        self.decoder.release()


def search_key(request: EngineRequest) -> object:
    """Return the kind of search that a request needs: "greedy", "sampling", or the beam size as an integer."""
    options = request.options
    if options.is_sampling:
        return "sampling"
    return options.beam_size if options.beam_size > 1 or options.log_probabilities else "greedy"
