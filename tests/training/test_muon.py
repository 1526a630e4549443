"""Muon beside torch's, which multiplies in bfloat16, and what it makes of singular values."""

from __future__ import annotations

import pytest
import torch

from training.muon import Muon, orthogonal


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_steps_are_torchs_but_for_rounding(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator) for shape in ((6, 6), (6, 6), (9, 4), (4, 9))]
    own, theirs = ([s.clone().requires_grad_() for s in start] for _ in range(2))
    optimisers = (
        Muon(own, 0.1, 0.2, dtype),
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


@pytest.mark.parametrize("shape", [(40, 40), (60, 40), (40, 60)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    sides = [torch.linalg.qr(torch.randn(side, 40, generator=generator))[0] for side in shape]
    values = torch.logspace(0, -2, 40)
    made = torch.linalg.svdvals(orthogonal((sides[0] * values @ sides[1].T)[None]))
    assert made.min() > 0.6
    assert made.max() < 1.3
    values[-1] = 1e-6
    made = torch.linalg.svdvals(orthogonal((sides[0] * values @ sides[1].T)[None]))
    assert made.min() < 1e-3
