"""A worker, and the front process, give memory back when they are done with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from server.memory import GLIBC

PROGRAM = """
import sys, psutil, torch
from perceiver_core.pipelines import open_pipeline
from perceiver_core.zoo import EMBEDDED
from server.faults import FaultPlan, Rule
from server.messages import WorkerOptions
from server.worker.device import settle
from server.worker.runner import Runner
how = sys.argv[3].split()
if "settled" in how:
    ready = settle(WorkerOptions("cpu", sys.argv[1], "fast", threads=1, fault_plan=None))
    delay = Rule(on="forward", action="delay", seconds=0.5 if "slow" in how else 0.0)
    runner, folder = Runner(ready, FaultPlan([delay])), EMBEDDED["tiny-language-id"]
    runner.load("model", str(folder))
    pipeline = open_pipeline(folder)
    rows = pipeline.preprocess(pipeline.input_type("a text"))
    runner.run("model", rows)
memory = psutil.Process().memory_info
torch.zeros(2**22)  # a block freed before: what glibc's own threshold grows by
blocks = [torch.ones(int(sys.argv[2]), dtype=torch.uint8) for _ in range(40)]
full = memory().rss
if "all" in how:
    blocks.clear()
else:
    del blocks[::2]  # no room at the end of the heap, from where it would go back anyway
if "run" in how:
    runner.run("model", rows)
print((full - memory().rss) / 2**20)
"""

FRONT = """
import psutil, numpy as np
import server.app
from server.config import Settings
async def measured(settings):
    memory = psutil.Process().memory_info
    np.ones(2**21)  # a block freed before: what glibc's own threshold grows by
    blocks = [np.ones(2**20, np.uint8) for _ in range(40)]
    full = memory().rss
    del blocks[::2]
    print((full - memory().rss) / 2**20)
    return 0
server.app.serve = measured
server.app.run(Settings(), host_from="default")
"""

pytestmark = pytest.mark.skipif(not GLIBC, reason="another C library is left as it is")


def given_back(dtype: str, megabytes: float, how: str = "settled") -> float:
    """How much less memory a process has that frees twenty of forty blocks, in MiB."""
    return printed(PROGRAM, dtype, str(int(megabytes * 2**20)), how)


def printed(program: str, *arguments: str) -> float:
    command = [sys.executable, "-c", program, *arguments]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.parametrize(("dtype", "megabytes"), [("float32", 9), ("bfloat16", 5)])
def test_large_blocks_are_given_back_at_once(dtype: str, megabytes: float) -> None:
    assert given_back(dtype, megabytes) > 15 * megabytes


def test_the_c_library_would_keep_them() -> None:
    assert given_back("float32", 9, "as it is") < 15 * 9


@pytest.mark.parametrize(("dtype", "megabytes"), [("float32", 6), ("bfloat16", 3)])
def test_small_ones_are_kept_to_be_used_again(dtype: str, megabytes: float) -> None:
    assert given_back(dtype, megabytes) < 5 * megabytes


def test_so_are_all_of_them_up_to_a_few_megabytes() -> None:
    assert given_back("float32", 0.7, "settled all") < 0.3 * 28  # of 28 MiB


def test_after_a_long_pass_they_are_given_back_too() -> None:
    assert given_back("float32", 6, "settled slow run") > 15 * 6
    assert given_back("float32", 6, "settled run") < 5 * 6  # after a short one they are not


def test_the_front_process_gives_back_what_a_frame_takes() -> None:
    assert printed(FRONT) > 15
