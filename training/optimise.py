"""The training loop: the fastest arithmetic, float32 master weights, a budget in minutes."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from perceiver_core.attention import MultiHeadAttention
from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.numerics import native_bfloat16
from training.muon import Muon

log = logging.getLogger(__name__)

LossFunction = Callable[[PreTrainedModel], Tensor]
WARMUP_STEPS = 100


@dataclass(frozen=True)
class Budget:
    """How long and how fast: minutes of wall clock, peak learning rate, minutes between saves."""

    minutes: float
    learning_rate: float
    weight_decay: float = 0.02
    save_every: float = 5.0


def learning_rate(step: int, spent: float, peak: float) -> float:
    """Warm-up over the first steps, then a cosine to zero; `spent`: share of the budget used."""
    return peak * min(1.0, (step + 1) / WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * spent))


def fit(model: PreTrainedModel, loss_of_batch: LossFunction, budget: Budget, folder: Path) -> None:
    """Train `model` (float32) in place until the budget is spent; `folder` gets checkpoints.

    Forward and backward run on a twin, in bfloat16 where the machine computes it natively, which is
    twice as fast; the updates, too small for bfloat16, are kept in float32.
    """
    model.train()
    masters = list(model.parameters())
    dtype = torch.bfloat16 if native_bfloat16(model.device) else torch.float32
    twin = _twin(model, dtype)
    optimisers = _optimisers(model, budget, dtype)
    start = saved = time.monotonic()
    step, smooth, seconds = 0, 0.0, budget.minutes * 60
    while (elapsed := time.monotonic() - start) < seconds:
        rate = learning_rate(step, elapsed / seconds, budget.learning_rate)
        for group in (group for each in optimisers for group in each.param_groups):
            group["lr"] = rate
        loss = loss_of_batch(twin)
        loss.backward()
        for master, copy in zip(masters, twin.parameters(), strict=True):
            master.grad = None if copy.grad is None else copy.grad.float()
            copy.grad = None
        torch.nn.utils.clip_grad_norm_(masters, 1.0)
        for optimiser in optimisers:
            optimiser.step()
        _copy(masters, twin)
        step += 1
        smooth = 0.98 * smooth + 0.02 * loss.item()
        if step % 100 == 0:
            shown = smooth / (1 - 0.98**step)
            log.info("%4.1f min  step %d  loss %.4f  lr %.2e", elapsed / 60, step, shown, rate)
        if time.monotonic() - saved > budget.save_every * 60:
            saved = time.monotonic()
            _save(model, twin, folder)
    _save(model, twin, folder)


def _optimisers(
    model: PreTrainedModel, budget: Budget, dtype: torch.dtype
) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for all else (embeddings, latents, norms, biases):
    in runs of a few thousand steps the orthogonalised updates learn most per step. Not for
    `classifier`, which samples and colours are read off with: updates as strong in every direction
    make noise there that is louder than a sound."""
    matrices: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        matrix = parameter.ndim == 2 and name.endswith("weight")
        matrix = matrix and not any(part in name for part in ("embeddings", "classifier"))
        (matrices if matrix else others).append(parameter)
    rate, decay = budget.learning_rate, budget.weight_decay
    return [
        Muon(matrices, rate, decay, dtype),
        torch.optim.AdamW(others, rate, (0.9, 0.98), weight_decay=decay),
    ]


def _twin(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    twin = type(model)(model.config).to(model.device, dtype)
    for module in twin.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.float()  # running means move by steps that bfloat16 would round away
        if isinstance(module, MultiHeadAttention):
            module.folded = True
    twin.load_state_dict(model.state_dict())
    return twin.train()


@torch.no_grad()
def _copy(masters: list[torch.nn.Parameter], twin: PreTrainedModel) -> None:
    for master, copy in zip(masters, twin.parameters(), strict=True):
        copy.copy_(master)


def _save(model: PreTrainedModel, twin: PreTrainedModel, folder: Path) -> None:
    """float16 weights with the twin's running statistics, which only it has seen."""
    for own, seen in zip(model.buffers(), twin.buffers(), strict=True):
        own.copy_(seen)
    model.save_pretrained(folder, torch.float16)
