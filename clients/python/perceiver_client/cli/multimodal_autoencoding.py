"""`perceiver multimodal-autoencoding`: what a video shows, and the video as the model has it."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from perceiver_client.cli.terminal import (
    MODEL,
    TOP_K,
    Terminal,
    need_folder,
    need_media,
    progress,
    standard_input,
    waiting,
    whole_file,
    with_options,
)
from perceiver_client.options import Modality
from perceiver_client.results import Clip, Reconstruction

MP4: tuple[Modality, ...] = ("video", "audio")


@click.command()
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path))
@with_options(
    MODEL,
    TOP_K,
    click.option(
        "-o",
        "--output",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="An .mp4 of the frames and the sound that come out.",
    ),
    click.option(
        "--outputs",
        type=click.Choice(["label", *MP4]),
        multiple=True,
        help="What is wanted; may be repeated.  [default: label; with -o all]",
    ),
)
def multimodal_autoencoding(
    terminal: Terminal,
    file: Path,
    output: Path | None,
    outputs: tuple[Modality, ...],
    model: str | None,
    top_k: int | None,
) -> None:
    """Label the clips of a video.  With -o, write it as it comes out.

    It goes over REST in one request: what is longer than the server takes at once (GET /limits) is
    refused.  `-` is standard input.
    """
    wanted = outputs or (("label",) if output is None else ("label", *MP4))
    made = [one for one in MP4 if one in wanted]
    if terminal.server.startswith("grpc"):
        raise click.UsageError("a video file goes over REST: --server http://HOST:PORT, not gRPC")
    if made and output is None:
        raise click.UsageError(
            f"{' and '.join(made)} can only be written to a file: add -o FILE.mp4"
        )
    if output is not None and not made:
        raise click.UsageError(f"{output} is for pictures: add --outputs video")
    if made and "video" not in made:
        raise click.UsageError("an .mp4 without pictures cannot be had: add --outputs video")
    if output is not None and output.suffix != ".mp4":
        raise click.UsageError(f"{output}: the video is written as .mp4")
    if output is not None:
        need_folder(output)
        need_media()

    with terminal.client() as client:
        video = standard_input() if file == Path("-") else file.read_bytes()
        with waiting(file.name):
            found = client.multimodal_autoencoding(video, outputs=wanted, top_k=top_k, model=model)
        if output is not None:
            _write(output, found, sound="audio" in wanted)
    if "label" in wanted or terminal.as_json:
        _show(terminal, found.clips)


def _write(path: Path, made: Reconstruction, *, sound: bool) -> None:
    """The clips one after the other, as an MP4 file."""
    from perceiver_client.cli.pictures import VideoWriter

    rate = Fraction(made.frame_rate)
    with (
        whole_file(path) as file,
        closing(VideoWriter(file, rate, sound=sound)) as writer,
        progress(made.clips, path.name) as clips,
    ):
        for clip in clips:
            for frame in () if clip.video is None else clip.video:
                writer.write(frame)
            if clip.audio is not None:
                writer.write_sound(clip.audio, made.sample_rate)


def _show(terminal: Terminal, clips: list[Clip]) -> None:
    answer: list[Any] = [{"start": clip.start, "labels": clip.labels} for clip in clips]
    rows = [
        (f"{clip.start:.2f} s", one.label, one.score) for clip in clips for one in clip.labels or ()
    ]
    terminal.show(answer, ("start", "label", "score"), *rows)
