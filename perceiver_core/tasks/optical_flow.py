"""Optical flow between two frames."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.config import PerceiverConfig
from perceiver_core.decoders import PerceiverOpticalFlowDecoder
from perceiver_core.model import PerceiverModel
from perceiver_core.outputs import PerceiverClassifierOutput
from perceiver_core.preprocessors import PerceiverImagePreprocessor

PATCH_CHANNELS = 54  # two frames, 3 x 3 pixels, RGB
RESCALE_FACTOR = 100.0
PIXELS = 20.0  # of one unit of the model's output


def flow_patches(frames: Tensor) -> Tensor:
    """The 3 x 3 neighbourhood of every pixel: (B, 2, 3, H, W) in [-1, 1] -> (B, 2, 27, H, W), the
    channels ordered (row, column, colour), zeros beyond the edge."""
    folded = F.unfold(frames.flatten(0, 1), 3, padding=1).unflatten(1, (3, 9)).transpose(1, 2)
    patches: Tensor = folded.flatten(1, 2).reshape(*frames.shape[:2], 27, *frames.shape[3:])
    return patches


class PerceiverForOpticalFlow(PreTrainedModel):
    """Every pixel, as a patch of both frames, is an input and a query
    (seed: PerceiverForOpticalFlow)."""

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__(config)
        positions = {"num_bands": 64, "max_resolution": config.train_size}
        preprocessor = PerceiverImagePreprocessor(
            config,
            prep_type="patches",
            spatial_downsample=1,
            temporal_downsample=2,
            conv_after_patching=True,
            conv_after_patching_in_channels=PATCH_CHANNELS,
            fourier_position_encoding_kwargs=positions,
        )
        decoder = PerceiverOpticalFlowDecoder(
            config,
            output_image_shape=config.train_size,
            rescale_factor=RESCALE_FACTOR,
            num_channels=preprocessor.num_channels,
            position_encoding_type="fourier",
            fourier_position_encoding_kwargs=positions,
        )
        self.perceiver = PerceiverModel(config, decoder, preprocessor)

    def forward(
        self,
        inputs: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> PerceiverClassifierOutput | tuple[Any, ...]:
        """3 x 3 patches of both frames, (B, 2, 27, H, W) in [-1, 1] -> flow (B, H, W, 2) in units
        of PIXELS, u right and v down; labels of that shape give the mean end-point error.

        Trained at `config.train_size`; the Fourier positions follow any other size.
        """
        if inputs is None:
            raise ValueError("give inputs")
        if inputs.ndim != 5 or inputs.shape[1:3] != (2, PATCH_CHANNELS // 2):
            raise ValueError(
                f"inputs are {tuple(inputs.shape)}: give patches of both frames, "
                f"(batch, 2, {PATCH_CHANNELS // 2}, height, width)"
            )
        if not inputs.is_floating_point():
            raise ValueError(f"inputs are {inputs.dtype}: give floating point numbers in [-1, 1]")
        outputs = self.perceiver(
            inputs=inputs,
            attention_mask=attention_mask,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        # The decoder lays out what has as many pixels as the trained size, whatever its sides are.
        flow = outputs.logits.float().flatten(1, -2).unflatten(1, inputs.shape[-2:])
        if labels is not None and labels.shape != flow.shape:
            raise ValueError(
                f"labels are {tuple(labels.shape)}, the flow is {tuple(flow.shape)}: both must "
                "have one shape"
            )
        loss = None if labels is None else (flow - labels).norm(dim=-1).mean()
        output = PerceiverClassifierOutput(
            loss, flow, outputs.hidden_states, outputs.attentions, outputs.cross_attentions
        )
        return output if self.config.chosen("return_dict", return_dict) else output.to_tuple()
