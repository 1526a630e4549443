"""Masked language modelling over bytes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.config import PerceiverConfig
from perceiver_core.decoders import PerceiverBasicDecoder
from perceiver_core.model import PerceiverModel
from perceiver_core.outputs import PerceiverMaskedLMOutput
from perceiver_core.preprocessors import PerceiverTextPreprocessor
from perceiver_core.tasks.inputs import given

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
            inputs=given(inputs, input_ids, "input_ids"),
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
