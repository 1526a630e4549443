"""Muon beside torch's, which multiplies in bfloat16, and what it makes of singular values."""

from __future__ import annotations

import pytest
import torch

from training.muon import Muon, orthogonal


def test_the_steps_are_torchs_but_for_rounding() -> None:
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator) for shape in ((6, 6), (6, 6), (9, 4), (4, 9))]
    own, theirs = ([s.clone().requires_grad_() for s in start] for _ in range(2))
    optimisers = (
        Muon(own, 0.1, 0.2, torch.float32),
        torch.optim.Muon(theirs, 0.1, 0.2, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(3):
        for ours, other in zip(own, theirs, strict=True):
            ours.grad = torch.randn(ours.shape, generator=generator)
            other.grad = ours.grad.clone()
        for optimiser in optimisers:
            optimiser.step()
    for ours, other, before in zip(own, theirs, start, strict=True):
        assert (ours - before).abs().max() > 0.1
        torch.testing.assert_close(ours, other, rtol=0, atol=3e-3)


def test_what_has_no_gradient_stays() -> None:
    matrix = torch.ones(3, 3, requires_grad=True)
    Muon([matrix], 0.1, 0.2, torch.float32).step()
    assert torch.equal(matrix, torch.ones(3, 3))


@pytest.mark.parametrize("shape", [(2, 5, 5), (2, 7, 3), (2, 3, 7)])
def test_singular_values_come_near_one(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert torch.linalg.svdvals(matrices).max() > 2
    assert values.min() > 0.5
    assert values.max() < 1.5
