"""Calls of one task's REST door."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from tests.live_server import LiveServer


def asked(live: LiveServer, *, task: str, **request: Any) -> httpx.Response:
    """What is answered well."""
    response = live.post(task, **request)
    assert response.status_code == 200, response.text
    return response


def refused(live: LiveServer, status: int, code: str, *, task: str, **request: Any) -> str:
    """The sentence of an error."""
    response = live.post(task, **request)
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert set(response.json()) == {"error", "code"}
    sentence: str = response.json()["error"]
    assert 10 < len(sentence) < 400
    return sentence


def array_of(answer: dict[str, Any]) -> NDArray[Any]:
    """As a client reads it."""
    assert set(answer) == {"shape", "dtype", "data"}
    data = base64.b64decode(answer["data"], validate=True)
    numbers: NDArray[Any] = np.frombuffer(data, np.dtype(answer["dtype"]).newbyteorder("<"))
    return numbers.reshape(answer["shape"])
