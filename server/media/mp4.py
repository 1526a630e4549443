"""Frames and sound to an MP4 file: H.264 and AAC."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray

SOUND_RATE = 48_000  # AAC knows few rates
ALONE = {"threads": "1"}  # the media child may start no others
PICTURE = {"crf": "18", "preset": "veryfast", **ALONE}  # of libx264; 18 looks lossless
SOUND = {"b": "192k", **ALONE}


def mp4(
    frames: NDArray[np.uint8],
    samples: NDArray[np.float32] | None,
    frame_rate: int,
    sample_rate: int,
) -> bytes:
    """The file of RGB frames (n, h, w, 3) and mono samples (S,) in [-1, 1], None for no sound.

    Sound beyond the last frame is left out.
    H.264 halves the resolution of colours: an odd height or width is one more, its edge repeated.
    """
    odd = [(0, side % 2) for side in frames.shape[1:3]]
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as file:
        pictures = file.add_stream("libx264", rate=frame_rate, options=PICTURE)
        pictures.height, pictures.width = (np.add(frames.shape[1:3], np.sum(odd, 1))).tolist()
        pictures.pix_fmt = "yuv420p"
        sound = None if samples is None else file.add_stream("aac", SOUND_RATE, options=SOUND)
        if sound is not None:
            sound.layout = "mono"
        for index, frame in enumerate(frames):
            even = VideoFrame.from_ndarray(np.pad(frame, [*odd, (0, 0)], "edge"))
            file.mux(pictures.encode(even))
            begin, end = ((index + i) * sample_rate // frame_rate for i in (0, 1))
            if sound is not None and samples is not None and begin < len(samples):
                part = AudioFrame.from_ndarray(samples[None, begin:end], "flt", "mono")
                part.sample_rate, part.time_base = sample_rate, Fraction(1, sample_rate)
                part.pts = begin
                file.mux(sound.encode(part))
        file.mux(pictures.encode(None))
        if sound is not None:
            file.mux(sound.encode(None))
    return out.getvalue()
