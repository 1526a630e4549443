"""Text and image classification."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.config import PerceiverConfig
from perceiver_core.decoders import PerceiverClassificationDecoder
from perceiver_core.model import PerceiverModel
from perceiver_core.outputs import PerceiverClassifierOutput
from perceiver_core.preprocessors import (
    PerceiverImagePreprocessor,
    PerceiverTextPreprocessor,
    Preprocessor,
)
from perceiver_core.tasks.inputs import given


class ClassificationModel(PreTrainedModel):
    """Classification with one learned query that keeps its residual; subclasses name the input."""

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__(config)
        self.perceiver = PerceiverModel(
            config,
            input_preprocessor=self.preprocessor(config),
            decoder=PerceiverClassificationDecoder(
                config,
                num_channels=config.d_latents,
                trainable_position_encoding_kwargs={
                    "num_channels": config.d_latents,
                    "index_dims": 1,
                },
                use_query_residual=True,
            ),
        )

    @staticmethod
    def preprocessor(config: PerceiverConfig) -> Preprocessor:
        """The published input preprocessor of this model."""
        raise NotImplementedError

    def classify(
        self, inputs: Tensor, labels: Tensor | None, return_dict: bool | None, **options: Any
    ) -> PerceiverClassifierOutput | tuple[Any, ...]:
        """Logits (B, num_labels) and, with labels, the loss; options as PerceiverModel's."""
        outputs = self.perceiver(inputs=inputs, return_dict=True, **options)
        logits = outputs.logits.float()
        loss = None if labels is None else classification_loss(logits, labels, self.config)
        output = PerceiverClassifierOutput(
            loss, logits, outputs.hidden_states, outputs.attentions, outputs.cross_attentions
        )
        return output if self.config.chosen("return_dict", return_dict) else output.to_tuple()


class PerceiverForSequenceClassification(ClassificationModel):
    """Text classification (seed: PerceiverForSequenceClassification)."""

    @staticmethod
    def preprocessor(config: PerceiverConfig) -> Preprocessor:
        """Bytes."""
        return PerceiverTextPreprocessor(config)

    def forward(
        self,
        inputs: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        input_ids: Tensor | None = None,
    ) -> PerceiverClassifierOutput | tuple[Any, ...]:
        """Token ids (B, M) -> logits (B, num_labels)."""
        return self.classify(
            given(inputs, input_ids, "input_ids"),
            labels,
            return_dict,
            attention_mask=attention_mask,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )


class ImageClassificationModel(ClassificationModel):
    """What the three image classifiers share: pixels in."""

    def forward(
        self,
        inputs: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        pixel_values: Tensor | None = None,
        interpolate_pos_encoding: bool = False,
    ) -> PerceiverClassifierOutput | tuple[Any, ...]:
        """Pixels (B, 3, H, W) -> logits (B, num_labels)."""
        return self.classify(
            given(inputs, pixel_values, "pixel_values"),
            labels,
            return_dict,
            attention_mask=attention_mask,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            interpolate_pos_encoding=interpolate_pos_encoding,
        )


class PerceiverForImageClassificationLearned(ImageClassificationModel):
    """1x1 convolution and learned positions (seed: PerceiverForImageClassificationLearned)."""

    @staticmethod
    def preprocessor(config: PerceiverConfig) -> Preprocessor:
        """256 feature and 256 position channels for each pixel of image_size x image_size."""
        return PerceiverImagePreprocessor(
            config,
            prep_type="conv1x1",
            spatial_downsample=1,
            out_channels=256,
            position_encoding_type="trainable",
            project_pos_dim=256,
            trainable_position_encoding_kwargs={
                "num_channels": 256,
                "index_dims": config.image_size**2,
            },
        )


class PerceiverForImageClassificationFourier(ImageClassificationModel):
    """Raw pixels and Fourier positions (seed: PerceiverForImageClassificationFourier)."""

    @staticmethod
    def preprocessor(config: PerceiverConfig) -> Preprocessor:
        """3 pixel and 258 position channels for each pixel."""
        return PerceiverImagePreprocessor(
            config,
            prep_type="pixels",
            spatial_downsample=1,
            fourier_position_encoding_kwargs={"num_bands": 64, "max_resolution": (224, 224)},
        )


class PerceiverForImageClassificationConvProcessing(ImageClassificationModel):
    """A convolutional stem (seed: PerceiverForImageClassificationConvProcessing)."""

    @staticmethod
    def preprocessor(config: PerceiverConfig) -> Preprocessor:
        """64 feature and 258 position channels on a grid a quarter of the image's size."""
        return PerceiverImagePreprocessor(
            config,
            prep_type="conv",
            spatial_downsample=1,
            fourier_position_encoding_kwargs={"num_bands": 64, "max_resolution": (56, 56)},
        )


def classification_loss(logits: Tensor, labels: Tensor, config: PerceiverConfig) -> Tensor:
    """Mean squared error for one label, cross-entropy for integer labels, binary cross-entropy for
    float labels (multi-label), unless config.problem_type says which."""
    kind = config.problem_type
    if kind is None:
        if config.num_labels == 1:
            kind = "regression"
        else:
            multi = labels.is_floating_point()
            kind = "multi_label_classification" if multi else "single_label_classification"
    if kind == "regression":
        return F.mse_loss(logits.squeeze(), labels.squeeze().to(logits.dtype))
    if kind == "single_label_classification":
        return F.cross_entropy(logits, labels.flatten())
    if kind == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits, labels)
    raise ValueError(f"config.problem_type is {kind!r}: see the class's documentation")
