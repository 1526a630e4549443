"""Before its first step the fill-mask recipe's model looks where it should."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from perceiver_core.pipelines.text import MASK_ID
from training import fill_mask
from training.align import NEIGHBOURS, STRIDE
from training.train import fresh

BYTES = 200


@pytest.fixture(scope="module")
def attention() -> dict[str, Tensor]:
    """Maps (heads, queries, keys) for a text of masks."""
    torch.manual_seed(0)
    model = fresh(fill_mask, None).eval()
    with torch.no_grad():
        made = model(torch.full((1, BYTES), MASK_ID), output_attentions=True)
    read, asked = (maps[0] for maps in made.cross_attentions)
    trunk = torch.cat([maps[:, : len(NEIGHBOURS)] for maps in made.attentions])
    return {"read": read, "asked": asked, "trunk": trunk}


def test_a_latent_reads_the_bytes_around_its_own_one_by_one(attention: dict[str, Tensor]) -> None:
    inner = torch.arange(4, BYTES // STRIDE - 4)
    for head, shift in enumerate(range(-3, 5)):
        assert torch.equal(attention["read"][head, inner].argmax(-1), inner * STRIDE + shift)
    assert attention["read"][:, inner].amax(-1).mean() > 0.9


def test_latents_look_at_their_neighbours(attention: dict[str, Tensor]) -> None:
    inner = torch.arange(4, BYTES // STRIDE - 4)
    for layer in attention["trunk"]:
        for head, step in enumerate(NEIGHBOURS):
            assert torch.equal(layer[head, inner].argmax(-1), inner + step)


def test_a_byte_is_asked_of_its_latent_by_the_heads_of_its_parity(
    attention: dict[str, Tensor],
) -> None:
    places = torch.arange(BYTES)
    nowhere = attention["asked"].shape[-1] - 1
    for head, rows in enumerate(attention["asked"].argmax(-1)):
        own = places % STRIDE == head // 4
        assert torch.equal(rows[:BYTES], torch.where(own, places // STRIDE, nowhere))
