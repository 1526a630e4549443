"""POST /v1/multimodal-autoencoding: every way in, both types out, every mistake."""

import base64
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from perceiver_core.numerics import resolve_dtype
from perceiver_core.pipelines.multimodal_autoencoding import (
    Footage,
    MultimodalAutoencoding,
    Reconstruction,
)
from perceiver_core.tasks import load_model
from server.config import Settings
from server.media.limits import Limits
from server.media.mp4 import mp4
from server.media.video import read_video
from tests.live_server import LiveServer, received
from tests.server import rest_calls
from tests.server.pictures import encoded
from tests.server.rest_calls import array_of

TASK = "multimodal-autoencoding"
FRAMES, SIDE, RATE = 5, 16, 8000  # three clips of two frames, the last one half
PER_FRAME = RATE // 25
MP4 = {"Accept": "video/mp4"}
ALL = ["label", "video", "audio"]


def footage(sound: bool = True) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    random = np.random.default_rng(5)
    frames = random.integers(0, 256, (FRAMES, SIDE, SIDE, 3), dtype=np.uint8)
    samples = random.uniform(-0.5, 0.5, FRAMES * PER_FRAME).astype(np.float32)
    return frames, samples if sound else None


VIDEO = mp4(*footage(), 25, RATE)
SILENT = mp4(*footage(sound=False), 25, RATE)
TEXT = base64.b64encode(VIDEO).decode()


asked, refused = partial(rest_calls.asked, task=TASK), partial(rest_calls.refused, task=TASK)


def of_form(video: bytes = VIDEO, **parameters: Any) -> dict[str, Any]:
    return {"files": {"file": video}, "data": {"parameters": json.dumps(parameters)}}


def streams(file: bytes) -> tuple[NDArray[np.uint8], float]:
    """The frames (n, H, W, 3) of a video file, and how many seconds of sound it has."""
    frames, heard = [], 0.0
    with av.open(io.BytesIO(file), "r") as video:
        frame: Any
        for frame in video.decode():
            if isinstance(frame, av.VideoFrame):
                frames.append(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
            else:
                heard += frame.samples / frame.sample_rate
    return np.stack(frames), heard


@pytest.fixture(scope="module")
def own(model_repository: Path) -> Reconstruction:
    """The pipeline's answer to VIDEO."""
    folder = model_repository / "clips"
    dtype = str(resolve_dtype("auto", "fast", torch.device("cpu"))).removeprefix("torch.")
    pipeline = MultimodalAutoencoding.from_folder(folder)
    defaults = Settings()
    limits = Limits(
        defaults.max_pixels, defaults.max_seconds, defaults.max_frames, defaults.max_queue
    )
    frames, samples = read_video(VIDEO, pipeline.format, limits)
    return pipeline(load_model(folder, "fast", "cpu", dtype), Footage(frames, samples, tuple(ALL)))


def test_the_arrays_are_the_pipelines(live: LiveServer, own: Reconstruction) -> None:
    answer = asked(live, **of_form(outputs=ALL)).json()
    assert set(answer) == {"frame_rate", "sample_rate", "clips"}
    assert (answer["frame_rate"], answer["sample_rate"]) == (25, RATE)
    assert [clip["start"] for clip in answer["clips"]] == [0, 0.08, 0.16]
    for clip, expected in zip(answer["clips"], own.clips, strict=True):
        assert set(clip) == {"start", "labels", "video", "audio"}
        labels = expected.labels or []
        assert [one["label"] for one in clip["labels"]] == [one.label for one in labels]
        scores = [one["score"] for one in clip["labels"]]
        assert scores == pytest.approx([one.score for one in labels], abs=1e-3)
        video, audio = array_of(clip["video"]), array_of(clip["audio"])
        assert (video.dtype.name, audio.dtype.name) == ("uint8", "float32")
        assert expected.video is not None
        assert expected.audio is not None
        assert video.shape == expected.video.shape
        assert np.abs(video.astype(int) - expected.video).max() <= 1
        np.testing.assert_allclose(audio, expected.audio, atol=1e-3)
    lengths = [array_of(clip["audio"]).shape for clip in answer["clips"]]
    assert lengths == [(2 * PER_FRAME,), (2 * PER_FRAME,), (PER_FRAME,)]


def test_labels_are_all_that_comes_unasked(live: LiveServer) -> None:
    answer = asked(live, content=VIDEO)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Vary"] == "Accept"
    assert answer.headers["X-Model"] == "clips"
    assert answer.headers["X-Batch-Size"] == "3"
    for clip in answer.json()["clips"]:
        assert set(clip) == {"start", "labels"}
        scores = [one["score"] for one in clip["labels"]]
        assert len(scores) == 5
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("outputs", "keys"),
    [
        (["label"], {"labels"}),
        (["audio"], {"audio"}),
        (["video", "video"], {"video"}),
        (["video", "label"], {"labels", "video"}),
    ],
)
def test_what_is_asked_for_comes(live: LiveServer, outputs: list[str], keys: set[str]) -> None:
    whole = asked(live, **of_form(outputs=ALL)).json()["clips"]
    part = asked(live, **of_form(outputs=outputs)).json()["clips"]
    assert [set(clip) - {"start"} for clip in part] == [keys] * 3
    for all_of_it, some in zip(whole, part, strict=True):
        if "labels" not in keys:  # another number of queries rounds the labels otherwise
            assert some == {key: all_of_it[key] for key in some}


