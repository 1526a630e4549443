"""What the models return: dataclasses that also read as mappings and as tuples (seed: "Perceiver
specific outputs")."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor


class ModelOutput:
    """Fields by attribute, by key and by position; the last two leave out fields that are None."""

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields that are not None, in order (what `return_dict=False` gives)."""
        return tuple(self[key] for key in self.keys())

    def keys(self) -> list[str]:
        """Names of the fields that are not None."""
        return [f.name for f in fields(self) if getattr(self, f.name) is not None]  # type: ignore[arg-type]  # every subclass is a dataclass

    def __getitem__(self, key: str | int) -> Any:
        return getattr(self, key) if isinstance(key, str) else self.to_tuple()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())


@dataclass
class PerceiverModelOutput(ModelOutput):
    """logits as the decoder shapes them; last_hidden_state (B, num_latents, d_latents);
    hidden_states: input of each self-attention layer and the block's output; attentions
    (B, heads, num_latents, num_latents) per layer; cross_attentions: encoder's, then decoder's."""

    logits: Any = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None


@dataclass
class PerceiverDecoderOutput(ModelOutput):
    """logits as the decoder shapes them; cross_attentions: one (B, heads, queries, num_latents)."""

    logits: Any = None
    cross_attentions: tuple[Tensor, ...] | None = None


@dataclass
class PerceiverMaskedLMOutput(ModelOutput):
    """loss: scalar, when labels were given; logits (B, max_position_embeddings, vocab_size)."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None


@dataclass
class PerceiverClassifierOutput(ModelOutput):
    """loss: scalar, when labels were given; logits (B, num_labels)."""

    loss: Tensor | None = None
    logits: Any = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
