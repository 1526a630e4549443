"""`reference` against transformers, and `fast` against `reference`, at small odd sizes."""

from __future__ import annotations

import pytest
import torch
from transformers.models.perceiver import modeling_perceiver as peer

import perceiver_core
from perceiver_core import PerceiverConfig, PerceiverModel
from perceiver_core.numerics import set_numerics
from tests.core import peers
from tests.core.published import ODD, SMALL
from tests.tiny import randomise

REFERENCE_BOUND = 1e-5
FAST_BOUND = 1e-4

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", peers.TEXT_MODELS)
def test_text_models_match(name, odd):
    ours, theirs = peers.pair(name, {**SMALL, **ODD[odd]})
    ids, mask = peers.text(33)
    ask = {"attention_mask": mask, "output_attentions": True, "output_hidden_states": True}
    expected = theirs(inputs=ids, **ask)
    peers.assert_outputs_match(ours(inputs=ids, **ask), expected, REFERENCE_BOUND)
    set_numerics(ours, "fast")
    fast = ours(inputs=ids, attention_mask=mask)
    assert peers.deviation(fast.logits, expected.logits) <= FAST_BOUND


@pytest.mark.parametrize("size", [(20, 20), (21, 33), (8, 9)])
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", peers.IMAGE_MODELS)
def test_image_models_match(name, odd, size):
    ours, theirs = peers.pair(name, {**SMALL, **ODD[odd]})
    pixels = peers.image(*size)
    ask = {"output_attentions": True, "output_hidden_states": True}
    if "Learned" in name:
        ask["interpolate_pos_encoding"] = True
    expected = theirs(inputs=pixels, **ask)
    peers.assert_outputs_match(ours(inputs=pixels, **ask), expected, REFERENCE_BOUND)
    set_numerics(ours, "fast")
    ask = {key: ask[key] for key in ask if key.startswith("interpolate")}
    fast = ours(pixel_values=pixels, **ask)
    assert peers.deviation(fast.logits, expected.logits) <= FAST_BOUND


@pytest.mark.parametrize("name", [*peers.TEXT_MODELS, *peers.IMAGE_MODELS])
def test_losses_and_tuples_match(name):
    ours, theirs = peers.pair(name, SMALL)
    if name == "PerceiverForMaskedLM":
        ids, _ = peers.text(40)
        labels = ids.clone()
        labels[:, ::3] = -100
    elif name in peers.TEXT_MODELS:
        ids, _ = peers.text(40)
        labels = torch.tensor([0, 3, 4])
    else:
        ids, labels = peers.image(20, 20), torch.tensor([1, 4])
    expected = theirs(inputs=ids, labels=labels, return_dict=False, output_hidden_states=True)
    found = ours(inputs=ids, labels=labels, return_dict=False, output_hidden_states=True)
    assert isinstance(found, tuple)
    assert len(found) == len(expected)
    assert found[0].item() == pytest.approx(expected[0].item(), rel=1e-5)
    assert peers.deviation(found[1], expected[1]) <= REFERENCE_BOUND


@pytest.mark.parametrize(
    ("num_labels", "labels"),
    [(1, torch.tensor([0.5, -1.0, 2.0])), (5, torch.tensor([[0, 1.0, 0, 1, 1]] * 3))],
    ids=["regression", "multi_label"],
)
def test_other_classification_losses_match(num_labels, labels):
    sizes = {**SMALL, "num_labels": num_labels}
    ours, theirs = peers.pair("PerceiverForSequenceClassification", sizes)
    ids, _ = peers.text(12)
    expected = theirs(inputs=ids, labels=labels).loss.item()
    assert ours(input_ids=ids, labels=labels).loss.item() == pytest.approx(expected, rel=1e-5)


PREPROCESSORS = {
    "conv": {"prep_type": "conv", "spatial_downsample": 4, "out_channels": 10},
    "conv_no_batchnorm": {"prep_type": "conv", "conv2d_use_batchnorm": False, "out_channels": 10},
    "conv1x1": {"prep_type": "conv1x1", "spatial_downsample": 2, "out_channels": 10},
    "patches": {"prep_type": "patches", "spatial_downsample": 2},
    "patches_conv_after": {
        "prep_type": "patches",
        "spatial_downsample": 2,
        "conv_after_patching": True,
        "conv_after_patching_in_channels": 12,
        "out_channels": 10,
    },
    "pixels": {"prep_type": "pixels", "spatial_downsample": 1},
}
TOKENS = {"conv": 9, "conv_no_batchnorm": 9, "pixels": 256}


