"""Faults -> statuses.  Every error has its code of KINDS in the trailer perceiver-code."""

from __future__ import annotations

import logging
from typing import NoReturn

import grpc

from server.engine import Engine
from server.errors import Fault, fault_of

Context = grpc.aio.ServicerContext[bytes, bytes]

log = logging.getLogger(__name__)

PROTOCOL = "grpc"
MAX_DETAILS = 500  # characters: what percent-encoding makes of them must fit into a trailer


async def abort(engine: Engine, context: Context, error: Exception, request_id: str) -> NoReturn:
    """Logs and counts what went wrong, once, and ends the call with it."""
    fault = fault_of(error, request_id)
    engine.refuse(PROTOCOL, fault)
    level = logging.WARNING if fault.kind.http >= 500 else logging.INFO
    log.log(level, "request %s: %s %s", request_id, fault.kind.grpc, fault.code)
    status = grpc.StatusCode[fault.kind.grpc]
    await context.abort(status, fault.message[:MAX_DETAILS], trailers(fault, request_id))


def trailers(fault: Fault, request_id: str) -> tuple[tuple[str, str], ...]:
    """What a client's code reads."""
    found = (("x-request-id", request_id), ("perceiver-code", fault.code))
    if fault.retry_after is None:
        return found
    return (*found, ("grpc-retry-pushback-ms", str(round(fault.retry_after * 1000))))
