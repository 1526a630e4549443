"""The command, and what it asks of texts, images and the catalogue."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import click

from perceiver_client import __version__
from perceiver_client.cli.terminal import (
    MODEL,
    OF_EVERY_COMMAND,
    TOP_K,
    Terminal,
    optioned,
    standard_input,
    with_options,
)
from perceiver_client.errors import PerceiverError
from perceiver_client.results import Label
from perceiver_client.table import short

_NUMBERED = re.compile(r"inputs\[(\d+)\](?=[: ])")  # how errors begin that are about one input
PER_CALL = 32  # inputs: servers limit how many one call may have
_FUNCTION = click.option(
    "--function-to-apply",
    type=click.Choice(["softmax", "sigmoid", "none"]),
    help="What turns logits into scores.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="perceiver")
@optioned(*OF_EVERY_COMMAND)
def main(**_: Any) -> None:
    """Ask a perceiver-server.  --server, --timeout and --json may also follow the command."""
    # grpc reads it when it is imported, and would print its own lines before an error's.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


@main.command()
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@with_options(MODEL, TOP_K, _FUNCTION)
def text_classification(terminal: Terminal, texts: tuple[str, ...], **options: Any) -> None:
    """Label texts.  `-` stands for the lines of standard input."""
    given = _lines(texts)
    with terminal.client() as client:
        answers = _asked(client.text_classification, given, **options)
    _show_labels(terminal, given, answers)


@main.command()
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@with_options(
    MODEL,
    TOP_K,
    click.option("--target", "targets", multiple=True, help="Score this only; may be repeated."),
)
def fill_mask(
    terminal: Terminal, texts: tuple[str, ...], targets: tuple[str, ...], **options: Any
) -> None:
    """Fill the [MASK]s of texts, one per byte.  `-` stands for the lines of standard input."""
    given = _lines(texts)
    with terminal.client() as client:
        answers = _asked(client.fill_mask, given, targets=targets or None, **options)
    several = (len(given) > 1, any(len(spans) > 1 for spans in answers))
    rows = [
        (text, span, fill.token_str, fill.score, fill.sequence)
        for text, spans in zip(given, answers, strict=True)
        for span, fills in enumerate(spans, start=1)
        for fill in fills
    ]
    shown = [
        list(compress(row, (*several, True, True, True)))
        for row in [("input", "span", "filled", "score", "text"), *rows]
    ]
    terminal.show(answers, *shown)


@main.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(allow_dash=True, path_type=Path),
)
@with_options(MODEL, TOP_K, _FUNCTION)
def image_classification(terminal: Terminal, files: tuple[Path, ...], **options: Any) -> None:
    """Label image files (JPEG, PNG, WebP).  `-` stands for one on standard input."""
    images = [standard_input() if file == Path("-") else file for file in files]
    with terminal.client() as client:
        answers = _asked(client.image_classification, images, **options)
    _show_labels(terminal, files, answers)


@main.command()
@with_options()
def models(terminal: Terminal) -> None:
    """List the server's models."""
    with terminal.client() as client:
        answers = client.models()
    rows = [(m.name, m.task or "", m.state, "yes" if m.default else "") for m in answers]
    terminal.show(answers, ("name", "task", "state", "default"), *rows)


def _show_labels(terminal: Terminal, inputs: Sequence[object], answers: list[list[Label]]) -> None:
    pairs = zip(inputs, answers, strict=True)
    rows = [(one, label.label, label.score) for one, labels in pairs for label in labels]
    terminal.show(answers, ("input", "label", "score"), *rows)


def _lines(texts: tuple[str, ...]) -> list[str]:
    """The texts, `-` replaced by what standard input holds; empty lines are none."""
    given: list[str] = []
    for text in texts:
        if text == "-":
            try:
                lines = standard_input().decode().splitlines()
            except UnicodeDecodeError:
                raise click.ClickException("standard input is not UTF-8") from None
            given += [line for line in lines if line.strip()]
        else:
            given.append(text)
    if not given:
        raise click.UsageError("standard input has no line with text")
    return given


def _asked(ask: Callable[..., list[Any]], inputs: Sequence[Any], **options: Any) -> list[Any]:
    """The answers to all inputs, PER_CALL at a time; an error names the input, not its number."""
    answers: list[Any] = []
    for start in range(0, len(inputs), PER_CALL):
        some = inputs[start : start + PER_CALL]
        try:
            answers += ask(some, **options)
        except PerceiverError as error:
            numbered = _NUMBERED.match(error.message)
            if numbered and int(numbered[1]) < len(some):
                error.message = _named(some[int(numbered[1])]) + error.message[numbered.end() :]
            raise
    return answers


def _named(one: str | bytes | Path) -> str:
    if isinstance(one, bytes):
        return "standard input"
    return str(one) if isinstance(one, Path) else short(one)
