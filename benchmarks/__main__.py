"""`python -m benchmarks [PART [OPTIONS]]`: all parts in turn, each in a process of its own, or one.
Alone on the machine, please."""

from __future__ import annotations

import subprocess
import sys

import click

PARTS = ("parity", "models", "whole", "batching", "overhead")


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("part", type=click.Choice(PARTS), required=False)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def main(part: str | None, options: tuple[str, ...]) -> None:
    """Run the benchmarks; options are the part's own."""
    for name in [part] if part else PARTS:
        click.echo(f"== {name}")
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False)
        if done.returncode:
            sys.exit(done.returncode)


if __name__ == "__main__":
    main()
