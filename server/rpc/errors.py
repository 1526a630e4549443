"""Faults -> statuses.  Every error has its code of KINDS in the trailer perceiver-code."""

from __future__ import annotations

import logging
import traceback
from typing import NamedTuple

import grpc

from protos.perceiver.v1 import perceiver_pb2 as pb
from server.engine import Engine
from server.errors import Fault, fault_of

Context = grpc.aio.ServicerContext[bytes, bytes]

log = logging.getLogger(__name__)

PROTOCOL = "grpc"
MAX_DETAILS = 500  # characters: what percent-encoding makes of them must fit into a trailer
ROUNDING = 0.01  # the wire carries a deadline in three digits, rounded up
FLIGHT_S = 0.02


class Refusal(NamedTuple):
    """What `context.abort` takes."""

    status: grpc.StatusCode
    details: str
    trailers: tuple[tuple[str, str], ...]


def refuse(engine: Engine, error: Exception, request_id: str) -> Refusal:
    """Logs and counts what went wrong, once, and lets go of the frames that it went through.

    They and the error refer to each other, and to a message of up to 64 MiB.
    """
    fault = fault_of(error, request_id)
    traceback.clear_frames(error.__traceback__)
    _tell(engine, fault, f"request {request_id}")
    status = grpc.StatusCode[fault.kind.grpc]
    return Refusal(status, fault.message[:MAX_DETAILS], trailers(fault, request_id))


def in_band(engine: Engine, fault: Fault, request_id: str, number: int) -> pb.Error:
    """Logs and counts what went wrong with one message of a stream, once."""
    _tell(engine, fault, f"request {request_id} message {number}")
    return pb.Error(code=fault.code, message=fault.message[:MAX_DETAILS])


def _tell(engine: Engine, fault: Fault, whose: str) -> None:
    engine.refuse(PROTOCOL, fault)
    level = logging.WARNING if fault.kind.http >= 500 else logging.INFO
    log.log(level, "%s: %s %s", whose, fault.kind.grpc, fault.code)


def trailers(fault: Fault, request_id: str) -> tuple[tuple[str, str], ...]:
    """What a client's code reads."""
    found = (("x-request-id", request_id), ("perceiver-code", fault.code))
    if fault.retry_after is None:
        return found
    return (*found, ("grpc-retry-pushback-ms", str(round(fault.retry_after * 1000))))


def gone(context: Context, left_s: float | None) -> Fault:
    """Why a call was cancelled that had `left_s` left at first: its client gave it up, or deadline.

    Both look the same, and a client whose clock says so first cancels the call itself.
    """
    if left_s is None or context.time_remaining() > FLIGHT_S + left_s * ROUNDING:
        return Fault("cancelled", "the caller went away before the answer")
    return Fault("deadline", "the deadline passed before the message had arrived")
