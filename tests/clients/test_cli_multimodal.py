"""`perceiver multimodal-autoencoding`: a video in, labels and a video out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from perceiver_client import Client

from tests.clients.conftest import Invoke
from tests.clients.footage import frames_of
from tests.clients.test_cli_flow import on_a_terminal
from tests.live_server import LiveServer


def sound_of(path: Path) -> NDArray[np.float32]:
    """Samples (n,) at 48 kHz."""
    with av.open(str(path)) as file:
        parts = [frame.to_ndarray()[0] for frame in file.decode(audio=0)]
    return np.concatenate(parts).astype(np.float32)


def test_a_clip_has_labels(invoke: Invoke, film: Path, urls) -> None:
    with Client(urls["http"]) as client:
        clips = client.multimodal_autoencoding(film, top_k=2).clips
    done = invoke("multimodal-autoencoding", film, "--top-k", 2, "--model", "clips")
    assert (done.exit_code, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["start", "label", "score"],
        *(
            [f"{clip.start:.2f}", "s", one.label, f"{one.score:.4f}"]
            for clip in clips
            for one in clip.labels or ()
        ),
    ]
    done = invoke("multimodal-autoencoding", "-", "--json", input=film.read_bytes())
    assert [clip["start"] for clip in json.loads(done.stdout)] == [clip.start for clip in clips]
    assert len(json.loads(done.stdout)[0]["labels"]) == 5


def test_a_video_is_written_as_it_comes_out_and_computed_once(
    invoke: Invoke, film: Path, urls, live: LiveServer, tmp_path: Path
) -> None:
    out, servers = tmp_path / "out.mp4", tmp_path / "servers.mp4"
    with Client(urls["http"]) as client:
        servers.write_bytes(client.multimodal_autoencoding_mp4(film))
    before = live.metric("received_total", model="clips")
    done = invoke("multimodal-autoencoding", film, "-o", out)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("start ")
    assert live.metric("received_total", model="clips") == before + 1
    ours, theirs = np.array(frames_of(out)), np.array(frames_of(servers))
    assert ours.shape == theirs.shape == (4, 16, 16, 3)
    assert np.abs(ours - theirs.astype(int)).mean() < 2
    heard, expected = sound_of(out), sound_of(servers)
    assert heard.shape == expected.shape
    assert np.abs(heard - expected).mean() < 0.01 * np.abs(expected).mean()


def test_a_video_without_labels_or_sound(invoke: Invoke, film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    command = ("multimodal-autoencoding", film, "-o", out, "--outputs", "video")
    done = invoke(*command)
    assert (done.exit_code, done.stdout) == (0, "")
    done = invoke(*command, "--json")
    assert [clip["labels"] for clip in json.loads(done.stdout)] == [None, None]
    with av.open(str(out)) as file:
        assert [stream.type for stream in file.streams] == ["video"]


def test_a_terminal_shows_how_far_it_is(urls, film: Path, live: LiveServer, tmp_path: Path) -> None:
    worker = live.worker()

    def go_on_after_two_seconds(shown: str) -> None:
        if "film.mp4  2 s" in shown:
            worker.resume()

    worker.suspend()
    command = ("multimodal-autoencoding", film, "-o", tmp_path / "out.mp4")
    try:
        shown = on_a_terminal(urls, *command, watch=go_on_after_two_seconds)
    finally:
        worker.resume()
    assert "out.mp4" in shown
    assert "2/2" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{film}", "-o", "out.avi"], "is written as .mp4"),
        (["{film}", "-o", "nowhere/out.mp4"], "nowhere/out.mp4: there is no such folder"),
        (["{film}", "--outputs", "video"], "video can only be written to a file: add -o FILE.mp4"),
        (["{film}", "--outputs", "label", "-o", "out.mp4"], "add --outputs video"),
        (["{film}", "-o", "out.mp4", "--outputs", "audio"], "without pictures"),
        (["{film}", "--server", "grpc://a:1"], "goes over REST"),
    ],
)
def test_wrong_usage(invoke: Invoke, film: Path, arguments: list[str], words: str) -> None:
    done = invoke("multimodal-autoencoding", *(one.format(film=film) for one in arguments))
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in " ".join(done.stderr.split())


def test_an_error_is_one_line_and_leaves_no_file(invoke: Invoke, film: Path, tmp_path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    cases: list[tuple[list[Any], str]] = [
        ([text], "Error: unsupported_media_type: "),
        ([film, "--model", "nobody"], "Error: unknown_model: "),
    ]
    for arguments, words in cases:
        done = invoke("multimodal-autoencoding", *arguments, "-o", tmp_path / "out.mp4")
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith(words)
        assert done.stderr.count("\n") == 1
        assert [*tmp_path.iterdir()] == [text]
