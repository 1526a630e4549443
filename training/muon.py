"""Muon (K. Jordan, 2024) in the number format that the machine multiplies fast.

torch.optim.Muon always multiplies in bfloat16, matrix by matrix: on a CPU without bfloat16 one of
its steps may take several times as long as the gradients do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
ROUNDS = 5
LINEAR, CUBIC, QUINTIC = 3.4445, -4.7750, 2.0315  # the odd polynomial of Jordan's iteration
ADAM_RMS = 0.2  # the size of an update, so that one learning rate serves AdamW too


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are made nearly orthogonal; weight decay as in AdamW.

    `parameters`: matrices (out, in). `dtype`: what the orthogonalisation multiplies in. Equal
    shapes are multiplied together.
    """

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, weight_decay: float, dtype: torch.dtype
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # no closure is called
        """Move every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    shapes.setdefault(matrix.shape, []).append(matrix)
            for shape, matrices in shapes.items():
                wanted = torch.stack([self._ahead(matrix) for matrix in matrices])
                updates = orthogonal(wanted.to(self._dtype)).to(wanted.dtype)
                size = group["lr"] * ADAM_RMS * math.sqrt(max(shape))
                for matrix, update in zip(matrices, updates, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.sub_(update, alpha=size)

    def _ahead(self, matrix: Tensor) -> Tensor:
        """The gradient with Nesterov's momentum."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum = state["momentum"].lerp_(matrix.grad, 1 - MOMENTUM)
        return matrix.grad.lerp(momentum, MOMENTUM)


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (B, m, n) with their singular values moved to about 1: from a hundredth of the norm
    on to between 0.6 and 1.3; smaller ones grow some 480-fold."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(
            x, torch.baddbmm(gram, gram, gram, beta=CUBIC, alpha=QUINTIC), x, beta=LINEAR
        )
    return x.mT if tall else x
