"""How many cores this process may use: what a container was given, not what its machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """The least of the process's affinity and its cgroups' quotas (found below `root`); ≥ 1.

    A part of a core counts for nothing: the process that owns the sockets needs it.
    """
    cores = [len(os.sched_getaffinity(0)), *map(_quota, _cgroups(root))]
    return max(1, int(min(cores)))


def _cgroups(root: Path) -> Iterator[Path]:
    """The folders, version 1 or 2, of the process's cgroup and of those above it.

    A container may be told its path on the machine and see its own folder only, at the top: all
    folders on the way are named, whether they are there or not.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / ("sys/fs/cgroup/cpu" if controllers else "sys/fs/cgroup")
        group = top / path.lstrip("/")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top))


def _quota(cgroup: Path) -> float:
    """CPU time granted per time, which is cores; infinite where nothing is said."""
    quota, period = (
        _text(cgroup / "cpu.max")
        or _text(cgroup / "cpu.cfs_quota_us") + _text(cgroup / "cpu.cfs_period_us")
        or "max 1"
    ).split()
    return int(quota) / int(period) if quota.isdecimal() else math.inf


def _text(path: Path) -> str:
    """What a small file says; nothing where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
