"""/docs: the OpenAPI document as one plain page; no script, nothing from another host."""

from __future__ import annotations

import json
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
pre { background: #f4f4f4; padding: .75rem; overflow-x: auto; border-radius: 4px }
h2 code { font-size: 1.1rem } table { border-collapse: collapse } td { padding: .1rem 1rem .1rem 0 }
summary { cursor: pointer }
"""


def docs_page(document: dict[str, Any]) -> str:
    """HTML for people; /openapi.json is the same for machines."""
    info = document["info"]
    operations = [
        _operation(method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = document["components"]["schemas"]
    types = [
        f"<details><summary>{escape(name)}</summary>{_code(schema)}</details>"
        for name, schema in schemas.items()
    ]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>"
        f"<style>{_STYLE}</style><h1>{escape(info['title'])}</h1>"
        f"<p>{escape(info['description'])} For machines: <a href=/openapi.json>/openapi.json</a>."
        f"{''.join(operations)}<h2>Types</h2>{''.join(types)}</html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f"<h2><code>{method} {escape(path)}</code></h2><p>{escape(operation['summary'])}"]
    content = operation.get("requestBody", {}).get("content", {})
    if content:
        parts.append(f"<p>Takes {escape(', '.join(content))}. For example:")
        parts.append(_code(content["application/json"]["example"]))
        answers = operation["responses"]["200"]["content"]
        parts.append(f"<p>Answers as {escape(', '.join(answers))}.")
        rows = [
            f"<tr><td>{status}<td>{escape(response['description'])}"
            for status, response in operation["responses"].items()
        ]
        parts.append(f"<table>{''.join(rows)}</table>")
    return "".join(parts)


def _code(value: object) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
