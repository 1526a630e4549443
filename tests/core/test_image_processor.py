"""PerceiverImageProcessor equals transformers' Pillow one wherever that one works."""

import json
import logging
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.models.perceiver.image_processing_pil_perceiver import (
    PerceiverImageProcessorPil,
)

from perceiver_core.errors import CheckpointError, InvalidInput
from perceiver_core.image_processor import (
    ChannelDimension,
    PerceiverFeatureExtractor,
    PerceiverImageProcessor,
)

OURS = PerceiverImageProcessor()
PEER = PerceiverImageProcessorPil()
STEPS = ("do_center_crop", "do_resize", "do_rescale", "do_normalize")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def assert_parity(images, **options):
    """Equal values, shapes and types, image by image."""
    ours = OURS(images, **options)
    peer = PEER(images, **options)
    assert list(ours) == ["pixel_values"]
    assert len(ours.pixel_values) == len(peer["pixel_values"])
    for mine, expected in zip(ours.pixel_values, peer["pixel_values"], strict=True):
        assert (mine.shape, mine.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "size", [(224, 224), (256, 256), (241, 319), (500, 333), (64, 97), (7, 5), (2, 2), (3, 300)]
)
def test_sizes(size):
    image = Image.fromarray(noise(*size, 3))
    assert_parity(image)
    assert_parity(image, size={"height": 31, "width": 48}, crop_size={"height": 40, "width": 64})


@pytest.mark.parametrize("steps", range(16))
def test_each_step_can_be_switched(steps):
    options = {name: bool(steps >> bit & 1) for bit, name in enumerate(STEPS)}
    assert_parity(noise(3, 61, 46), **options)
    assert_parity(noise(3, 61, 46) / np.float64(255), **options)


@pytest.mark.parametrize("resample", [*map(int, Image.Resampling), Image.Resampling.LANCZOS])
def test_filters(resample):
    assert_parity(noise(40, 60, 3), resample=resample)


@pytest.mark.parametrize("crop_size", [10, 100, 256, 300, 511])
@pytest.mark.parametrize("shape", [(40, 40), (41, 40), (30, 95), (95, 30)])
def test_crops_beyond_the_image_are_padded_with_zeros(crop_size, shape):
    """size 224 / crop_size 100 is a crop of 2.24 times the shorter side."""
    crop = {"height": crop_size, "width": 201}
    assert_parity(noise(*shape, 3), crop_size=crop, do_resize=False, do_normalize=False)
    assert_parity(noise(*shape, 3), crop_size=crop)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("tensor", [False, True])
def test_types_of_arrays(kind, tensor):
    images = [noise(3, 40, 50).astype(kind)]
    if np.dtype(kind).kind == "f":
        images.append((noise(3, 40, 50) / 255).astype(kind))
    for image in images:
        given_ = torch.from_numpy(image) if tensor else image
        assert_parity(given_)
        assert_parity(given_, do_resize=False, do_rescale=False)


@pytest.mark.parametrize(
    ("shape", "source"),
    [
        ((3, 20, 30), None),
        ((20, 30, 3), None),
        ((3, 20, 3), None),
        ((3, 20, 3), "channels_last"),
        ((3, 20, 3), "channels_first"),
        ((20, 30, 3), ChannelDimension.LAST),
        ((20, 30, 3), transformers.image_utils.ChannelDimension.LAST),
        ((2, 3, 20, 30), None),
        ((2, 20, 30, 3), None),
    ],
)
def test_layouts(shape, source):
    peer_source = getattr(source, "value", source)
    ours = OURS(noise(*shape), input_data_format=source, return_tensors="np")
    peer = PEER(noise(*shape), input_data_format=peer_source, return_tensors="np")
    np.testing.assert_array_equal(ours.pixel_values, peer["pixel_values"])


@given(
    height=st.integers(2, 70),
    width=st.integers(2, 70),
    last=st.booleans(),
    options=st.fixed_dictionaries(
        dict.fromkeys(STEPS, st.booleans())
        | {
            "size": st.fixed_dictionaries(
                {"height": st.integers(4, 60), "width": st.integers(4, 60)}
            ),
            "crop_size": st.fixed_dictionaries(
                {"height": st.integers(8, 80), "width": st.integers(8, 80)}
            ),
            "resample": st.integers(0, 5),
            "image_mean": st.just(0.5) | st.lists(st.floats(0, 1), min_size=3, max_size=3),
            "image_std": st.just(0.5) | st.lists(st.floats(0.1, 1), min_size=3, max_size=3),
            "rescale_factor": st.sampled_from([1 / 255, 1 / 127.5, 2.0]),
        }
    ),
    seed=st.integers(0, 99),
)
@settings(max_examples=200, deadline=None)
def test_any_image_with_any_options(height, width, last, options, seed):
    ratios = [options["size"][side] / options["crop_size"][side] for side in ("height", "width")]
    if min(int(ratio * min(height, width)) for ratio in ratios) == 0:
        return  # see test_images_one_pixel_high_or_wide
    pixels = noise(*((height, width, 3) if last else (3, height, width)), seed=seed)
    layout = "channels_last" if last else "channels_first"
    assert_parity(pixels, input_data_format=layout, **options)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_images_one_pixel_high_or_wide(size):
    """Seven eighths of one pixel are none: the peer answers such images with black ones."""
    image = Image.new("RGB", size, (10, 20, 30))
    values = OURS(image, do_rescale=False, do_normalize=False, return_tensors="np").pixel_values
    assert values.shape == (1, 3, 224, 224)
    assert (values == np.array([10, 20, 30])[None, :, None, None]).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "PA", "RGBA", "CMYK", "YCbCr", "HSV", "LAB"])
