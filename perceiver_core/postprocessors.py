"""Output postprocessors: decoder outputs to predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from perceiver_core.config import PerceiverConfig
from perceiver_core.decoders.multimodal import split_modalities


class PerceiverClassificationPostprocessor(nn.Module):
    """(B, 1, in_channels) -> (B, num_labels) (seed: PerceiverClassificationPostprocessor)."""

    def __init__(self, config: PerceiverConfig, in_channels: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(in_channels, config.num_labels)

    def forward(self, inputs: Tensor, modality_sizes: dict[str, int] | None = None) -> Tensor:
        """Logits of the first (only) query."""
        return self.classifier(inputs)[:, 0, :]  # type: ignore[no-any-return]  # nn.Module is untyped


class PerceiverProjectionPostprocessor(nn.Module):
    """(B, M, in_channels) -> (B, M, out_channels) (seed: PerceiverProjectionPostprocessor)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(in_channels, out_channels)

    def forward(self, inputs: Tensor, modality_sizes: dict[str, int] | None = None) -> Tensor:
        """One projection for every element."""
        return self.classifier(inputs)  # type: ignore[no-any-return]  # nn.Module is untyped


class PerceiverAudioPostprocessor(nn.Module):
    """(B, M, in_channels) -> samples (B, M * samples_per_patch)
    (seed: PerceiverAudioPostprocessor)."""

    def __init__(
        self, config: PerceiverConfig, in_channels: int, postproc_type: str = "patches"
    ) -> None:
        super().__init__()
        if postproc_type != "patches":
            raise ValueError(f"postproc_type is {postproc_type!r}: audio takes 'patches' only")
        self.classifier = nn.Linear(in_channels, config.samples_per_patch)

    def forward(self, inputs: Tensor, modality_sizes: dict[str, int] | None = None) -> Tensor:
        """The patches laid one after the other."""
        return self.classifier(inputs).flatten(1)  # type: ignore[no-any-return]  # nn.Module is untyped


class PerceiverMultimodalPostprocessor(nn.Module):
    """Every modality by its own postprocessor (seed: PerceiverMultimodalPostprocessor)."""

    def __init__(self, modalities: Mapping[str, nn.Module], input_is_dict: bool = False) -> None:
        super().__init__()
        self.modalities = nn.ModuleDict(dict(modalities))
        self.input_is_dict = input_is_dict

    def forward(
        self, inputs: Any, modality_sizes: dict[str, int] | None = None
    ) -> dict[str, Tensor]:
        """Decoder outputs, a dict by modality or (B, M, C) with the modalities' sizes -> a dict."""
        if not self.input_is_dict:
            if modality_sizes is None:
                raise ValueError("the inputs are one tensor: pass modality_sizes to take it apart")
            inputs = split_modalities(inputs, modality_sizes)
        return {name: self.modalities[name](inputs[name]) for name in self.modalities}
