"""Optical flow and multimodal autoencoding beside transformers, at the published sizes, every
tensor random; and the memory they take.

transformers decodes a clip in 128 passes, as its documentation does, and encodes it anew in each: a
few passes are timed, taken times 128, and said to be. Ours answers the whole question each time,
from decoded frames to the answer. Contenders take turns; a contender's time is the best of them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from benchmarks.models import best_of
from benchmarks.patched import patched
from benchmarks.peak import peak_mb, random_clip, random_frames
from benchmarks.report import Row, json_option, report
from perceiver_core.numerics import resolve_dtype
from perceiver_core.pipelines import open_pipeline
from perceiver_core.pipelines.multimodal_autoencoding import MODALITIES
from perceiver_core.tasks import load_model
from perceiver_core.tasks.optical_flow import flow_patches
from tests.core import peers
from tests.core.published import FLOW, MULTIMODAL

PASSES = 128  # of a clip
PIXELS, PATCHES = 6272, 15  # decoded in one of them
Inputs = dict[str, Any]  # of a pass


@dataclass(frozen=True)
class Model:
    """A task class at its published size, what is asked of it, and how often transformers is asked
    for that; `half`: whether its class takes bfloat16; `peaks`: what benchmarks.peak measures, a
    single tile or clip second."""

    kind: str
    sizes: dict[str, Any]
    asked: dict[str, Any]
    passes: int
    half: bool
    peaks: tuple[str, ...]


MODELS = {
    "flow": Model(
        kind="PerceiverForOpticalFlow",
        sizes=FLOW,
        asked={"a tile": random_frames(368, 496)},
        passes=1,
        half=True,
        peaks=("weights", "368x496", "436x1024", "1080x1920"),
    ),
    "clip": Model(
        kind="PerceiverForMultimodalAutoencoding",
        sizes=MULTIMODAL,
        asked={"label only": ("label",), "all of it": MODALITIES},
        passes=PASSES,
        half=False,  # it mixes the formats of pixels and positions
        peaks=("weights", "clip"),
    ),
}
SPEED = {
    "seconds": "",
    "a pass": ".2f",
    "a patched pass": ".2f",
    "passes": "",
    "transformers": ".1f",
    "patched": ".1f",
    "ours, fast": ".2f",
    "fast / transformers": ".1f",
    "fast / patched": ".1f",
    "drift of fast": ".1e",
}
MEMORY = {"peak MB of a process": "", "MB": "", "of one tile's or clip's": ".2f"}


@click.command()
@click.option("--turns", default=3, show_default=True, help="Calls of each contender.")
@click.option("--only", type=click.Choice(list(MODELS)), help="One of the models.")
@click.option("--peaks/--no-peaks", default=True, help="Whether memory is measured too.")
@json_option
def main(turns: int, only: str | None, peaks: bool, file: Path | None) -> None:
    """Optical flow and multimodal autoencoding beside transformers."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    speed: list[Row] = []
    memory: list[Row] = []
    for name in [only] if only else MODELS:
        with tempfile.TemporaryDirectory() as folder:
            speed += _speed(name, Path(folder), turns)
            memory += _memory(name, Path(folder)) if peaks else []
    title = (
        f"Whole answers at the published sizes: seconds, best of {turns}; transformers' are one "
        f"pass times the passes that the answer takes; drift = max|a - b| / max|b| of a pass"
    )
    report(title, SPEED, speed, file)
    if peaks:
        report("Memory, ours, fast: one answer in a process of its own", MEMORY, memory, None)


def _speed(name: str, folder: Path, turns: int) -> list[Row]:
    model = MODELS[name]
    ours, theirs = peers.pair(model.kind, model.sizes)
    ours.save_pretrained(folder)
    del ours
    pipeline, fast = open_pipeline(folder), load_model(folder, "fast", "cpu", "auto")
    items = {
        what: random_clip(pipeline.format, asked) if isinstance(asked, tuple) else asked  # type: ignore[attr-defined]  # of that task
        for what, asked in model.asked.items()
    }
    inputs = _inputs(next(iter(items.values())))
    native = resolve_dtype("auto" if model.half else "float32", "fast", torch.device("cpu"))
    patch = patched(theirs, native)
    calls: list[Callable[[], Any]] = [
        *(partial(_pass, peer, inputs) for peer in (theirs, patch)),
        *(partial(pipeline, fast, item) for item in items.values()),
    ]
    with torch.inference_mode():
        drift = _drift(_own_pass(fast, inputs), calls[0]())  # which also warms up
        one, one_patched, *own = best_of(calls, turns)
    rows: list[Row] = []
    for what, seconds in zip(items, own, strict=True):
        whole, whole_patched = one * model.passes, one_patched * model.passes
        times = (one, one_patched, f"×{model.passes}", whole, whole_patched, seconds)
        speed = (whole / seconds, whole_patched / seconds)
        values = (f"{name}, {what}", *times, *speed, drift)
        rows.append(dict(zip(SPEED, values, strict=True)))
    return rows


def _inputs(item: Any) -> Inputs:
    """What one pass of a model takes, to the answer of a pass."""
    if hasattr(item, "frame1"):
        frames = torch.from_numpy(item.frame1), torch.from_numpy(item.frame2)
        pixels = torch.stack(frames).movedim(-1, 1)[None] / 127.5 - 1
        return {"inputs": flow_patches(pixels)}
    clip = {
        "image": torch.from_numpy(item.frames).movedim(-1, 1)[None] / 255,
        "audio": torch.from_numpy(item.audio)[None, :, None],
        "label": torch.zeros(1, MULTIMODAL["num_labels"]),
    }
    points = {"image": torch.arange(PIXELS), "audio": torch.arange(PATCHES), "label": None}
    return {"inputs": clip, "subsampled_output_points": points}


def _pass(model: Any, inputs: Inputs) -> dict[str, Tensor]:
    """The logits of one pass, by modality."""
    given = inputs["inputs"]
    if isinstance(given, dict):
        given = {name: values.to(model.dtype) for name, values in given.items()}
    else:
        given = given.to(model.dtype)
    logits = model(**{**inputs, "inputs": given}).logits
    return logits if isinstance(logits, dict) else {"flow": logits}


def _own_pass(model: Any, inputs: Inputs) -> dict[str, Tensor]:
    """The same of ours, computed as the answer is."""
    by_modality = "subsampled_output_points" in inputs
    return peers.by_modality(model, **inputs) if by_modality else _pass(model, inputs)


def _drift(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    return max(peers.deviation(ours[name].float(), theirs[name]) for name in theirs)


def _memory(name: str, folder: Path) -> list[Row]:
    peaks = [peak_mb(folder, what) for what in MODELS[name].peaks]
    return [
        dict(zip(MEMORY, (f"{name}, {what}", peak, peak / peaks[1]), strict=True))
        for what, peak in zip(MODELS[name].peaks, peaks, strict=True)
    ]


if __name__ == "__main__":
    main()
