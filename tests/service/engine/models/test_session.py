"""Cores that the cgroup grants, and arrays that a graph updates where they lie."""

import os
from pathlib import Path

import numpy as np
import pytest

from service.artifact import ArtifactError, read_artifact
from service.engine.cores import available_cores, cgroup_quota
from service.engine.models.session import Session
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.types import EngineRequest


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content, "utf-8")
    return root


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
    ids=["v2", "v2 unlimited", "v1", "v1 unlimited", "no cgroup"],
)
def test_the_quota_of_the_cgroup(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    assert cgroup_quota(write(tmp_path, files)) == quota


@pytest.mark.parametrize(("limit", "cores"), [("50000", 1), ("100000", 1), ("max", None), ("99900000", None)])
def test_cores_are_the_quota_but_one_at_least_and_no_more_than_there_are(
    tmp_path: Path, limit: str, cores: int | None
) -> None:
    root = write(tmp_path, {"cpu.max": f"{limit} 100000"})
    assert available_cores(root) == (cores or len(os.sched_getaffinity(0)))


def test_a_file_that_is_no_graph_is_a_fault_of_the_artifact(tmp_path: Path) -> None:
    file = tmp_path / "step.onnx"
    file.write_bytes(b"no graph at all")
    with pytest.raises(ArtifactError, match=r"step\.onnx: onnxruntime cannot load it"):
        Session(file, threads=1)


def test_a_step_writes_its_caches_where_they_lie(toy_translator: Path) -> None:
    """The same array bound as past and as present: nothing is copied, other rows and later positions stay."""
    engine = TranslateEngine(TranslateGraphs.load(read_artifact(toy_translator), threads=1), rows=3)
    engine.join([EngineRequest([5, 20, 3]), EngineRequest([5, 30, 40, 3])])
    cache, memory = engine.pool.array("self_key_0"), engine.pool.array("cross_key_0").copy()
    engine.forward()
    assert np.abs(cache[:2, :, 0]).min() > 0
    assert not cache[:2, :, 1:].any()
    assert not cache[2].any()
    first = cache[:2, :, 0].copy()
    engine.position[:2] = 1
    engine.forward()
    assert np.abs(cache[:2, :, 1]).min() > 0
    np.testing.assert_array_equal(cache[:2, :, 0], first)
    np.testing.assert_array_equal(engine.pool.array("cross_key_0"), memory)