def test_modes_of_pil_images(mode):
    image = Image.fromarray(noise(40, 50, 4), "RGBA")
    image = (
        image
        if mode == "RGBA"
        else image.convert("RGB").convert(mode)
        if mode in ("1", "P", "CMYK", "YCbCr", "HSV", "LAB")
        else image.convert(mode)
    )
    ours = OURS(image, return_tensors="np").pixel_values
    peer = PEER(image, do_convert_rgb=True, return_tensors="np")["pixel_values"]
    np.testing.assert_array_equal(ours, peer)


def test_a_transparent_colour_becomes_white():
    image = Image.new("P", (30, 30), 7)
    image.info["transparency"] = 7
    values = OURS(image, do_normalize=False, return_tensors="np").pixel_values
    np.testing.assert_allclose(values, 1)


def test_sixteen_bits_are_scaled_not_clipped():
    grey = np.full((30, 30), 0x8055, np.uint16)
    for image in (Image.fromarray(grey), Image.fromarray(grey.astype(">u2"))):
        values = OURS(image, do_normalize=False, return_tensors="np").pixel_values
        np.testing.assert_allclose(values, 0x80 / 255)


@pytest.mark.parametrize("shape", [(30, 40), (1, 30, 40), (30, 40, 1)])
def test_grey_arrays_become_three_channels(shape):
    grey = noise(*shape)
    expected = OURS(Image.fromarray(grey.reshape(30, 40)), return_tensors="np").pixel_values
    np.testing.assert_array_equal(OURS(grey, return_tensors="np").pixel_values, expected)
    if len(shape) == 3:
        assert_parity(grey, image_mean=0.4, image_std=0.3)


def test_images_without_a_channel_dimension():
    batch = noise(3, 20, 30)
    values = OURS(batch, input_data_format=ChannelDimension.NONE, return_tensors="np").pixel_values
    assert values.shape == (3, 3, 224, 224)
    np.testing.assert_array_equal(values[:1], OURS(batch[0], return_tensors="np").pixel_values)
    one = OURS(batch[0], input_data_format="none", return_tensors="np").pixel_values
    np.testing.assert_array_equal(values[:1], one)


def test_rgba_arrays_are_blended_as_pil_images_are():
    pixels = noise(20, 30, 4)
    expected = OURS(Image.fromarray(pixels), return_tensors="np").pixel_values
    np.testing.assert_array_equal(OURS(pixels, return_tensors="np").pixel_values, expected)


def test_batches_however_nested():
    images = [noise(20, 30, 3, seed=seed) for seed in range(3)]
    expected = np.stack(OURS(images).pixel_values)
    pil = [Image.fromarray(image) for image in images]
    nested = [images[:1], tuple(images[1:])]
    for batch in (pil, nested, np.stack(images), torch.from_numpy(np.stack(images)), tuple(pil)):
        np.testing.assert_array_equal(OURS(batch, return_tensors="np").pixel_values, expected)


def test_what_is_returned():
    image = noise(20, 30, 3)
    first = OURS(image).pixel_values
    assert isinstance(first, list)
    assert (first[0].shape, first[0].dtype) == ((3, 224, 224), np.float32)
    tensor = OURS(image, return_tensors="pt").pixel_values
    assert (tuple(tensor.shape), tensor.dtype) == ((1, 3, 224, 224), torch.float32)
    last = OURS(image, data_format=ChannelDimension.LAST, return_tensors="np")["pixel_values"]
    np.testing.assert_array_equal(last[0], first[0].transpose(1, 2, 0))
    np.testing.assert_array_equal(tensor[0].numpy(), first[0])


def test_the_image_given_is_never_shared():
    image = noise(20, 30, 3)
    off = dict.fromkeys(STEPS, False)
    for layout in ("channels_first", "channels_last"):
        values = OURS(image, data_format=layout, **off).pixel_values[0]
        assert not np.shares_memory(values, image)
        values += 1


def test_options_of_the_constructor_and_of_a_call():
    options: dict[str, Any] = {
        "size": (60, 50),
        "crop_size": 64,
        "resample": 2,
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": 0.5,
        "rescale_factor": 0.01,
        "do_center_crop": False,
    }
    image = noise(20, 30, 3)
    built = PerceiverImageProcessor(**options)(image, return_tensors="np").pixel_values
    called = OURS(image, return_tensors="np", **options).pixel_values
    np.testing.assert_array_equal(built, called)
    changed = PerceiverImageProcessor()
    for name, value in options.items():
        setattr(changed, name, value)
    np.testing.assert_array_equal(changed(image, return_tensors="np").pixel_values, called)
    assert called.shape == (1, 3, 60, 50)


