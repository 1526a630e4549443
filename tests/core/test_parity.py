"""`reference` and `fast` beside transformers, at small odd sizes, every class of the documentation;
and by algebra what transformers cannot do."""

from __future__ import annotations

import pytest
import torch

import perceiver_core
from perceiver_core import PerceiverConfig, PerceiverModel
from tests.core import peers
from tests.core.parity import CASES
from tests.core.parity.case import BOUNDS
from tests.core.published import SMALL, SMALL_MULTIMODAL
from tests.core.signatures import CLASSES
from tests.tiny import randomise

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_class_matches(case):
    for found in case.outputs():
        peers.assert_outputs_match(found.ours, found.theirs, BOUNDS[found.numerics])


def test_every_documented_class_is_compared():
    assert {case.name for case in CASES} == CLASSES


def test_projection_decoder_in_a_model_by_algebra():
    """Theirs gives no output object, which its model needs."""
    config = PerceiverConfig(**SMALL)
    decoder = perceiver_core.PerceiverProjectionDecoder(config)
    model = PerceiverModel(config, decoder=decoder).eval()
    randomise(model)
    out = model(peers.noise(2, 11, 16))
    weight, bias = decoder.classifier.weight, decoder.classifier.bias
    expected = out.last_hidden_state.mean(1) @ weight.T + bias
    assert peers.deviation(out.logits, expected) <= BOUNDS["reference"]


def test_selu_by_algebra():
    """Theirs no longer knows the activation that the documentation lists."""
    mlp = PerceiverModel(PerceiverConfig(**SMALL, hidden_act="selu")).encoder.cross_attention.mlp
    randomise(mlp)
    x = peers.noise(3, 24)
    hidden = x @ mlp.dense1.weight.T + mlp.dense1.bias
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    hidden = scale * torch.where(hidden > 0, hidden, alpha * (hidden.exp() - 1))
    expected = hidden @ mlp.dense2.weight.T + mlp.dense2.bias
    assert peers.deviation(mlp(x), expected) <= BOUNDS["reference"]


def test_encode_is_the_first_half_and_needs_the_right_width():
    ours = PerceiverModel(PerceiverConfig(**SMALL)).eval()
    randomise(ours)
    inputs = peers.noise(2, 11, 16)
    assert torch.equal(ours.encode(inputs), ours(inputs).last_hidden_state)
    with pytest.raises(ValueError, match="15 channels and config\\.d_model is 16"):
        ours(inputs[..., :15])


def test_layer_norms_have_the_published_epsilon_whatever_the_configuration_says():
    """The difference is below the bounds above unless a layer's inputs are tiny."""
    model = PerceiverModel(PerceiverConfig(**SMALL, layer_norm_eps=1e-3))
    norms = [m for m in model.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert len(norms) == 3 + 2 * 2
    assert {norm.eps for norm in norms} == {1e-5}


def test_fresh_weights_are_drawn_as_theirs():
    """Same mean and deviation of every tensor large enough to tell."""
    sizes = {**SMALL_MULTIMODAL, "num_cross_attention_heads": 1, "num_latents": 50}
    name = "PerceiverForMultimodalAutoencoding"
    torch.manual_seed(0)
    theirs = getattr(peers.THEIRS, name)(peers.peer_config(sizes)).state_dict()
    ours = getattr(perceiver_core, name)(PerceiverConfig(**sizes)).state_dict()
    large = [name for name, tensor in theirs.items() if tensor.numel() >= 100]
    assert sum("padding" in name or "mask" in name for name in large) >= 5
    for name in large:
        for statistic in (torch.std, torch.mean):
            a, b = statistic(ours[name]).item(), statistic(theirs[name]).item()
            assert a == pytest.approx(b, rel=0.4, abs=0.008), name
