"""Untrusted bytes to pixels: what is read, what is refused, and how it is said."""

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from perceiver_core.errors import InvalidInput
from server.media.images import DAMAGED, decode_image, webp_size
from server.media.limits import Limits
from server.signatures import image_format

LIMIT = Limits(pixels=1_000_000, seconds=1, frames=1, rows=1)
RNG = np.random.default_rng(7)
NOISE = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(NOISE).convert(mode)


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and ends after that."""
    return png([(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))])


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


LOSSLESS = [encoded(picture(), "PNG"), encoded(picture(), "WEBP", lossless=True)]


@pytest.mark.parametrize("data", LOSSLESS)
def test_lossless_pixels_come_out_as_they_went_in(data: bytes) -> None:
    np.testing.assert_array_equal(decode_image(data, LIMIT), NOISE)


def test_a_jpeg_comes_out_as_pillow_reads_it() -> None:
    data = encoded(picture(), "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode_image(data, LIMIT), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_one_pixel_is_a_picture(kind: str) -> None:
    data = encoded(Image.new("RGB", (1, 1), (255, 255, 255)), kind)
    np.testing.assert_array_equal(
        decode_image(data, Limits(pixels=1, seconds=1, frames=1, rows=1)),
        np.full((1, 1, 3), 255, np.uint8),
    )


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("1", "PNG"), ("RGBA", "PNG"), ("I;16", "PNG"),
        ("L", "JPEG"), ("CMYK", "JPEG"), ("RGBA", "WEBP"),
    ],
)  # fmt: skip
def test_every_mode_becomes_rgb(mode: str, kind: str) -> None:
    pixels = decode_image(encoded(picture(mode), kind), LIMIT)
    assert pixels.shape == (48, 64, 3)
    assert pixels.dtype == np.uint8


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    grey = np.array([[0, 256, 32_768, 65_535]], np.uint16)
    pixels = decode_image(encoded(Image.fromarray(grey), "PNG"), LIMIT)
    np.testing.assert_array_equal(pixels[0, :, 0], [0, 1, 128, 255])


def test_transparent_parts_lie_over_white() -> None:
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (10, 20, 30, 255))
    expected = [[[255, 255, 255], [10, 20, 30]]]
    np.testing.assert_array_equal(decode_image(encoded(image, "PNG"), LIMIT), expected)


def test_a_palette_may_be_transparent() -> None:
    image = Image.new("P", (1, 1), 0)
    image.putpalette([9, 9, 9])
    data = encoded(image, "PNG", transparency=0)
    np.testing.assert_array_equal(decode_image(data, LIMIT), [[[255, 255, 255]]])


def test_the_picture_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees
    data = encoded(picture(), "PNG", exif=exif)
    np.testing.assert_array_equal(decode_image(data, LIMIT), np.rot90(NOISE, -1))


def test_damaged_exif_is_ignored() -> None:
    data = encoded(picture(), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(decode_image(data, LIMIT), NOISE)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_read(kind: str) -> None:
    second = Image.new("RGB", picture().size)
    data = encoded(picture(), kind, save_all=True, append_images=[second], lossless=True)
    np.testing.assert_array_equal(decode_image(data, LIMIT), NOISE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_file_that_ends_early_is_an_error_never_half_a_picture(kind: str) -> None:
    data = encoded(picture(), kind)
    whole = decode_image(data, LIMIT)
    for length in range(12, len(data), max(1, len(data) // 64)):
        if length <= len(data) - 16:
            with pytest.raises(InvalidInput, match=DAMAGED):
                decode_image(data[:length], LIMIT)
        else:  # where only an end marker is missing, the picture may be whole
            with suppress(InvalidInput):
                np.testing.assert_array_equal(decode_image(data[:length], LIMIT), whole)


@pytest.mark.parametrize(
    "data",
    [
        png_header(30_000, 30_000),
        png_header(2**31 - 1, 1),
        b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\x01\x11\0\x02\x11\0\x03\x11\0",
        b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff",
        encoded(Image.new("1", (1001, 1000)), "PNG"),
    ],
)
def test_too_many_pixels_are_refused_from_the_header(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="the limit is 1000000") as caught:
        decode_image(data, LIMIT)
    assert caught.value.code == "too_large"  # type: ignore[attr-defined]


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exact": True, "icc_profile": b"x"}])
def test_the_size_of_a_webp_is_read_from_its_header(options: dict[str, object]) -> None:
    image = Image.new("RGB", (7, 301), (1, 2, 3))
    assert webp_size(encoded(image, "WEBP", **options)) == (7, 301)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "ICO", "PPM", "PDF"])
def test_other_formats_never_reach_a_decoder(kind: str) -> None:
    data = encoded(picture(), kind)
    assert image_format(data) is None
    with pytest.raises(InvalidInput, match="JPEG, PNG or WebP") as caught:
        decode_image(data, LIMIT)
    assert caught.value.code == "unsupported_media_type"  # type: ignore[attr-defined]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_the_bytes_only_our_sentences_come_out(data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from([*LOSSLESS, encoded(picture(), "JPEG"), png_header(9, 9)]))
    damaged = bytearray(seed[: data.draw(st.integers(0, len(seed)))])
    for _ in range(data.draw(st.integers(0, 8))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    said = "read"
    try:
        pixels = decode_image(bytes(damaged), LIMIT)
        assert pixels.ndim == 3
        assert pixels.dtype == np.uint8
    except InvalidInput as error:
        said = str(error)
    assert not any(word in said.lower() for word in ("pil", "0x", "/", "bytesio"))
