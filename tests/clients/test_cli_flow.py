"""`perceiver optical-flow`: a video or two images in, their flow out."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from perceiver_client import Client, cli
from perceiver_client.cli.flow_pictures import longest_of, warp_error, wheel
from PIL import Image

from tests.clients.conftest import Invoke
from tests.clients.footage import frames_of
from tests.live_server import ROOT, LiveServer


def test_a_video_becomes_a_video_of_its_flow(
    invoke: Invoke, film: Path, urls, tmp_path: Path
) -> None:
    out, seen = tmp_path / "flow.mp4", frames_of(film)
    done = invoke("optical-flow", film, "-o", out, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    with Client(urls["grpc"]) as client:
        flows = [field.flow for field in client.stream_optical_flow(seen)]
    pairs = zip(seen, seen[1:], flows, strict=False)
    errors = [warp_error(one, two, flow, 1) for one, two, flow in pairs]
    warped, unwarped = np.mean([one for one in errors if one], axis=0)
    assert json.loads(done.stdout) == {
        "pairs": 3,
        "warp_error": pytest.approx(warped),
        "unwarped_error": pytest.approx(unwarped),
    }
    pictures = frames_of(out)
    assert [picture.shape for picture in pictures] == [(20, 30, 3)] * 3
    assert [*tmp_path.iterdir()] == [out]
    longest = np.maximum.accumulate([longest_of(flow, 99) for flow in flows])
    expected = np.array([*map(wheel, flows, longest)])
    for index, picture in enumerate(pictures):  # each nearest to its own flow
        far = np.abs(expected - picture.astype(int)).mean(axis=(1, 2, 3))
        assert far[index] < 15  # colours are halved in size
        assert far[index] < np.delete(far, index).min() / 2


def test_a_video_may_be_made_smaller_and_its_flow_sparser(
    invoke: Invoke, film: Path, tmp_path: Path
) -> None:
    out = tmp_path / "flow.mp4"
    options = ("--size", 15, "--stride", 2, "--side-by-side", "--model", "flow")
    done = invoke("optical-flow", film, "-o", out, *options)
    assert done.stdout.splitlines()[0].split() == ["pairs", "warp", "error", "unwarped"]
    assert done.stdout.splitlines()[1].split()[0] == "3"
    assert [picture.shape for picture in frames_of(out)] == [(10, 30, 3)] * 3


def test_the_figures_alone(invoke: Invoke, film: Path) -> None:
    done = invoke("optical-flow", film)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1].startswith("3 ")


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_two_images_become_a_file_of_their_flow(
    invoke: Invoke, scheme: str, urls, live: LiveServer, images, tmp_path: Path
) -> None:
    with Client(urls["http"]) as client:
        flow = client.optical_flow(*images)
    files = {f"frame{n}": path.read_bytes() for n, path in enumerate(images, start=1)}
    servers = live.post("optical-flow", files=files, headers={"Accept": "image/png"}).content
    flo, npy, picture = (tmp_path / f"flow.{kind}" for kind in ("flo", "npy", "png"))
    for out in (flo, npy, picture):
        done = invoke("optical-flow", *images, "-o", out, "--server", urls[scheme])
        assert done.exit_code == 0, done.stderr
        assert done.stdout.splitlines()[1].startswith("1 ")
    assert np.array_equal(np.load(npy), flow)
    with flo.open("rb") as file:
        assert np.fromfile(file, "<f4", 1) == np.float32(202021.25)
        assert np.fromfile(file, "<i4", 2).tolist() == [30, 20]
        assert np.array_equal(np.fromfile(file, "<f4").reshape(20, 30, 2), flow)
    with Image.open(picture) as ours, Image.open(io.BytesIO(servers)) as theirs:
        assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_images_may_be_made_smaller(invoke: Invoke, images, tmp_path: Path) -> None:
    out = tmp_path / "flow.npy"
    done = invoke("optical-flow", *images, "-o", out, "--size", 15, "--stride", 3)
    assert (done.exit_code, np.load(out).shape) == (0, (4, 5, 2))


def test_a_flow_that_leaves_the_picture_has_no_figures(invoke: Invoke, images) -> None:
    done = invoke("optical-flow", *images, "--size", 1)
    assert (done.exit_code, done.stdout.splitlines()[1].split()) == (0, ["1", "-", "-"])


def on_a_terminal(
    urls, *arguments: object, watch: Callable[[str], None] = lambda shown: None
) -> str:
    """What a command prints on stderr where that is a terminal; `watch` is told it as it comes."""
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PERCEIVER_SERVER": urls["http"],
        "PERCEIVER_GRPC_SERVER": urls["grpc"],
    }
    command = [sys.executable, "-m", "perceiver_client", *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while some := os.read(ours, 4096):
                shown += some
                watch(shown.decode(errors="ignore"))
        except OSError:  # so Linux says that the other end is closed
            pass
        os.close(ours)
        assert process.wait(60) == 0, shown
    return shown.decode()


def test_there_is_a_bar_on_a_terminal(urls, film: Path) -> None:
    shown = on_a_terminal(urls, "optical-flow", film)
    assert "film.mp4" in shown
    assert "3/3" in shown
    assert "100%" not in shown  # the place says more


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{film}", "{film}", "{film}"], "not 3 files"),
        (["{film}", "-o", "flow.flo"], "a video is written as .mp4"),
        (["a.png", "b.png", "-o", "flow.mp4"], "as .flo, .npy, .png"),
        (["{film}", "-o", "nowhere/flow.mp4"], "nowhere/flow.mp4: there is no such folder"),
        (["{film}", "--stride", "0"], "0 is not in the range"),
    ],
)
def test_wrong_usage(invoke: Invoke, film: Path, arguments: list[str], words: str) -> None:
    done = invoke("optical-flow", *(one.format(film=film) for one in arguments))
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in " ".join(done.stderr.split())


def test_where_a_video_is_streamed_to_is_never_guessed(film: Path, urls, monkeypatch) -> None:
    monkeypatch.delenv("PERCEIVER_GRPC_SERVER", raising=False)
    nobody = "grpc://127.0.0.1:1"
    for arguments, environment, code, words in (
        (["--server", urls["http"]], {}, 2, "--grpc-server grpc://HOST:8001"),
        ([], {"PERCEIVER_SERVER": urls["http"]}, 2, "--grpc-server grpc://HOST:8001"),
        (["--server", urls["http"], "--grpc-server", nobody], {}, 1, f"no answer from {nobody}"),
        (["--server", nobody, "--grpc-server", urls["grpc"]], {}, 1, f"no answer from {nobody}"),
        (["--server", urls["grpc"]], {"PERCEIVER_GRPC_SERVER": nobody}, 0, ""),
    ):
        command = ["optical-flow", str(film), *arguments]
        done = CliRunner(env=environment).invoke(cli.main, command)
        assert done.exit_code == code, done.output
        assert words in " ".join(done.stderr.split())
