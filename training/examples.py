"""Makes the example media: `python -m training.examples` writes examples/ and prints the small
video that server/rest/examples.py holds.

Everything is computed from formulas, by us, and in the public domain (CC0).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

FOLDER = Path(__file__).parents[1] / "examples"
FRAME_RATE = 25
SAMPLE_RATE = 48_000
SECONDS = 2
BOUNCES = 2  # a second
Pixels = NDArray[np.uint8]
Codecs = dict[str, tuple[str, dict[str, str]]]  # of a container: its picture's codec and options
MP4: Codecs = {"mp4": ("libx264", {"crf": "23"})}
SMALL: Codecs = {"webm": ("libvpx-vp9", {"crf": "55", "b": "0", "lag-in-frames": "0"})}
BITEXACT = 1 << 23  # AV_CODEC_FLAG_BITEXACT: no names of encoders in the file


def texture(size: tuple[int, int], shift: tuple[float, float], seed: int) -> NDArray[Any]:
    """A smooth colourful pattern (H, W, 3) in [0, 255], moved by (right, down) pixels."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    pattern = np.zeros((*size, 3))
    for _ in range(24):
        angle, length, phase = random.uniform((0, 4, 0), (np.pi, 40, 2 * np.pi))
        along = (x - shift[0]) * np.cos(angle) + (y - shift[1]) * np.sin(angle)
        wave = np.sin(along * 2 * np.pi / length + phase)
        pattern += wave[..., None] * random.uniform(-1, 1, 3) * np.sqrt(length)
    return np.asarray(127 + pattern * 60 / pattern.std())


def frame(number: int, size: tuple[int, int] = (96, 128)) -> Pixels:
    """A disc that moves (5, 2) pixels a frame over a background that moves (-2, 1)."""
    y, x = np.mgrid[: size[0], : size[1]]
    inside = (x - 60 - 5 * number) ** 2 + (y - 45 - 2 * number) ** 2 < 26**2
    disc = texture(size, (5 * number, 2 * number), seed=1)
    ground = texture(size, (-2 * number, number), seed=2)
    return np.where(inside[..., None], disc, ground).clip(0, 255).astype(np.uint8)


def png(pixels: Any) -> bytes:
    """A PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return file.getvalue()


def ball(side: int, frames: int) -> Iterator[Pixels]:
    """A ball that bounces."""
    y, x = np.mgrid[:side, :side] / side
    for number in range(frames):
        turn = number * BOUNCES / FRAME_RATE % 1
        height = 4 * turn * (1 - turn)
        inside = (x - 0.2 - 0.6 * number / frames) ** 2 + (y - 0.85 + 0.65 * height) ** 2 < 0.02
        yield np.where(inside[..., None], (230, 150, 40), (40, 60, 90)).astype(np.uint8)


def beeps() -> NDArray[np.float32]:
    """A short tone at every bounce, float32 (S,)."""
    time = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    since = time % (1 / BOUNCES)
    tone = 0.5 * np.sin(2 * np.pi * 660 * since) * np.exp(-since * 18)
    return tone.astype(np.float32)


def video(frames: Iterator[Pixels], codecs: Codecs, audio: NDArray[np.float32] | None) -> bytes:
    """A video file, with sound if there is any."""
    [(container, (codec, options))] = codecs.items()
    file = io.BytesIO()
    first = next(frames)
    with av.open(file, "w", format=container, options={"fflags": "+bitexact"}) as output:
        picture: Any = output.add_stream(codec, rate=FRAME_RATE, options=options)
        picture.height, picture.width, picture.pix_fmt = *first.shape[:2], "yuv420p"
        picture.codec_context.flags |= BITEXACT
        sound: Any = None
        if audio is not None:
            sound = output.add_stream("aac", rate=SAMPLE_RATE, layout="mono", bit_rate=32_000)
            sound.codec_context.flags |= BITEXACT
        for pixels in (first, *frames):
            output.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(picture.encode())
        if audio is not None:
            samples = av.AudioFrame.from_ndarray(audio[None], format="fltp", layout="mono")
            samples.sample_rate, samples.pts = SAMPLE_RATE, 0
            samples.time_base = Fraction(1, SAMPLE_RATE)
            output.mux([*sound.encode(samples), *sound.encode()])
    return file.getvalue()


def main() -> None:
    """Writes the files and prints the constant."""
    for number in (1, 2):
        (FOLDER / f"frame{number}.png").write_bytes(png(frame(number)))
    clip = video(ball(64, SECONDS * FRAME_RATE), MP4, beeps())
    (FOLDER / "clip.mp4").write_bytes(clip)
    print("_BALL", base64.b64encode(video(ball(32, 8), SMALL, None)).decode())


if __name__ == "__main__":
    main()
