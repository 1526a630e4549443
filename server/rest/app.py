"""The FastAPI application: routes, and what surrounds them."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from server.engine import Engine
from server.errors import Fault
from server.rest.answer import Unread
from server.rest.doors import DOORS
from server.rest.edge import Edge
from server.rest.errors import answer_fault, fault_of_router
from server.rest.openapi import describe_task, document, responses_of
from server.rest.pages import add_pages
from server.rest.tasks import endpoint

VERSION = "1"
RestApp = Edge  # for those who pass one on without speaking HTTP


def create_app(engine: Engine) -> RestApp:
    """REST v1 over an engine that somebody else starts, drains and closes.

    Once the engine is leaving, every response ends its connection.
    """
    app = FastAPI(
        title="perceiver-server",
        version=VERSION,
        description="Perceiver and Perceiver IO models. Errors are {error, code}.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    unread = Unread()
    tasks = {door.path: endpoint(engine, door, unread) for door in DOORS.values()}
    for door in DOORS.values():
        app.add_api_route(
            door.path,
            tasks[door.path],
            methods=["POST"],
            name=door.task,
            summary=door.summary,
            response_model=None,
            responses=responses_of(door),
            openapi_extra=describe_task(door),
        )
    add_pages(app, engine)
    _answer_errors(app, engine)
    return Edge(app, engine, tasks)


def _answer_errors(app: FastAPI, engine: Engine) -> None:
    async def on_fault(request: Request, error: Exception) -> Response:
        return answer_fault(engine, request, error)

    async def on_router(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        fault = fault_of_router(error, request.url.path, request.method)
        response = answer_fault(engine, request, fault)
        if error.headers and "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response

    app.add_exception_handler(Fault, on_fault)
    app.add_exception_handler(HTTPException, on_router)
