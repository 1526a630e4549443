"""The OpenAPI document: we parse bodies ourselves, so we also say ourselves what they are."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from server.errors import KINDS
from server.rest.door import JSON, Door
from server.rest.doors import DOORS
from server.rest.schemas import ErrorAnswer

_REF = "#/components/schemas/{model}"
_HEADERS: dict[str, dict[str, Any]] = {
    "X-Timeout-Ms": {"type": "integer", "minimum": 1},
    "X-Request-Id": {"type": "string", "maxLength": 128},
}
# What a task can answer beside 200; 499 is never sent.
_CODES = [code for code in KINDS if code not in ("cancelled", "wrong_method")]


def document(app: FastAPI) -> dict[str, Any]:
    """The whole document, made once."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        components = schema.setdefault("components", {}).setdefault("schemas", {})
        for kind in [
            ErrorAnswer,
            *(t for door in DOORS.values() for t in (door.request, door.answer)),
        ]:
            _schema(kind, components)
        app.openapi_schema = schema
    return app.openapi_schema


def describe_task(door: Door) -> dict[str, Any]:
    """`openapi_extra` of a task's route."""
    content: dict[str, Any] = {JSON: {"schema": _schema(door.request, {}), "example": door.example}}
    binary = {"schema": {"type": "string", "format": "binary"}}
    content |= dict.fromkeys(door.media, binary)
    if door.parts:
        files = dict.fromkeys(door.parts, binary["schema"])
        content["multipart/form-data"] = {
            "schema": {
                "type": "object",
                "required": [*door.parts],
                "properties": {**files, "parameters": {"type": "string"}},
            }
        }
    parameters = [{"name": "model", "in": "query", "schema": {"type": "string"}}]
    parameters += [{"name": k, "in": "header", "schema": v} for k, v in _HEADERS.items()]
    return {"requestBody": {"required": True, "content": content}, "parameters": parameters}


def responses_of(door: Door) -> dict[int | str, dict[str, Any]]:
    """200 with its type, and every error the table knows."""
    content: dict[str, Any] = {
        kind: {"schema": {"type": "string", "format": "binary"}} for kind in door.forms
    }
    content[JSON] = {"schema": _schema(door.answer, {})}
    responses: dict[int | str, dict[str, Any]] = {
        200: {"description": "The answer, of the type that Accept asks for.", "content": content}
    }
    for code in _CODES:
        status = KINDS[code].http
        known = responses.get(status, {}).get("description")
        responses[status] = error_of(f"{known}, {code}" if known else code)
    return responses


def error_of(description: str) -> dict[str, Any]:
    """A response that is an error."""
    content = {"application/json": {"schema": _schema(ErrorAnswer, {})}}
    return {"description": description, "content": content}


def _schema(kind: Any, components: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of a type; what it refers to goes into `components`."""
    schema = TypeAdapter(kind).json_schema(ref_template=_REF)
    components.update(schema.pop("$defs", {}))
    if "title" in schema and schema.get("type") == "object":
        components[schema["title"]] = schema
        return {"$ref": _REF.format(model=schema["title"])}
    return schema
