"""The sound of a video: which, when, and how long."""

from fractions import Fraction

import numpy as np
import pytest

from perceiver_core.errors import InvalidInput
from server.media.limits import Meter
from server.media.sound import Sound
from tests.server.clips import RATE, clip, heard, tone
from tests.server.reading import LIMITS, read


@pytest.mark.parametrize(("first", "loud"), [(0, True), (1, False)])
@pytest.mark.parametrize(("layout", "channels"), [("stereo", 2), ("5.1", 6), ("7.1", 8)])
def test_the_first_channel_is_heard(layout: str, channels: int, first: int, loud: bool) -> None:
    heard = np.roll(tone(0.4, channels), first, axis=0)
    samples = read(clip("matroska", sound=heard, layout=layout))[1]
    assert len(samples) == 3200
    np.testing.assert_allclose(samples, tone(0.4)[0] / 32_768 if loud else 0, atol=1e-4)


@pytest.mark.parametrize("rate", [11_025, 44_100, 48_000, 96_000])
def test_sound_is_resampled(rate: int) -> None:
    samples = read(clip("matroska", sound=tone(0.4, rate=rate), sound_rate=rate))[1]
    assert abs(len(samples) - 3200) <= 1
    np.testing.assert_allclose(samples[200:3000], tone(0.4)[0, 200:3000] / 32_768, atol=0.01)


@pytest.mark.parametrize(
    ("frames_from", "sound_from"), [(0, 0), (0, 1600), (5, 0)]
)  # frames, samples: both are 0.2 s
def test_sound_stays_beside_its_picture(frames_from: int, sound_from: int) -> None:
    times = range(frames_from, frames_from + 10)
    data = clip("matroska", times=times, sound=tone(0.4), sound_at=sound_from)
    late = sound_from - frames_from * RATE // 25
    whole = np.pad(tone(0.4)[0], (max(late, 0), 0))[max(-late, 0) :]
    np.testing.assert_allclose(read(data)[1], whole / 32_768, atol=1e-4)


def test_a_gap_in_the_sound_is_silence_and_jitter_is_none() -> None:
    part = tone(0.1)
    sound = Sound(RATE)
    for time in (0.0, 0.101, 0.199, 0.7):
        sound.add(time, heard(part))
    expected = np.concatenate([np.tile(part[0], 3), np.zeros(3200), part[0]])
    samples = sound.end(0.0)
    assert samples is not None
    np.testing.assert_allclose(samples, expected / 32_768, atol=1e-4)


def test_sound_may_change_its_rate() -> None:
    sound = Sound(RATE)
    sound.add(0.0, heard(tone(0.1)))
    sound.add(0.1, heard(tone(0.1, rate=48_000), 48_000))
    samples = sound.end(0.0)
    assert samples is not None
    np.testing.assert_allclose(samples[:1500], np.tile(tone(0.1)[0], 2)[:1500] / 32_768, atol=0.02)


def test_a_video_may_be_silent_or_have_no_sound() -> None:
    assert read(clip())[1] is None
    np.testing.assert_array_equal(read(clip("mov", sound=tone(0.4) * 0))[1], np.zeros(3200))


def test_sound_may_be_shorter_and_longer_than_the_picture() -> None:
    assert len(read(clip("mov", sound=tone(0.1)))[1]) == 800
    assert len(read(clip("mov", sound=tone(0.9)))[1]) == 7200


def test_sound_is_within_its_range() -> None:
    loud = np.full((1, 3200), 3, np.float32)
    samples = read(clip("mov", sound=loud, sound_codec="pcm_f32le"))[1]
    np.testing.assert_array_equal(samples, np.ones(3200))


def test_sound_is_as_long_as_its_samples_whatever_its_times_say() -> None:
    meter = Meter(LIMITS)
    second = heard(tone(1))
    second.pts, second.time_base = 0, Fraction(1, RATE)
    for _ in range(6):
        assert meter.pass_on(second) == 0
    with pytest.raises(InvalidInput, match=r"lasts 7\.0 s or more, the limit is 5 s"):
        meter.pass_on(second)
    with pytest.raises(InvalidInput, match=r"lasts 8000\.0 s or more"):
        Meter(LIMITS).pass_on(heard(tone(1), 1))
