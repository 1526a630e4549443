"""`perceiver-server serve | config | models | predict | pull`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from perceiver_core.pipelines import PIPELINES
from server.catalogue import HUB
from server.config import Settings
from server.errors import Fault
from server.files import Writer, items_of, shown, writer_of
from server.options import (
    ConfigError,
    effective_values,
    settings_of,
    settings_options,
    source_of,
    warn_of_unknown_variables,
)

SOURCES = (
    "Every option is an environment variable too (--max-queue: PERCEIVER_MAX_QUEUE) and a key of "
    "the YAML file that --config names (max_queue: 500). Flags win over variables, variables over "
    "the file."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="perceiver-server")
def main() -> None:
    """Serves Perceiver models over REST and gRPC."""


@main.command(epilog=SOURCES)
@settings_options
@click.pass_context
def serve(ctx: click.Context, /, **_: object) -> None:
    """Starts the server; SIGTERM or Ctrl-C drains it."""
    from server.app import run

    settings = settings_of(ctx)
    warn_of_unknown_variables()
    run(settings, host_from=source_of(ctx, "host"))


@main.command()
@settings_options
@click.pass_context
def config(ctx: click.Context, /, **_: object) -> None:
    """Prints the effective values and where each came from."""
    settings = settings_of(ctx)
    warn_of_unknown_variables()
    click.echo(effective_values(ctx, settings))


@main.command()
@settings_options
@click.pass_context
def models(ctx: click.Context, /, **_: object) -> None:
    """Lists the models that `serve` would offer with the same options."""
    found = asyncio.run(_models(settings_of(ctx)))
    columns = ("name", "task", "source", "state", "problem")
    rows = [[str(getattr(model, column) or "-") for column in columns] for model in found]
    click.echo(table([columns, *rows]))


@main.command()
@click.argument("task", type=click.Choice(sorted(PIPELINES)))
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--model", help="A name from `perceiver-server models`; default: the task's own.")
@click.option("--top-k", type=click.IntRange(1, 1_000_000), help="How many; default 5.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="optical-flow: .flo, .npy or .png; multimodal-autoencoding: .mp4. Else JSON is printed.",
)
@settings_options
@click.pass_context
def predict(
    ctx: click.Context,
    /,
    task: str,
    inputs: tuple[str, ...],
    model: str | None,
    top_k: int | None,
    output: Path | None,
    **_: Any,
) -> None:
    """Answers without a server: INPUT is a text, or the path of an image or a video.

    optical-flow takes two images.
    """
    settings = settings_of(ctx)
    items = items_of(task, inputs, top_k, output)
    writer = None if output is None else writer_of(task, output, len(items))
    try:
        made = asyncio.run(_predict(settings, task, items, model, writer))
    except Fault as fault:
        hint = " (here: perceiver-server models)" if fault.code == "unknown_model" else ""
        raise click.ClickException(fault.message + hint) from None
    if output is None:
        sys.stdout.buffer.write(made)
        return
    try:
        output.write_bytes(made)
    except OSError as error:
        raise click.ClickException(f"cannot write {str(output)!r}: {error.strerror}") from None


@main.command("pull")
@click.argument("name", type=click.Choice(sorted(HUB)))
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Read the files of this folder, laid out as the hub's, instead of the hub.",
)
@settings_options
@click.pass_context
def pull_command(ctx: click.Context, /, name: str, source: Path | None, **_: Any) -> None:
    """Fetches a published checkpoint from the hub and makes it ready to serve."""
    from server.pull import PullError, pull

    settings = settings_of(ctx)
    if settings.models_dir is None:
        raise ConfigError("models_dir is not set: say --models-dir FOLDER")
    try:
        pull(name, settings.models_dir, source, click.echo)
    except PullError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{name} is ready: `perceiver-server serve` offers it")


async def _models(settings: Settings) -> Sequence[Any]:
    from server.app import open_engine

    return open_engine(settings).models()


async def _predict(
    settings: Settings, task: str, items: Sequence[Any], model: str | None, writer: Writer | None
) -> bytes:
    """The results as JSON, or the one result as a file."""
    from server.app import open_engine

    async with open_engine(settings) as engine:
        request = engine.predict(task, items, model=model, protocol="cli")
        answering = asyncio.create_task(request)
        try:
            await asyncio.wait((answering, engine.refusal), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not answering.done():  # refused, or Ctrl-C
                answering.cancel()
        if engine.refusal.done():
            raise ConfigError(engine.refusal.result())
        outputs = answering.result().outputs
        if writer is not None:
            return await writer(engine.media, outputs[0])
    answer = [shown(output) for output in outputs]
    encoded = msgspec.json.encode(answer[0] if len(items) == 1 else answer)
    return msgspec.json.format(encoded, indent=2) + b"\n"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
