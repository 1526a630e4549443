"""A worker gives the memory of large temporaries back when it is done with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys, psutil, torch
from server.memory import give_small_blocks_back
from server.messages import WorkerOptions
from server.worker.device import settle
how = sys.argv[3].split()
if "settled" in how:
    settle(WorkerOptions("cpu", sys.argv[1], "fast", threads=1, fault_plan=None))
memory = psutil.Process().memory_info
torch.zeros(2**22)  # a block freed before: what glibc's own threshold grows by
blocks = [torch.ones(int(sys.argv[2]), dtype=torch.uint8) for _ in range(40)]
full = memory().rss
if "all" in how:
    blocks.clear()
else:
    del blocks[::2]  # no room at the end of the heap, from where it would go back anyway
if "trimmed" in how:
    give_small_blocks_back()
print((full - memory().rss) / 2**20)
"""


def given_back(dtype: str, megabytes: float, how: str = "settled") -> float:
    """How much less memory a process has that frees twenty of forty blocks, in MiB."""
    command = [sys.executable, "-c", PROGRAM, dtype, str(int(megabytes * 2**20)), how]
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
    assert given_back("float32", 6, "settled trimmed") > 15 * 6
