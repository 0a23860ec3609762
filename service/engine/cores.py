"""The number of CPU cores to compute on."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_cores(root: Path = CGROUP) -> int:
    """Return the cores that this process may use: its CPU affinity, or the cgroup's CPU quota if that is lower."""
    cores = usable_cores()
    quota = cgroup_quota(root)
    return cores if quota is None else max(1, min(cores, int(quota)))


def usable_cores() -> int:
    """Return the cores in this process's CPU affinity; all cores on systems without one, such as macOS."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_quota(root: Path) -> float | None:
    """Return the CPUs granted by cgroup v2 or v1; None if unlimited, unknown, or not on Linux."""
    if (limits := root / "cpu.max").is_file():
        quota, period = limits.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    if (limits := root / "cpu" / "cpu.cfs_quota_us").is_file():
        quota_us, period_us = int(limits.read_text()), int((root / "cpu" / "cpu.cfs_period_us").read_text())
        return None if quota_us < 0 else quota_us / period_us
    return None
