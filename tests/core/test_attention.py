"""The quick attention of a CPU at the sizes where it leaves the fused kernel."""

from __future__ import annotations

import math

import pytest
import torch

from perceiver_core.attention import MultiHeadAttention, additive_mask
from perceiver_core.config import PerceiverConfig
from perceiver_core.kernels import BLOCK_SCORES, FEW_SCORES
from tests.core import peers
from tests.tiny import randomise

HEADS, QUERIES, KEYS = 4, 64, 300  # written out block by block
assert HEADS * QUERIES * KEYS >= FEW_SCORES


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


BLOCKS = [(2**22, 128), (2 * QUERIES * KEYS, 1), (KEYS * 10, 1), (1, 7)]  # all, heads, queries


@pytest.mark.parametrize(("scores", "queries"), BLOCKS)
@pytest.mark.parametrize(("qk", "v"), [(32, 32), (32, 80), (64, 16)])
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_reference(qk, v, masked, scores, queries, monkeypatch):
    monkeypatch.setattr("perceiver_core.kernels.BLOCK_SCORES", scores)
    monkeypatch.setattr("perceiver_core.kernels.BLOCK_QUERIES", queries)
    x, inputs = batch()
    keep = torch.ones(3, KEYS)
    keep[0, 200:] = 0
    keep[1] = 0  # nothing to attend to: uniform
    mask = additive_mask(keep, torch.float32) if masked else None
    fast, _ = attention(qk, v, fast=True)(x, inputs, mask)
    reference, _ = attention(qk, v, fast=False)(x, inputs, mask)
    assert peers.deviation(fast, reference) <= 1e-5


@pytest.mark.parametrize("v", [32, 80])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_neighbours_do_not_change_a_bit(dtype, v):
    x, inputs = batch(8)
    module = attention(32, v, fast=True).to(dtype)
    x, inputs = x.to(dtype), inputs.to(dtype)
    together, _ = module(x, inputs)
    for i in range(8):
        alone, _ = module(x, inputs[i : i + 1])
        assert torch.equal(together[i], alone[0])


def events(module, *given):
    """What torch does in a call: its names and the largest output of a softmax."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, record_shapes=True) as profile:
        module(*given)
    return profile.events()


def test_scores_fill_no_memory():
    """All of them would be 240 MB."""
    module = attention(32, 80, fast=True)
    found = events(module, torch.zeros(1, 50_000, 24), batch(1)[1])
    sizes = [math.prod(e.input_shapes[0]) for e in found if e.name == "aten::softmax"]
    assert len(sizes) > 10
    assert max(sizes) <= BLOCK_SCORES


def test_the_fused_kernel_where_it_is_quicker():
    """Float32 of one width."""
    found = events(attention(32, 32, fast=True), *batch(1))
    assert any("scaled_dot_product" in event.name for event in found)
    assert not any(event.name == "aten::softmax" for event in found)
