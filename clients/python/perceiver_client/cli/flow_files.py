"""Files in, flow out: what `perceiver optical-flow` does.  Loads PyAV and Pillow."""

from __future__ import annotations

import io
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path

import click
import numpy as np

from perceiver_client.cli.flow_pictures import (
    Flow,
    Frame,
    WarpError,
    beside,
    longest_of,
    warp_error,
    wheel,
)
from perceiver_client.cli.pictures import Video, VideoWriter, image
from perceiver_client.cli.terminal import Terminal, progress, sentence, waiting, whole_file
from perceiver_client.errors import PerceiverError
from perceiver_client.frames import png

MOST = 99  # percent of a field; what is faster is a speck, and shall not pale a whole video


class _Painter:
    """Draws the fields of a video.  A colour stays what it is, or grows pale when something faster
    comes that is more than a speck."""

    def __init__(self, stride: int, side_by_side: bool) -> None:
        self._stride, self._side_by_side = stride, side_by_side
        self._longest = 0.0

    def draw(self, frame: Frame, flow: Flow) -> Frame:
        self._longest = max(self._longest, longest_of(flow, MOST))
        picture = wheel(flow, self._longest)
        return beside(frame, picture, self._stride) if self._side_by_side else picture

    def blank(self, frame: Frame) -> Frame:
        """White, for a frame without a field."""
        height, width = (-(-side // self._stride) for side in frame.shape[:2])
        return self.draw(frame, np.zeros((height, width, 2), np.float32))


def of_video(
    terminal: Terminal,
    path: Path,
    output: Path | None,
    size: int | None,
    stride: int,
    side_by_side: bool,
    model: str | None,
) -> None:
    """Streams the frames and writes a video of as many pictures, but for the last."""
    painter = _Painter(stride, side_by_side)
    sent: deque[Frame] = deque()  # whose own flow is still to come
    errors: list[WarpError | None] = []
    lost: list[tuple[int, PerceiverError]] = []  # the pairs without a flow

    def frames(video: Video) -> Iterator[Frame]:
        for frame in video.frames(size):
            sent.append(frame)
            yield frame

    with terminal.client() as client:
        video = Video.of(path)
        fields = client.stream_optical_flow(frames(video), stride=stride, model=model)
        length = None if video.count is None else video.count - 1
        with (
            _video_file(output, video.rate) as write,
            closing(fields),
            progress(fields, path.name, length) as answers,
        ):
            for field in answers:
                frame1, frame2 = sent.popleft(), sent[0]
                if field.error is not None:
                    lost.append((field.index, field.error))
                    write(painter.blank(frame1))
                    errors.append(None)
                    continue
                write(painter.draw(frame1, field.flow))
                errors.append(warp_error(frame1, frame2, field.flow, stride))
            if not errors:
                raise click.ClickException(f"{path}: there is one frame, and flow is between two")
            if len(lost) == len(errors):
                raise lost[0][1]
    _show(terminal, errors)
    if lost:
        index, error = lost[0]
        count = f"{len(lost)} of {len(errors)} pairs have no flow"
        raise click.ClickException(f"{count}, the first up to frame {index}: {sentence(error)}")


@contextmanager
def _video_file(output: Path | None, rate: Fraction) -> Iterator[Callable[[Frame], None]]:
    if output is None:
        yield lambda _: None
        return
    with whole_file(output) as file, closing(VideoWriter(file, rate)) as writer:
        yield writer.write


def of_images(
    terminal: Terminal,
    path1: Path,
    path2: Path,
    output: Path | None,
    size: int | None,
    stride: int,
    side_by_side: bool,
    model: str | None,
) -> None:
    """Asks once and writes the flow, as numbers or as a picture."""
    with terminal.client() as client:
        frame1, frame2 = image(path1, size), image(path2, size)
        with waiting(path1.name):
            flow = client.optical_flow(frame1, frame2, stride=stride, model=model)
        if output is not None:
            if output.suffix == ".png":
                picture = wheel(flow, longest_of(flow))
                data = png(beside(frame1, picture, stride) if side_by_side else picture)
            else:
                data = {".flo": _flo, ".npy": _npy}[output.suffix](flow)
            with whole_file(output) as file:
                file.write(data)
    _show(terminal, [warp_error(frame1, frame2, flow, stride)])


def _flo(flow: Flow) -> bytes:
    """The Middlebury format."""
    height, width, _ = flow.shape
    return b"PIEH" + struct.pack("<ii", width, height) + flow.astype("<f4").tobytes()


def _npy(flow: Flow) -> bytes:
    file = io.BytesIO()
    np.save(file, flow)
    return file.getvalue()


def _show(terminal: Terminal, errors: Sequence[WarpError | None]) -> None:
    """The means over the pairs, but for those where nothing stays inside."""
    some = [one for one in errors if one is not None]
    warped, unwarped = np.mean(some, axis=0).tolist() if some else (None, None)
    answer = {"pairs": len(errors), "warp_error": warped, "unwarped_error": unwarped}
    terminal.show(answer, ("pairs", "warp error", "unwarped"), (len(errors), warped, unwarped))
