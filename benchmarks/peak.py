"""`python -m benchmarks.peak FOLDER WHAT`: the most memory that this process held at once, in MB,
for one answer of an optical-flow or multimodal-autoencoding model.

WHAT is `weights` (nothing is asked), the HEIGHTxWIDTH of two frames, or `clip` (all of one).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import torch

from perceiver_core.pipelines import open_pipeline
from perceiver_core.pipelines.multimodal_autoencoding import MODALITIES, Footage, Format
from perceiver_core.pipelines.optical_flow import FramePair
from perceiver_core.tasks import load_model
from server.engine import WORKER_ENVIRONMENT


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("what")
@click.option("--dtype", default="auto", show_default=True)
def main(folder: Path, what: str, dtype: str) -> None:
    """Answer once, then print the peak."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    pipeline = open_pipeline(folder)
    model = load_model(folder, "fast", "cpu", dtype)
    with torch.inference_mode():
        if what == "clip":
            pipeline(model, random_clip(pipeline.format, MODALITIES))  # type: ignore[attr-defined]  # of that task
        elif what != "weights":
            height, _, width = what.partition("x")
            pipeline(model, random_frames(int(height), int(width)))
    click.echo(_peak_mb())


def peak_mb(folder: Path, what: str, dtype: str = "auto") -> int:
    """What this program prints, run with the memory allocator set as it is for a worker."""
    command = [sys.executable, "-m", "benchmarks.peak", str(folder), what, "--dtype", dtype]
    root, env = Path(__file__).parents[1], {**WORKER_ENVIRONMENT, **os.environ}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, check=True)
    return int(done.stdout)


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
