"""What the published class of optical flow cannot do, or leaves to its caller."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from perceiver_core import PerceiverConfig, tasks
from perceiver_core.pipelines.optical_flow import FramePair, OpticalFlow
from perceiver_core.tasks.optical_flow import flow_patches
from tests.core import peers
from tests.core.parity.drift import drift_of_flow
from tests.core.published import SMALL_FLOW
from tests.tiny import randomise

HEIGHT, WIDTH = SMALL_FLOW["train_size"]


@pytest.fixture
def model() -> Any:
    model = tasks.PerceiverForOpticalFlow(PerceiverConfig(**SMALL_FLOW)).eval()
    randomise(model)
    return model.requires_grad_(False)


def patches_by_hand(frames: np.ndarray) -> np.ndarray:
    """(B, 2, 3, H, W) -> (B, 2, 27, H, W): row, column, colour of the 3 x 3 around each pixel,
    0 beyond the edge."""
    batch, two, colours, height, width = frames.shape
    wide = np.pad(frames, [(0, 0)] * 3 + [(1, 1), (1, 1)])
    out = np.zeros((batch, two, 27, height, width), frames.dtype)
    for y in range(3):
        for x in range(3):
            for colour in range(colours):
                channel = (y * 3 + x) * 3 + colour
                out[:, :, channel] = wide[:, :, colour, y : y + height, x : x + width]
    return out


def test_patches_are_row_column_colour_with_zeros_beyond_the_edge():
    frames = peers.noise(2, 2, 3, 5, 7)
    np.testing.assert_array_equal(flow_patches(frames).numpy(), patches_by_hand(frames.numpy()))


def test_a_tile_is_normalised_first_then_cut_into_patches_then_scaled_to_pixels(model, tmp_path):
    tile = np.random.default_rng(0).integers(0, 256, (2, HEIGHT, WIDTH, 3), dtype=np.uint8)
    normal = np.moveaxis(tile[None] / np.float32(255) * 2 - 1, -1, 2).astype(np.float32)
    flow = model(torch.from_numpy(patches_by_hand(normal))).logits * 20
    found = OpticalFlow(model.config, tmp_path)(model, FramePair(tile[0], tile[1])).flow
    assert peers.deviation(torch.from_numpy(found), flow[0]) <= 1e-4


def test_chosen_pixels_are_those_of_the_whole_image(model):
    """Theirs refuses to decode less than everything."""
    patches, points = peers.noise(2, 2, 27, HEIGHT, WIDTH), torch.tensor([34, 0, 5, 11])
    whole = model(patches).logits.flatten(1, 2)
    some = model.perceiver(patches, subsampled_output_points=points).logits
    assert peers.deviation(some, whole[:, points]) <= 1e-5


def test_loss_is_the_mean_end_point_error(model):
    patches, truth = peers.noise(2, 2, 27, HEIGHT, WIDTH), peers.noise(2, HEIGHT, WIDTH, 2, seed=1)
    out = model(patches, labels=truth)
    expected = ((out.logits - truth) ** 2).sum(-1).sqrt().mean()
    assert out.loss.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("shape", [(2, 27, 5, 7), (1, 1, 27, 5, 7), (1, 2, 3, 5, 7)])
def test_what_are_no_patches_of_two_frames_is_refused(model, shape):
    with pytest.raises(ValueError, match=r"\(batch, 2, 27, height, width\)"):
        model(peers.noise(*shape))


def test_bytes_are_refused(model):
    with pytest.raises(ValueError, match=r"inputs are torch.uint8: give floating point"):
        model(torch.zeros(1, 2, 27, HEIGHT, WIDTH, dtype=torch.uint8))


@pytest.mark.parametrize("shape", [(1, 2), (WIDTH, 2), (2, HEIGHT, WIDTH, 1)])
def test_labels_of_another_shape_are_refused(model, shape):
    patches = peers.noise(2, 2, 27, HEIGHT, WIDTH)
    with pytest.raises(ValueError, match=r"the flow is \(2, 5, 7, 2\): both must have one shape"):
        model(patches, labels=peers.noise(*shape))


def test_drift_of_bfloat16_in_pixels():
    """On average less than 3 % of the flow, of every tensor random; a trained model's card tells
    its own."""
    drift, flow = drift_of_flow()
    assert flow > 0.5
    assert 0 < drift <= 0.03 * flow
