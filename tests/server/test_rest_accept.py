"""Which type an answer is sent as, by what the client accepts."""

import pytest

from server.errors import Fault
from server.rest.accept import best_type

FLOW = ("application/json", "application/x-npy", "application/octet-stream", "image/png")


@pytest.mark.parametrize(
    ("accept", "best"),
    [
        ("", "application/json"),
        (" , ", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("image/png", "image/png"),
        ("image/*", "image/png"),
        ("IMAGE/PNG", "image/png"),
        ("application/x-npy, */*;q=0.1", "application/x-npy"),
        ("application/json;q=0.5, image/png;q=0.6", "image/png"),
        ("application/json;q=0.5, image/png;q=0.5", "application/json"),
        ("application/json;q=0, */*", "application/x-npy"),
        ("application/*;q=0, */*;q=0.1", "image/png"),
        ("application/json;q=0.1, application/*;q=0.9", "application/x-npy"),
        ("*/*;q=0.9, image/png;q=0.1, application/json;q=0.2", "application/x-npy"),
        ("image/png;q=0, image/*, */*;q=0.1", "application/json"),
        ("text/html, image/avif, image/webp, */*;q=0.8", "application/json"),
        ("application/octet-stream;level=1;q=1.000", "application/octet-stream"),
        ("image/png;q=nonsense, application/json;q=0.9", "image/png"),
    ],
)
def test_the_best_of_four(accept: str, best: str) -> None:
    assert best_type(accept, FLOW) == best


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "video/mp4, image/jpeg",
        "*/*;q=0",
        "application/*;q=0.0, image/*;q=0",
        "png",
        "image/png;q=0, image/*",
    ],
)
def test_none_of_four(accept: str) -> None:
    with pytest.raises(Fault) as caught:
        best_type(accept, FLOW)
    assert caught.value.code == "not_acceptable"
    assert accept in caught.value.message
    assert all(kind in caught.value.message for kind in FLOW)
