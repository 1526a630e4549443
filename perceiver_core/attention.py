"""Attention and the pre-norm layer that encoder, trunk and decoders are made of.

Parameter names are the published checkpoints'. Paper: Perceiver IO, section 3.1 and appendix E.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perceiver_core.config import PerceiverConfig
from perceiver_core.kernels import quick_attention

ACTIVATIONS: dict[str, nn.Module] = {
    "gelu": nn.GELU(),
    "gelu_new": nn.GELU(approximate="tanh"),
    "relu": nn.ReLU(),
    "selu": nn.SELU(),
}


def additive_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A (B, M) mask of 1 = attend, 0 = ignore as (B, 1, 1, M) to be added to the scores.

    The lowest finite number, not -inf: a row whose every key is masked is then uniform, as in the
    published port, and not NaN.
    """
    lowest = torch.finfo(dtype).min
    return torch.zeros_like(mask, dtype=dtype).masked_fill(mask == 0, lowest)[:, None, None, :]


class MultiHeadAttention(nn.Module):
    """Normalise, project, attend: (B, N, q_dim) x (B, M, kv_dim) -> (B, N, v_channels).

    `fast` selects the quickest kernels; without it the scores are formed as the published port
    forms them. `folded`: see Attention.
    """

    def __init__(
        self,
        config: PerceiverConfig,
        q_dim: int,
        kv_dim: int | None,
        qk: int,
        v: int,
        num_heads: int,
    ) -> None:
        super().__init__()
        for name, channels in (("qk_channels", qk), ("v_channels", v)):
            if channels % num_heads:
                raise ValueError(
                    f"{name} ({channels}) must be divisible by num_heads ({num_heads})"
                )
        self.num_heads = num_heads
        self.qk_per_head = qk // num_heads
        self.v_per_head = v // num_heads
        self.fast = False
        self.folded = False
        self.layernorm1 = nn.LayerNorm(q_dim)
        self.layernorm2 = nn.LayerNorm(kv_dim) if kv_dim is not None else None
        source = q_dim if kv_dim is None else kv_dim
        self.query = nn.Linear(q_dim, qk)
        self.key = nn.Linear(source, qk)
        self.value = nn.Linear(source, v)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(
        self,
        x: Tensor,
        inputs: Tensor | None = None,
        mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """x (B or 1, N, q_dim); inputs (B, M, kv_dim), None for self-attention; mask additive
        (B, 1, 1, M); head_mask (heads,). Returns (B, N, v_channels) and, if asked for, the weights
        (B, heads, N, M) after softmax."""
        x = self.layernorm1(x)
        source = x
        if self.layernorm2 is not None:
            assert inputs is not None
            source = self.layernorm2(inputs)
        q, k = self._heads(self.query(x)), self._heads(self.key(source))
        v = self._heads(self.value(source))
        if self.fast and head_mask is None and not need_weights:
            context, weights = self._fast(q, k, v, mask), None
        else:
            context, weights = self._explicit(q, k, v, mask, head_mask)
        return context.transpose(1, 2).flatten(2), weights if need_weights else None

    def _heads(self, x: Tensor) -> Tensor:
        """(B, N, heads * d) -> (B, heads, N, d)."""
        heads: Tensor = x.unflatten(-1, (self.num_heads, -1))
        return heads.transpose(1, 2)

    def _explicit(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, head_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.qk_per_head)
        if mask is not None:
            scores = scores + mask
        weights: Tensor = self.dropout(scores.softmax(dim=-1))
        if head_mask is not None:
            weights = weights * head_mask[:, None, None]
        return weights @ v, weights

    def _fast(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        dropout = self.dropout.p if self.training else 0.0
        return quick_attention(q, k, v, mask, 1.0 / math.sqrt(self.qk_per_head), dropout)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Queries (B or 1, N, C), keys (B, M, C), values (B, M, c) of one head -> (B, N, c)."""
        q, k, v = q[:, None], k[:, None], v[:, None]
        if self.fast:
            return self._fast(q, k, v, mask)[:, 0]
        return self._explicit(q, k, v, mask, None)[0][:, 0]


class AttentionOutput(nn.Module):
    """The projection after attention, under the name that checkpoints give it."""

    def __init__(self, v_channels: int, channels: int) -> None:
        super().__init__()
        self.dense = nn.Linear(v_channels, channels)


class Attention(nn.Module):
    """Attention, its output projection and the optional residual to the queries.

    Where `self.folded` is set, cross-attention of one head projects only the shorter of its two
    sides: a product of two projections is one projection, and the longer side may be the whole
    image.
    """

    def __init__(
        self,
        config: PerceiverConfig,
        q_dim: int,
        kv_dim: int | None,
        qk_channels: int | None,
        v_channels: int | None,
        num_heads: int,
        use_query_residual: bool,
    ) -> None:
        super().__init__()
        if qk_channels is None:
            follows_kv = kv_dim is not None and config.cross_attention_shape_for_attention == "kv"
            qk_channels = kv_dim if follows_kv else q_dim
        assert qk_channels is not None
        v_channels = qk_channels if v_channels is None else v_channels
        self.self = MultiHeadAttention(config, q_dim, kv_dim, qk_channels, v_channels, num_heads)
        self.output = AttentionOutput(v_channels, v_channels if kv_dim is None else q_dim)
        self.use_query_residual = use_query_residual

    def forward(
        self,
        x: Tensor,
        inputs: Tensor | None = None,
        mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Shapes as MultiHeadAttention; the output has the width of x."""
        weights = None
        folds = self.self.folded and self.self.num_heads == 1 and inputs is not None
        if folds and head_mask is None and not need_weights:
            out = self._folded(x, inputs, mask)
        else:
            context, weights = self.self(x, inputs, mask, head_mask, need_weights)
            out = self.output.dense(context)
        return (out + x if self.use_query_residual else out), weights

    def _folded(self, x: Tensor, inputs: Tensor | None, mask: Tensor | None) -> Tensor:
        own, dense = self.self, self.output.dense
        assert inputs is not None
        assert own.layernorm2 is not None
        q, kv = own.layernorm1(x), own.layernorm2(inputs)
        if kv.shape[1] > q.shape[1]:
            # The bias of the keys adds the same to all scores of a query, which softmax ignores.
            pooled = own.attend(own.query(q) @ own.key.weight, kv, kv, mask)
            return dense(own.value(pooled))  # type: ignore[no-any-return]  # nn.Module is untyped
        k, v = own.key(kv), own.value(kv) @ dense.weight.T
        bias = (k @ own.query.bias)[:, None, None] / math.sqrt(own.qk_per_head)
        mask = bias if mask is None else bias + mask
        return own.attend(q, k @ own.query.weight, v, mask) + dense.bias


class Mlp(nn.Module):
    """Two dense layers with the configured activation between them."""

    def __init__(self, config: PerceiverConfig, channels: int, widening_factor: int) -> None:
        super().__init__()
        act = config.hidden_act
        if isinstance(act, str) and act not in ACTIVATIONS:
            raise ValueError(f"hidden_act {act!r} is unknown: use one of {', '.join(ACTIVATIONS)}")
        self.dense1 = nn.Linear(channels, widening_factor * channels)
        self.activation = ACTIVATIONS[act] if isinstance(act, str) else act
        self.dense2 = nn.Linear(widening_factor * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(..., channels) -> (..., channels)."""
        out: Tensor = self.dense2(self.activation(self.dense1(x)))
        return out


class PerceiverLayer(nn.Module):
    """Attention, then `x + MLP(LayerNorm(x))`. Cross-attention where `kv_dim` is given."""

    def __init__(
        self,
        config: PerceiverConfig,
        q_dim: int,
        kv_dim: int | None = None,
        qk_channels: int | None = None,
        v_channels: int | None = None,
        num_heads: int = 1,
        widening_factor: int = 4,
        use_query_residual: bool = True,
    ) -> None:
        super().__init__()
        self.attention = Attention(
            config, q_dim, kv_dim, qk_channels, v_channels, num_heads, use_query_residual
        )
        self.layernorm = nn.LayerNorm(q_dim)
        self.mlp = Mlp(config, q_dim, widening_factor)

    def forward(
        self,
        x: Tensor,
        inputs: Tensor | None = None,
        mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Shapes as MultiHeadAttention; the output has the width of x."""
        x, weights = self.attention(x, inputs, mask, head_mask, need_weights)
        return x + self.mlp(self.layernorm(x)), weights

    def projected(self, x: Tensor, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """A projection of what `forward` gives, by weight (out, channels) and bias (out,), into
        which the second dense layer is folded: (B, N, out)."""
        x, _ = self.attention(x, inputs)
        mlp = self.mlp
        hidden = mlp.activation(mlp.dense1(self.layernorm(x)))
        bias = bias + weight @ mlp.dense2.bias
        return F.linear(x, weight, bias) + F.linear(hidden, weight @ mlp.dense2.weight)
