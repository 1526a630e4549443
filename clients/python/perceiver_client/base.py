"""What Client and AsyncClient have in common: all but the waiting."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from perceiver_client.checks import check_known, plain, several
from perceiver_client.context import Context
from perceiver_client.errors import bad_answer
from perceiver_client.urls import server_url

DEFAULT_TIMEOUT_S = 30.0
LONGEST_TIMEOUT_S = 24 * 3600.0


class Base:
    """What both clients know."""

    def __init__(self, url: str, *, timeout: float = DEFAULT_TIMEOUT_S, retries: int = 2) -> None:
        """url: http://HOST:PORT, https://…, grpc://HOST:PORT or grpcs://…; timeout: seconds a call
        may take with all its tries; retries: further tries of what is worth trying again."""
        if retries < 0:
            raise ValueError(f"retries is {retries}, but must be 0 or more")
        self._url, self._retries = server_url(url), retries
        self._timeout = _checked(timeout)
        self._closed = False

    def _begin(self, timeout: float | None) -> Context:
        """A call starts now."""
        if self._closed:
            raise RuntimeError("the client is closed: make another")
        return Context(self._timeout if timeout is None else _checked(timeout), uuid4().hex)

    def _prepared(
        self, task: type[Any], inputs: Any, timeout: float | None = None, **options: Any
    ) -> tuple[Any, bool, Context]:
        """The call, whether it has one input that is not in a list, and its context."""
        check_known(task, options)
        given, single = several(inputs)
        context = self._begin(timeout)
        return task(inputs=given, **plain(options)), single, context

    def _streamed(
        self, stream: type[Any], timeout: float | None = None, **options: Any
    ) -> tuple[Any, Context]:
        """The stream, and its context: the timeout is that of an answer."""
        check_known(stream, options)
        return stream(**plain(options)), self._begin(timeout)

    def _picked(self, answers: list[Any], call: Any, single: bool, context: Context) -> Any:
        """The answer for one input, or all of them."""
        if len(answers) != len(call.inputs):
            what = f"{len(answers)} results for {len(call.inputs)} inputs"
            raise bad_answer(self._url.geturl(), what, context)
        return answers[0] if single else answers


def read_files(inputs: Any) -> Any:
    """The same with the files' bytes in place of their paths."""
    images, single = several(inputs)
    read = [one.read_bytes() if isinstance(one, Path) else one for one in images]
    return read[0] if single else read


def _checked(timeout: float) -> float:
    if not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a number of seconds, but is {timeout!r}")
    if not 0 < timeout <= LONGEST_TIMEOUT_S:
        limit = f"more than 0 and at most {LONGEST_TIMEOUT_S:g} seconds"
        raise ValueError(f"timeout is {timeout!r}, but must be {limit}")
    return timeout
