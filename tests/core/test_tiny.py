"""The random checkpoints that tests are made of are ordinary ones: transformers loads them
unchanged and gives the same logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers.models.perceiver import modeling_perceiver as peer

from perceiver_core import PerceiverForMultimodalAutoencoding, PerceiverForOpticalFlow
from tests import tiny
from tests.core.peers import deviation

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@torch.no_grad()
def test_optical_flow(tmp_path: Path) -> None:
    folder = tiny.make_optical_flow(tmp_path)
    theirs = peer.PerceiverForOpticalFlow.from_pretrained(folder).eval()
    ours = PerceiverForOpticalFlow.from_pretrained(folder)
    patches = torch.randn(2, 2, 27, 16, 24, generator=torch.Generator().manual_seed(0))
    assert deviation(ours(patches).logits, theirs(inputs=patches).logits) <= 1e-5


@torch.no_grad()
def test_multimodal_autoencoding(tmp_path: Path) -> None:
    folder = tiny.make_multimodal(tmp_path)
    theirs = peer.PerceiverForMultimodalAutoencoding.from_pretrained(folder).eval()
    ours = PerceiverForMultimodalAutoencoding.from_pretrained(folder)
    random = torch.Generator().manual_seed(0)
    inputs = {
        "image": torch.rand(1, 2, 3, 16, 16, generator=random),
        "audio": torch.randn(1, 640, 1, generator=random),
        "label": torch.zeros(1, 5),
    }
    points = {"image": torch.arange(2 * 16 * 16), "audio": torch.arange(40), "label": None}
    expected = theirs(inputs=inputs, subsampled_output_points=points).logits
    found = ours(inputs=inputs).logits
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert deviation(found[name], values) <= 1e-5, name