@pytest.mark.parametrize("project", [-1, 6])
@pytest.mark.parametrize("kind", PREPROCESSORS)
@pytest.mark.parametrize("encoding", ["fourier", "trainable"])
def test_image_preprocessors_match(kind, encoding, project):
    options = {**PREPROCESSORS[kind], "position_encoding_type": encoding}
    tokens = TOKENS.get(kind, 64)
    if encoding == "fourier":
        kwargs = {"num_bands": 4, "max_resolution": (16, 16), "concat_pos": True}
        options["fourier_position_encoding_kwargs"] = kwargs
        channels = 18
    else:
        kwargs = {"num_channels": 10, "index_dims": tokens}
        options["trainable_position_encoding_kwargs"] = kwargs
        channels = 10
    if project > 0:
        # The published port projects from out_channels, so these must agree.
        options.update(project_pos_dim=project)
        options["out_channels"] = channels
    ours = perceiver_core.PerceiverImagePreprocessor(PerceiverConfig(), **options).eval()
    theirs = peer.PerceiverImagePreprocessor(peers.peer_config({}), **options).eval()
    randomise(theirs)
    ours.load_state_dict(theirs.state_dict())
    pixels = peers.image(16, 16)
    expected, found = theirs(pixels), ours(pixels)
    assert ours.num_channels == theirs.num_channels == found.inputs.shape[-1]
    assert peers.deviation(found.inputs, expected[0]) <= REFERENCE_BOUND
    assert peers.deviation(found.inputs_without_pos, expected[2]) <= REFERENCE_BOUND


def test_positions_added_to_features_match():
    kwargs = {"num_channels": 10, "index_dims": 64}
    options = {"prep_type": "conv1x1", "spatial_downsample": 2, "out_channels": 10}
    options |= {"concat_or_add_pos": "add", "position_encoding_type": "trainable"}
    options["trainable_position_encoding_kwargs"] = kwargs
    ours = perceiver_core.PerceiverImagePreprocessor(PerceiverConfig(), **options)
    theirs = peer.PerceiverImagePreprocessor(peers.peer_config({}), **options)
    randomise(theirs)
    ours.load_state_dict(theirs.state_dict())
    pixels = peers.image(16, 16)
    assert ours.num_channels == theirs.num_channels == 10
    assert peers.deviation(ours(pixels).inputs, theirs(pixels)[0]) <= REFERENCE_BOUND


@pytest.mark.parametrize("shape", [(2, 2, 27, 6, 8), (1, 4, 3, 8, 8)])
def test_video_patches_match(shape):
    """Optical flow's layout: time folded whole, space not; and a video's 2 x 4 x 4 blocks."""
    spatial = 1 if shape[2] == 27 else 4
    options = {"prep_type": "patches", "spatial_downsample": spatial, "temporal_downsample": 2}
    kwargs = {"num_bands": 4, "max_resolution": (6, 8) if spatial == 1 else (2, 2, 2)}
    options["fourier_position_encoding_kwargs"] = {**kwargs, "concat_pos": True}
    ours = perceiver_core.PerceiverImagePreprocessor(PerceiverConfig(), **options)
    theirs = peer.PerceiverImagePreprocessor(peers.peer_config({}), **options)
    frames = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert peers.deviation(ours(frames).inputs, theirs(frames)[0]) <= REFERENCE_BOUND


