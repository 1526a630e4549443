"""Several modalities as one array of inputs (Perceiver IO, appendix on multimodal autoencoding)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_core.preprocessors.base import Preprocessed, Preprocessor


class PerceiverMultimodalPreprocessor(Preprocessor):
    """Every modality preprocessed by itself, padded with learned channels to one width, and laid
    one after the other in the order of their names (seed: PerceiverMultimodalPreprocessor).

    An element of a modality is replaced by a learned token with the probability `mask_probs` says;
    probabilities between 0 and 1 draw at random, in evaluation too, as the published classes do.
    """

    def __init__(
        self,
        modalities: Mapping[str, Preprocessor],
        mask_probs: Mapping[str, float] | None = None,
        min_padding_size: int = 2,
    ) -> None:
        super().__init__()
        self.modalities = nn.ModuleDict(dict(modalities))
        self.min_padding_size = min_padding_size
        self.mask_probs = dict(mask_probs or {})
        width = self.num_channels
        self.padding = nn.ParameterDict(
            {
                name: nn.Parameter(torch.randn(1, width - preprocessor.num_channels))
                for name, preprocessor in modalities.items()
            }
        )
        self.mask = nn.ParameterDict(
            {name: nn.Parameter(torch.randn(1, width)) for name in self.mask_probs}
        )

    @property
    def num_channels(self) -> int:
        """Channels of the widest modality and the smallest padding."""
        widths = [int(module.num_channels) for module in self.modalities.values()]  # type: ignore[arg-type]  # nn.Module is untyped
        return max(widths) + self.min_padding_size

    def forward(
        self, inputs: Mapping[str, Any], interpolate_pos_encoding: bool = False
    ) -> Preprocessed:
        """Inputs by modality, all of them -> (B, M, C), the elements of each modality, and the
        inputs without positions of each."""
        missing = set(self.modalities) - set(inputs)
        if missing:
            raise ValueError(
                f"inputs lacks {', '.join(sorted(missing))}: give each of "
                f"{', '.join(sorted(self.modalities))}"
            )
        padded, without = {}, {}
        for name, preprocessor in self.modalities.items():
            out: Preprocessed = preprocessor(
                inputs[name], interpolate_pos_encoding=interpolate_pos_encoding
            )
            without[name] = out.inputs_without_pos
            padding = self.padding[name].expand(*out.inputs.shape[:2], -1)
            padded[name] = self._masked(name, torch.cat([out.inputs, padding], dim=-1))
        sizes = {name: elements.shape[1] for name, elements in padded.items()}
        joined = torch.cat([padded[name] for name in sorted(padded)], dim=1)
        return Preprocessed(joined, sizes, without)

    def _masked(self, name: str, elements: Tensor) -> Tensor:
        probability = self.mask_probs.get(name, 0.0)
        if probability == 0:
            return elements
        token: Tensor = self.mask[name].to(elements.dtype)
        if probability == 1:
            return token.expand_as(elements)
        chosen = torch.full(elements.shape[:2], probability, device=elements.device).bernoulli()
        return torch.where(chosen[..., None] > 0, token, elements)
