"""A video with sound to its clips: encoded once each, what is wanted of them decoded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from perceiver_core import InvalidInput
from perceiver_core.pipelines import open_pipeline, rows
from perceiver_core.pipelines.multimodal_autoencoding import (
    MODALITIES,
    Footage,
    MultimodalAutoencodingInput,
)
from perceiver_core.tasks import load_model
from tests import tiny

CLIP, SAMPLES = 2, 640  # frames and samples of a clip
FOLDER_SIZES = {"num_labels": 7}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.make_multimodal(tmp_path_factory.mktemp("multimodal"), **FOLDER_SIZES)


@pytest.fixture
def opened(folder):
    return open_pipeline(folder), load_model(folder, "fast", "cpu", "float32")


def footage(frames, samples=None, outputs=MODALITIES, top_k=None):
    random = np.random.default_rng(0)
    audio = None if samples is None else random.normal(0, 0.3, samples).astype(np.float32)
    video = random.integers(0, 256, (frames, 16, 16, 3), dtype=np.uint8)
    return Footage(video, audio, outputs, top_k)


@torch.no_grad()
def test_a_clip_is_what_the_model_makes_of_it(opened):
    pipeline, model = opened
    item = footage(CLIP, SAMPLES)
    expected = model(
        inputs={
            "image": torch.from_numpy(item.frames).movedim(-1, 1)[None] / 255,
            "audio": torch.from_numpy(item.audio)[None, :, None],
            "label": torch.zeros(1, 7),
        }
    ).logits
    (clip,) = pipeline(model, item).clips
    scores = expected["label"][0].double().softmax(-1)
    assert [label.label for label in clip.labels] == [
        f"LABEL_{i}" for i in scores.argsort(descending=True)[:5]
    ]
    assert clip.labels[0].score == pytest.approx(scores.max().item(), rel=1e-4)
    video = (expected["image"] * 255).clamp(0, 255).reshape(CLIP, 16, 16, 3).numpy()
    assert np.abs(clip.video - video).max() <= 0.51  # rounded
    assert 0 < clip.video.mean() < 255
    assert np.allclose(clip.audio, expected["audio"][0], atol=1e-4)


def test_the_last_clip_is_filled_and_cut_again(opened):
    """With its last frame and silence; it answers as long as it was."""
    pipeline, model = opened
    item = footage(2 * CLIP + 1, 2 * SAMPLES + 100)
    *_, row = pipeline.preprocess(item)
    assert np.array_equal(row["video"], item.frames[[4, 4]])
    assert np.array_equal(row["audio"][:100], item.audio[-100:])
    assert not row["audio"][100:].any()
    found = pipeline(model, item)
    assert [clip.start for clip in found.clips] == [0.0, 0.08, 0.16]
    assert [len(clip.video) for clip in found.clips] == [2, 2, 1]
    assert [len(clip.audio) for clip in found.clips] == [640, 640, 320]
    assert found.format == pipeline.format == (2, 16, 16, 640, 25, 8000)


def test_clips_are_one_video(opened):
    """Each is answered as if it came alone."""
    pipeline, model = opened
    item = footage(3 * CLIP, 3 * SAMPLES)
    clips = pipeline(model, item).clips
    for number, clip in enumerate(clips):
        frames = item.frames[number * CLIP :][:CLIP]
        alone = Footage(frames, item.audio[number * SAMPLES :][:SAMPLES], MODALITIES)
        (expected,) = pipeline(model, alone).clips
        assert np.array_equal(clip.video, expected.video)
        assert np.array_equal(clip.audio, expected.audio)
        assert clip.labels == expected.labels


@pytest.mark.parametrize("samples", [None, 0, 3])
def test_no_sound_is_silence_and_short_sound_is_filled_with_it(opened, samples):
    pipeline, _ = opened
    item = footage(3, samples)
    first, last = pipeline.preprocess(item)
    assert not first["audio"][samples or 0 :].any()
    assert not last["audio"].any()
    assert first["audio"].dtype == np.float32


def test_sound_that_is_too_loud_is_cut_off(opened):
    pipeline, _ = opened
    loud = np.array([0.5, 1, 1.5, -0.5, -1, -7], np.float32)
    (row,) = pipeline.preprocess(Footage(footage(2).frames, loud))
    assert row["audio"][:6].tolist() == [0.5, 1, 1, -0.5, -1, -1]


def test_sound_beyond_the_last_frame_is_dropped(opened):
    pipeline, _ = opened
    (row,) = pipeline.preprocess(footage(1, 5 * SAMPLES))
    assert row["audio"][:320].all()
    assert not row["audio"][320:].any()


@pytest.mark.parametrize(
    ("outputs", "queries"),
    [(("label",), 1), (("audio",), 40), (("video",), 512), (("audio", "label"), 41)],
)
def test_a_clip_is_encoded_once_and_only_what_is_wanted_is_decoded(
    opened, monkeypatch, outputs, queries
):
    pipeline, model = opened
    monkeypatch.setattr(rows, "QUERIES", 50)
    seen, encoded = [], []
    decoding = model.perceiver.decoder.decoder.decoding_cross_attention.attention
    decoding.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    encoding = model.perceiver.encoder.cross_attention
    encoding.register_forward_pre_hook(lambda _, given: encoded.append(given))
    (clip,) = pipeline(model, footage(CLIP, outputs=outputs)).clips
    assert len(encoded) == 1
    assert sum(seen) == queries
    assert max(seen) <= 50
    assert (clip.labels is not None) == ("label" in outputs)
    assert (clip.video is not None) == ("video" in outputs)
    assert (clip.audio is not None) == ("audio" in outputs)


def test_chunks_do_not_change_the_answer(opened, monkeypatch):
    pipeline, model = opened
    item = footage(CLIP, SAMPLES)
    (whole,) = pipeline(model, item).clips
    monkeypatch.setattr(rows, "QUERIES", 37)
    (found,) = pipeline(model, item).clips
    assert np.abs(found.video.astype(int) - whole.video).max() <= 1
    assert np.allclose(found.audio, whole.audio, atol=1e-4)


def test_values_that_are_not_finite_show_in_the_row(opened):
    """A byte cannot tell."""
    pipeline, model = opened
    model.perceiver.output_postprocessor.modalities["image"].classifier.bias[1] = torch.nan
    (found,) = pipeline.forward(model, pipeline.preprocess(footage(CLIP)))
    assert np.isnan(found["range"]).any()
    assert np.isfinite(found["audio"]).all()


FRAMES = np.zeros((3, 16, 16, 3), np.uint8)
SOUND = np.zeros(9, np.float32)


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        (Footage(FRAMES[:0], SOUND), "there are no frames: give at least one"),
        (Footage(FRAMES.astype(np.float32), SOUND), r"the frames are float32 \(3, 16, 16, 3\)"),
        (Footage(FRAMES[:, :8], SOUND), r"\(3, 8, 16, 3\): give uint8 \(n, 16, 16, 3\), RGB"),
        (Footage(FRAMES[0], SOUND), r"the frames are uint8 \(16, 16, 3\)"),
        (Footage(FRAMES, SOUND.astype(np.float64)), r"the audio is float64 \(9,\): give float32"),
        (Footage(FRAMES, np.zeros((9, 2), np.float32)), r"float32 \(9, 2\): .* mono"),
        (Footage(FRAMES, np.array([0, np.nan], np.float32)), "the audio holds NaN or infinity"),
        (Footage(FRAMES, np.array([-np.inf], np.float32)), "the audio holds NaN or infinity"),
        (Footage(FRAMES, SOUND, ()), r"outputs is \[\]: use one or more of label, video, audio"),
        (Footage(FRAMES, SOUND, ("text",)), r"outputs is \['text'\]"),
        (Footage(FRAMES, SOUND, top_k=8), "top_k is 8: use 1 to 7"),
        (MultimodalAutoencodingInput(b"", ("text",)), r"outputs is \['text'\]"),
    ],
)
def test_it_refuses(opened, item, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        opened[0].check(item)


def test_files_need_somebody_who_reads_them(opened):
    pipeline, model = opened
    item = MultimodalAutoencodingInput(b"a video", top_k=2)
    with pytest.raises(InvalidInput, match="this library reads no video files: give Footage"):
        pipeline(model, item)
    read = footage(3, 900, ("label",), 2)

    def decode(video, wanted):
        assert (video, wanted) == (b"a video", pipeline.format)
        return read.frames, read.audio

    pipeline.decode = decode
    assert pipeline(model, item) == pipeline(model, read)
    pipeline.decode = lambda *_: (read.frames[:0], None)
    with pytest.raises(InvalidInput, match="there are no frames"):
        pipeline(model, item)
