"""`threads: 0` is every core that the process was given, not every core of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from server.worker.cores import usable_cores

CPU = Path("/sys/fs/cgroup/cpu")  # version 1
UNIFIED = Path("/sys/fs/cgroup")  # version 2
MINE = len(os.sched_getaffinity(0))

SETTLE = """
import torch
from server.messages import WorkerOptions
from server.worker.device import settle
settle(WorkerOptions("cpu", "float32", "fast", 0, None))
print(torch.get_num_threads())
"""


def machine(folder: Path, cgroup: str, files: dict[str, str]) -> Path:
    """A root directory with what the kernel says about this process."""
    for name, text in {"proc/self/cgroup": cgroup, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return folder


V1 = "4:memory:/pod\n3:cpu,cpuacct:/pod/box\n0::/pod/box"
V2 = "0::/pod/box"


def v1(folder: str, quota: int) -> dict[str, str]:
    at = f"sys/fs/cgroup/cpu/{folder}"
    return {f"{at}cpu.cfs_quota_us": str(quota), f"{at}cpu.cfs_period_us": "100000"}


@pytest.mark.parametrize(
    ("cgroup", "files", "cores"),
    [
        (V2, {"sys/fs/cgroup/pod/box/cpu.max": "100000 100000"}, 1),
        (V2, {"sys/fs/cgroup/pod/box/cpu.max": "190000 100000"}, 1),
        (V2, {"sys/fs/cgroup/pod/box/cpu.max": "1000 100000"}, 1),
        (V2, {"sys/fs/cgroup/pod/box/cpu.max": "max 100000"}, MINE),
        (V2, {"sys/fs/cgroup/pod/box/cpu.max": "6400000 100000"}, MINE),
        (V2, {"sys/fs/cgroup/pod/cpu.max": "50000 50000"}, 1),
        ("0::/", {"sys/fs/cgroup/cpu.max": "100000 100000"}, 1),
        ("0::/../other", {"sys/fs/cgroup/cpu.max": "100000 100000"}, 1),
        (V1, v1("pod/box/", 100_000), 1),
        (V1, v1("pod/box/", -1) | v1("pod/", 150_000), 1),
        (V1, v1("", 100_000), 1),
        (V1, v1("pod/box/", -1), MINE),
        ("2:cpuset:/pod/box", v1("pod/box/", 100_000), MINE),
        ("0::/", {}, MINE),
    ],
)
def test_cores_of_a_cgroup(tmp_path, cgroup, files, cores):
    assert usable_cores(machine(tmp_path, cgroup, files)) == cores


def test_two_of_three_cores(tmp_path, monkeypatch):
    files = {"sys/fs/cgroup/pod/box/cpu.max": "250000 100000"}
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})
    assert usable_cores(machine(tmp_path, V2, files)) == 2


@pytest.fixture
def one_core() -> Iterator[Path]:
    """A real cgroup with one core's worth of time."""
    top = UNIFIED if (UNIFIED / "cgroup.controllers").exists() else CPU
    group = top / f"perceiver-{uuid4()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("this user may not make cgroups here")
    try:
        if top is CPU:
            (group / "cpu.cfs_quota_us").write_text("100000")
        elif (group / "cpu.max").exists():
            (group / "cpu.max").write_text("100000 100000")
        else:
            pytest.skip("no CPU quotas here")
        yield group
    finally:
        group.rmdir()


def test_the_worker_of_one_core_has_one_thread(one_core):
    """--cpus 1, for real."""
    run = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    command = ["sh", "-c", run, str(one_core), sys.executable, "-c", SETTLE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["1"]
