"""Parity at the published sizes, every tensor random (make test-full)."""

from __future__ import annotations

import pytest
import torch

from perceiver_core import tasks
from perceiver_core.config import PerceiverConfig
from perceiver_core.numerics import set_numerics
from tests.core import peers
from tests.core.published import PUBLISHED

pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.mark.parametrize(("name", "sizes", "parameters", "tensors"), PUBLISHED)
def test_parameters_and_tensors_are_the_published(name, sizes, parameters, tensors):
    with torch.device("meta"):
        model = getattr(tasks, name)(PerceiverConfig(**sizes))
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert len(model.state_dict()) == tensors


@pytest.mark.full
@torch.no_grad()
@pytest.mark.parametrize(("name", "sizes", "parameters", "tensors"), PUBLISHED)
def test_published_sizes_match(name, sizes, parameters, tensors):
    ours, theirs = peers.pair(name, sizes)
    assert len(theirs.state_dict()) == tensors  # all consumed: load_state_dict was strict
    if name == "PerceiverForMaskedLM":
        ids, mask = peers.text(2048, batch=1)
        inputs = {"inputs": ids, "attention_mask": mask}
    else:
        inputs = {"inputs": peers.image(224, 224, batch=1)}
    expected = theirs(**inputs, output_hidden_states=True, output_attentions=True)
    found = ours(**inputs, output_hidden_states=True, output_attentions=True)
    peers.assert_outputs_match(found, expected, 1e-5)
    del found
    set_numerics(ours, "fast")
    assert peers.deviation(ours(**inputs).logits, expected.logits) <= 1e-4
