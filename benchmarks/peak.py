"""`python -m benchmarks.peak FOLDER WHAT`: the most memory that this process held at once, in MB,
for one answer (not its first) of an optical-flow or multimodal-autoencoding model.

WHAT is `weights` (nothing is asked), the HEIGHTxWIDTH of two frames, or `clip` (all of one).
"""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import click
import numpy as np

from perceiver_core.pipelines import open_pipeline
from perceiver_core.pipelines.multimodal_autoencoding import MODALITIES, Footage, Format
from perceiver_core.pipelines.optical_flow import FramePair
from server.faults import FaultPlan
from server.messages import Loaded, WorkerOptions
from server.worker.device import settle
from server.worker.runner import Runner


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("what")
def main(folder: Path, what: str) -> None:
    """Answer as a worker does that has answered before, then print the peak."""
    options = WorkerOptions("cpu", "auto", "fast", len(os.sched_getaffinity(0)), fault_plan=None)
    runner = Runner(settle(options), FaultPlan())
    loaded = runner.load("model", str(folder))
    assert isinstance(loaded, Loaded), loaded
    pipeline = open_pipeline(folder)
    if what != "weights":
        item = _item(pipeline, what)
        # The first pass of all also brings in code of the libraries, which stays.
        runner.run("model", next(pipeline.batches(item)))
        _forget_peak()
        answers = (runner.run("model", batch)[1] for batch in pipeline.batches(item))
        pipeline.postprocess(item, chain.from_iterable(answers))
    click.echo(_peak_mb())


def _item(pipeline: Any, what: str) -> Any:
    if what == "clip":
        return random_clip(pipeline.format, MODALITIES)
    height, _, width = what.partition("x")
    return random_frames(int(height), int(width))


def peak_mb(folder: Path, what: str) -> int:
    """What this program prints."""
    command = [sys.executable, "-m", "benchmarks.peak", str(folder), what]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, check=True)
    return int(done.stdout)


def _forget_peak() -> None:
    """The most that was held is from now on what is held now (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> int:
    """Of this program: what getrusage tells also counts the process that started it."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


def random_frames(height: int, width: int) -> FramePair:
    """Two frames of noise."""
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    return FramePair(frames[0], frames[1])


def random_clip(wanted: Format, outputs: tuple[str, ...]) -> Footage:
    """One clip of noise."""
    random = np.random.default_rng(0)
    size = (wanted.frames, wanted.height, wanted.width, 3)
    sound = random.normal(0, 0.3, wanted.samples).astype(np.float32)
    return Footage(random.integers(0, 256, size, dtype=np.uint8), sound, outputs)


if __name__ == "__main__":
    main()
