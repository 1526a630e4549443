"""Names, order and defaults of the documentation's parameters."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import torch

import perceiver_core
from perceiver_core import PerceiverConfig, tasks
from tests.core.published import SMALL
from tests.tiny import randomise

TASK_INPUTS = "inputs attention_mask head_mask output_attentions output_hidden_states labels "
CONSTRUCTORS = {
    "PerceiverTextPreprocessor": "config",
    "PerceiverImagePreprocessor": (
        "config prep_type='conv' spatial_downsample=4 temporal_downsample=1 "
        "position_encoding_type='fourier' in_channels=3 out_channels=64 conv_after_patching=False "
        "conv_after_patching_in_channels=54 conv2d_use_batchnorm=True concat_or_add_pos='concat' "
        "project_pos_dim=-1 **position_encoding_kwargs"
    ),
    "PerceiverProjectionDecoder": "config",
    "PerceiverBasicDecoder": (
        "config output_num_channels position_encoding_type='trainable' output_index_dims=None "
        "num_channels=128 subsampled_index_dims=None qk_channels=None v_channels=None num_heads=1 "
        "widening_factor=1 use_query_residual=False concat_preprocessed_input=False "
        "final_project=True position_encoding_only=False **position_encoding_kwargs"
    ),
    "PerceiverClassificationDecoder": "config **decoder_kwargs",
    "PerceiverProjectionPostprocessor": "in_channels out_channels",
    "PerceiverClassificationPostprocessor": "config in_channels",
    "PerceiverModel": "config decoder=None input_preprocessor=None output_postprocessor=None",
}
FORWARDS = {
    "PerceiverModel": (
        "inputs attention_mask subsampled_output_points head_mask output_attentions "
        "output_hidden_states return_dict"
    ),
    "PerceiverForMaskedLM": TASK_INPUTS + "return_dict input_ids",
    "PerceiverForSequenceClassification": TASK_INPUTS + "return_dict input_ids",
    "PerceiverForImageClassificationLearned": TASK_INPUTS + "return_dict pixel_values",
    "PerceiverForImageClassificationFourier": TASK_INPUTS + "return_dict pixel_values",
    "PerceiverForImageClassificationConvProcessing": TASK_INPUTS + "return_dict pixel_values",
}


def spelt(parameter: inspect.Parameter) -> str:
    text = re.sub(r": [^=]+", "", str(parameter))
    return text.replace(" ", "")


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_constructors(name):
    parameters = inspect.signature(getattr(perceiver_core, name)).parameters.values()
    assert [spelt(p) for p in parameters] == CONSTRUCTORS[name].split()


@pytest.mark.parametrize("name", FORWARDS)
def test_forwards(name):
    """Ours may have more parameters, but behind the documented ones."""
    expected = FORWARDS[name].split()
    signature = inspect.signature(getattr(perceiver_core, name).forward)
    assert list(signature.parameters)[1 : len(expected) + 1] == expected


def test_a_changed_projection_changes_the_answer():
    """Positions are kept between calls only while nothing they are made of changes."""
    model: Any = tasks.PerceiverForImageClassificationLearned(PerceiverConfig(**SMALL)).eval()
    randomise(model)
    pixels = torch.randn(1, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model(pixels).logits
        assert torch.equal(model(pixels).logits, before)
        model.perceiver.input_preprocessor.positions_projection.weight.mul_(5)
        assert not torch.equal(model(pixels).logits, before)


def test_what_was_kept_while_inferring_can_be_trained_with():
    model: Any = tasks.PerceiverForImageClassificationFourier(
        PerceiverConfig(**{**SMALL, "num_cross_attention_heads": 1})
    )
    pixels = torch.randn(1, 3, 20, 20)
    with torch.inference_mode():
        model(pixels)
    model(pixels, labels=torch.tensor([1])).loss.backward()
