"""`perceiver`: a server's answers in a terminal.  Needs the extra `cli`."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

try:
    import click
except ImportError:
    sys.exit("the command needs click: pip install 'perceiver-client[cli]'")

from perceiver_client.client import DEFAULT_TIMEOUT_S, Client
from perceiver_client.errors import PerceiverError
from perceiver_client.results import Label

PER_CALL = 32  # inputs: servers limit how many one call may have
SHOWN = 40  # characters of a cell that is not the last of its row

Row = Sequence[object]


@dataclass(frozen=True)
class Terminal:
    """What the options of every command say."""

    server: str
    timeout: float
    as_json: bool

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client; what goes wrong is one line on stderr and exit code 1, or 2 for bad usage."""
        try:
            client = Client(self.server, timeout=self.timeout)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        try:
            with client:
                yield client
        except PerceiverError as error:
            raise click.ClickException(" ".join(str(error).split())) from None
        except OSError as error:
            raise click.ClickException(f"{error.filename}: {error.strerror}") from None

    def show(self, answers: Sequence[Any], *rows: Row) -> None:
        """The answers as JSON, or the rows as a table."""
        if self.as_json:
            click.echo(json.dumps(answers, default=asdict, indent=2, ensure_ascii=False))
            return
        cells = [[*(_short(_cell(v)) for v in row[:-1]), _cell(row[-1])] for row in rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for row in cells:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            click.echo(line.rstrip())


_OF_EVERY_COMMAND = (
    click.option(
        "--server",
        metavar="URL",
        envvar="PERCEIVER_SERVER",
        default="http://127.0.0.1:8000",
        show_default=True,
        show_envvar=True,
        help="http:// or https:// for REST, grpc:// or grpcs:// for gRPC.",
    ),
    click.option(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=DEFAULT_TIMEOUT_S,
        show_default=True,
        help="How long a call may take, with all its tries.",
    ),
    click.option("--json", "as_json", is_flag=True, help="The whole answers, as JSON."),
)
_OF_EVERY_TASK = (
    click.option("--model", metavar="NAME", help="A name from `perceiver models`."),
    click.option("--top-k", type=click.IntRange(1), help="How many answers, best first."),
)
_FUNCTION = click.option(
    "--function-to-apply",
    type=click.Choice(["softmax", "sigmoid", "none"]),
    help="What turns logits into scores.",
)


def _with(*options: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of every command and these; the command gets a Terminal first."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(server: str, timeout: float, as_json: bool, **given: Any) -> None:
            command(Terminal(server, timeout, as_json), **given)

        return functools.reduce(
            lambda made, option: option(made), reversed((*options, *_OF_EVERY_COMMAND)), run
        )

    return decorate


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Ask a perceiver-server."""


@main.command()
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@_with(*_OF_EVERY_TASK, _FUNCTION)
def text_classification(terminal: Terminal, texts: tuple[str, ...], **options: Any) -> None:
    """Label texts; `-` stands for the lines of standard input."""
    given = _lines(texts)
    with terminal.client() as client:
        answers = [
            labels
            for some in _portions(given)
            for labels in client.text_classification(some, **options)
        ]
    _show_labels(terminal, given, answers)


@main.command()
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@_with(
    *_OF_EVERY_TASK,
    click.option("--target", "targets", multiple=True, help="Score this only; may be repeated."),
)
def fill_mask(
    terminal: Terminal, texts: tuple[str, ...], targets: tuple[str, ...], **options: Any
) -> None:
    """Fill the [MASK]s of texts, one per byte; `-` stands for the lines of standard input."""
    given = _lines(texts)
    with terminal.client() as client:
        answers = [
            spans
            for some in _portions(given)
            for spans in client.fill_mask(some, targets=targets or None, **options)
        ]
    rows = [(f.token_str, f.score, f.sequence) for spans in answers for s in spans for f in s]
    terminal.show(answers, ("filled", "score", "text"), *rows)


@main.command()
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@_with(*_OF_EVERY_TASK, _FUNCTION)
def image_classification(terminal: Terminal, files: tuple[Path, ...], **options: Any) -> None:
    """Label image files (JPEG, PNG, WebP)."""
    with terminal.client() as client:
        answers = [
            labels
            for some in _portions(files)
            for labels in client.image_classification(some, **options)
        ]
    _show_labels(terminal, files, answers)


@main.command()
@_with()
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
            lines = sys.stdin.read().splitlines()
            given += [line for line in lines if line.strip()]
        else:
            given.append(text)
    if not given:
        raise click.UsageError("standard input has no line with text")
    return given


def _portions(inputs: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(inputs), PER_CALL):
        yield inputs[start : start + PER_CALL]


def _cell(value: object) -> str:
    """On one line: nothing in a text may break the table."""
    if isinstance(value, float):
        return f"{value:.4f}"
    return "".join(char if char.isprintable() else "·" for char in str(value))


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
