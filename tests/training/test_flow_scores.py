"""What the published scores of optical flow measure, where the answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perceiver_core.tasks import PerceiverForOpticalFlow
from tests.tiny import make_optical_flow
from tests.training.tiny_data import smooth
from training import moving_pairs
from training.flow_scores import SEEN, epe, flow_of, warp_error, warp_errors
from training.moving_pairs import Director, Pictures

SHIFT = (5, -3)  # pixels to the right, and up


def everywhere(vector: tuple[float, float], size: tuple[int, int] = (40, 60)) -> Any:
    return np.full((*size, 2), vector, np.float32)


def shifted(random: np.random.Generator) -> Any:
    """A pair of noise that moves by SHIFT; what comes into view is other noise."""
    large = random.integers(0, 256, (60, 80, 3), np.uint8)
    x, y = SHIFT
    return np.stack([large[10:50, 10:70], large[10 - y : 50 - y, 10 - x : 70 - x]])


def test_the_end_point_error_is_the_distance_from_the_truth() -> None:
    truth = everywhere(SHIFT)
    assert epe(truth, truth) == 0
    assert epe(np.array(SHIFT), truth) == 0
    assert epe(truth + np.array([3, 4]), truth) == pytest.approx(5)
    assert epe(np.zeros(2), truth) == pytest.approx(np.hypot(*SHIFT))


def test_the_end_point_error_is_of_what_is_known() -> None:
    truth = everywhere(SHIFT)
    flow = truth.copy()
    flow[:20] += np.array([3, 4])
    assert epe(flow, truth) == pytest.approx(2.5)
    truth[:20] = np.nan
    assert epe(flow, truth) == 0
    assert epe(np.pad(flow, ((0, 8), (0, 8), (0, 0)), constant_values=99.0), truth) == 0


def test_the_warp_error_of_a_movement_that_is_known() -> None:
    pair = shifted(np.random.default_rng(0))
    assert warp_error(pair, everywhere(SHIFT)) == 0
    still = np.abs(pair[1].astype(float) - pair[0]).mean()
    assert still > 50
    assert warp_error(pair, everywhere((0, 0))) == pytest.approx(still)
    assert warp_error(pair, everywhere((-5, 3))) > 50


def test_the_warp_error_between_pixels() -> None:
    ramp = np.repeat(np.arange(0, 240, 4).astype(np.uint8)[None, :, None], 40, 0).repeat(3, 2)
    pair = np.stack([ramp, ramp])  # four grey levels a pixel
    assert warp_error(pair, everywhere((0.5, 0))) == pytest.approx(2)
    assert warp_error(pair, everywhere((-0.25, 0.75))) == pytest.approx(1)


def test_warp_errors_are_means_over_the_pairs_of_a_scene(tmp_path: Path) -> None:
    model = PerceiverForOpticalFlow.from_pretrained(make_optical_flow(tmp_path))
    random = np.random.default_rng(0)
    pairs = np.stack([shifted(random) for _ in range(2)])
    real = {f"{name}_frames": pairs[0] for name in SEEN} | {f"{SEEN[-1]}_frames": pairs}
    found = warp_errors(model, real)
    one, other = (warp_error(pair, flow_of(model, pair)) for pair in pairs)
    still = [warp_error(pair, everywhere((0, 0))) for pair in pairs]
    assert one != other
    assert found == pytest.approx(
        {f"{name}_warp": one for name in SEEN}
        | {f"{name}_warp_zero": still[0] for name in SEEN}
        | {f"{SEEN[-1]}_warp": (one + other) / 2, f"{SEEN[-1]}_warp_zero": np.mean(still)}
    )


def warped(director: Director, times: float) -> float:
    """Mean warp error of eight pairs when their own flow is taken so many times."""
    frames, flow = director.pairs(8, 4.0)
    pixels = ((frames.movedim(2, -1) + 1) * 127.5).round().byte().numpy()
    errors = map(warp_error, pixels, flow.numpy() * times)
    return float(np.mean(list(errors)))


@pytest.mark.parametrize(("cutouts", "share"), [(0, 0.2), (3, 0.25)])
def test_a_drawn_pair_moves_by_its_own_flow(
    monkeypatch: pytest.MonkeyPatch, cutouts: int, share: float
) -> None:
    monkeypatch.setattr(moving_pairs, "CUTOUTS", cutouts)
    random = np.random.default_rng(1)
    photos = smooth(random.integers(0, 256, (3, 20, 30, 3), np.uint8), 8)
    stickers = smooth(random.integers(0, 256, (3, 6, 6, 4), np.uint8), 4)
    stickers[..., 3] = 255
    pictures = Pictures(*(torch.from_numpy(p).movedim(-1, 1) for p in (photos, stickers)))
    own, still, back = (warped(Director(pictures, (64, 96), 5, 4.0), times) for times in (1, 0, -1))
    assert own < share * still < share * back


def test_the_rows_of_stereo_pairs_slide_left_and_stay_in_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photos = torch.randint(0, 256, (2, 3, 30, 40), dtype=torch.uint8)
    pictures = Pictures(photos, torch.full((1, 4, 8, 8), 255, dtype=torch.uint8))
    for share, stays in ((0.0, False), (1.0, True)):
        monkeypatch.setattr(moving_pairs, "STEREO_SHARE", share)
        _, flow = Director(pictures, (24, 32), 3, 9.0).pairs(8, 4.0)
        assert bool((flow[..., 1].abs() < 1e-4).all()) == stays
        means = flow[..., 0].mean(dim=(1, 2))
        assert bool((means < 1).all() and means.min() < -4) == stays


def test_a_seed_draws_the_same_pairs() -> None:
    photos = torch.arange(3 * 30 * 40, dtype=torch.uint8).reshape(1, 3, 30, 40)
    pictures = Pictures(photos, torch.full((1, 4, 8, 8), 255, dtype=torch.uint8))
    pairs = [Director(pictures, (24, 32), seed, 4.0).pairs(2, 3.0) for seed in (1, 1, 2)]
    (frames, flow), same, other = pairs
    assert frames.shape == (2, 2, 3, 24, 32)
    assert flow.shape == (2, 24, 32, 2)
    assert frames.abs().max() <= 1
    assert torch.equal(frames, same[0])
    assert torch.equal(flow, same[1])
    assert not torch.equal(flow, other[1])
