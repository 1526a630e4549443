"""A video's frames, sound and label through one set of latents."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.config import PerceiverConfig
from perceiver_core.decoders import (
    PerceiverBasicDecoder,
    PerceiverBasicVideoAutoencodingDecoder,
    PerceiverClassificationDecoder,
    PerceiverMultimodalDecoder,
)
from perceiver_core.model import PerceiverModel
from perceiver_core.outputs import PerceiverClassifierOutput
from perceiver_core.postprocessors import (
    PerceiverAudioPostprocessor,
    PerceiverClassificationPostprocessor,
    PerceiverMultimodalPostprocessor,
    PerceiverProjectionPostprocessor,
)
from perceiver_core.preprocessors import (
    PerceiverAudioPreprocessor,
    PerceiverImagePreprocessor,
    PerceiverMultimodalPreprocessor,
    PerceiverOneHotPreprocessor,
)
from perceiver_core.tasks.classification import classification_loss

SPATIAL_DOWNSAMPLE = 4  # pixels of an input element, down and across


class PerceiverForMultimodalAutoencoding(PreTrainedModel):
    """Autoencoding of video with sound, and classification
    (seed: PerceiverForMultimodalAutoencoding)."""

    def __init__(self, config: PerceiverConfig) -> None:
        """ValueError where config's clips cannot be cut into the elements that the model reads."""
        super().__init__(config)
        _check_clips(config)
        samples = config.num_frames * config.audio_samples_per_frame
        side = config.image_size
        audio = {"num_bands": 192, "max_resolution": (samples,)}
        image = {"num_bands": 32, "max_resolution": (config.num_frames, side, side)}
        channels = config.output_num_channels
        self.perceiver = PerceiverModel(
            config,
            input_preprocessor=_preprocessor(config, audio, image),
            decoder=_decoder(config, audio, image),
            output_postprocessor=PerceiverMultimodalPostprocessor(
                {
                    "audio": PerceiverAudioPostprocessor(config, in_channels=channels),
                    "image": PerceiverProjectionPostprocessor(channels, out_channels=3),
                    "label": PerceiverClassificationPostprocessor(config, in_channels=channels),
                }
            ),
        )

    def forward(
        self,
        inputs: dict[str, Tensor] | None = None,
        attention_mask: Tensor | None = None,
        subsampled_output_points: dict[str, Tensor] | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> PerceiverClassifierOutput | tuple[Any, ...]:
        """`image` (B, T, 3, H, W) in [0, 1], `audio` (B, S, 1) in [-1, 1], `label` (B, num_labels),
        any finite values -> logits `image` (B, pixels, 3), `audio` (B, samples), `label`
        (B, num_labels).

        subsampled_output_points: flat indices of pixels, `image` (frame, row, column), and of
        patches of samples, `audio`, to decode; all of them at once where it is not given, which at
        the published size takes 3.3 GB for the queries of a clip and several times that to decode
        them: there, give points or use `decode_modality`. labels (B,) give the loss of the label.
        """
        if inputs is None:
            raise ValueError("give inputs")
        outputs = self.perceiver(
            inputs=inputs,
            attention_mask=attention_mask,
            subsampled_output_points=subsampled_output_points,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits = {name: values.float() for name, values in outputs.logits.items()}
        loss = None
        if labels is not None:
            loss = classification_loss(logits["label"], labels, self.config)
        output = PerceiverClassifierOutput(
            loss, logits, outputs.hidden_states, outputs.attentions, outputs.cross_attentions
        )
        return output if self.config.chosen("return_dict", return_dict) else output.to_tuple()

    def decode_modality(self, latents: Tensor, name: str, points: Tensor | None = None) -> Tensor:
        """Logits of one modality only, of all its outputs or at flat indices (Q,): latents
        (B, N, D) -> float32 audio (B, samples), image (B, Q, 3) or label (B, num_labels)."""
        perceiver = self.perceiver
        decoder, post = perceiver.decoder, perceiver.output_postprocessor
        assert isinstance(decoder, PerceiverMultimodalDecoder)
        assert isinstance(post, PerceiverMultimodalPostprocessor)
        query = decoder.modality_query(name, latents[:1], points=points)
        layer, final = decoder.decoder.decoding_cross_attention, decoder.decoder.final_layer
        head: Any = post.modalities[name]
        if name == "label" or not layer.attention.self.folded:  # one query is not worth folding for
            logits: Tensor = head(perceiver.decode(latents, query))
            return logits.float()
        weight, bias = head.classifier.weight, head.classifier.bias
        values = layer.projected(query, latents, weight @ final.weight, weight @ final.bias + bias)
        return (values.flatten(1) if name == "audio" else values).float()


def _check_clips(config: PerceiverConfig) -> None:
    _, frames, height, width = config.output_shape
    if frames != config.num_frames:
        raise ValueError(
            f"num_frames is {config.num_frames}, output_shape {list(config.output_shape)} has "
            f"{frames} frames: they must be equal"
        )
    if height % SPATIAL_DOWNSAMPLE or width % SPATIAL_DOWNSAMPLE:
        raise ValueError(
            f"output_shape is {list(config.output_shape)}: its last two, height and width, must "
            f"be multiples of {SPATIAL_DOWNSAMPLE}"
        )
    samples = frames * config.audio_samples_per_frame
    if samples % config.samples_per_patch:
        raise ValueError(
            f"num_frames times audio_samples_per_frame is {samples}: it must be a multiple of "
            f"samples_per_patch, {config.samples_per_patch}"
        )


def _preprocessor(
    config: PerceiverConfig, audio: dict[str, Any], image: dict[str, Any]
) -> PerceiverMultimodalPreprocessor:
    return PerceiverMultimodalPreprocessor(
        min_padding_size=4,
        modalities={
            "audio": PerceiverAudioPreprocessor(
                config,
                samples_per_patch=config.samples_per_patch,
                fourier_position_encoding_kwargs=audio,
            ),
            "image": PerceiverImagePreprocessor(
                config,
                prep_type="patches",
                spatial_downsample=SPATIAL_DOWNSAMPLE,
                temporal_downsample=1,
                fourier_position_encoding_kwargs=image,
            ),
            "label": PerceiverOneHotPreprocessor(config),
        },
        mask_probs={"image": 0.0, "audio": 0.0, "label": 1.0},
    )


def _decoder(
    config: PerceiverConfig, audio: dict[str, Any], image: dict[str, Any]
) -> PerceiverMultimodalDecoder:
    samples = config.num_frames * config.audio_samples_per_frame
    queries: dict[str, Any] = {"position_encoding_only": True}
    return PerceiverMultimodalDecoder(
        config,
        modalities={
            "audio": PerceiverBasicDecoder(
                config,
                output_index_dims=(samples // config.samples_per_patch,),
                output_num_channels=config.output_num_channels,
                position_encoding_type="fourier",
                fourier_position_encoding_kwargs=audio,
                **queries,
            ),
            "image": PerceiverBasicVideoAutoencodingDecoder(
                config,
                output_shape=config.output_shape,
                output_num_channels=config.output_num_channels,
                position_encoding_type="fourier",
                fourier_position_encoding_kwargs=image,
                **queries,
            ),
            "label": PerceiverClassificationDecoder(
                config,
                trainable_position_encoding_kwargs={
                    "num_channels": config._label_trainable_num_channels,
                    "index_dims": 1,
                },
                **queries,
            ),
        },
        num_outputs=None,
        output_num_channels=config.output_num_channels,
    )
