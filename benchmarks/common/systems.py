"""The interface of a system in the offline benchmark: it translates token ids to token ids in a process of its own.

A process is started as `python -m benchmarks.common.systems KIND OPTIONS`, with OPTIONS as JSON for the kind's `load`.
When ready it prints {"name", "modes", "settings"}; then each input line {"sources", "mode", "setting"} gets one output
line {"seconds", "ids"}. The time is measured from ids to ids.

This module imports only what the environment of every system has.
"""

import importlib
import json
import os
import sys
import time
from typing import Any, Protocol, TextIO

BATCH = 64  # sentences at a time
BEAM = 4
MODES = {
    "greedy": f"greedy, {BATCH} at a time",
    "beam4": f"beam {BEAM}, {BATCH} at a time",
    "single": "greedy, one sentence at a time",
}
KINDS = {
    "attendant": "benchmarks.offline.attendant",
    "ctranslate2": "benchmarks.baselines.ctranslate2.system",
    "transformers": "benchmarks.baselines.transformers.system",
    "optimum": "benchmarks.baselines.transformers.system",
}


class System(Protocol):
    """A loaded model: name and version, supported modes, and the settings worth trying."""

    name: str
    modes: list[str]
    settings: list[str]

    def translate(self, sources: list[list[int]], mode: str, setting: str) -> list[list[int]]:
        """Translate source ids with special tokens to target ids without them."""
        ...


def beam_size_of(mode: str) -> int:
    """Return the beam size of a mode."""
    return BEAM if mode == "beam4" else 1


def in_batches(sources: list[list[int]], mode: str) -> list[list[int]]:
    """Group the indices of the sources into batches of similar length, longest first; single mode: one by one, in
    order."""
    if mode == "single":
        return [[i] for i in range(len(sources))]
    order = sorted(range(len(sources)), key=lambda i: -len(sources[i]))
    return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]


def serve(system: System, requests: TextIO, replies: TextIO) -> None:
    """Answer requests until the input ends."""
    _reply(replies, {"name": system.name, "modes": system.modes, "settings": system.settings})
    for line in requests:
        request = json.loads(line)
        started = time.perf_counter()
        ids = system.translate(request["sources"], request["mode"], request["setting"])
        _reply(replies, {"seconds": time.perf_counter() - started, "ids": ids})


def _reply(replies: TextIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


def main() -> int:
    kind, options = sys.argv[1:]
    with os.fdopen(os.dup(1), "w") as replies:
        os.dup2(2, 1)  # output of libraries must not mix with the replies
        serve(importlib.import_module(KINDS[kind]).load(kind, **json.loads(options)), sys.stdin, replies)
    return 0


if __name__ == "__main__":
    sys.exit(main())
