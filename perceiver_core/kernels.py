"""The quickest attention of the machine."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.nn import functional as F

# From this number of scores of a request (heads x queries x keys) on, on a CPU, plain matrix
# products in bfloat16 take half the time of the fused kernel, which multiplies it as slowly as
# float32 (benchmarks/README.md). Below, calls cost more than products.
FEW_SCORES = 2**16
# Scores written out at once: what fits a cache, but no fewer queries than products are quick with.
BLOCK_SCORES, BLOCK_QUERIES = 2**22, 128


def quick_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, dropout: float
) -> Tensor:
    """softmax(scale · q kᵀ + mask) v: q (B or 1, heads, N, d), k (B, heads, M, d), v (B, heads, M,
    c), mask additive (B, 1, 1, M), dropout of the weights -> (B, heads, N, c)."""
    q = q.expand(k.shape[0], -1, -1, -1)
    scores = q.shape[1] * q.shape[2] * k.shape[2]
    pays = q.dtype == torch.bfloat16 or q.shape[-1] != v.shape[-1]  # which `_fused` would pad
    if q.device.type == "cpu" and pays and scores >= FEW_SCORES:
        return _by_block(q * scale, k, v, mask, dropout)
    return _fused(q, k, v, mask, scale, dropout)


def _by_block(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """A few heads or queries of a request at a time: their scores stay in the cache, take little
    memory, and the bits of a request are its own."""
    heads = max(1, BLOCK_SCORES // (q.shape[2] * k.shape[2]))
    queries = max(BLOCK_QUERIES, BLOCK_SCORES // k.shape[2])
    context = torch.empty((*q.shape[:3], v.shape[3]), dtype=v.dtype)
    steps = (range(len(q)), range(0, q.shape[1], heads), range(0, q.shape[2], queries))
    for i, h, n in itertools.product(*steps):
        some = (i, h if heads == 1 else slice(h, h + heads))  # of one head: plain matrices
        own = (*some, slice(n, n + queries))
        scores = q[own] @ k[some].transpose(-1, -2)
        if mask is not None:
            scores += mask[i, 0]
        context[own] = F.dropout(scores.softmax(dim=-1), dropout) @ v[some]
    return context


def _fused(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, dropout: float
) -> Tensor:
    """The fused kernels want one width for q, k and v: the narrower are padded with zeros, which
    leaves every product as it is."""
    width, out = max(q.shape[-1], v.shape[-1]), v.shape[-1]
    q, k, v = (F.pad(t, (0, width - t.shape[-1])) if t.shape[-1] < width else t for t in (q, k, v))
    context: Tensor = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale
    )
    return context[..., :out]
