"""head_mask left transformers after 4.34, so it is proved by algebra."""

from __future__ import annotations

import pytest
import torch

from perceiver_core import PerceiverConfig, PerceiverModel
from perceiver_core.numerics import set_numerics
from tests.core.published import SMALL
from tests.tiny import randomise

HEADS, LAYERS = 4, 2


@pytest.fixture
def model():
    model = PerceiverModel(PerceiverConfig(**SMALL)).eval().requires_grad_(False)
    randomise(model)
    return model


@pytest.fixture
def inputs():
    return torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(2))


def test_ones_change_nothing(model, inputs):
    plain = model(inputs).last_hidden_state
    for shape in ((HEADS,), (LAYERS, HEADS)):
        assert torch.equal(model(inputs, head_mask=torch.ones(shape)).last_hidden_state, plain)


def test_a_masked_head_is_a_head_whose_output_columns_are_zero(model, inputs):
    """Silencing head h equals zeroing the columns of the output projection that read h."""
    mask = torch.ones(LAYERS, HEADS)
    mask[1, 2] = 0
    masked = model(inputs, head_mask=mask).last_hidden_state
    dense = model.encoder.self_attends[1].attention.output.dense
    width = dense.in_features // HEADS
    dense.weight[:, 2 * width : 3 * width] = 0
    plain = model(inputs).last_hidden_state
    assert torch.allclose(masked, plain, atol=1e-5)
    assert not torch.allclose(
        masked, model(inputs, head_mask=torch.ones(HEADS) * 0.5).last_hidden_state
    )


def test_one_dimension_masks_the_head_in_every_layer(model, inputs):
    one = torch.tensor([1.0, 0.0, 1.0, 1.0])
    every = model(inputs, head_mask=one).last_hidden_state
    assert torch.equal(every, model(inputs, head_mask=one.expand(LAYERS, -1)).last_hidden_state)


def test_fast_numerics_obey_it_too(model, inputs):
    mask = torch.tensor([0.0, 1.0, 1.0, 1.0])
    expected = model(inputs, head_mask=mask).last_hidden_state
    set_numerics(model, "fast")
    found = model(inputs, head_mask=mask).last_hidden_state
    assert torch.allclose(found, expected, atol=1e-5)


def test_wrong_number_of_layers_is_refused(model, inputs):
    with pytest.raises(ValueError, match="3 layers: give 2"):
        model(inputs, head_mask=torch.ones(3, HEADS))
