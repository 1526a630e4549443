"""What a field of flow is worth, and what it looks like."""

from __future__ import annotations

import numpy as np
import pytest
from perceiver_client.cli.flow_pictures import beside, warp_error, wheel

from tests.clients.footage import noise


def test_the_warp_error_of_a_movement_that_is_known() -> None:
    first = noise(0, (30, 40))
    second = np.roll(first, (2, 3), axis=(0, 1))
    flow = np.full((30, 40, 2), (3, 2), np.float32)
    warped, unwarped = warp_error(first, second, flow, 1) or (None, None)
    assert warped == 0
    assert unwarped == pytest.approx(np.abs(first - second.astype(float))[:28, :37].mean())
    sparse = warp_error(first, second, flow[::3, ::3], 3)
    assert sparse is not None
    assert sparse.warped == 0
    half = warp_error(first, first, np.full((30, 40, 2), (0.5, 0), np.float32), 1)
    between = np.abs(np.diff(first.astype(float), axis=1)).mean() / 2
    assert half is not None
    assert half.warped == pytest.approx(between)
    assert warp_error(first, second, flow * 100, 1) is None


def test_colours_say_direction_and_length() -> None:
    flow = np.array([[[0, 0], [4, 0], [2, 0]], [[0, 4], [-4, 0], [0, -4]]], np.float32)
    picture = wheel(flow, 4)
    assert picture[0].tolist() == [[255, 255, 255], [255, 0, 0], [255, 127, 127]]
    assert [picture[1, 0].argmin(), picture[1, 1].argmin(), picture[1, 2].argmin()] == [2, 0, 1]
    assert beside(noise(0, (4, 5)), picture, 2).shape == (4, 10, 3)