def test_a_video_may_come_in_many_ways(live: LiveServer) -> None:
    first = asked(live, content=VIDEO).json()
    ways: list[dict[str, Any]] = [
        {"content": VIDEO, "headers": {"Content-Type": kind}}
        for kind in ("video/mp4", "application/json", "application/x-www-form-urlencoded", "what")
    ]
    ways += [
        {"files": {"file": VIDEO}},
        {"files": {"file": ("a.txt", VIDEO, "text/plain")}, "data": {"parameters": "null"}},
        of_form(outputs=None, top_k=None),
        {"json": {"inputs": TEXT}},
        {"json": {"inputs": f"data:video/mp4;base64,{TEXT}", "parameters": {}, "model": "clips"}},
        {"content": VIDEO, "params": {"model": "clips"}},
    ]
    for way in ways:
        assert asked(live, **way).json() == first


def test_top_k(live: LiveServer) -> None:
    answer = asked(live, json={"inputs": TEXT, "parameters": {"top_k": 2}}).json()
    assert [len(clip["labels"]) for clip in answer["clips"]] == [2, 2, 2]
    said = refused(live, 422, "invalid_input", json={"inputs": TEXT, "parameters": {"top_k": 6}})
    assert "top_k is 6: use 1 to 5" in said


def test_the_reconstruction_is_a_film_with_sound(live: LiveServer, own: Reconstruction) -> None:
    response = asked(live, content=VIDEO, headers=MP4)
    assert response.headers["Content-Type"] == "video/mp4"
    assert response.headers["Content-Disposition"] == 'inline; filename="reconstruction.mp4"'
    assert response.headers["Vary"] == "Accept"
    frames, heard = streams(response.content)
    assert frames.shape == (FRAMES, SIDE, SIDE, 3)
    assert heard == pytest.approx(FRAMES / 25, abs=0.05)  # AAC has packets of 21 ms
    again = np.concatenate([clip.video for clip in own.clips if clip.video is not None])
    assert np.abs(frames.mean((1, 2)) - again.mean((1, 2))).max() < 12  # of 255: lossy


@pytest.mark.parametrize(
    ("outputs", "heard"), [(["video"], False), (["audio", "video"], True), (None, True)]
)
def test_a_film_may_be_silent(live: LiveServer, outputs: list[str] | None, heard: bool) -> None:
    frames, seconds = streams(asked(live, **of_form(outputs=outputs), headers=MP4).content)
    assert len(frames) == FRAMES
    assert (seconds > 0) is heard


