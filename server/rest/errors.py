"""Faults -> JSON.  Every error of every path is {"error": a sentence, "code": a machine code}."""

from __future__ import annotations

import logging
import math
import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server.engine import Engine
from server.errors import Fault, fault_of
from server.rest.doors import DOORS

log = logging.getLogger(__name__)

PROTOCOL = "rest"
TASK_PATH = re.compile(r"/v1/[^/]+")


def error_response(fault: Fault) -> JSONResponse:
    """The fault as the client reads it."""
    response = JSONResponse({"error": fault.message, "code": fault.code}, fault.kind.http)
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(fault.retry_after)))
    return response


def answer_fault(engine: Engine, request: Request, error: Exception) -> Response:
    """Logs and counts what went wrong, once, and renders it."""
    request_id = request.scope["state"]["request_id"]
    fault = fault_of(error, request_id)
    engine.refuse(PROTOCOL, fault)
    level = logging.WARNING if fault.kind.http >= 500 else logging.INFO
    log.log(level, "request %s: %d %s", request_id, fault.kind.http, fault.code)
    return error_response(fault)


def fault_of_router(error: HTTPException, path: str, method: str) -> Fault:
    """What the router could not serve, in our words."""
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        return Fault("wrong_method", f"this path takes {allowed}, not {method[:20]}")
    if error.status_code == 404 and TASK_PATH.fullmatch(path):
        tasks = ", ".join(DOORS)
        return Fault("unknown_task", f"there is no task {path[4:84]!r}; there are {tasks}")
    if error.status_code == 404:
        return Fault("unknown_path", f"there is no {path[:80]!r} here: GET / lists what there is")
    return Fault("malformed", "the request cannot be read")
