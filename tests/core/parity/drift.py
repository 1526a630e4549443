"""How far bfloat16 moves a flow field."""

from __future__ import annotations

import torch

from perceiver_core import PerceiverConfig, PerceiverForOpticalFlow
from perceiver_core.numerics import set_numerics
from perceiver_core.tasks.optical_flow import PIXELS
from tests.core import peers
from tests.core.published import SMALL_FLOW
from tests.tiny import randomise


@torch.no_grad()
def drift_of_flow() -> tuple[float, float]:
    """(how far `fast` in bfloat16 is from `reference`, how long the flow is): means in pixels,
    every tensor random."""
    model = PerceiverForOpticalFlow(PerceiverConfig(**SMALL_FLOW)).eval()
    randomise(model)
    patches = peers.noise(4, 2, 27, *SMALL_FLOW["train_size"])
    reference = model(patches).logits
    set_numerics(model.bfloat16(), "fast")
    fields = (model(patches).logits - reference, reference)
    drift, flow = ((field * PIXELS).norm(dim=-1).mean().item() for field in fields)
    return drift, flow
