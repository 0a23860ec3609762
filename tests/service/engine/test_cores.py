"""The number of cores to compute on: affinity, cgroup quota, and systems that have neither."""

import os
from pathlib import Path

import pytest

from service.engine.cores import available_cores, cgroup_quota, usable_cores


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
def test_cgroup_quota_of_both_versions(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    assert cgroup_quota(write(tmp_path, files)) == quota


@pytest.mark.parametrize(("limit", "cores"), [("50000", 1), ("100000", 1), ("max", None), ("99900000", None)])
def test_available_cores_are_the_quota_within_one_and_the_usable_cores(
    tmp_path: Path, limit: str, cores: int | None
) -> None:
    root = write(tmp_path, {"cpu.max": f"{limit} 100000"})
    assert available_cores(root) == (cores or usable_cores())


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no CPU affinity")
def test_usable_cores_are_those_of_the_affinity() -> None:
    assert usable_cores() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("count", "cores"), [(7, 7), (None, 1)])
def test_usable_cores_without_affinity_are_all_cores(
    monkeypatch: pytest.MonkeyPatch, count: int | None, cores: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert usable_cores() == cores
