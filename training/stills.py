"""Stills of videos as one picture: `python -m training.stills VIDEO... -o PICTURE`."""

from __future__ import annotations

from pathlib import Path

import av
import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

STILLS = 3


@click.command()
@click.argument("videos", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "picture", required=True, type=click.Path(path_type=Path))
@click.option("--height", default=160, help="Of each row in pixels.")
def main(videos: tuple[Path, ...], picture: Path, height: int) -> None:
    """One row for each video: stills at a quarter, half and three quarters of its length."""
    rows = [Image.fromarray(np.hstack(stills(video, height))) for video in videos]
    size = (max(row.width for row in rows), sum(row.height for row in rows))
    sheet = Image.new("RGB", size, "white")
    for number, row in enumerate(rows):
        sheet.paste(row, (0, number * height))
    sheet.save(picture)


def stills(video: Path, height: int) -> list[NDArray[np.uint8]]:
    """RGB (height, W, 3), pixels repeated where the video is smaller."""
    with av.open(str(video)) as container:
        arrays = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    frames = [Image.fromarray(array) for array in arrays]
    chosen = [frames[len(frames) * n // (STILLS + 1)] for n in range(1, STILLS + 1)]
    sizes = [(round(one.width * height / one.height), height) for one in chosen]
    way = Image.Resampling.NEAREST if frames[0].height < height else Image.Resampling.LANCZOS
    return [np.asarray(one.resize(size, way)) for one, size in zip(chosen, sizes, strict=True)]


if __name__ == "__main__":
    main()
