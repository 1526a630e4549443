"""The process that decodes untrusted media: `python -m server.media_child FD OPTIONS`.

It gives up what it does not need before it reads the first byte from outside: no new privileges,
no files to write, few to open, no core dumps, bounded memory and CPU.  The parent kills it when a
call takes too long (server/child.py).  One call at a time, one reply each.
"""

from __future__ import annotations

import logging
import math
import resource
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from perceiver_core.errors import CheckpointError, InvalidInput
from perceiver_core.pipelines import open_pipeline
from perceiver_core.pipelines.multimodal_autoencoding import Format, MultimodalAutoencoding
from perceiver_core.pipelines.optical_flow import OpticalFlow
from server.confine import confine
from server.errors import INTERNAL
from server.frames import Channel, FrameError, Row
from server.media.colours import flow_png
from server.media.fit import fit
from server.media.images import decode_image
from server.media.limits import Limits
from server.media.mp4 import mp4
from server.media.video import read_video
from server.messages import (
    MAX_MEDIA_BYTES,
    TOO_MUCH,
    Decode,
    Failed,
    MediaCall,
    MediaDone,
    MediaOptions,
    MediaReady,
    Preprocess,
    RenderFlow,
    RenderVideo,
)
from server.parent import join_parent

log = logging.getLogger(__name__)


def main() -> None:
    """Answers calls until the parent hangs up."""
    options = msgspec.json.decode(sys.argv[2], type=MediaOptions)
    limits = Limits(options.max_pixels, options.max_seconds, options.max_frames, options.max_rows)
    channel: Channel[MediaCall] = join_parent(int(sys.argv[1]), MediaCall, MAX_MEDIA_BYTES)
    confine(options.memory_bytes)
    channel.send(MediaReady())
    with suppress(EOFError, OSError):
        while True:
            call, rows = channel.receive()
            _limit_cpu(options.time_limit_s)
            try:
                channel.send(*answer(call, rows, limits))
            except FrameError:
                channel.send(Failed("too_large", TOO_MUCH))


def answer(call: MediaCall, rows: list[Row], limits: Limits) -> tuple[msgspec.Struct, list[Row]]:
    """What was asked for, or why there is nothing."""
    try:
        return MediaDone(), _made(call, rows, limits)
    except InvalidInput as error:
        return Failed(getattr(error, "code", "invalid_input"), str(error)), []
    except CheckpointError as error:
        return Failed("load_failed", str(error)), []
    except MemoryError:
        return Failed("too_large", TOO_MUCH), []
    except Exception:
        log.exception("a media call failed: our bug")
        return Failed("internal", INTERNAL), []


def _made(call: MediaCall, rows: list[Row], limits: Limits) -> list[Row]:
    [row] = rows
    match call:
        case Preprocess(folder):
            return _preprocessed(Path(folder), row["item"], limits)
        case Decode(size):
            pixels = decode_image(row["file"].tobytes(), limits)
            return [{"pixels": pixels if size is None else fit(pixels, size)}]
        case RenderFlow(longest):
            return [_file(flow_png(row["flow"], longest))]
        case RenderVideo(frame_rate, sample_rate):
            return [_file(mp4(row["frames"], row.get("audio"), frame_rate, sample_rate))]


def _preprocessed(folder: Path, encoded: np.ndarray[Any, Any], limits: Limits) -> list[Row]:
    pipeline: Any = open_pipeline(folder)
    item = msgspec.msgpack.decode(encoded.data, type=pipeline.input_type)
    if isinstance(pipeline, OpticalFlow) and item.region is None:
        tile = math.prod(pipeline.config.train_size)
        limits = replace(limits, pixels=min(limits.pixels, limits.rows * tile))

    def image(data: bytes) -> np.ndarray[Any, Any]:
        return decode_image(data, limits)

    def video(data: bytes, wanted: Format) -> Any:
        return read_video(data, wanted, limits)

    pipeline.decode = video if isinstance(pipeline, MultimodalAutoencoding) else image
    item = pipeline.decoded(item)
    limits.check_rows(pipeline.row_count(item))
    return list(pipeline.preprocess(item))


def _file(data: bytes) -> Row:
    return {"file": np.frombuffer(data, np.uint8)}


def _limit_cpu(seconds: float) -> None:
    """One call's CPU time, in case the parent cannot kill us."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit = math.ceil(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="media_child %(levelname)s %(message)s")
    main()
