"""`perceiver`: a server's answers in a terminal.  Needs the extra `cli`."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import compress
from pathlib import Path
from typing import Any

try:
    import click
    from click.core import ParameterSource
except ImportError:
    sys.exit("the command needs click: pip install click")

from perceiver_client import __version__
from perceiver_client.base import DEFAULT_TIMEOUT_S
from perceiver_client.client import Client
from perceiver_client.errors import PerceiverError
from perceiver_client.results import Label
from perceiver_client.table import Row, table

PER_CALL = 32  # inputs: servers limit how many one call may have
HINTS = {"unknown_model": " (here: perceiver models)"}  # what a server says of HTTP, said again


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
            sentence = " ".join(str(error).split()) + HINTS.get(error.code, "")
            raise click.ClickException(sentence) from None
        except OSError as error:
            raise click.ClickException(f"{error.filename}: {error.strerror}") from None

    def show(self, answers: Sequence[Any], *rows: Row) -> None:
        """The answers as one line of JSON, or the rows as a table."""
        if self.as_json:
            click.echo(json.dumps(answers, default=asdict, ensure_ascii=False))
            return
        click.echo(table(rows))


def _from_either_place(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
    """What stands behind the command, else what stands before it."""
    given = ctx.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE
    return value if given or ctx.parent is None else ctx.parent.params[str(option.name)]


_everywhere = functools.partial(click.option, callback=_from_either_place)
_OF_EVERY_COMMAND = (
    _everywhere(
        "--server",
        metavar="URL",
        envvar="PERCEIVER_SERVER",
        default="http://127.0.0.1:8000",
        show_default=True,
        show_envvar=True,
        help="http:// or https:// for REST, grpc:// or grpcs:// for gRPC.",
    ),
    _everywhere(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=DEFAULT_TIMEOUT_S,
        show_default=True,
        help="How long a call may take, with all its tries.",
    ),
    _everywhere("--json", "as_json", is_flag=True, help="The whole answers, as JSON."),
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

        return _optioned(*options, *_OF_EVERY_COMMAND)(run)

    return decorate


def _optioned(*options: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return lambda command: functools.reduce(lambda f, option: option(f), options[::-1], command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="perceiver")
@_optioned(*_OF_EVERY_COMMAND)
def main(**_: Any) -> None:
    """Ask a perceiver-server.  --server, --timeout and --json may also follow the command."""
    # grpc reads it when it is imported, and would print its own lines before an error's.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


@main.command()
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@_with(*_OF_EVERY_TASK, _FUNCTION)
def text_classification(terminal: Terminal, texts: tuple[str, ...], **options: Any) -> None:
    """Label texts.  `-` stands for the lines of standard input."""
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
    """Fill the [MASK]s of texts, one per byte.  `-` stands for the lines of standard input."""
    given = _lines(texts)
    with terminal.client() as client:
        answers = [
            spans
            for some in _portions(given)
            for spans in client.fill_mask(some, targets=targets or None, **options)
        ]
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
@_with(*_OF_EVERY_TASK, _FUNCTION)
def image_classification(terminal: Terminal, files: tuple[Path, ...], **options: Any) -> None:
    """Label image files (JPEG, PNG, WebP).  `-` stands for one on standard input."""
    images = [_standard_input() if file == Path("-") else file for file in files]
    with terminal.client() as client:
        answers = [
            labels
            for some in _portions(images)
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
            try:
                lines = _standard_input().decode().splitlines()
            except UnicodeDecodeError:
                raise click.ClickException("standard input is not UTF-8") from None
            given += [line for line in lines if line.strip()]
        else:
            given.append(text)
    if not given:
        raise click.UsageError("standard input has no line with text")
    return given


def _standard_input() -> bytes:
    return sys.stdin.buffer.read()


def _portions(inputs: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(inputs), PER_CALL):
        yield inputs[start : start + PER_CALL]
