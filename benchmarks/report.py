"""Tables of results as Markdown and JSON, with the machine they were measured on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path

import click
import torch

from perceiver_core.numerics import native_bfloat16

Row = Mapping[str, str | float]


def report(title: str, formats: Mapping[str, str], rows: Iterable[Row], file: Path | None) -> None:
    """Print a table with a column for each of `formats`; write the raw values to `file`."""
    rows = list(rows)
    click.echo(f"{title}\n{machine()}\n")
    click.echo("| " + " | ".join(formats) + " |")
    click.echo("|---" + "|--:" * (len(formats) - 1) + "|")
    for row in rows:
        click.echo("| " + " | ".join(format(row[name], f) for name, f in formats.items()) + " |")
    click.echo()
    if file is not None:
        values = {"title": title, "machine": machine(), "rows": [dict(row) for row in rows]}
        file.write_text(json.dumps(values, indent=2) + "\n")


def machine() -> str:
    """The facts that figures depend on, in one line."""
    bfloat16 = "native" if native_bfloat16(torch.device("cpu")) else "not native"
    return (
        f"{_cpu()}, {len(os.sched_getaffinity(0))} CPUs, bfloat16 {bfloat16}, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


json_option = click.option(
    "--json",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the raw values there too.",
)
