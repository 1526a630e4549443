"""Video files go over REST, chunks over gRPC; each says so where the other is given."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from perceiver_client import Chunk, Label

from tests.clients.footage import chunk, frames_of, noises, png, video
from tests.clients.ways import GRPC_WAYS, WAYS, Way
from tests.live_server import LiveServer

ALL = ("label", "video", "audio")
rest_ways = pytest.mark.parametrize("name", WAYS[:2])
grpc_ways = pytest.mark.parametrize("name", GRPC_WAYS)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A file of five frames: two clips of the tiny model and a half."""
    return video(tmp_path_factory.mktemp("video") / "clip.mp4", noises(5, (16, 16)))


def array(found: dict[str, Any]) -> Any:
    return np.frombuffer(base64.b64decode(found["data"]), found["dtype"]).reshape(found["shape"])


@rest_ways
def test_a_file_is_answered_clip_by_clip(name: str, urls, clip, live: LiveServer) -> None:
    data = {"parameters": '{"outputs": ["label", "video", "audio"], "top_k": 2}'}
    reply = live.post("multimodal-autoencoding", files={"file": clip.read_bytes()}, data=data)
    answer = reply.json()
    options = {"outputs": ALL, "top_k": 2}
    for given in (clip, clip.read_bytes()):
        found = Way(name, urls).ask("multimodal_autoencoding", given, **options)
        assert (found.frame_rate, found.sample_rate) == (25, 8000)
        assert len(found.clips) == len(answer["clips"]) == 3
        for one, expected in zip(found.clips, answer["clips"], strict=True):
            assert one.start == expected["start"]
            assert one.labels == [Label(**label) for label in expected["labels"]]
            assert len(one.labels) == 2
            assert np.array_equal(one.video, array(expected["video"]))
            assert np.array_equal(one.audio, array(expected["audio"]))
    assert [one.video.shape for one in found.clips] == [(2, 16, 16, 3)] * 2 + [(1, 16, 16, 3)]
    assert found.clips[0].audio.dtype == np.float32


@rest_ways
def test_labels_alone_are_what_is_wanted_unless_more_is_asked_for(name: str, urls, clip) -> None:
    way = Way(name, urls)
    (first, *_) = way.ask("multimodal_autoencoding", clip).clips
    assert len(first.labels) == 5
    assert (first.video, first.audio) == (None, None)
    (first, *_) = way.ask("multimodal_autoencoding", clip, outputs=["audio"]).clips
    assert (first.labels, first.video, first.audio.shape) == (None, None, (640,))
    both = way.ask("multimodal_autoencoding", [clip, clip.read_bytes()])
    assert [len(one.clips) for one in both] == [3, 3]


@rest_ways
def test_the_reconstruction_is_an_mp4_file(name: str, urls, clip, tmp_path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(Way(name, urls).ask("multimodal_autoencoding_mp4", clip))
    assert [frame.shape for frame in frames_of(path)] == [(16, 16, 3)] * 5


@grpc_ways
def test_a_chunk_is_answered_with_a_clip(name: str, urls) -> None:
    way = Way(name, urls)
    first = way.ask("multimodal_autoencoding", chunk(0), outputs=ALL, top_k=3)
    assert first.start == 0
    assert [len(first.labels), first.video.shape, first.audio.shape] == [3, (2, 16, 16, 3), (640,)]
    first.video[:] = 0  # it is the caller's own
    labels = [one.labels for one in way.ask("multimodal_autoencoding", [chunk(0), chunk(1)])]
    assert [labels[0][:3], len(labels[1])] == [first.labels, 5]
    assert labels[0] != labels[1]


@grpc_ways
def test_frames_of_a_chunk_are_pixels_or_files(name: str, urls, tmp_path) -> None:
    way, whole = Way(name, urls), chunk(0)
    files = [png(frame) for frame in np.asarray(whole.frames)]
    path = tmp_path / "frame.png"
    path.write_bytes(files[0])
    expected = way.ask("multimodal_autoencoding", whole).labels
    mixed = Chunk([path, files[1]], whole.audio)
    assert way.ask("multimodal_autoencoding", mixed).labels == expected
    silent = way.ask("multimodal_autoencoding", Chunk(whole.frames)).labels
    assert silent != expected
    zeros = Chunk(whole.frames, np.zeros(640))
    assert way.ask("multimodal_autoencoding", zeros).labels == silent


def test_each_protocol_says_what_goes_over_the_other(way: Way, clip) -> None:
    over_rest = way.scheme == "http"
    error = way.error("multimodal_autoencoding", chunk(0) if over_rest else clip)
    assert error.code == "invalid_input"
    assert ("grpc://HOST:PORT" if over_rest else "http://HOST:PORT") in error.message
    if not over_rest:
        assert way.error("multimodal_autoencoding_mp4", clip).message == error.message


@pytest.mark.parametrize(
    ("inputs", "options"),
    [([], {}), (b"", {}), (b"video", {"outputs": []}), (b"video", {"outputs": ["sound"]})],
)
def test_what_is_refused_without_asking(way: Way, inputs, options) -> None:
    assert way.error("multimodal_autoencoding", inputs, **options).code == "invalid_input"


@rest_ways
def test_what_the_server_refuses(name: str, urls, clip) -> None:
    way = Way(name, urls)
    assert way.error("multimodal_autoencoding", b"no video").code == "unsupported_media_type"
    half = clip.read_bytes()[: clip.stat().st_size // 2]
    assert way.error("multimodal_autoencoding", half).code == "invalid_input"
    assert way.error("multimodal_autoencoding", clip, top_k=99).code == "invalid_input"


@grpc_ways
@pytest.mark.parametrize(
    ("given", "code"),
    [
        (Chunk(noises(3, (16, 16))), "invalid_input"),
        (Chunk(noises(2, (15, 16))), "invalid_input"),
        (Chunk(noises(2, (16, 16)), np.zeros(641)), "invalid_input"),
        (Chunk([b"GIF89a"]), "unsupported_media_type"),
        (Chunk([]), "invalid_input"),
    ],
)
def test_chunks_that_the_server_refuses(name: str, urls, given: Chunk, code: str) -> None:
    assert Way(name, urls).error("multimodal_autoencoding", given).code == code


@pytest.mark.parametrize(
    ("inputs", "options", "sentence"),
    [
        ("a path", {}, r"must be bytes, a pathlib.Path or a Chunk, but is 'a path'"),
        (b"video", {"outputs": "label"}, "outputs must be a list, but is 'label'"),
        (b"video", {"stride": 1}, "no option 'stride'; it has outputs, top_k, model, timeout"),
    ],
)
def test_programming_errors_are_type_errors(way: Way, inputs, options, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        way.ask("multimodal_autoencoding", inputs, **options)


@grpc_ways
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (Chunk(noises(2), np.zeros(640, np.int16)), r"audio must be floats .*, but is int16 \(640"),
        (Chunk(noises(2), np.zeros((2, 640))), r"audio must be floats .*, but is float64 \(2, 640"),
        (Chunk(None), "frames must be image files or pixels, .*, but is None"),  # type: ignore[arg-type]  # on purpose
        (Chunk(["a path"]), r"frames\[0\] must be bytes"),  # type: ignore[list-item]  # on purpose
    ],
)
def test_chunks_that_are_none(name: str, urls, given: Chunk, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        Way(name, urls).ask("multimodal_autoencoding", given)
