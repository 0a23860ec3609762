"""What the offline benchmark drives: a system translates ids to ids, in a process of its own.

A process is started as `python -m benchmarks.common.systems KIND OPTIONS`, with OPTIONS as JSON for the kind's `load`.
It says {"name", "modes", "settings"} when it is ready; then each line in, {"sources", "mode", "setting"}, gets one line
out, {"seconds", "ids"}. The clock runs from ids to ids.

Nothing is imported here that not every system's environment has.
"""

import importlib
import json
import os
import sys
import time
from typing import Any, Protocol, TextIO

TOGETHER = 64  # sentences at a time
BEAM = 4
MODES = {
    "greedy": f"greedy, {TOGETHER} at a time",
    "beam4": f"beam {BEAM}, {TOGETHER} at a time",
    "single": "greedy, one sentence at a time",
}
KINDS = {
    "attendant": "benchmarks.offline.attendant",
    "ctranslate2": "benchmarks.baselines.ctranslate2.system",
    "transformers": "benchmarks.baselines.transformers.system",
    "optimum": "benchmarks.baselines.transformers.system",
}


class System(Protocol):
    """A loaded model: its name with a version, the modes it has, and the ways of running them that are worth trying."""

    name: str
    modes: list[str]
    settings: list[str]

    def translate(self, sources: list[list[int]], mode: str, setting: str) -> list[list[int]]:
        """Sources with marks to target ids without marks."""
        ...


def beam_of(mode: str) -> int:
    """Hypotheses a sentence."""
    return BEAM if mode == "beam4" else 1


def in_batches(sources: list[list[int]], mode: str) -> list[list[int]]:
    """Indices of the sources in batches of similar length, the longest first; one by one, in order, in single mode."""
    if mode == "single":
        return [[i] for i in range(len(sources))]
    order = sorted(range(len(sources)), key=lambda i: -len(sources[i]))
    return [order[start : start + TOGETHER] for start in range(0, len(order), TOGETHER)]


def serve(system: System, requests: TextIO, replies: TextIO) -> None:
    """Answer requests until there are no more."""
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
        os.dup2(2, 1)  # whatever a library prints must not mix with the replies
        serve(importlib.import_module(KINDS[kind]).load(kind, **json.loads(options)), sys.stdin, replies)
    return 0


if __name__ == "__main__":
    sys.exit(main())
