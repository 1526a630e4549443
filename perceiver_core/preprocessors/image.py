"""Images and video: pixels, patches or a convolution, with positions (Perceiver IO, appendix F)."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from perceiver_core.config import PerceiverConfig
from perceiver_core.preprocessors.base import PositionedPreprocessor, Preprocessed

PREP_TYPES = ("conv", "patches", "pixels", "conv1x1")


def space_to_depth(frames: Tensor, temporal: int = 1, spatial: int = 1) -> Tensor:
    """Fold blocks into channels, ordered (t, h, w, c) with c fastest, channels last.

    (B, C, H, W) -> (B, H/s, W/s, s*s*C); (B, T, C, H, W) -> (B, T/t, H/s, W/s, t*s*s*C).
    """
    if frames.ndim not in (4, 5):
        raise ValueError(
            f"frames have {frames.ndim} dimensions: give (B, C, H, W) or (B, T, C, H, W)"
        )
    video = frames if frames.ndim == 5 else frames[:, None]
    temporal = temporal if frames.ndim == 5 else 1
    batch, time, channels, height, width = video.shape
    if time % temporal or height % spatial or width % spatial:
        raise ValueError(
            f"{time} frames of {height}×{width} cannot be cut into blocks of {temporal} × "
            f"{spatial}×{spatial}: give multiples of these"
        )
    blocks = video.reshape(
        batch,
        time // temporal,
        temporal,
        channels,
        height // spatial,
        spatial,
        width // spatial,
        spatial,
    )
    folded = blocks.permute(0, 1, 4, 6, 2, 5, 7, 3).flatten(4)
    return folded if frames.ndim == 5 else folded[:, 0]


class ConvDownsample(nn.Module):
    """7x7 convolution of stride 2, batch norm, ReLU, 3x3 max-pool of stride 2.

    Padding is the published port's (3 on every side, none in the pool): 224 -> 112 -> 55.
    """

    def __init__(self, in_channels: int, out_channels: int, use_batchnorm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 7, stride=2, padding=3, bias=False)
        self.batchnorm = nn.BatchNorm2d(out_channels) if use_batchnorm else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out_channels, h, w)."""
        return F.max_pool2d(F.relu(self.batchnorm(self.conv(images))), kernel_size=3, stride=2)


class PerceiverImagePreprocessor(PositionedPreprocessor):
    """Image preprocessing with one of four `prep_type`s and one of two position encodings
    (seed: PerceiverImagePreprocessor, every parameter there)."""

    def __init__(
        self,
        config: PerceiverConfig,
        prep_type: str = "conv",
        spatial_downsample: int = 4,
        temporal_downsample: int = 1,
        position_encoding_type: str = "fourier",
        in_channels: int = 3,
        out_channels: int = 64,
        conv_after_patching: bool = False,
        conv_after_patching_in_channels: int = 54,
        conv2d_use_batchnorm: bool = True,
        concat_or_add_pos: str = "concat",
        project_pos_dim: int = -1,
        **position_encoding_kwargs: Any,
    ) -> None:
        if prep_type not in PREP_TYPES:
            raise ValueError(f"prep_type is {prep_type!r}: use one of {', '.join(PREP_TYPES)}")
        super().__init__(
            position_encoding_type,
            out_channels,
            concat_or_add_pos,
            project_pos_dim,
            **position_encoding_kwargs,
        )
        self.prep_type = prep_type
        self.spatial_downsample = spatial_downsample
        self.temporal_downsample = temporal_downsample
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.conv_after_patching = conv_after_patching
        if prep_type == "conv":
            if math.log(spatial_downsample, 4) % 1 or temporal_downsample != 1:
                raise ValueError("conv downsamples space by a power of 4 and never time")
            self.convnet = ConvDownsample(in_channels, out_channels, conv2d_use_batchnorm)
        elif prep_type == "conv1x1":
            if temporal_downsample != 1:
                raise ValueError("conv1x1 does not downsample time")
            self.convnet_1x1 = nn.Conv2d(in_channels, out_channels, 1, stride=spatial_downsample)
        self.conv_after_patches = (
            nn.Linear(conv_after_patching_in_channels, out_channels)
            if conv_after_patching
            else nn.Identity()
        )

    def feature_channels(self) -> int:
        """Channels of an input element."""
        temporal = self.position_embeddings.num_dimensions > 2
        if self.conv_after_patching or self.prep_type in ("conv", "conv1x1"):
            return self.out_channels
        if self.prep_type == "pixels":
            return self.in_channels
        channels = self.in_channels * self.spatial_downsample**2
        return channels * self.temporal_downsample if temporal else channels

    def forward(self, inputs: Tensor, interpolate_pos_encoding: bool = False) -> Preprocessed:
        """inputs: float (B, C, H, W), or (B, T, C, H, W) for pixels and patches.

        With `interpolate_pos_encoding` trainable positions follow the image's size.
        """
        return self.with_positions(self.features(inputs), interpolate_pos_encoding)

    def features(self, inputs: Tensor) -> Tensor:
        """The features of every input element, channels last: (B, h, w, c) or (B, t, h, w, c)."""
        if self.prep_type == "patches":
            folded = space_to_depth(inputs, self.temporal_downsample, self.spatial_downsample)
            if folded.ndim == 5 and folded.shape[1] == 1:
                folded = folded[:, 0]
            features: Tensor = self.conv_after_patches(folded)
            return features
        if self.prep_type == "conv":
            inputs = self.convnet(inputs)
        elif self.prep_type == "conv1x1":
            inputs = self.convnet_1x1(inputs)
        else:
            space = self.spatial_downsample
            if inputs.ndim == 5:
                inputs = inputs[:, :: self.temporal_downsample]
            inputs = inputs[..., ::space, ::space]
        return inputs.movedim(-3, -1)
