"""What `perceiver-server predict` reads, and what it shows or writes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from perceiver_core.pipelines import PIPELINES
from perceiver_core.pipelines.multimodal_autoencoding import (
    MultimodalAutoencoding,
    Reconstruction,
)
from perceiver_core.pipelines.optical_flow import Flow, OpticalFlow, OpticalFlowInput
from server.arrays import flo, npy
from server.media_pool import MediaPool
from server.results import magnitudes, mp4

Writer = Callable[[MediaPool, Any], Awaitable[bytes]]


def items_of(task: str, given: Sequence[str], top_k: int | None, out: Path | None) -> list[Any]:
    """The INPUTs as the pipeline's inputs; click's errors where they cannot be."""
    pipeline = PIPELINES[task]
    options = {} if top_k is None else {"top_k": top_k}
    if not pipeline.media:
        return [pipeline.input_type(text, **options) for text in given]
    files = [_read(path) for path in given]
    if task != OpticalFlow.task:
        items = [pipeline.input_type(file, **options) for file in files]
        is_video = task == MultimodalAutoencoding.task and out is not None
        return [replace(item, outputs=("video", "audio")) for item in items] if is_video else items
    if options:
        raise click.UsageError(f"{task} has no --top-k: its answer is a field, not a list")
    if len(files) % 2:
        raise click.UsageError(
            f"{task} takes two images, one after the other; for a video start a server and ask it: "
            "perceiver optical-flow VIDEO"
        )
    return [OpticalFlowInput(*pair) for pair in zip(files[::2], files[1::2], strict=True)]


def writer_of(task: str, out: Path, items: int) -> Writer:
    """How one result becomes the file `out`, told by its ending; click's error where it cannot."""
    kinds = _WRITERS.get(task)
    if kinds is None:
        raise click.UsageError(f"{task} writes no file, its answer is JSON: do without --output")
    if out.suffix not in kinds:
        raise click.UsageError(f"--output {str(out)!r}: files of {task} end in {', '.join(kinds)}")
    if not out.parent.is_dir():
        raise click.UsageError(f"--output {str(out)!r}: there is no such folder")
    if items > 1:
        raise click.UsageError(f"--output takes one result, this is {items}")
    return kinds[out.suffix]


def shown(output: Any) -> Any:
    """A result as JSON may show it: arrays of megabytes become a few numbers."""
    match output:
        case Flow(flow):
            return {"shape": flow.shape, **magnitudes(flow)}
        case Reconstruction(clips):
            return [{"start": clip.start, "labels": clip.labels} for clip in clips]
    return output


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise click.ClickException(f"cannot read {path!r}: {error.strerror}") from None


async def _flo(_: MediaPool, made: Flow) -> bytes:
    return b"".join(flo(made.flow))


async def _npy(_: MediaPool, made: Flow) -> bytes:
    return b"".join(npy(made.flow))


async def _png(media: MediaPool, made: Flow) -> bytes:
    return await media.render("flow-png", {"flow": made.flow})


_WRITERS: dict[str, dict[str, Writer]] = {
    OpticalFlow.task: {".flo": _flo, ".npy": _npy, ".png": _png},
    MultimodalAutoencoding.task: {".mp4": mp4},
}
