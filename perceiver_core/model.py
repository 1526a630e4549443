"""The Perceiver: `encode(inputs) -> latents`, `decode(latents, queries) -> outputs`, apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_core.attention import additive_mask
from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.config import PerceiverConfig
from perceiver_core.decoders import PerceiverAbstractDecoder
from perceiver_core.encoder import PerceiverEmbeddings, PerceiverEncoder, Trace
from perceiver_core.outputs import PerceiverModelOutput
from perceiver_core.preprocessors import Preprocessed, Preprocessor


class PerceiverModel(PreTrainedModel):
    """Preprocessor, encoder, decoder, postprocessor; all but the encoder optional
    (seed: PerceiverModel)."""

    def __init__(
        self,
        config: PerceiverConfig,
        decoder: PerceiverAbstractDecoder | None = None,
        input_preprocessor: Preprocessor | None = None,
        output_postprocessor: nn.Module | None = None,
    ) -> None:
        super().__init__(config)
        self.input_preprocessor = input_preprocessor
        self.output_postprocessor = output_postprocessor
        self.embeddings = PerceiverEmbeddings(config)
        width = config.d_model if input_preprocessor is None else input_preprocessor.num_channels
        self.encoder = PerceiverEncoder(config, kv_dim=width)
        self.decoder = decoder
        self.initialise()

    def preprocess(self, inputs: Any, interpolate_pos_encoding: bool = False) -> Preprocessed:
        """Raw inputs to (B, M, C). Without a preprocessor the inputs must be (B, M, d_model)."""
        if self.input_preprocessor is None:
            if inputs.shape[-1] != self.config.d_model:
                raise ValueError(
                    f"the inputs have {inputs.shape[-1]} channels and config.d_model is "
                    f"{self.config.d_model}: make them equal or pass an input_preprocessor"
                )
            return Preprocessed(inputs, None, inputs)
        if isinstance(inputs, Mapping):
            inputs = {name: self._own_dtype(values) for name, values in inputs.items()}
        else:
            inputs = self._own_dtype(inputs)
        out: Preprocessed = self.input_preprocessor(
            inputs, interpolate_pos_encoding=interpolate_pos_encoding
        )
        return out

    def _own_dtype(self, inputs: Tensor) -> Tensor:
        return inputs.to(self.dtype) if inputs.is_floating_point() else inputs

    def attend(
        self, inputs: Tensor, attention_mask: Tensor | None = None, trace: Trace | None = None
    ) -> Tensor:
        """Cross-attend preprocessed inputs (B, M, C) into the latents -> (B, N, D).

        attention_mask (B, M): 1 = attend, 0 = ignore. After this every request has the same shape,
        whatever its length was.
        """
        mask = None
        if attention_mask is not None:
            mask = additive_mask(attention_mask, inputs.dtype)
        return self.encoder.attend(self.embeddings.latents[None], inputs, mask, trace)

    def encode(
        self,
        inputs: Any,
        attention_mask: Tensor | None = None,
        interpolate_pos_encoding: bool = False,
    ) -> Tensor:
        """Raw inputs -> latents (B, N, D)."""
        embedded = self.preprocess(inputs, interpolate_pos_encoding).inputs
        return self.encoder.process(self.attend(embedded, attention_mask))

    def decode(self, latents: Tensor, queries: Tensor | None) -> Any:
        """Latents (B, N, D) read by queries (B or 1, Q, C) -> the decoder's logits."""
        if self.decoder is None:
            raise ValueError("this model has no decoder: pass one to the constructor")
        return self.decoder(queries, latents).logits

    def forward(
        self,
        inputs: Any,
        attention_mask: Tensor | None = None,
        subsampled_output_points: Any = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        interpolate_pos_encoding: bool = False,
    ) -> PerceiverModelOutput | tuple[Any, ...]:
        """Encode, decode and postprocess; parameters and outputs are the seed's."""
        config = self.config
        trace = Trace(
            want_hidden=config.chosen("output_hidden_states", output_hidden_states),
            want_weights=config.chosen("output_attentions", output_attentions),
        )
        embedded = self.preprocess(inputs, interpolate_pos_encoding)
        z = self.attend(embedded.inputs, attention_mask, trace)
        z = self.encoder.process(z, head_mask, trace)
        logits = None
        if self.decoder is not None:
            logits = self._decoded(embedded, z, subsampled_output_points, trace)
        output = PerceiverModelOutput(
            logits=logits,
            last_hidden_state=z,
            hidden_states=tuple(trace.hidden_states) if trace.want_hidden else None,
            attentions=tuple(trace.attentions) if trace.want_weights else None,
            cross_attentions=tuple(trace.cross_attentions) if trace.want_weights else None,
        )
        return output if config.chosen("return_dict", return_dict) else output.to_tuple()

    def _decoded(self, embedded: Preprocessed, z: Tensor, points: Any, trace: Trace) -> Any:
        assert self.decoder is not None
        query = self.decoder.decoder_query(*embedded, subsampled_points=points)
        decoded = self.decoder(query, z, output_attentions=trace.want_weights)
        trace.cross_attentions.extend(decoded.cross_attentions or ())
        if self.output_postprocessor is None:
            return decoded.logits
        sizes = self.decoder.output_sizes(embedded.modality_sizes, points)
        return self.output_postprocessor(decoded.logits, modality_sizes=sizes)

    def get_input_embeddings(self) -> Tensor:
        """The latents (num_latents, d_latents)."""
        latents: Tensor = self.embeddings.latents
        return latents

    def set_input_embeddings(self, value: Tensor) -> None:
        """Replace the latents."""
        self.embeddings.latents = nn.Parameter(torch.as_tensor(value))
