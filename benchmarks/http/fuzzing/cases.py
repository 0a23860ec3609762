"""The cases of the fuzzer, by number.

A case is a function of the seed, its number and the OpenAPI document alone, so that a single one can be sent again.
"""

import random
from collections.abc import Callable
from dataclasses import replace

from benchmarks.http.fuzzing.bodies import coding, form, json_bytes, json_values, multipart, texts
from benchmarks.http.fuzzing.documents import document
from benchmarks.http.fuzzing.heads import chunks, garbage, headers, lengths, mutated, paths, pipeline, valid
from benchmarks.http.fuzzing.requests import Case, Operations, split

# The kinds, each with its weight.
KINDS: dict[str, tuple[int, Callable[[Operations, random.Random], Case]]] = {
    "texts and options": (20, texts),
    "JSON values": (20, json_values),
    "JSON bytes": (8, json_bytes),
    "form": (8, form),
    "multipart form": (8, multipart),
    "document": (6, document),
    "content coding": (6, coding),
    "headers": (10, headers),
    "paths and methods": (10, paths),
    "chunks": (4, chunks),
    "lengths": (3, lengths),
    "pipeline": (3, pipeline),
    "changed bytes": (5, mutated),
    "garbage": (3, garbage),
    "valid": (5, valid),
}


class Cases:
    """All cases for one service."""

    def __init__(self, operations: Operations, seed: int) -> None:
        self.operations, self.seed = operations, seed

    def case(self, number: int) -> Case:
        """Return the case with this number."""
        rng = random.Random(f"{self.seed} {number}")
        kind = rng.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
        case = replace(KINDS[kind][1](self.operations, rng), kind=kind)
        return replace(case, writes=split(rng, case.sent)) if rng.random() < 0.3 else case
