"""How many cores there are to compute on."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_cores(root: Path = CGROUP) -> int:
    """Cores this process may use: its affinity, or the cgroup's CPU quota where that is less."""
    cores = len(os.sched_getaffinity(0))
    quota = cgroup_quota(root)
    return cores if quota is None else max(1, min(cores, int(quota)))


def cgroup_quota(root: Path) -> float | None:
    """CPUs granted by cgroup v2 or v1, None where unlimited or unknown."""
    if (limits := root / "cpu.max").is_file():
        quota, period = limits.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    if (limits := root / "cpu" / "cpu.cfs_quota_us").is_file():
        quota_us, period_us = int(limits.read_text()), int((root / "cpu" / "cpu.cfs_period_us").read_text())
        return None if quota_us < 0 else quota_us / period_us
    return None
