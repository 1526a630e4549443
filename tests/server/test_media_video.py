"""A video file to frames and samples: which, from where, and when."""

import io
import re
import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from perceiver_core.errors import InvalidInput
from server.media.demux import DAMAGED, NO_FRAME, NO_PICTURE
from server.media.fit import Fitter, fit
from server.media.limits import SLACK_S, Limits
from tests.server.clips import clip, grey, heard, index_first, patched, spliced, tone
from tests.server.reading import read


def shades(data: bytes) -> list[int]:
    """The brightness of every frame."""
    return [round(float(frame.mean())) for frame in read(data)[0]]


def close(frames: Any, expected: Any, far: int = 3) -> bool:
    return frames.shape == expected.shape and bool(abs(frames.astype(int) - expected).max() <= far)


@pytest.mark.parametrize(
    ("kind", "codec", "sound", "pixels"),
    [
        ("mp4", "libx264", "aac", "yuv420p"),
        ("mov", "prores_ks", "pcm_s24le", "yuv422p10le"),
        ("matroska", "ffv1", "flac", "yuv444p"),
        ("webm", "libvpx-vp9", "libopus", "yuv420p"),
        ("avi", "mjpeg", "pcm_alaw", "yuvj420p"),
        ("matroska", "mpeg4", "libmp3lame", "yuv420p"),
        ("ogg", "libvpx", "libopus", "yuv420p"),
        ("mpegts", "mpeg2video", "mp2", "yuv420p"),
        ("mpeg", "mpeg1video", "mp2", "yuv420p"),
    ],
)
def test_every_container_is_read(kind: str, codec: str, sound: str, pixels: str) -> None:
    heard = tone(0.4, rate=48_000)
    data = clip(kind, codec, sound=heard, sound_codec=sound, sound_rate=48_000, pixels=pixels)
    frames, samples = read(data, sample_rate=48_000)
    assert close(frames, grey(10, (16, 16)), far=8)
    assert np.corrcoef(samples[2000:18_000], heard[0, 2000:18_000])[0, 1] > 0.99


def test_raw_frames_and_samples_come_out_as_they_went_in() -> None:
    noise = np.random.default_rng(0).integers(-32_768, 32_768, (1, 3200)).astype(np.int16)
    frames, samples = read(clip("matroska", "ffv1", pixels="gray", sound=noise))
    assert close(frames, grey(10, (16, 16)), far=0)
    np.testing.assert_array_equal(samples, noise[0] / np.float32(32_768))


@pytest.mark.parametrize(
    ("times", "rate", "expected"),
    [
        ([0, 1, 2, 3], 25, [0, 85, 170, 255]),
        ([0, 1, 2, 3], 50, [0, 170]),
        ([0, 1, 2, 3], 12, [0, 0, 85, 85, 85, 170, 170, 255, 255]),  # 83 ms each
        ([0, 1, 2, 7], 25, [0, 85, 170, 170, 170, 170, 170, 255, 255, 255, 255, 255]),  # uneven
        ([100, 101, 102, 103], 25, [0, 85, 170, 255]),  # a recording begins anywhere
        ([0, 1, 2, 3], 100, [0]),
        ([0, 1, 2, 60], 25, [0, 85, *[170] * 58, *[255] * 25]),  # the last is not shown for ever
    ],
)
def test_frames_are_shown_25_times_a_second(
    times: list[int], rate: int, expected: list[int]
) -> None:
    data = clip("matroska", "ffv1", frames=4, times=times, rate=rate, pixels="gray")
    found = shades(data)
    assert found[: len(expected)] == expected
    assert len(found) - len(expected) in (0, 1)  # Matroska has whole milliseconds


def test_one_frame_is_a_video() -> None:
    assert read(clip(frames=1))[0].shape == (1, 16, 16, 3)


def test_the_middle_is_cut_out_in_the_shape_of_the_model() -> None:
    frames = np.zeros((2, 32, 96, 3), np.uint8)
    frames[:, :, 32:64] = 200
    wide = read(clip("matroska", "ffv1", frames=frames, pixels="gray"))[0]
    high = read(clip("matroska", "ffv1", frames=frames.swapaxes(1, 2), pixels="gray"))[0]
    assert (wide[..., 2:-2, :] == 200).all()
    assert (high[:, 2:-2] == 200).all()


def test_images_are_fitted_as_frames_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 70, 3), dtype=np.uint8)
    data = clip("matroska", "ffv1", frames=pixels[None], pixels="bgr0")
    np.testing.assert_array_equal(read(data)[0][0], fit(pixels, (16, 16)))


def test_fitting_starts_no_thread() -> None:
    threads = list(Path("/proc/self/task").iterdir())
    fitter = Fitter((16, 16))
    fitter(av.VideoFrame(1920, 1080, "yuv420p"))
    assert list(Path("/proc/self/task").iterdir()) == threads


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 5)])
def test_any_size_will_do(size: tuple[int, int]) -> None:
    frames = read(clip("avi", "rawvideo", frames=grey(3, size)))[0]
    assert close(frames, grey(3, (16, 16)))


def test_the_picture_stands_upright() -> None:
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    frames[:, :16] = 200  # the upper half is bright
    quarter = struct.pack(">9i", 0, 65_536, 0, -65_536, 0, 0, 0, 0, 2**30)  # clockwise
    turned = read(patched(clip("mov", frames=frames), b"tkhd", 40, quarter))[0]
    assert turned[:, :, 9:].mean() > 190  # now the right one is
    assert turned[:, :, :7].mean() < 10


