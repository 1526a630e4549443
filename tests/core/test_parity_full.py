"""Parity at the published sizes, every tensor random (make test-full)."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from perceiver_core import tasks
from perceiver_core.config import PerceiverConfig
from perceiver_core.numerics import set_numerics
from tests.core import peers
from tests.core.parity.case import BOUNDS
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
    inputs = inputs_of(name)
    # Flow's attention maps would be 10 GB: 24 of 268 MB and two of 1.5 GB.
    ask = {"output_hidden_states": True, "output_attentions": "Flow" not in name}
    expected = theirs(**inputs, **ask)
    peers.assert_outputs_match(ours(**inputs, **ask), expected, BOUNDS["reference"])
    set_numerics(ours, "fast")
    found = [ours(**inputs).logits]
    if name == "PerceiverForMultimodalAutoencoding":
        found.append(peers.by_modality(ours, **inputs))
    for logits in found:
        for place, figure in peers.deviations(logits, expected.logits):
            assert figure <= BOUNDS["fast"], place


def inputs_of(name: str) -> dict[str, Any]:
    """Random inputs of the published size, batch 1."""
    if name == "PerceiverForMaskedLM":
        ids, mask = peers.text(2048, batch=1)
        return {"inputs": ids, "attention_mask": mask}
    if name == "PerceiverForOpticalFlow":
        return {"inputs": peers.noise(1, 2, 27, 368, 496)}
    if name == "PerceiverForMultimodalAutoencoding":
        clip = {
            "image": peers.noise(1, 16, 3, 224, 224),
            "audio": peers.noise(1, 30720, 1),
            "label": torch.zeros(1, 700),
        }
        # The last of the 128 parts that a clip is decoded in.
        points = {
            "image": torch.arange(6272 * 127, 6272 * 128),
            "audio": torch.arange(15 * 127, 15 * 128),
            "label": None,
        }
        return {"inputs": clip, "subsampled_output_points": points}
    return {"inputs": peers.image(224, 224, batch=1)}
