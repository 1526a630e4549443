"""The GET side: what there is, in which state, within which limits."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from server.engine import Engine
from server.errors import Fault
from server.rest.answer import MAX_UNREAD
from server.rest.docs import docs_page
from server.rest.doors import DOORS
from server.rest.errors import error_response
from server.rest.examples import curl
from server.rest.openapi import document, error_of
from server.rest.parse import MAX_ELEMENTS

SEE = ["/docs", "/openapi.json", "/v1/tasks", "/v1/models", "/limits"]
SEE += ["/livez", "/readyz", "/health", "/metrics"]


def add_pages(app: FastAPI, engine: Engine) -> None:
    """Adds every GET route."""

    async def index() -> dict[str, Any]:
        return {
            "name": "perceiver-server",
            "tasks": {door.task: door.path for door in DOORS.values()},
            "see": SEE,
        }

    async def tasks(request: Request) -> list[dict[str, Any]]:
        url = str(request.base_url).rstrip("/")
        return [
            {
                "task": door.task,
                "path": door.path,
                "summary": door.summary,
                "default_model": engine.catalogue.default(door.task),
                "example": door.example,
                "curl": curl(url, door.task),
            }
            for door in DOORS.values()
        ]

    async def models() -> Response:
        return _json({"models": engine.models()})

    async def limits() -> Response:
        own = {"json_elements": MAX_ELEMENTS, "unread_answer_bytes": MAX_UNREAD}
        return _json(engine.limits() | own)

    async def livez() -> dict[str, str]:
        return {"status": "live"}

    async def readyz() -> Response:
        if engine.leaving:
            return error_response(Fault("draining", "the server is shutting down"))
        if not engine.ready():
            return error_response(Fault("starting", "the worker is starting: try again soon"))
        return JSONResponse({"status": "ready"})

    async def metrics() -> Response:
        return Response(engine.metrics(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(document(app)))

    app.add_api_route("/", index, summary="What there is.")
    app.add_api_route("/v1/tasks", tasks, summary="Tasks, an example request each.")
    app.add_api_route("/v1/models", models, summary="Models and their states.")
    app.add_api_route("/limits", limits, summary="Limits in force.")
    app.add_api_route("/livez", livez, summary="The process answers.")
    unready: dict[int | str, dict[str, Any]] = {503: error_of("draining, starting")}
    ready_text = "Requests would be served now."
    app.add_api_route("/readyz", readyz, summary=ready_text, responses=unready)
    app.add_api_route("/health", readyz, summary="The same as /readyz.", responses=unready)
    app.add_api_route("/metrics", metrics, summary="Prometheus metrics.")
    app.add_api_route("/docs", docs, include_in_schema=False)


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
