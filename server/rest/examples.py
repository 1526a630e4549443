"""An example request per task: in /v1/tasks, in the OpenAPI document, printed at start."""

from __future__ import annotations

import json
import shlex
from typing import Any

# A pair of trousers, 28×28, one bit per pixel: small enough to paste.
_TROUSERS = (
    "iVBORw0KGgoAAAANSUhEUgAAABwAAAAcAQAAAABaduI5AAAAHElEQVR42mNgQID6"
    "BwSJSiKJnx+IIhh//kCyHwCNxyWcPlz60AAAAABJRU5ErkJggg=="
)

EXAMPLES: dict[str, dict[str, Any]] = {
    "text-classification": {
        "inputs": "Der Mensch ist frei geboren, und überall liegt er in Ketten.",
        "parameters": {"top_k": 3},
    },
    "fill-mask": {
        "inputs": "It is one of the largest countries in th[MASK] world.",
        "parameters": {"top_k": 3},
    },
    "image-classification": {
        "inputs": f"data:image/png;base64,{_TROUSERS}",
        "parameters": {"top_k": 3},
    },
}


def curl(url: str, task: str) -> str:
    """A command line that asks the server at `url`, ready to paste."""
    body = json.dumps(EXAMPLES[task], ensure_ascii=False)
    return f"curl {url}/v1/{task} -d {shlex.quote(body)}"