def test_defaults_are_the_peers():
    ours, peer = OURS.to_dict(), PEER.to_dict()
    assert json.loads(json.dumps(ours)) == json.loads(json.dumps(peer))
    assert PerceiverFeatureExtractor is PerceiverImageProcessor


def test_saved_files_are_read_by_both(tmp_path):
    options: dict[str, Any] = {
        "size": {"height": 30, "width": 40},
        "image_mean": [0.1, 0.2, 0.3],
        "resample": 2,
    }
    PerceiverImageProcessor(**options).save_pretrained(tmp_path / "ours")
    PerceiverImageProcessorPil(**options).save_pretrained(tmp_path / "theirs")
    for folder in ("ours", "theirs"):
        ours = PerceiverImageProcessor.from_pretrained(tmp_path / folder)
        peer = PerceiverImageProcessorPil.from_pretrained(tmp_path / folder)
        assert json.loads(json.dumps(ours.to_dict())) == json.loads(json.dumps(peer.to_dict()))
        assert ours.size == options["size"]


def test_files_of_old_checkpoints_and_bad_files(tmp_path):
    assert PerceiverImageProcessor.from_pretrained(tmp_path).to_dict() == OURS.to_dict()
    file = tmp_path / "preprocessor_config.json"
    old = {"crop_size": 256, "size": 224, "feature_extractor_type": "PerceiverFeatureExtractor"}
    file.write_text(json.dumps(old))
    assert PerceiverImageProcessor.from_pretrained(tmp_path).to_dict() == OURS.to_dict()
    assert PerceiverImageProcessor.from_pretrained(tmp_path, size=8).size["height"] == 8
    for bad in ("{", "[]", '{"size": "big"}', '{"resample": 9}', '{"image_mean": "grey"}'):
        file.write_text(bad)
        with pytest.raises(CheckpointError, match=r"preprocessor_config\.json"):
            PerceiverImageProcessor.from_pretrained(tmp_path)


def test_what_is_logged(caplog):
    with caplog.at_level(logging.WARNING):
        OURS(noise(3, 20, 30) / 255, do_rescale=False)
        assert not caplog.text
        OURS(noise(3, 20, 30) / 255)
        assert "set do_rescale=False" in caplog.text
        OURS(noise(3, 20, 3))
        assert "read as channels first" in caplog.text
        PerceiverImageProcessor(do_pad=True)
        assert "no use for do_pad" in caplog.text
        OURS(noise(3, 20, 30), use_square_size=True)
        assert "no use for use_square_size" in caplog.text


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ([], {}, "at least one image"),
        ("cat.png", {}, "of type str: give PIL images"),
        ([[1, 2]], {}, "of type int"),
        (np.array(["a"]), {}, "of numbers"),
        (noise(2, 2, 2, 20, 30), {}, r"shape \(2, 2, 2, 20, 30\) is no image"),
        (noise(5, 20, 30), {}, "set input_data_format"),
        (noise(5, 20, 30), {"input_data_format": "channels_first"}, "20×30 with 5 channels"),
        (noise(4, 20, 30) / 255, {}, "4 channels of float64"),
        (noise(0, 20, 3), {}, "0×20 with 3 channels"),
        (noise(0, 20, 4), {}, "0×20 with 4 channels"),
        (np.full((3, 20, 20), np.nan), {}, "not finite"),
        (np.full((3, 20, 20), 300), {}, "pixels are 300 to 300"),
        (np.full((3, 20, 20), -0.5), {}, "pixels are -0.5"),
        (Image.new("F", (20, 20)), {}, "mode 'F'"),
        (Image.new("I", (20, 20)), {}, "mode 'I'"),
        (noise(20, 30, 3), {"size": {"shortest_edge": 5}}, "size must be an int or a height"),
        (noise(20, 30, 3), {"size": 0}, "size is 0: it must be 1"),
        (noise(20, 30, 3), {"crop_size": 2.5}, "crop_size must be"),
        (noise(20, 30, 3), {"resample": 99}, "resample=99 is not known"),
        (noise(20, 30, 3), {"image_mean": [0.5, 0.5]}, r"3 channels, image_mean is \[0.5, 0.5\]"),
        (noise(20, 30, 3), {"image_std": [1, 0, 1]}, "divided by 0"),
        (noise(20, 30, 3), {"data_format": "none"}, "choose one of 'channels_first'"),
        (noise(20, 30, 3), {"input_data_format": "first"}, "input_data_format='first'"),
        (noise(20, 30, 3), {"return_tensors": "tf"}, "return_tensors='tf'"),
        (
            [noise(20, 30, 3), noise(30, 20, 3)],
            {"do_resize": False, "do_center_crop": False, "return_tensors": "np"},
            "set do_resize=True",
        ),
    ],
)
def test_errors_say_what_to_do(images, options, message):
    with pytest.raises(InvalidInput, match=message):
        OURS(images, **options)
