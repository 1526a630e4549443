"""When a call is tried again: one policy, for tenacity's blocking and its async loop."""

from __future__ import annotations

from typing import Any

from tenacity import (
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from perceiver_client.context import Context
from perceiver_client.errors import PerceiverError

_BACK_OFF = wait_random_exponential(multiplier=0.2, max=5)  # seconds, where nobody says when


def policy(retries: int, context: Context) -> dict[str, Any]:
    """Keywords of Retrying and AsyncRetrying: `retries` further tries, none after the deadline.

    Where the wait would reach beyond it, the error is raised at once.
    """
    return {
        "retry": retry_if_exception(_worth_it),
        "wait": _wait,
        "stop": stop_after_attempt(retries + 1) | stop_before_delay(context.remaining()),
        "reraise": True,
    }


def _worth_it(error: BaseException) -> bool:
    # Calls change nothing on the server, so one that broke half way may be made again.
    return isinstance(error, PerceiverError) and (
        error.code == "unreachable" or error.retry_after is not None
    )


def _wait(state: RetryCallState) -> float:
    assert state.outcome is not None
    error = state.outcome.exception()
    asked = error.retry_after if isinstance(error, PerceiverError) else None
    return _BACK_OFF(state) if asked is None else asked
