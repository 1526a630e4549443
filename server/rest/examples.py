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
_MOVED = (  # the same, two pixels to the right
    "iVBORw0KGgoAAAANSUhEUgAAABwAAAAcAQAAAABaduI5AAAAKUlEQVR42mNgQAD5HwxM"
    "DAwMuAlmBv63R/ArgRIKLAxEqGNhcECyngEAQy8DbWBhWbcAAAAASUVORK5CYII="
)

# A ball that bounces: 32×32, eight frames, made by training/examples.py.
_BALL = (
    "GkXfo59ChoEBQveBAULygQRC84EIQoKEd2VibUKHgQJChYECGFOAZwEAAAAAAAJqEU2bdLpNu4tTq4QVSalmU6yBoU"
    "27i1OrhBZUrmtTrIHGTbuMU6uEElTDZ1OsggEJTbuMU6uEHFO7a1OsggJU7AEAAAAAAABZAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAVSalmoCrXsYMPQkBNgIRMYXZmV0GETGF2ZkSJiEB0AAAAAAAAFlSua76uAQAAAAAAADXXgQFzxYgAAAAA"
    "AAAAAZyBACK1nIN1bmSIgQCGhVZfVlA5g4EBI+ODhAJiWgDghrCBILqBIBJUw2e1c3OyY8CLY8WIAAAAAAAAAAFnyK"
    "FFo4hEVVJBVElPTkSHkzAwOjAwOjAwLjMyMDAwMDAwMAAfQ7Z1QQvngQCj1IEAAICCSYNCAAHwAfYIOCQcGSIAADBg"
    "AABfP/4SX/2T/vBPZH/PXD4ZvaVGYWNbHV0zUUPU12zyYH/+A+MFYeya20Ig3HWn8y9dk6zQFOBoLY6QAKOegQAoAI"
    "YAQJJxMW4AAAwAAAB1AFNKRYD6YbdXBDWAo5aBAFAAhgBAkhwAWoAAAyAAAE38DTMAo5SBAHgAhgBAkhwAW4AAAyAA"
    "AE07gKOfgQCgAIYAQJIcIFlAAANgAAB+9Ex40VHrBpwEXffAAKOVgQDIAIYAQJIcAFuAAAMgAABOhjAAo5SBAPAAhg"
    "BAkhwAWoAAAyAAAE5rYKOUgQEYAIYAQJIcAFuAAAMgAABNUeAcU7trkbuPs4EAt4r3gQHxggFD8IED"
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
    "optical-flow": {
        "inputs": {"frame1": _TROUSERS, "frame2": _MOVED},
        "parameters": {"stride": 7},
    },
    "multimodal-autoencoding": {"inputs": _BALL, "parameters": {"top_k": 3}},
}


def curl(url: str, task: str) -> str:
    """A command line that asks the server at `url`, ready to paste."""
    body = json.dumps(EXAMPLES[task], ensure_ascii=False)
    return f"curl {url}/v1/{task} -d {shlex.quote(body)}"
