"""The task models: a PerceiverModel with the published preprocessor and decoder of its task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.config import CONFIG_FILE, PerceiverConfig
from perceiver_core.decoders import PerceiverBasicDecoder, PerceiverClassificationDecoder
from perceiver_core.errors import CheckpointError
from perceiver_core.folders import read_json
from perceiver_core.model import PerceiverModel
from perceiver_core.outputs import PerceiverClassifierOutput, PerceiverMaskedLMOutput
from perceiver_core.preprocessors import (
    PerceiverImagePreprocessor,
    PerceiverTextPreprocessor,
    Preprocessor,
)

# The masked-language-modelling decoder's heads and widths are fixed by the published class.
MLM_HEADS, MLM_QK_CHANNELS = 8, 8 * 32


class PerceiverEmbeddingDecoder(nn.Module):
    """Logits by the input embedding, transposed, plus a bias of its own."""

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden: Tensor, embedding: nn.Embedding) -> Tensor:
        """(B, Q, d_model) -> (B, Q, vocab_size)."""
        return hidden @ embedding.weight.T + self.bias


class PerceiverForMaskedLM(PreTrainedModel):
    """Masked language modelling over bytes (seed: PerceiverForMaskedLM)."""

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__(config)
        table = {"num_channels": config.d_model, "index_dims": config.max_position_embeddings}
        decoder = PerceiverBasicDecoder(
            config,
            output_num_channels=config.d_latents,
            output_index_dims=config.max_position_embeddings,
            num_channels=config.d_model,
            qk_channels=MLM_QK_CHANNELS,
            v_channels=config.d_model,
            num_heads=MLM_HEADS,
            final_project=False,
            trainable_position_encoding_kwargs=table,
        )
        preprocessor = PerceiverTextPreprocessor(config)
        self.perceiver = PerceiverModel(config, decoder, preprocessor)
        self.embedding_decoder = PerceiverEmbeddingDecoder(config)

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
    ) -> PerceiverMaskedLMOutput | tuple[Any, ...]:
        """Logits (B, max_position_embeddings, vocab_size), always all rows; labels (B, that length)
        with -100 where no loss is wanted."""
        outputs = self.perceiver(
            inputs=_one_of(inputs, input_ids, "input_ids"),
            attention_mask=attention_mask,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits = self.to_logits(outputs.logits)
        loss = None
        if labels is not None:
            if labels.shape != logits.shape[:2]:
                raise ValueError(
                    f"labels are {tuple(labels.shape)}, logits {tuple(logits.shape[:2])}: "
                    "pad the text and its labels to max_position_embeddings"
                )
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        output = PerceiverMaskedLMOutput(
            loss, logits, outputs.hidden_states, outputs.attentions, outputs.cross_attentions
        )
        return output if self.config.chosen("return_dict", return_dict) else output.to_tuple()

    def decode_at(self, latents: Tensor, positions: Tensor) -> Tensor:
        """Logits of chosen positions only: latents (B, N, D), positions (B, Q) -> (B, Q, vocab)."""
        decoder = self.perceiver.decoder
        assert isinstance(decoder, PerceiverBasicDecoder)
        return self.to_logits(self.perceiver.decode(latents, decoder.learned_queries(positions)))

    def to_logits(self, hidden: Tensor) -> Tensor:
        """Decoder outputs (B, Q, d_model) -> float32 logits (B, Q, vocab_size)."""
        preprocessor = self.perceiver.input_preprocessor
        assert isinstance(preprocessor, PerceiverTextPreprocessor)
        logits: Tensor = self.embedding_decoder(hidden, preprocessor.embeddings)
        return logits.float()


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
            _one_of(inputs, input_ids, "input_ids"),
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
            _one_of(inputs, pixel_values, "pixel_values"),
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


TASK_MODELS: dict[str, type[PreTrainedModel]] = {
    model.__name__: model
    for model in (
        PerceiverForMaskedLM,
        PerceiverForSequenceClassification,
        PerceiverForImageClassificationLearned,
        PerceiverForImageClassificationFourier,
        PerceiverForImageClassificationConvProcessing,
    )
}


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


def _one_of(inputs: Tensor | None, named: Tensor | None, name: str) -> Tensor:
    if (inputs is None) == (named is None):
        raise ValueError(f"give either inputs or {name}")
    given = inputs if inputs is not None else named
    assert given is not None
    return given


def load_model(folder: Path, numerics: str, device: str, dtype: str) -> PreTrainedModel:
    """The task model that the folder's `architectures` names. Raises CheckpointError."""
    names = read_json(folder / CONFIG_FILE).get("architectures") or []
    for name in names:
        if name in TASK_MODELS:
            model = TASK_MODELS[name]
            return model.from_pretrained(folder, numerics=numerics, device=device, dtype=dtype)
    known = ", ".join(sorted(TASK_MODELS))
    raise CheckpointError(f"config.json names architectures {names}: this library has {known}")
