"""A video of what tiny-multimodal has not seen, as `python -m training.example_clip FILE`."""

from __future__ import annotations

from pathlib import Path

import click
import torch
from torch.nn import functional as F

from training.clips import SAMPLE_RATE, Director, cast
from training.examples import MP4, video
from training.examples import SAMPLE_RATE as FILE_RATE

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
    frames = (clips.frames.flatten(0, 1) * 255).round().byte().movedim(1, -1).numpy()
    times = FILE_RATE // SAMPLE_RATE
    sound = F.interpolate(clips.audio.reshape(1, 1, -1), scale_factor=times, mode="linear")
    file.write_bytes(video(iter(frames), MP4, sound.flatten().numpy()))


if __name__ == "__main__":
    main()
