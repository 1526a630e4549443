"""POST /v1/optical-flow: every way in, every type out, every mistake."""

import base64
import io
import json
import struct
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from perceiver_core.numerics import resolve_dtype
from perceiver_core.pipelines.optical_flow import FramePair, OpticalFlow
from perceiver_core.tasks import load_model
from tests.live_server import LiveServer, received
from tests.server import rest_calls
from tests.server.pictures import encoded, png_of
from tests.server.rest_calls import array_of

TASK = "optical-flow"
SIZE = (40, 50)  # of nine tiles
NPY = {"Accept": "application/x-npy"}


def pixels(seed: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


FRAMES = [pixels(1), pixels(2)]
FILES = {"frame1": png_of(FRAMES[0]), "frame2": png_of(FRAMES[1])}
INPUTS = {part: base64.b64encode(file).decode() for part, file in FILES.items()}


refused = partial(rest_calls.refused, task=TASK)


def asked(live: LiveServer, **request: Any) -> httpx.Response:
    return rest_calls.asked(live, task=TASK, **({"files": FILES} | request))


def field(live: LiveServer, **request: Any) -> NDArray[np.float32]:
    answer = np.load(io.BytesIO(asked(live, headers=NPY, **request).content))
    assert answer.dtype == np.dtype("<f4")
    return np.asarray(answer, np.float32)


@pytest.fixture(scope="module")
def whole(live: LiveServer) -> NDArray[np.float32]:
    """The flow at every pixel."""
    return field(live)


def test_the_field_is_the_pipelines(whole: NDArray[np.float32], model_repository: Path) -> None:
    folder = model_repository / "flow"
    dtype = str(resolve_dtype("auto", "fast", torch.device("cpu"))).removeprefix("torch.")
    model = load_model(folder, "fast", "cpu", dtype)
    own = OpticalFlow.from_folder(folder)(model, FramePair(FRAMES[0], FRAMES[1])).flow
    assert whole.shape == (*SIZE, 2)
    np.testing.assert_allclose(whole, own, atol=1e-3 * np.abs(own).max())


def test_every_type_holds_the_same_field(live: LiveServer, whole: NDArray[np.float32]) -> None:
    answer = asked(live).json()
    assert set(answer) == {"flow", "mean_magnitude", "max_magnitude"}
    assert answer["flow"]["dtype"] == "float32"
    np.testing.assert_array_equal(array_of(answer["flow"]), whole)
    lengths = np.hypot(whole[..., 0], whole[..., 1])
    assert answer["mean_magnitude"] == pytest.approx(lengths.mean(), rel=1e-5)
    assert answer["max_magnitude"] == pytest.approx(lengths.max(), rel=1e-6)

    flo = asked(live, headers={"Accept": "application/octet-stream"}).content
    assert struct.unpack("<4sii", flo[:12]) == (b"PIEH", SIZE[1], SIZE[0])
    assert flo[12:] == whole.tobytes()

    picture = Image.open(io.BytesIO(asked(live, headers={"Accept": "image/png"}).content))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", SIZE[::-1])


@pytest.mark.parametrize(
    ("accept", "kind", "filename"),
    [
        (None, "application/json", None),
        ("*/*", "application/json", None),
        ("application/x-npy", "application/x-npy", "flow.npy"),
        ("application/octet-stream, */*;q=0.5", "application/octet-stream", "flow.flo"),
        ("image/*", "image/png", "flow.png"),
    ],
)
def test_the_answer_says_what_it_is(
    live: LiveServer, accept: str | None, kind: str, filename: str | None
) -> None:
    headers = asked(live, headers={} if accept is None else {"Accept": accept}).headers
    assert headers["Content-Type"] == kind
    assert headers["Vary"] == "Accept"
    shown = f'inline; filename="{filename}"' if filename else None
    assert headers.get("Content-Disposition") == shown
    assert headers["X-Model"] == "flow"
    assert headers["X-Batch-Size"] == "9"
    assert headers["Server-Timing"].startswith("decode;dur=")


def test_who_takes_none_of_the_types_is_told_before_he_sends(live: LiveServer) -> None:
    with live.socket() as sock:
        sock.sendall(
            b"POST /v1/optical-flow HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Accept: video/mp4\r\nContent-Length: 9999\r\n\r\n"
        )
        answer = received(sock, b"}")
    assert answer.startswith(b"HTTP/1.1 406 ")
    assert b"image/png" in answer


def test_frames_may_come_in_many_ways(live: LiveServer, whole: NDArray[np.float32]) -> None:
    parameters = {"region": None, "stride": None}
    ways: list[dict[str, Any]] = [
        {"files": dict(reversed(FILES.items()))},
        {"files": {part: (f"{part}.gif", file, "image/gif") for part, file in FILES.items()}},
        {"data": {"parameters": json.dumps(parameters)}},
        {"data": {"parameters": "null"}},
        {"files": None, "json": {"inputs": INPUTS}},
        {"files": None, "json": {"inputs": INPUTS, "parameters": parameters, "model": "flow"}},
        {"files": None, "content": json.dumps({"inputs": INPUTS})},
        {
            "files": None,
            "json": {"inputs": {p: f"data:image/png;base64,{text}" for p, text in INPUTS.items()}},
        },
    ]
    for way in ways:
        np.testing.assert_array_equal(field(live, **way), whole)
    by_query = live.http.post("/v1/optical-flow?model=flow", files=FILES, headers=NPY)
    np.testing.assert_array_equal(np.load(io.BytesIO(by_query.content)), whole)


def test_a_region_and_a_stride_are_a_part_of_the_field(
    live: LiveServer, whole: NDArray[np.float32]
) -> None:
    parameters = {"region": [5, 7, 20, 30], "stride": 3}
    part = whole[5:25:3, 7:37:3]
    in_form = field(live, data={"parameters": json.dumps(parameters)})
    in_json = field(live, files=None, json={"inputs": INPUTS, "parameters": parameters})
    np.testing.assert_array_equal(in_form, in_json)
    np.testing.assert_allclose(in_form, part, atol=1e-3 * np.abs(whole).max())
    one = field(live, data={"parameters": '{"region": [39, 49, 1, 1]}'})
    assert one.shape == (1, 1, 2)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize("size", [(1, 1), (70, 3), (33, 61)])
def test_frames_of_any_size_and_format(live: LiveServer, kind: str, size: tuple[int, int]) -> None:
    frame = encoded(kind, size)
    assert field(live, files={"frame1": frame, "frame2": frame}).shape == (*size[::-1], 2)


def test_frames_of_different_formats(live: LiveServer) -> None:
    files = {"frame1": encoded("JPEG"), "frame2": encoded("PNG")}
    assert field(live, files=files).shape == (30, 40, 2)


FORM = "send two images as the parts `frame1` and `frame2`"


@pytest.mark.parametrize(
    ("files", "status", "code", "part"),
    [
        ({"frame1": FILES["frame1"]}, 422, "invalid_input", "`frame2` is missing or empty: send"),
        ({"frame2": FILES["frame2"]}, 422, "invalid_input", "`frame1` is missing or empty: send"),
        (FILES | {"frame1": b""}, 422, "invalid_input", "`frame1` is missing or empty: send"),
        (FILES | {"frame3": b"x"}, 422, "invalid_input", f"unknown part 'frame3': {FORM}"),
        (FILES | {"frame2": encoded("GIF")}, 415, "unsupported_media_type", "`frame2` is not a"),
        (FILES | {"frame2": b"text"}, 415, "unsupported_media_type", "`frame2` is not a JPEG"),
        (FILES | {"frame2": png_of(pixels(3, (40, 51)))}, 422, "invalid_input", "one size"),
        (FILES | {"frame2": png_of(pixels(3, (50, 40)))}, 422, "invalid_input", "one size"),
        (FILES | {"frame2": FILES["frame2"][:-600]}, 422, "invalid_input", "ends too early"),
    ],
)
def test_frames_that_are_none(
    live: LiveServer, files: dict[str, bytes], status: int, code: str, part: str
) -> None:
    assert part in refused(live, status, code, files=files)


@pytest.mark.parametrize(
    ("parameters", "part"),
    [
        ({"region": [0, 0, 41, 50]}, "40×50"),
        ({"region": [0, 49, 1, 2]}, "must lie inside"),
        ({"region": [0, 0, 0, 5]}, "the last two at least 1"),
        ({"region": [-1, 0, 5, 5]}, "parameters.region[0] is -1, but must be at least 0"),
        ({"region": [0, 0, 10**6, 10**6]}, "must lie inside"),
        ({"region": [0, 0, 5]}, "parameters.region has 3 entries: send at least 4"),
        ({"region": [0, 0, 5, 5, 5]}, "parameters.region has 5 entries: send at most 4"),
        ({"region": []}, "parameters.region is an empty list"),
        ({"region": [0, 0, 5, "5"]}, "parameters.region[3] must be a whole number"),
        ({"region": [0, 0, 5, 5.5]}, "parameters.region[3] must be a whole number"),
        ({"region": {"top": 0}}, "parameters.region must be a list, but is an object"),
        ({"stride": 0}, "stride is 0"),
        ({"stride": -3}, "at least 1"),
        ({"stride": 10**7}, "at most"),
        ({"stride": 1.5}, "parameters.stride must be a whole number"),
        ({"top_k": 1}, "unknown key 'top_k' in parameters: it takes region, stride"),
    ],
)
def test_parameters_that_are_none(live: LiveServer, parameters: dict[str, Any], part: str) -> None:
    body = {"inputs": INPUTS, "parameters": parameters}
    assert part in refused(live, 422, "invalid_input", json=body)


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        ({"inputs": {"frame1": "a"}}, 422, "inputs.frame2 is missing: send frame1, frame2"),
        ({"inputs": "a"}, 422, "inputs must be an object"),
        ({"inputs": INPUTS | {"frame3": ""}}, 422, "in inputs: it takes frame1, frame2"),
        ({"inputs": INPUTS | {"frame2": 7}}, 422, "inputs.frame2 must be a string"),
        ({"inputs": INPUTS | {"frame2": "%%%"}}, 422, "inputs.frame2 must be the file as base64"),
        ({"inputs": INPUTS | {"frame1": "http://127.0.0.1/"}}, 422, "the server fetches none"),
        ({"inputs": INPUTS | {"frame1": "AAAA"}}, 415, "inputs.frame1 is not a JPEG"),
        ({"parameters": {}}, 422, "inputs is missing"),
        ([], 422, "must be an object"),
    ],
)
def test_json_that_holds_no_frames(live: LiveServer, body: Any, status: int, part: str) -> None:
    code = {415: "unsupported_media_type", 422: "invalid_input"}[status]
    kind = {"Content-Type": "application/json"}
    assert part in refused(live, status, code, content=json.dumps(body), headers=kind)


@pytest.mark.parametrize("content", [FILES["frame1"], b"just text", b"--b\r\n"])
def test_a_body_that_is_neither_form_nor_json(live: LiveServer, content: bytes) -> None:
    said = refused(live, 415, "unsupported_media_type", content=content)
    assert "neither a multipart form nor JSON" in said
    assert FORM in said


def test_a_body_over_the_limit(live: LiveServer) -> None:
    head = b"POST /v1/optical-flow HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n\r\n"
    with live.socket() as sock:
        sock.sendall(head)
        assert sock.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_the_models_of_other_tasks_are_not_asked(live: LiveServer) -> None:
    refused(live, 404, "unknown_model", files=FILES, params={"model": "image"})


def test_a_deadline_is_kept(live: LiveServer) -> None:
    assert "1 ms" in refused(live, 504, "deadline", files=FILES, headers={"X-Timeout-Ms": "1"})
