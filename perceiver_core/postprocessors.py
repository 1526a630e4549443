"""Output postprocessors: decoder outputs to predictions."""

from __future__ import annotations

from torch import Tensor, nn

from perceiver_core.config import PerceiverConfig


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
