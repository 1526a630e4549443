"""One table of errors, and what callers see of exceptions that nobody foresaw."""

import asyncio
import logging

import pytest

from perceiver_core.errors import InvalidInput
from server.errors import INTERNAL, KINDS, Fault, fault_of

# contract.md, section 3
CONTRACT = {
    "malformed": (400, "INVALID_ARGUMENT"),
    "invalid_input": (422, "INVALID_ARGUMENT"),
    "pair_broken": (422, "INVALID_ARGUMENT"),
    "unknown_model": (404, "NOT_FOUND"),
    "unknown_task": (404, "NOT_FOUND"),
    "unknown_path": (404, "NOT_FOUND"),
    "model_not_pulled": (404, "NOT_FOUND"),
    "wrong_method": (405, "UNIMPLEMENTED"),
    "not_acceptable": (406, "INVALID_ARGUMENT"),
    "unsupported_media_type": (415, "INVALID_ARGUMENT"),
    "too_slow": (408, "CANCELLED"),
    "too_large": (413, "RESOURCE_EXHAUSTED"),
    "queue_full": (429, "RESOURCE_EXHAUSTED"),
    "load_failed": (503, "UNAVAILABLE"),
    "starting": (503, "UNAVAILABLE"),
    "draining": (503, "UNAVAILABLE"),
    "worker_died": (503, "UNAVAILABLE"),
    "deadline": (504, "DEADLINE_EXCEEDED"),
    "out_of_memory": (507, "RESOURCE_EXHAUSTED"),
    "non_finite_output": (422, "INVALID_ARGUMENT"),
    "cancelled": (499, "CANCELLED"),
    "internal": (500, "INTERNAL"),
}


def test_the_table_is_the_contract() -> None:
    assert {code: (kind.http, kind.grpc) for code, kind in KINDS.items()} == CONTRACT


@pytest.mark.parametrize(
    "code", ["queue_full", "load_failed", "starting", "draining", "worker_died"]
)
def test_what_may_be_tried_again_says_when(code: str) -> None:
    assert (Fault(code, "x").retry_after or 0) >= 1


def test_an_invalid_input_is_told_as_it_was_said() -> None:
    fault = fault_of(InvalidInput("top_k is 0: use 1 to 5"))
    assert (fault.code, fault.message) == ("invalid_input", "top_k is 0: use 1 to 5")


def test_an_invalid_input_may_know_its_code() -> None:
    class TooManyPixels(InvalidInput):
        code = "too_large"

    assert fault_of(TooManyPixels("x")).code == "too_large"


def test_what_nobody_foresaw_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        fault = fault_of(KeyError("/secret/path"), "request-7")
    assert (fault.code, fault.message) == ("internal", INTERNAL)
    assert "request-7" in caplog.text
    assert "/secret/path" in caplog.text


def test_a_cancellation_is_no_bug(caplog: pytest.LogCaptureFixture) -> None:
    assert fault_of(asyncio.CancelledError()).code == "cancelled"
    assert caplog.text == ""
