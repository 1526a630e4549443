"""What the published multimodal classes cannot do, or do at random."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

import perceiver_core
from perceiver_core import PerceiverConfig, tasks
from perceiver_core.numerics import set_numerics
from tests.core import peers
from tests.core.parity import decoders
from tests.core.parity.models import SOME, clip
from tests.core.parity.preprocessors import modalities, multimodal
from tests.core.published import SMALL, SMALL_MULTIMODAL
from tests.tiny import randomise

SIZES = {**SMALL_MULTIMODAL, "num_cross_attention_heads": 1}


@pytest.fixture
def model() -> Any:
    model = tasks.PerceiverForMultimodalAutoencoding(PerceiverConfig(**SIZES)).eval()
    randomise(model)
    return model.requires_grad_(False)


@pytest.mark.parametrize("numerics", ["reference", "fast"])
def test_each_modality_is_decoded_from_one_encoding_as_with_the_others(model, numerics):
    set_numerics(model, numerics)
    for points in (None, SOME):
        whole = model(clip(), subsampled_output_points=points).logits
        latents = model.perceiver.encode(clip())
        assert list(whole) == ["audio", "image", "label"]
        for name, expected in whole.items():
            found = model.decode_modality(latents, name, (points or {}).get(name))
            assert peers.deviation(found, expected) <= 1e-5, name


def test_some_modalities_by_points_the_others_whole(model):
    whole = model(clip()).logits
    some = model(clip(), subsampled_output_points={"image": SOME["image"]}).logits
    assert peers.deviation(some["image"], whole["image"][:, SOME["image"]]) <= 1e-5
    assert peers.deviation(some["audio"], whole["audio"]) <= 1e-5


def test_there_is_one_label_whatever_points_are_given(model):
    expected = model(clip(), subsampled_output_points=SOME).logits
    found = model(clip(), subsampled_output_points={**SOME, "label": torch.arange(2)}).logits
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_decoder_of_modalities_refuses_inputs_of_one():
    config = PerceiverConfig(**SMALL)
    model = perceiver_core.PerceiverModel(config, decoders.multimodal(perceiver_core, config))
    with pytest.raises(ValueError, match="give the model a PerceiverMultimodalPreprocessor"):
        model(torch.zeros(1, 4, config.d_model))


def test_a_decoder_of_video_needs_to_know_its_channels():
    with pytest.raises(ValueError, match="give output_num_channels"):
        perceiver_core.PerceiverBasicVideoAutoencodingDecoder(
            PerceiverConfig(**SMALL), [1, 2, 3, 4], "fourier"
        )


def test_a_full_decode_stands_where_chosen_points_stand_not_on_the_encoders_grid(model):
    """Outputs are placed at -1 + 2 i / n, inputs at -1 … 1 with both ends."""
    query = model.perceiver.decoder.modality_query("image", peers.noise(1, 1, 1))
    axes = [torch.arange(n) * 2 / n - 1 for n in SIZES["output_shape"][1:]]
    expected = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, 2)
    assert torch.allclose(query[0, :, :3], expected)


def test_the_label_that_is_given_does_not_matter(model):
    inputs = clip()
    expected = model(inputs).logits["label"]
    for label in (0.0, 1e30, float("nan")):
        inputs["label"] = torch.full((2, SMALL["num_labels"]), label)
        assert torch.equal(model(inputs).logits["label"], expected)


def test_evaluation_draws_nothing_at_random(model):
    state = torch.random.get_rng_state()
    model(clip())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_loss_is_the_labels_cross_entropy(model):
    labels = torch.tensor([4, 0])
    out = model(clip(), labels=labels)
    expected = F.cross_entropy(out.logits["label"], labels)
    assert out.loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_elements_are_replaced_as_often_as_the_probability_says():
    module: Any = multimodal({"image": 0.3}, 2)(perceiver_core, PerceiverConfig(**SMALL))
    randomise(module)
    torch.manual_seed(0)
    inputs = {name: torch.cat([values[:1]] * 500) for name, values in modalities().items()}
    with torch.no_grad():
        elements, sizes, _ = module(inputs)
    image = elements[:, sizes["audio"] : sizes["audio"] + sizes["image"]]
    replaced = (image == module.mask["image"]).all(-1)
    assert replaced.float().mean().item() == pytest.approx(0.3, abs=0.03)  # 4 deviations of 4,000
    assert replaced.any(0).all()
    others = torch.cat([elements[:, : sizes["audio"]], elements[:, -1:]], dim=1)
    assert torch.equal(others, others[:1].expand_as(others))


@pytest.mark.parametrize(
    ("change", "points", "message"),
    [
        ({"audio": None}, None, "inputs lacks audio: give each of audio, image, label"),
        ({"audio": torch.zeros(2, 50, 1)}, None, "50 samples: give a multiple of 3"),
        ({"image": torch.zeros(2, 2, 3, 9, 8)}, None, "2 frames of 9×8 cannot be cut"),
        ({"label": torch.zeros(2, 6)}, None, r"labels are \(2, 6\): give \(batch, 5\)"),
        ({}, {"video": torch.tensor([0])}, "names video: the outputs are audio, image, label"),
        ({}, {"image": torch.tensor([0, 128])}, "no output 128: the outputs .* are 0 to 127"),
        ({}, {"audio": torch.tensor([3, -1])}, "no output -1: the outputs .* are 0 to 15"),
    ],
)
def test_what_is_missing_or_misshapen_is_named(model, change, points, message):
    inputs = {name: v for name, v in {**clip(), **change}.items() if v is not None}
    with pytest.raises(ValueError, match=message):
        model(inputs, subsampled_output_points=points)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_frames": 4}, r"num_frames is 4, output_shape \[1, 2, 8, 8\] has 2 frames"),
        (
            {"output_shape": [1, 2, 10, 8]},
            r"\[1, 2, 10, 8\]: .* height and width, must be multiples",
        ),
        ({"output_shape": [1, 2, 8, 6]}, r"\[1, 2, 8, 6\]: .* must be multiples of 4"),
        ({"samples_per_patch": 5}, "is 48: it must be a multiple of samples_per_patch, 5"),
    ],
)
def test_clips_that_cannot_be_cut_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        tasks.PerceiverForMultimodalAutoencoding(PerceiverConfig(**{**SIZES, **sizes}))
