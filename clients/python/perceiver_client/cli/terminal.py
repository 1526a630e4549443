"""What every command has: its options, a client, a way to show answers."""

from __future__ import annotations

import functools
import itertools
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click
from click.core import ParameterSource

from perceiver_client.base import DEFAULT_TIMEOUT_S
from perceiver_client.client import Client
from perceiver_client.errors import PerceiverError
from perceiver_client.table import Row, table

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

T = TypeVar("T")
Command = Callable[..., None]
Option = Callable[[Command], Command]

HINTS = {  # what a person can do here
    "unknown_model": " (here: perceiver models)",
    "unreachable": " (is it running? perceiver-server serve starts one, --server names another)",
}


@dataclass(frozen=True)
class Terminal:
    """What the options of every command say."""

    server: str
    timeout: float
    as_json: bool
    named: bool  # the server, by the user

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
            raise click.ClickException(sentence(error)) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{where}{error.strerror or error}") from None

    def show(self, answers: Any, *rows: Row) -> None:
        """The answers as one line of JSON, or the rows as a table."""
        if self.as_json:
            click.echo(json.dumps(answers, default=asdict, ensure_ascii=False))
            return
        click.echo(table(rows))


def sentence(error: PerceiverError) -> str:
    """The error on one line."""
    return " ".join(str(error).split()) + HINTS.get(error.code, "")


def _from_either_place(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
    """What stands behind the command, else what stands before it."""
    given = ctx.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE
    return value if given or ctx.parent is None else ctx.parent.params[str(option.name)]


def _server_is_named() -> bool:
    here = click.get_current_context()
    contexts = [one for one in (here, here.parent) if one is not None]
    return any(
        one.get_parameter_source("server") is not ParameterSource.DEFAULT for one in contexts
    )


_everywhere = functools.partial(click.option, callback=_from_either_place)
OF_EVERY_COMMAND = (
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
        help="How long a call, or an answer of a stream, may take.",
    ),
    _everywhere("--json", "as_json", is_flag=True, help="The whole answers, as JSON."),
)
MODEL = click.option("--model", metavar="NAME", help="A name from `perceiver models`.")
TOP_K = click.option("--top-k", type=click.IntRange(1), help="How many answers, best first.")


def with_options(
    *options: Callable[..., Any],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of every command and these; the command gets a Terminal first."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(server: str, timeout: float, as_json: bool, **given: Any) -> None:
            command(Terminal(server, timeout, as_json, _server_is_named()), **given)

        return optioned(*options, *OF_EVERY_COMMAND)(run)

    return decorate


def optioned(*options: Option) -> Callable[[Command], Command]:
    return lambda command: functools.reduce(lambda f, option: option(f), options[::-1], command)


def need_media() -> None:
    """Says what to install where the libraries of image and video files are missing.

    Not before they are needed: they take longer to load than all the rest.
    """
    try:
        import av  # noqa: F401  # only looked for
        import PIL  # noqa: F401  # only looked for
    except ImportError:
        raise click.ClickException("this needs av and pillow: pip install av pillow") from None


def progress(steps: Iterable[T], label: str, length: int | None = None) -> ProgressBar[T]:
    """A bar on stderr while the steps are taken, with the time that is left; no terminal, no bar.

    length: how many steps there are, where that is known and `steps` does not know it.
    """
    return click.progressbar(
        steps,
        length=length,
        label=label,
        show_pos=True,
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    )


@contextmanager
def waiting(label: str) -> Iterator[None]:
    """On stderr, from the first second on, how long it takes; no terminal, nothing."""
    if not sys.stderr.isatty():
        yield
        return
    over = threading.Event()

    def count() -> None:
        for seconds in itertools.count(1):
            if over.wait(1):
                break
            click.echo(f"\r{label}  {seconds} s", err=True, nl=False)
        if seconds > 1:
            click.echo(err=True)

    counting = threading.Thread(target=count, daemon=True)
    counting.start()
    try:
        yield
    finally:
        over.set()
        counting.join()


def need_folder(output: Path) -> None:
    """Says so before any work where the file could not be written after it."""
    if not output.parent.is_dir():
        raise click.UsageError(f"{output}: there is no such folder")


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that is at `path` once it is whole, and nowhere if it never is."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def standard_input() -> bytes:
    return sys.stdin.buffer.read()