def _basic_decoders(**options):
    ours = perceiver_core.PerceiverBasicDecoder(PerceiverConfig(**SMALL), 6, **options)
    theirs = peer.PerceiverBasicDecoder(peers.peer_config(SMALL), 6, **options)
    randomise(theirs)
    ours.load_state_dict(theirs.state_dict())
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize("project", [True, False])
@pytest.mark.parametrize("residual", [True, False])
def test_basic_decoder_matches(project, residual):
    table = {"num_channels": 12, "index_dims": 9}
    ours, theirs = _basic_decoders(
        num_channels=12,
        qk_channels=8,
        v_channels=16,
        num_heads=4,
        widening_factor=2,
        use_query_residual=residual,
        final_project=project,
        trainable_position_encoding_kwargs=table,
    )
    z = torch.randn(2, 7, 24, generator=torch.Generator().manual_seed(1))
    query, expected = ours.decoder_query(z), theirs.decoder_query(z)
    assert peers.deviation(query, expected) <= REFERENCE_BOUND
    found = ours(query, z, output_attentions=True)
    wanted = theirs(expected, z, output_attentions=True)
    assert ours.num_query_channels == theirs.num_query_channels
    assert peers.deviation(found.logits, wanted.logits) <= REFERENCE_BOUND
    weights, expected_weights = found.cross_attentions[0], wanted.cross_attentions[0]
    assert peers.deviation(weights, expected_weights) <= REFERENCE_BOUND


def test_decoder_queries_of_chosen_points_match():
    fourier = {"num_bands": 4, "max_resolution": (4, 6), "concat_pos": True}
    ours, theirs = _basic_decoders(
        position_encoding_type="fourier",
        output_index_dims=(4, 6),
        num_channels=18 + 5,
        concat_preprocessed_input=True,
        fourier_position_encoding_kwargs=fourier,
    )
    inputs, points = torch.randn(2, 3, 5), torch.tensor([0, 7, 23])
    found = ours.decoder_query(inputs, None, inputs, points)
    expected = theirs.decoder_query(inputs, None, inputs, points)
    assert peers.deviation(found, expected) <= REFERENCE_BOUND


def test_postprocessors_match():
    z = torch.randn(2, 7, 24, generator=torch.Generator().manual_seed(1))
    for build in (
        lambda module, config: module.PerceiverClassificationPostprocessor(config, 24),
        lambda module, config: module.PerceiverProjectionPostprocessor(24, 3),
    ):
        ours = build(perceiver_core, PerceiverConfig(**SMALL))
        theirs = build(peer, peers.peer_config(SMALL))
        randomise(theirs)
        ours.load_state_dict(theirs.state_dict())
        assert peers.deviation(ours(z), theirs(z)) <= REFERENCE_BOUND


def test_projection_decoder_by_algebra():
    """The peer's class cannot be constructed (an abstract property is missing), so by hand."""
    config = PerceiverConfig(**SMALL)
    decoder = perceiver_core.PerceiverProjectionDecoder(config)
    randomise(decoder)
    model = PerceiverModel(config, decoder=decoder).eval()
    randomise(model, seed=1)
    out = model(torch.randn(2, 11, 16))
    weight, bias = decoder.classifier.weight, decoder.classifier.bias
    expected = out.last_hidden_state.mean(1) @ weight.T + bias
    assert peers.deviation(out.logits, expected) <= REFERENCE_BOUND


def test_selu_by_algebra():
    """The peer no longer knows the activation that the documentation lists."""
    ours, _ = peers.pair("PerceiverForSequenceClassification", SMALL)
    mlp = ours.perceiver.encoder.cross_attention.mlp
    selu = type(mlp)(PerceiverConfig(hidden_act="selu"), 24, 1)
    selu.load_state_dict(mlp.state_dict())
    x = torch.randn(3, 24)
    hidden = x @ mlp.dense1.weight.T + mlp.dense1.bias
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    hidden = scale * torch.where(hidden > 0, hidden, alpha * (hidden.exp() - 1))
    expected = hidden @ mlp.dense2.weight.T + mlp.dense2.bias
    assert peers.deviation(selu(x), expected) <= REFERENCE_BOUND


def test_model_without_preprocessor_or_decoder_matches():
    ours = PerceiverModel(PerceiverConfig(**SMALL)).eval()
    theirs = peer.PerceiverModel(peers.peer_config(SMALL)).eval()
    randomise(theirs)
    ours.load_state_dict(theirs.state_dict())
    inputs = torch.randn(2, 11, 16, generator=torch.Generator().manual_seed(1))
    peers.assert_outputs_match(ours(inputs), theirs(inputs), REFERENCE_BOUND)
    latents = ours.encode(inputs)
    assert torch.equal(latents, ours(inputs).last_hidden_state)
    with pytest.raises(ValueError, match="15 channels and config\\.d_model is 16"):
        ours(inputs[..., :15])