@pytest.mark.parametrize("outputs", [["label"], ["audio"], ALL])
def test_what_no_film_can_hold(live: LiveServer, outputs: list[str]) -> None:
    said = refused(live, 422, "invalid_input", **of_form(outputs=outputs), headers=MP4)
    assert "video/mp4 holds video and audio" in said


def test_a_video_without_sound_is_heard_as_silence(live: LiveServer) -> None:
    answer = asked(live, **of_form(SILENT, outputs=ALL)).json()
    assert [set(clip) for clip in answer["clips"]] == [{"start", "labels", "video", "audio"}] * 3


@pytest.mark.parametrize(
    ("parameters", "part"),
    [
        ({"outputs": []}, "parameters.outputs is an empty list: send at least 1"),
        ({"outputs": ["sound"]}, "parameters.outputs[0] must be 'label', 'video' or 'audio'"),
        ({"outputs": ["video", 3]}, "parameters.outputs[1] must be 'label', 'video' or 'audio'"),
        ({"outputs": ["video"] * 4}, "parameters.outputs has 4 entries: send at most 3"),
        ({"outputs": "video"}, "parameters.outputs must be a list, but is 'video'"),
        ({"top_k": 0}, "top_k is 0"),
        ({"stride": 1}, "unknown key 'stride' in parameters: it takes outputs, top_k"),
    ],
)
def test_parameters_that_are_none(live: LiveServer, parameters: dict[str, Any], part: str) -> None:
    assert part in refused(live, 422, "invalid_input", **of_form(**parameters))
    body = {"inputs": TEXT, "parameters": parameters}
    assert part in refused(live, 422, "invalid_input", json=body)


OTHERS = {
    "an image (PNG)": encoded("PNG"),
    "a GIF": encoded("GIF"),
    "an HLS playlist": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n",
    "a list of files": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "MP4, WebM": b"just text",
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_video(live: LiveServer, name: str) -> None:
    data, code = OTHERS[name], "unsupported_media_type"
    assert name in refused(live, 415, code, content=data, headers={"Content-Type": "video/mp4"})
    assert "`file` is not an MP4" in refused(live, 415, code, files={"file": data})
    as_json = {"inputs": base64.b64encode(data).decode()}
    assert "inputs is not an MP4" in refused(live, 415, code, json=as_json)


@pytest.mark.parametrize("body", [VIDEO[:-400], VIDEO[:40], VIDEO[:8] + bytes(400)])
def test_a_video_that_is_cut_short(live: LiveServer, body: bytes) -> None:
    assert "send the whole file" in refused(live, 422, "invalid_input", content=body)


@pytest.mark.parametrize(
    ("files", "part"),
    [
        ({"video": VIDEO}, "unknown part 'video': send the video as the part `file`"),
        ({"file": b""}, "`file` is missing or empty"),
        ({"parameters": b"{}"}, "`file` is missing or empty"),
    ],
)
def test_forms_without_a_video(live: LiveServer, files: dict[str, bytes], part: str) -> None:
    assert part in refused(live, 422, "invalid_input", files=files)


@pytest.mark.parametrize("accept", ["image/png", "video/webm", "application/json;q=0"])
def test_types_that_cannot_be_had(live: LiveServer, accept: str) -> None:
    said = refused(live, 406, "not_acceptable", content=VIDEO, headers={"Accept": accept})
    assert "application/json or video/mp4" in said


def test_a_body_over_the_limit(live: LiveServer) -> None:
    with live.socket() as sock:
        sock.sendall(
            b"POST /v1/multimodal-autoencoding HTTP/1.1\r\nHost: x\r\n"
            b"Content-Length: 60000000\r\n\r\n"
        )
        assert b'"too_large"' in received(sock, b"}")


def test_a_deadline_is_kept(live: LiveServer) -> None:
    headers = {"X-Timeout-Ms": "1"}
    assert "1 ms" in refused(live, 504, "deadline", content=VIDEO, headers=headers)
