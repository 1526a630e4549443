"""Values that the field publishes for the published checkpoints, where these are on this machine.

Sources: the tests of transformers' Perceiver (tolerance 1e-4) and its script that converted the
original release. The checkpoints are looked for where `perceiver-server pull` puts them, in
`~/.cache/perceiver-server/models` or the folder that PERCEIVER_MODELS_DIR names; the pictures of
those tests beside them, in `golden`: `000000039769.png` (COCO, two cats on a sofa) and
`sintel_frame1.png` (the first picture of hf-internal-testing/fixtures_sintel).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from perceiver_core import PerceiverImageProcessor, PerceiverTokenizer
from perceiver_core.folders import WEIGHTS_FILE
from perceiver_core.pixels import to_rgb
from perceiver_core.tasks import load_model
from perceiver_core.tasks.optical_flow import flow_patches

pytestmark = pytest.mark.full

DEFAULT = Path.home() / ".cache" / "perceiver-server" / "models"
MODELS = Path(os.environ.get("PERCEIVER_MODELS_DIR") or DEFAULT)
TEXT = "This is an incomplete sentence where some words are missing."
MISSING = [38, 115, 111, 121, 121, 111, 116, 109, 52]  # " missing."

# layout: (special tokens, where " missing." is masked, logits of the first three bytes)
LANGUAGE = {
    "special_tokens": (
        True,
        slice(52, 61),
        [
            [-10.8609, -10.7651, -10.9187],
            [-12.1689, -11.9389, -12.1479],
            [-12.1518, -11.9707, -12.2073],
        ],
    ),
    "raw": (
        False,
        slice(51, 60),
        [
            [-11.8336, -11.6850, -11.8483],
            [-12.8149, -12.5863, -12.7904],
            [-12.8440, -12.6410, -12.8646],
        ],
    ),
}
CATS = {
    "vision-perceiver-learned": [-1.1652, -0.1992, -0.7520],
    "vision-perceiver-fourier": [-1.1295, -0.2832, 0.3226],
    "vision-perceiver-conv": [-1.1186, 0.0554, 0.0897],
}
FLOW = [
    [[0.0025, -0.0050], [0.0025, -0.0049], [0.0025, -0.0048]],
    [[0.0026, -0.0049], [0.0026, -0.0048], [0.0026, -0.0047]],
    [[0.0026, -0.0049], [0.0026, -0.0048], [0.0026, -0.0046]],
]


def checkpoint(name: str):
    """The model of a pulled checkpoint; skips where it is not here."""
    folder = MODELS / name
    if not (folder / WEIGHTS_FILE).is_file():
        pytest.skip(f"{name} is not in {MODELS}: run perceiver-server pull {name}")
    return load_model(folder, "reference", "cpu", "float32")


def assert_close(found: torch.Tensor, published: Any) -> None:
    """To the tolerance of the published tests."""
    torch.testing.assert_close(found, torch.tensor(published), rtol=1e-4, atol=1e-4)


def picture(name: str) -> Image.Image:
    """A picture of the published tests; skips where it is not here."""
    file = MODELS / "golden" / name
    if not file.is_file():
        pytest.skip(f"{name} is not in {file.parent}: see the top of this file")
    return to_rgb(Image.open(file))


@pytest.mark.parametrize("layout", LANGUAGE)
@torch.no_grad()
def test_language(layout):
    special, masked, expected = LANGUAGE[layout]
    model = checkpoint("language-perceiver")
    tokenizer = PerceiverTokenizer()
    options = {"padding": "max_length", "return_tensors": "pt", "add_special_tokens": special}
    inputs = tokenizer(TEXT, **options)
    labels = inputs.input_ids.clone()
    inputs.input_ids[0, masked] = tokenizer.mask_token_id
    outputs = model(**inputs, labels=labels)
    assert outputs.logits.shape == (1, 2048, 262)
    assert outputs.logits[0, masked].argmax(-1).tolist() == MISSING
    assert_close(outputs.logits[0, :3, :3], expected)
    if special:
        assert outputs.loss.item() == pytest.approx(19.87, abs=0.005)


@pytest.mark.parametrize("name", CATS)
@torch.no_grad()
def test_vision(name):
    model, image = checkpoint(name), picture("000000039769.png")
    pixels = PerceiverImageProcessor.from_pretrained(MODELS / name)(image, return_tensors="pt")
    logits = model(**pixels).logits
    assert logits.shape == (1, 1000)
    assert_close(logits[0, :3], CATS[name])
    assert model.config.labels[int(logits.argmax())] == "tabby, tabby cat"


@torch.no_grad()
def test_optical_flow():
    """The published test gives the first frame twice."""
    model, image = checkpoint("optical-flow-perceiver"), picture("sintel_frame1.png")
    height, width = model.config.train_size
    frame = PerceiverImageProcessor(
        do_center_crop=False, do_resize=False, do_normalize=False, rescale_factor=1 / 127.5
    )(image, return_tensors="pt").pixel_values[:, :, :height, :width]
    flow = model(flow_patches(torch.stack([frame - 1, frame - 1], dim=1))).logits
    assert flow.shape == (1, height, width, 2)
    assert_close(flow[0, :3, :3], FLOW)
