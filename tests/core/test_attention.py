"""The quick attention of a CPU at the sizes where it leaves the fused kernel."""

from __future__ import annotations

import pytest
import torch

from perceiver_core.attention import FEW_SCORES, MANY_SCORES, MultiHeadAttention, additive_mask
from perceiver_core.config import PerceiverConfig
from tests.core import peers
from tests.tiny import randomise

HEADS, QUERIES, KEYS = 4, 64, 300  # written out row by row
assert FEW_SCORES <= HEADS * QUERIES * KEYS <= MANY_SCORES


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def attention(qk, v, fast):
    module = MultiHeadAttention(PerceiverConfig(), 24, 40, qk, v, HEADS).eval()
    randomise(module)
    module.fast = fast
    return module


def batch(size=3):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(1, QUERIES, 24, generator=random)
    return x, torch.randn(size, KEYS, 40, generator=random)


@pytest.mark.parametrize(("qk", "v"), [(32, 32), (32, 80), (64, 16)])
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_reference(qk, v, masked):
    x, inputs = batch()
    keep = torch.ones(3, KEYS)
    keep[0, 200:] = 0
    keep[1] = 0  # nothing to attend to: uniform
    mask = additive_mask(keep, torch.float32) if masked else None
    fast, _ = attention(qk, v, fast=True)(x, inputs, mask)
    reference, _ = attention(qk, v, fast=False)(x, inputs, mask)
    assert peers.deviation(fast, reference) <= 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_neighbours_do_not_change_a_bit(dtype):
    x, inputs = batch(8)
    module = attention(32, 80, fast=True).to(dtype)
    x, inputs = x.to(dtype), inputs.to(dtype)
    together, _ = module(x, inputs)
    for i in range(8):
        alone, _ = module(x, inputs[i : i + 1])
        assert torch.equal(together[i], alone[0])


def test_what_would_fill_the_memory_is_left_to_the_fused_kernel():
    """Its scores would be 0.5 GiB of float32 and the weights as much again."""
    module = attention(32, 32, fast=True)
    queries = MANY_SCORES // (HEADS * KEYS) + 1
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        module(torch.zeros(1, queries, 24), batch(1)[1])
    assert any("scaled_dot_product" in event.key for event in profile.key_averages())
    assert not any(event.key == "aten::softmax" for event in profile.key_averages())
