"""`perceiver optical-flow`: of a video, or of two images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from perceiver_client.cli.terminal import MODEL, Terminal, need_folder, need_media, with_options

GRPC_SERVER = "grpc://127.0.0.1:8001"
OUTPUTS = {1: (".mp4",), 2: (".flo", ".npy", ".png")}  # by the number of files given
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@with_options(
    MODEL,
    click.option(
        "-o",
        "--output",
        metavar="FILE",
        type=FILE,
        help="Of a video .mp4; of two images .flo, .npy or .png.",
    ),
    click.option("--size", type=click.IntRange(1), help="Longer side of the frames at most."),
    click.option("--stride", type=click.IntRange(1), default=1, help="Every n-th pixel alone."),
    click.option("--side-by-side", is_flag=True, help="Draw each frame beside its flow."),
    click.option(
        "--grpc-server",
        metavar="URL",
        envvar="PERCEIVER_GRPC_SERVER",
        show_envvar=True,
        help=f"Where a video is streamed to, else --server or {GRPC_SERVER}.",
    ),
)
def optical_flow(
    terminal: Terminal,
    files: tuple[Path, ...],
    output: Path | None,
    grpc_server: str | None,
    **options: Any,
) -> None:
    """Show what moves where in a video.  Or between two images.

    Hue is the direction of a movement, saturation its length: of two images it is full for the
    longest of the field, in a video for the longest until then, but for the hundredth part of a
    field that is fastest.  Frames for which the server has no flow are white there, and the exit
    code is 1.

    The warp error that is printed is how much, of 255, the second frame brought back by the flow
    differs from the first; beside it, how much the second frame differs as it is.  A flow that is
    worth something makes it smaller.
    """
    if len(files) not in OUTPUTS:
        raise click.UsageError(f"give one video or two images, not {len(files)} files")
    if output is not None and output.suffix not in OUTPUTS[len(files)]:
        what = "a video" if len(files) == 1 else "two images"
        kinds = ", ".join(OUTPUTS[len(files)])
        raise click.UsageError(f"{output}: the flow of {what} is written as {kinds}")
    if output is not None:
        need_folder(output)
    need_media()
    from perceiver_client.cli.flow_files import of_images, of_video

    if len(files) == 1:
        of_video(_over_grpc(terminal, grpc_server), files[0], output, **options)
    else:
        of_images(terminal, files[0], files[1], output, **options)


def _over_grpc(terminal: Terminal, grpc_server: str | None) -> Terminal:
    """With the gRPC address of the server; a REST address does not tell it."""
    if terminal.server.startswith("grpc"):
        return terminal
    if grpc_server is None and terminal.named:
        raise click.UsageError(
            f"a video is streamed over gRPC, and {terminal.server} is REST: give that server's "
            "gRPC address too, as in --grpc-server grpc://HOST:8001"
        )
    return replace(terminal, server=grpc_server or GRPC_SERVER)
