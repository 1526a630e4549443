"""The flow of two frames is the same array whichever way it comes, and whatever a frame is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from perceiver_client import frames
from PIL import Image

from tests.clients.footage import noise, png
from tests.clients.ways import Way
from tests.live_server import LiveServer


@pytest.fixture(scope="module")
def expected(live: LiveServer) -> NDArray[np.float32]:
    """Of noise(0) and noise(1), as REST says it in a .npy file."""
    files = {"frame1": png(noise(0)), "frame2": png(noise(1))}
    reply = live.post("optical-flow", files=files, headers={"Accept": "application/x-npy"})
    assert reply.status_code == 200, reply.text
    flow: NDArray[np.float32] = np.load(io.BytesIO(reply.content))
    return flow


def test_frames_are_pixels_files_or_their_paths(way: Way, expected, tmp_path) -> None:
    path = tmp_path / "a frame.png"
    path.write_bytes(png(noise(0)))
    first, second = noise(0), noise(1)
    for frame1, frame2 in ((first, second), (path, png(second)), (first[::-1][::-1], second)):
        flow = way.ask("optical_flow", frame1, frame2)
        assert np.array_equal(flow, expected)
        assert (flow.dtype, flow.shape) == (np.float32, (20, 30, 2))
        flow += 1  # it is the caller's own


def test_a_part_and_every_nth_pixel_of_it(way: Way, expected) -> None:
    flow = way.ask("optical_flow", noise(0), noise(1), region=(2, 3, 17, 20), stride=2)
    assert flow.shape == (9, 10, 2)
    np.testing.assert_allclose(flow, expected[2:19:2, 3:23:2], rtol=1e-4, atol=1e-4)


def test_numpys_numbers_are_numbers(way: Way, expected) -> None:
    part = way.ask("optical_flow", noise(0), noise(1), region=(2, 3, 17, 20), stride=2)
    numbers = np.array([2, 3, 17, 20], np.uint8)
    for region in (numbers, tuple(numbers), [*numbers]):
        options = {"region": region, "stride": np.int64(2)}
        assert np.array_equal(way.ask("optical_flow", noise(0), noise(1), **options), part)


def test_a_model_is_named(way: Way, expected) -> None:
    assert np.array_equal(way.ask("optical_flow", noise(0), noise(1), model="flow"), expected)
    error = way.error("optical_flow", noise(0), noise(1), model="nobody")
    assert error.code == "unknown_model"


@pytest.mark.parametrize(
    ("frame2", "options", "code"),
    [
        (noise(1, (20, 31)), {}, "invalid_input"),
        (b"GIF89a", {}, "unsupported_media_type"),
        (png(noise(1))[:-100], {}, "invalid_input"),
        (noise(1), {"region": (0, 0, 21, 30)}, "invalid_input"),
        (noise(1), {"region": (0, 0, 0, 0)}, "invalid_input"),
        (noise(1), {"region": (-1, 0, 1, 1)}, "invalid_input"),
        (noise(1), {"stride": 0}, "invalid_input"),
        (b"", {}, "invalid_input"),
        (np.empty((0, 5, 3), np.uint8), {}, "invalid_input"),
        (np.empty((5, 0, 3), np.uint8), {}, "invalid_input"),
    ],
)
def test_what_is_refused(way: Way, frame2, options, code: str) -> None:
    error = way.error("optical_flow", noise(0), frame2, **options)
    assert error.code == code
    assert error.message


@pytest.mark.parametrize(
    ("frame2", "options", "sentence"),
    [
        ("a path", {}, "frame2 must be bytes, pathlib.Path or a uint8 array, but is 'a path'"),
        (noise(1).astype(float), {}, r"frame2 must be RGB uint8 .*, but is float64 \(20, 30, 3\)"),
        (noise(1)[..., 0], {}, r"frame2 must be RGB uint8 .*, but is uint8 \(20, 30\)"),
        (noise(1), {"region": (1, 2, 3)}, r"region must be \(top, .*, but is \(1, 2, 3\)"),
        (noise(1), {"region": "all"}, "region must be .*, but is 'all'"),
        (noise(1), {"region": (0, 0, 4, True)}, r"region must be .*, but is \(0, 0, 4, True\)"),
        (noise(1), {"region": np.ones(4)}, "region must be .*, but is "),
        (noise(1), {"stride": 1.5}, "stride must be an int, but is 1.5"),
        (noise(1), {"top_k": 3}, "no option 'top_k'; it has region, stride, model, timeout"),
    ],
)
def test_programming_errors_are_type_errors(way: Way, frame2, options, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        way.ask("optical_flow", noise(0), frame2, **options)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (40, 1), (300, 200)])
def test_pixels_become_a_png_file_without_loss(size: tuple[int, int]) -> None:
    pixels = noise(0, size)
    for one in (pixels, pixels[::-1, ::-1]):
        with Image.open(io.BytesIO(frames.png(one))) as file:
            file.verify()
        with Image.open(io.BytesIO(frames.png(one))) as file:
            assert (file.mode, file.size) == ("RGB", size[::-1])
            assert np.array_equal(np.asarray(file), one)
