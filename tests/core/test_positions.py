"""Position encodings on grids of any size, and what is said where that is impossible."""

from __future__ import annotations

import gc
import math

import pytest
import torch

from perceiver_core import PerceiverConfig, PerceiverImagePreprocessor, tasks
from perceiver_core.positions import (
    PerceiverFourierPositionEncoding,
    PerceiverTrainablePositionEncoding,
)
from perceiver_core.preprocessors.image import space_to_depth
from tests.core import peers
from tests.core.parity.preprocessors import fourier, learned
from tests.core.published import SMALL
from tests.tiny import randomise

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def table(*index_dims, channels=3):
    encoding = PerceiverTrainablePositionEncoding(index_dims, channels)
    randomise(encoding)
    return encoding


@pytest.mark.parametrize("index_dims", [(12,), (3, 5), (2, 3, 4)])
def test_the_trained_grid_is_not_touched(index_dims):
    encoding = table(*index_dims)
    assert encoding(index_dims) is encoding.position_embeddings
    assert encoding() is encoding.position_embeddings


@pytest.mark.parametrize(
    ("index_dims", "size"), [((6,), (11,)), ((3, 5), (7, 4)), ((2, 3, 4), (4, 2, 9))]
)
def test_each_axis_is_interpolated_along_itself(index_dims, size):
    """A table that varies along one axis varies along that axis alone, whatever the size."""
    for axis, length in enumerate(index_dims):
        encoding = table(*index_dims, channels=1)
        shape = [length if number == axis else 1 for number in range(len(index_dims))]
        values = torch.arange(1.0, length + 1).reshape(shape).expand(index_dims)
        encoding.position_embeddings.copy_(values.reshape(-1, 1))
        grid = encoding(size).reshape(size)
        first = grid.movedim(axis, 0).reshape(size[axis], -1)
        assert torch.allclose(first, first[:, :1].expand_as(first), atol=1e-5)
        assert (first.diff(dim=0) > -1e-5).all()
        assert first[-1, 0] > first[0, 0] + 0.5


def test_an_oblong_grid_that_is_named_as_such_equals_theirs_as_far_as_a_square_goes():
    """Theirs takes every table for a square."""
    ours, theirs = peers.twins(
        lambda c, _: (
            c.PerceiverTrainablePositionEncoding(16, 3)
            if c is peers.THEIRS
            else PerceiverTrainablePositionEncoding((4, 4), 3)
        ),
        SMALL,
    )
    found, expected = ours((7, 5)), theirs(None, True, (7, 5))
    assert peers.deviation(found, expected) <= 1e-5
    assert table(2, 8)((4, 16)).shape == (64, 3)


@pytest.mark.parametrize(
    ("index_dims", "size"), [((15,), (4, 4)), ((16,), (2, 2, 4)), ((3, 5), (15,))]
)
def test_what_is_no_such_grid_is_refused(index_dims, size):
    with pytest.raises(ValueError, match=r"learned positions of .* are no grid of"):
        table(*index_dims)(size)


def learned_classifier():
    model = tasks.PerceiverForImageClassificationLearned(PerceiverConfig(**SMALL)).eval()
    randomise(model)
    return model


def test_another_size_without_interpolation_is_refused():
    with pytest.raises(
        ValueError, match=r"grid of 20×24 elements, the model has 400 learned .*pass"
    ):
        learned_classifier()(peers.image(20, 24))


def test_the_trained_size_is_the_same_with_and_without_interpolation():
    model, pixels = learned_classifier(), peers.image(20, 20)
    following = model(pixels, interpolate_pos_encoding=True).logits
    assert torch.equal(following, model(pixels).logits)


def test_indivisible_frames_are_refused():
    with pytest.raises(ValueError, match="1 frames of 9×8 cannot be cut into blocks of 1 × 4×4"):
        space_to_depth(peers.noise(1, 3, 9, 8), spatial=4)
    with pytest.raises(ValueError, match="3 frames of 8×8"):
        space_to_depth(peers.noise(1, 3, 3, 8, 8), temporal=2)
    with pytest.raises(ValueError, match="frames have 3 dimensions"):
        space_to_depth(peers.noise(3, 8, 8))


def test_pixels_are_thinned_out_in_space():
    """Theirs drops pictures and colours instead, its slices being an axis off."""
    options = {"prep_type": "pixels", "spatial_downsample": 2, **fourier(4, 3)}
    module = PerceiverImagePreprocessor(PerceiverConfig(), **options)
    pixels = peers.noise(2, 3, 8, 6)
    found = module(pixels)
    expected = pixels[:, :, ::2, ::2].movedim(1, -1).flatten(1, 2)
    assert torch.equal(found.inputs_without_pos, expected)
    assert found.inputs.shape == (2, 12, module.num_channels)


def test_fourier_features_by_their_formula():
    """Position, then all sines dimension by dimension, then all cosines; ends included."""
    encoding = PerceiverFourierPositionEncoding(num_bands=3, max_resolution=(8, 20))
    features = encoding((5, 4), torch.device("cpu"), torch.float32)
    assert features.shape == (20, 2 + 2 * 2 * 3)
    y, x = -1 + 2 * 3 / 4, -1 + 2 * 1 / 3  # row 3 of 5, column 1 of 4
    row = features[3 * 4 + 1].tolist()
    bands = [(1, 2.5, 4), (1, 5.5, 10)]
    angles = [math.pi * f * at for at, own in zip((y, x), bands, strict=True) for f in own]
    expected = [y, x, *map(math.sin, angles), *map(math.cos, angles)]
    assert row == pytest.approx(expected, abs=1e-5)
    assert features[0, :2].tolist() == [-1, -1]
    assert features[-1, :2].tolist() == [1, 1]


def live_bytes() -> int:
    gc.collect()
    tensors = [found for found in gc.get_objects() if issubclass(type(found), torch.Tensor)]
    storages = {tensor.data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


@pytest.mark.parametrize(
    "kind",
    [tasks.PerceiverForImageClassificationFourier, tasks.PerceiverForImageClassificationLearned],
)
def test_positions_are_not_kept_between_calls(kind):
    """A server that counts a model's tensors when it is loaded counts all that it keeps."""
    model = kind(PerceiverConfig(**{**SMALL, "num_cross_attention_heads": 1})).eval()
    pixels = peers.image(20, 20)
    before = live_bytes()
    model(pixels)
    assert live_bytes() == before


def test_unknown_encodings_are_refused():
    for options, message in (
        ({"position_encoding_type": "rotary"}, "use 'trainable' or 'fourier'"),
        ({"position_encoding_type": "fourier"}, "need fourier_position_encoding_kwargs"),
        ({"position_encoding_type": "trainable"}, "need trainable_position_encoding_kwargs"),
        ({**learned(4), "concat_or_add_pos": "multiply"}, "use 'concat' or 'add'"),
        ({**learned(4), "prep_type": "wavelets"}, "use one of conv, patches"),
    ):
        with pytest.raises(ValueError, match=message):
            PerceiverImagePreprocessor(PerceiverConfig(), **options)
