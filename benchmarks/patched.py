"""What a competent user does to transformers' Perceiver in twenty lines: fused attention, and
bfloat16 where the machine has it."""

from __future__ import annotations

import copy
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.perceiver.modeling_perceiver import PerceiverSelfAttention


def patched(model: Any, dtype: torch.dtype) -> Any:
    """A copy of a transformers model that attends with scaled_dot_product_attention, in `dtype`."""
    model = copy.deepcopy(model).to(dtype)
    for module in model.modules():
        if isinstance(module, PerceiverSelfAttention):
            module.forward = MethodType(_forward, module)
    return model


def _forward(
    self: Any,
    hidden_states: Tensor,
    attention_mask: Tensor | None = None,
    inputs: Tensor | None = None,
    inputs_mask: Tensor | None = None,
    output_attentions: bool | None = False,
) -> tuple[Tensor]:
    hidden_states = self.layernorm1(hidden_states)
    source = hidden_states if inputs is None else self.layernorm2(inputs)
    mask = attention_mask if inputs is None else inputs_mask
    queries = self.transpose_for_scores(self.query(hidden_states), self.qk_channels_per_head)
    keys = self.transpose_for_scores(self.key(source), self.qk_channels_per_head)
    values = self.transpose_for_scores(self.value(source), self.v_channels_per_head)
    context = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    return (context.transpose(1, 2).flatten(2),)
