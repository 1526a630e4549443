"""A video of what the model has not seen: `python -m training.example_clip examples/clip.mp4`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import click
import torch
from torch import Tensor

from training.clips import FRAME_RATE, SAMPLE_RATE, Director, cast

SIDE = 256
DATA = Path(__file__).parent / "data" / "multimodal.npz"


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), default=DATA)
@click.option("--kinds", default="coin,explosion,jump,laser", help="one clip of each, in a row")
@click.option("--seed", type=int, default=1)
def main(file: Path, data: Path, kinds: str, seed: int) -> None:
    """Write FILE: held-out sprites with held-out sounds, 0.64 s each."""
    held_out = cast(data, "test_")
    wanted = torch.tensor([held_out.labels.index(kind) for kind in kinds.split(",")])
    clips = Director(held_out, SIDE, seed, detail=1).clips(len(wanted), wanted)
    write(file, clips.frames.flatten(0, 1), clips.audio.flatten())


def write(file: Path, frames: Tensor, samples: Tensor) -> None:
    """Frames (n, 3, H, W) in [0, 1] and sound (S,) in [-1, 1] as MP4 (H.264, AAC)."""
    pictures = (frames * 255).round().byte().movedim(1, -1).numpy()
    with av.open(str(file), "w") as container:
        video = container.add_stream("libx264", FRAME_RATE)
        video.width, video.height, video.pix_fmt = SIDE, SIDE, "yuv420p"
        audio = container.add_stream("aac", SAMPLE_RATE, layout="mono")
        for picture in pictures:
            shown = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(video.encode(shown))
        heard = av.AudioFrame.from_ndarray(samples[None].numpy(), format="fltp", layout="mono")
        heard.sample_rate, heard.time_base, heard.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), 0
        container.mux(audio.encode(heard))
        for stream in (video, audio):
            container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
