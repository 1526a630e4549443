"""The encoder: inputs are attended into the latents, the latents attend to themselves."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from perceiver_core.attention import PerceiverLayer
from perceiver_core.config import PerceiverConfig


class PerceiverEmbeddings(nn.Module):
    """The latents, learned: (num_latents, d_latents)."""

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(config.num_latents, config.d_latents))


@dataclass
class Trace:
    """What a pass keeps on the way, where asked: hidden states and attention weights."""

    want_hidden: bool = False
    want_weights: bool = False
    hidden_states: list[Tensor] = field(default_factory=list)
    attentions: list[Tensor] = field(default_factory=list)
    cross_attentions: list[Tensor] = field(default_factory=list)

    def hidden(self, x: Tensor) -> None:
        """Keep a state of the latents."""
        if self.want_hidden:
            self.hidden_states.append(x)


class PerceiverEncoder(nn.Module):
    """One cross-attention, then `num_blocks` times the same block of self-attention layers
    (Perceiver IO, section 3.1)."""

    def __init__(self, config: PerceiverConfig, kv_dim: int) -> None:
        super().__init__()
        for name in ("num_self_attention_heads", "num_cross_attention_heads"):
            if config.d_latents % getattr(config, name):
                raise ValueError(
                    f"d_latents ({config.d_latents}) must be divisible by {name} "
                    f"({getattr(config, name)})"
                )
        self.num_blocks = config.num_blocks
        self.cross_attention = PerceiverLayer(
            config,
            q_dim=config.d_latents,
            kv_dim=kv_dim,
            qk_channels=config.qk_channels,
            v_channels=config.v_channels,
            num_heads=config.num_cross_attention_heads,
            widening_factor=config.cross_attention_widening_factor,
            use_query_residual=config.use_query_residual,
        )
        self.self_attends = nn.ModuleList(
            PerceiverLayer(
                config,
                q_dim=config.d_latents,
                qk_channels=config.qk_channels,
                v_channels=config.v_channels,
                num_heads=config.num_self_attention_heads,
                widening_factor=config.self_attention_widening_factor,
            )
            for _ in range(config.num_self_attends_per_block)
        )

    def attend(
        self,
        latents: Tensor,
        inputs: Tensor,
        mask: Tensor | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """Read the inputs: latents (1, N, D), inputs (B, M, C), mask additive (B, 1, 1, M)
        -> (B, N, D)."""
        want = trace is not None and trace.want_weights
        z, weights = self.cross_attention(latents, inputs, mask, need_weights=want)
        if trace is not None and weights is not None:
            trace.cross_attentions.append(weights)
        out: Tensor = z
        return out

    def process(
        self, z: Tensor, head_mask: Tensor | None = None, trace: Trace | None = None
    ) -> Tensor:
        """The trunk: (B, N, D) -> (B, N, D). head_mask (heads,), or (layers, heads) with the layers
        of one block (shared by all blocks) or of all blocks."""
        trace = trace or Trace()
        for block in range(self.num_blocks):
            for i, layer in enumerate(self.self_attends):
                trace.hidden(z)
                number = block * len(self.self_attends) + i
                z, weights = layer(
                    z,
                    head_mask=self._layer_head_mask(head_mask, number),
                    need_weights=trace.want_weights,
                )
                if weights is not None:
                    trace.attentions.append(weights)
            trace.hidden(z)
        return z

    def _layer_head_mask(self, head_mask: Tensor | None, number: int) -> Tensor | None:
        if head_mask is None or head_mask.ndim == 1:
            return head_mask
        per_block = len(self.self_attends)
        if head_mask.shape[0] not in (per_block, per_block * self.num_blocks):
            raise ValueError(
                f"head_mask has {head_mask.shape[0]} layers: give {per_block} (one block) "
                f"or {per_block * self.num_blocks} (all blocks)"
            )
        return head_mask[number % head_mask.shape[0]]
