"""The embedded models: ordinary checkpoints that another library loads unchanged, small, with a
card, and right about plain things."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers.models.perceiver import modeling_perceiver as peer

from perceiver_core import tasks
from perceiver_core.pipelines import open_pipeline
from perceiver_core.pipelines.optical_flow import FramePair
from perceiver_core.pipelines.text_classification import TextClassificationInput
from perceiver_core.tasks import load_model
from perceiver_core.zoo import EMBEDDED
from tests.core.peers import deviation
from tests.core.sentences import SENTENCES

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
LARGEST_FILE = 5_000_000


def test_every_embedded_model_is_here():
    assert set(EMBEDDED) == {
        *("tiny-language-id", "tiny-fashion", "tiny-fill-mask", "tiny-flow", "tiny-multimodal")
    }


def inputs_of(model) -> torch.Tensor | dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    if "Multimodal" in type(model).__name__:
        _, frames, height, width = model.config.output_shape
        samples = model.config.num_frames * model.config.audio_samples_per_frame
        return {
            "image": torch.rand(2, frames, 3, height, width, generator=random),
            "audio": torch.rand(2, samples, 1, generator=random) * 2 - 1,
            "label": torch.zeros(2, model.config.num_labels),
        }
    if "Flow" in type(model).__name__:
        return torch.rand(1, 2, 27, *model.config.train_size, generator=random) * 2 - 1
    if "Image" in type(model).__name__:
        side = model.config.image_size
        return torch.randn(3, 3, side, side, generator=random)
    return torch.randint(0, 262, (3, 100), generator=random)


@pytest.mark.parametrize("name", EMBEDDED)
@torch.no_grad()
def test_transformers_loads_it_unchanged_with_equal_logits(name):
    folder = EMBEDDED[name]
    (architecture,) = json.loads((folder / "config.json").read_text())["architectures"]
    ours = getattr(tasks, architecture).from_pretrained(name)
    theirs = getattr(peer, architecture).from_pretrained(folder, dtype=torch.float32).eval()
    inputs = inputs_of(ours)
    asked = {}
    if isinstance(inputs, dict):  # transformers decodes several modalities only point by point
        points = {"image": torch.arange(5, 16384, 341), "audio": torch.arange(0, 80, 7)}
        asked = {"subsampled_output_points": {**points, "label": None}}
    found = ours(inputs, **asked).logits
    expected = theirs(inputs=inputs, **asked).logits
    if not isinstance(inputs, dict):
        found, expected = {"": found}, {"": expected}
    assert set(found) == set(expected)
    for modality in found:
        assert deviation(found[modality], expected[modality]) <= 1e-5, modality


@pytest.mark.parametrize("name", EMBEDDED)
def test_folder_is_small_and_has_a_card(name):
    folder = EMBEDDED[name]
    assert {file.suffix for file in folder.iterdir()} <= {".json", ".safetensors", ".md"}
    assert sum(file.stat().st_size for file in folder.iterdir()) <= LARGEST_FILE
    card = (folder / "README.md").read_text()
    for word in ("licen", "limits", "python -m training.train", "parameters"):
        assert word in card.lower(), word


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_language_id_names_the_language_of_one_article(dtype):
    """Article 1 of the Universal Declaration of Human Rights, not among the training texts."""
    folder = EMBEDDED["tiny-language-id"]
    pipeline, model = open_pipeline(folder), load_model(folder, "fast", "cpu", dtype)
    assert set(SENTENCES) == set(pipeline.labels)
    named = {
        tag: pipeline(model, TextClassificationInput(text))[0].label
        for tag, text in SENTENCES.items()
    }
    assert sum(named[tag] == tag for tag in SENTENCES) >= 26, named


@torch.no_grad()
def test_bfloat16_agrees_with_reference():
    """At least 99 % of windows of real text get the same label in bfloat16 as in float32."""
    folder = EMBEDDED["tiny-language-id"]
    pipeline = open_pipeline(folder)
    reference = load_model(folder, "reference", "cpu", "float32")
    fast = load_model(folder, "fast", "cpu", "bfloat16")
    texts = [t[i : i + 60] for t in SENTENCES.values() for i in range(0, max(1, len(t) - 60), 10)]
    rows = [next(iter(pipeline.preprocess(TextClassificationInput(text)))) for text in texts]
    pairs = [
        (
            pipeline.forward(reference, [row])[0]["logits"],
            pipeline.forward(fast, [row])[0]["logits"],
        )
        for row in rows
    ]
    agree = sum(int(a.argmax()) == int(b.argmax()) for a, b in pairs)
    assert len(pairs) > 200
    assert agree >= 0.99 * len(pairs)


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-5, 4)])
def test_flow_follows_a_picture_that_moves_as_a_whole(shift):
    """A noisy picture, smoothed, seen through a window that moves: known flow everywhere."""
    folder = EMBEDDED["tiny-flow"]
    pipeline, model = open_pipeline(folder), load_model(folder, "fast", "cpu", "float32")
    height, width = pipeline.config.train_size
    noise = np.random.default_rng(0).random((height + 40, width + 40, 3))
    blurred = sum(np.roll(noise, (y, x), (0, 1)) for y in range(-2, 3) for x in range(-2, 3)) / 25
    scene = np.asarray(np.interp(blurred, (0.3, 0.7), (0, 255))).astype(np.uint8)
    u, v = shift
    before = scene[20 : 20 + height, 20 : 20 + width]
    after = scene[20 - v : 20 - v + height, 20 - u : 20 - u + width]
    flow = pipeline(model, FramePair(before, after)).flow
    apart = np.linalg.norm(flow - np.array(shift, np.float32), axis=-1)
    assert apart.mean() <= 0.3 * np.hypot(*shift) + 0.7