@pytest.mark.parametrize(
    ("codec", "pixels"),
    [
        ("ffv1", "bgra"), ("ffv1", "yuva420p"), ("ffv1", "yuv420p10le"), ("ffv1", "gray16le"),
        ("ffv1", "gbrp16le"), ("ffv1", "yuv410p"), ("libvpx-vp9", "yuva420p"),
        ("libvpx-vp9", "gbrp"), ("ffv1", "gray10le"), ("mjpeg", "yuvj444p"),
    ],
)  # fmt: skip
def test_every_pixel_format_becomes_rgb(codec: str, pixels: str) -> None:
    data = clip("matroska", codec, frames=np.full((2, 32, 32, 3), 128, np.uint8), pixels=pixels)
    assert close(read(data)[0], np.full((2, 16, 16, 3), 128), far=8)


LOOKS_UP = np.zeros((3, 64, 200, 3), np.uint8)
LOOKS_UP[:, :16] = 200  # the upper quarter is bright
SMALL, LARGE = (
    clip("avi", "mjpeg", frames=frames, pixels="yuvj420p")
    for frames in (grey(3, (32, 32)), LOOKS_UP)
)
GROWS = spliced(SMALL, LARGE)


def test_the_size_may_change() -> None:
    frames = read(GROWS)[0]
    assert close(frames[:3], grey(3, (16, 16)))
    assert frames[3:, :3].mean() > 190
    assert frames[3:, 5:].mean() < 10


def test_no_frame_may_be_too_large_whatever_the_header_says() -> None:
    with pytest.raises(InvalidInput, match="is 200×64 = 12800 pixels, the limit is 12000"):
        read(GROWS, Limits(pixels=12_000, seconds=5, frames=100, rows=100))


def test_what_is_far_too_large_is_not_even_decoded() -> None:
    large = clip("avi", "mjpeg", frames=grey(1, (400, 400)), pixels="yuvj420p")
    with pytest.raises(InvalidInput, match=DAMAGED):
        read(spliced(SMALL, large), Limits(pixels=1024, seconds=5, frames=100, rows=100))


def test_a_cover_is_no_video() -> None:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as file:
        sound: Any = file.add_stream("aac", 48_000)
        cover: Any = file.add_stream("mjpeg")
        cover.height = cover.width = 16
        cover.pix_fmt = "yuvj420p"
        cover.disposition = Disposition.attached_pic
        file.mux(cover.encode(av.VideoFrame(16, 16, "yuvj420p")))
        file.mux(cover.encode(None))
        part = heard(tone(0.1, rate=48_000), 48_000)
        file.mux(sound.encode(part))
        file.mux(sound.encode(None))
    with pytest.raises(InvalidInput, match=NO_PICTURE):
        read(out.getvalue())


def test_a_recording_may_begin_in_the_middle() -> None:
    data = clip("mpegts", "mpeg2video", frames=40, size=(64, 64), sound=None)
    later = data[188 * (len(data) // 188 // 4) :]
    frames = read(later)[0]
    assert 0 < len(frames) < 40
    with pytest.raises(InvalidInput, match=NO_FRAME):
        read(data[: 188 * 3])


def test_what_is_cut_at_its_begin_is_read_and_what_is_damaged_later_is_not() -> None:
    heard = tone(0.4, rate=48_000)
    data = clip("avi", sound=heard, sound_rate=48_000, sound_codec="ac3")
    packets = re.finditer(b"01wb....(\x0b\x77)", data, re.DOTALL)
    first, second = next(packets).start(1), next(packets).start(1)
    frames, samples = read(data[:first] + b"\0\0" + data[first + 2 :], sample_rate=48_000)
    assert len(frames) == 10
    assert abs(samples[:1200]).max() < 0.05 < abs(samples[2000:4000]).max()
    with pytest.raises(InvalidInput, match=DAMAGED):
        read(data[:second] + b"\0\0" + data[second + 2 :])


def test_an_mp4_that_ends_between_two_frames_ends_early() -> None:
    data = index_first(clip("mp4"))
    with av.open(io.BytesIO(data), "r") as file:
        ends = [(packet.pos or 0) + packet.size for packet in file.demux(video=0) if packet.size]
    assert len(read(data[: ends[-1]])[0]) == 10
    for end in ends[:-1]:
        with pytest.raises(InvalidInput, match=DAMAGED):
            read(data[:end])


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"seconds": 0.4 - SLACK_S - 0.1}, r"lasts 0\.[34] s or more, the limit is -0.7 s"),
        ({"frames": 9}, "has 10 frames or more, the limit is 9"),
        ({"pixels": 32 * 48 - 1}, "is 48×32 = 1536 pixels, the limit is 1535"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"live": "1"}])  # a live stream's header says little
def test_a_limit_is_kept_and_said(
    limits: dict[str, Any], sentence: str, options: dict[str, str]
) -> None:
    data = clip("matroska", options=options)
    values: dict[str, Any] = {"pixels": 32 * 48, "seconds": 0.4, "frames": 10, "rows": 100}
    assert len(read(data, Limits(**values))[0]) == 10
    with pytest.raises(InvalidInput, match=sentence) as caught:
        read(data, Limits(**(values | limits)))
    assert caught.value.code == "too_large"  # type: ignore[attr-defined]
