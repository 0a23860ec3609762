"""A system in a process of its own: requests, replies and failures."""

import io
import json
import sys
from pathlib import Path

import pytest

from benchmarks.common.systems import in_batches, serve
from benchmarks.offline.system_process import SystemProcess, SystemProcessError


class Echo:
    """Answers with the source's ids, reversed."""

    name = "echo 1"
    modes = ["greedy"]
    settings = ["loud"]

    def translate(self, sources: list[list[int]], mode: str, setting: str) -> list[list[int]]:
        return [ids[::-1] for ids in sources]


def test_each_request_line_gets_one_reply_line() -> None:
    replies = io.StringIO()
    request = json.dumps({"sources": [[1, 2], [3]], "mode": "greedy", "setting": "loud"})
    serve(Echo(), io.StringIO(f"{request}\n{request}\n"), replies)
    description, first, second = map(json.loads, replies.getvalue().splitlines())
    assert description == {"name": "echo 1", "modes": ["greedy"], "settings": ["loud"]}
    assert first["ids"] == second["ids"] == [[2, 1], [3]]
    assert first["seconds"] >= 0


def test_batches_have_similar_lengths() -> None:
    sources = [[0] * n for n in range(1, 131)]
    batches = in_batches(sources, "greedy")
    assert [len(batch) for batch in batches] == [64, 64, 2]
    assert [i for batch in batches for i in batch] == list(range(129, -1, -1))


def test_single_mode_translates_one_at_a_time() -> None:
    assert in_batches([[0], [0, 0], [0]], "single") == [[0], [1], [2]]


def test_system_that_cannot_start_reports_its_output(tmp_path: Path) -> None:
    options = {"folder": str(tmp_path / "nowhere"), "compute_type": "float32", "workers": 1, "threads": 1, "limit": 9}
    with (
        SystemProcess(Path(sys.executable), "ctranslate2", options) as system,
        pytest.raises(SystemProcessError, match="ctranslate2 ended with status 1"),
    ):
        system.translate([[3]], "greedy", "64 examples")
