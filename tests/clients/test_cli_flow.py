"""`perceiver optical-flow` and `multimodal-autoencoding`: files in, files out."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from perceiver_client import Client, cli
from perceiver_client.cli.flow_pictures import beside, longest_of, warp_error, wheel
from PIL import Image

from tests.clients.footage import Frame, frames_of, noise, noises, png, video
from tests.live_server import ROOT, LiveServer

Perceiver = Callable[..., Result]
FRAMES = noises(4, (20, 30))


@pytest.fixture
def perceiver(urls) -> Perceiver:
    """The command, with the servers from the environment."""
    environment = {"PERCEIVER_SERVER": urls["http"], "PERCEIVER_GRPC_SERVER": urls["grpc"]}

    def run(*arguments: object, **options: Any) -> Result:
        return CliRunner(env=environment).invoke(cli.main, [*map(str, arguments)], **options)

    return run


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of FRAMES."""
    return video(tmp_path_factory.mktemp("film") / "film.mp4", FRAMES)


@pytest.fixture(scope="module")
def seen(film: Path) -> list[Frame]:
    """As they come out of the file."""
    return frames_of(film)


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "1.png", tmp_path / "2.png"
    for path, frame in zip(paths, FRAMES, strict=False):
        path.write_bytes(png(frame))
    return paths


def test_a_video_becomes_a_video_of_its_flow(
    perceiver: Perceiver, film: Path, seen: list[Frame], urls, tmp_path: Path
) -> None:
    out = tmp_path / "flow.mp4"
    done = perceiver("optical-flow", film, "-o", out, "--json")
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
    expected = wheel(flows[0], longest_of(flows[0]))
    assert np.abs(pictures[0].astype(int) - expected).mean() < 40  # colours are halved in size
    assert [*tmp_path.iterdir()] == [out]


def test_a_video_may_be_made_smaller_and_its_flow_sparser(
    perceiver: Perceiver, film: Path, tmp_path: Path
) -> None:
    out = tmp_path / "flow.mp4"
    options = ("--size", 15, "--stride", 2, "--side-by-side", "--model", "flow")
    done = perceiver("optical-flow", film, "-o", out, *options)
    assert done.stdout.splitlines()[0].split() == ["pairs", "warp", "error", "unwarped"]
    assert done.stdout.splitlines()[1].split()[0] == "3"
    assert [picture.shape for picture in frames_of(out)] == [(10, 30, 3)] * 3


def test_the_figures_alone(perceiver: Perceiver, film: Path) -> None:
    done = perceiver("optical-flow", film)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1].startswith("3 ")


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_two_images_become_a_file_of_their_flow(
    perceiver: Perceiver, scheme: str, urls, images: tuple[Path, Path], tmp_path: Path
) -> None:
    with Client(urls["http"]) as client:
        flow = client.optical_flow(*images)
    flo, npy, picture = (tmp_path / f"flow.{kind}" for kind in ("flo", "npy", "png"))
    for out in (flo, npy, picture):
        done = perceiver("optical-flow", *images, "-o", out, "--server", urls[scheme])
        assert done.exit_code == 0, done.stderr
        assert done.stdout.splitlines()[1].startswith("1 ")
    assert np.array_equal(np.load(npy), flow)
    with flo.open("rb") as file:
        assert np.fromfile(file, "<f4", 1) == np.float32(202021.25)
        assert np.fromfile(file, "<i4", 2).tolist() == [30, 20]
        assert np.array_equal(np.fromfile(file, "<f4").reshape(20, 30, 2), flow)
    with Image.open(picture) as drawn:
        assert np.array_equal(np.asarray(drawn), wheel(flow, longest_of(flow)))


def test_images_may_be_made_smaller(perceiver: Perceiver, images, tmp_path: Path) -> None:
    out = tmp_path / "flow.npy"
    done = perceiver("optical-flow", *images, "-o", out, "--size", 15, "--stride", 3)
    assert (done.exit_code, np.load(out).shape) == (0, (4, 5, 2))


def on_a_terminal(urls, *arguments: object) -> str:
    """What a command prints on stderr where that is a terminal."""
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
        except OSError:  # so Linux says that the other end is closed
            pass
        os.close(ours)
        assert process.wait(60) == 0, shown
    return shown.decode()


def test_there_is_a_bar_on_a_terminal(urls, live: LiveServer, film: Path, tmp_path: Path) -> None:
    shown = on_a_terminal(urls, "optical-flow", film)
    assert "film.mp4" in shown
    assert "3/3" in shown
    assert "100%" not in shown  # the place says more
    shown = on_a_terminal(urls, "multimodal-autoencoding", film, "-o", tmp_path / "out.mp4")
    assert "2/2" in shown


def test_a_clip_has_labels(perceiver: Perceiver, film: Path, urls) -> None:
    with Client(urls["http"]) as client:
        clips = client.multimodal_autoencoding(film, top_k=2).clips
    done = perceiver("multimodal-autoencoding", film, "--top-k", 2, "--model", "clips")
    assert (done.exit_code, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["start", "label", "score"],
        *(
            [f"{clip.start:.2f}", "s", one.label, f"{one.score:.4f}"]
            for clip in clips
            for one in clip.labels or ()
        ),
    ]
    done = perceiver("multimodal-autoencoding", "-", "--json", input=film.read_bytes())
    assert [clip["start"] for clip in json.loads(done.stdout)] == [clip.start for clip in clips]
    assert len(json.loads(done.stdout)[0]["labels"]) == 5


def test_a_clip_is_written_as_it_comes_out(perceiver: Perceiver, film, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    done = perceiver("multimodal-autoencoding", film, "-o", out)
    assert done.stdout.startswith("start ")
    assert [frame.shape for frame in frames_of(out)] == [(16, 16, 3)] * 4
    done = perceiver("multimodal-autoencoding", film, "-o", out, "--outputs", "video")
    assert (done.exit_code, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["optical-flow", "{film}", "{film}", "{film}"], "not 3 files"),
        (["optical-flow", "{film}", "-o", "flow.flo"], "a video is written as .mp4"),
        (["optical-flow", "a.png", "b.png", "-o", "flow.mp4"], "as .flo, .npy, .png"),
        (["optical-flow", "{film}", "--stride", "0"], "0 is not in the range"),
        (["multimodal-autoencoding", "{film}", "-o", "out.avi"], "is written as .mp4"),
        (["multimodal-autoencoding", "{film}", "--outputs", "video"], "belong together"),
        (
            ["multimodal-autoencoding", "{film}", "-o", "out.mp4", "--outputs", "audio"],
            "without pictures",
        ),
        (["multimodal-autoencoding", "{film}", "--server", "grpc://a:1"], "goes over REST"),
    ],
)
def test_wrong_usage(perceiver: Perceiver, film: Path, arguments: list[str], words: str) -> None:
    done = perceiver(*(one.format(film=film) for one in arguments))
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


def test_an_error_is_one_line_and_leaves_no_file(perceiver: Perceiver, film, tmp_path) -> None:
    text, still = tmp_path / "text.mp4", tmp_path / "still.mp4"
    text.write_text("no video")
    video(still, FRAMES[:1])
    out = tmp_path / "out.mp4"
    for arguments, words in (
        (["optical-flow", text], f"Error: {text}: Invalid data"),
        (["optical-flow", tmp_path / "none.mp4"], f"Error: {tmp_path / 'none.mp4'}: No such file"),
        (["optical-flow", still], f"Error: {still}: there is one frame"),
        (["optical-flow", text, text], f"Error: {text}: no image"),
        (["optical-flow", film, "--model", "nobody"], "Error: unknown_model: "),
        (["multimodal-autoencoding", text], "Error: unsupported_media_type: "),
        (["multimodal-autoencoding", film, "--model", "nobody"], "Error: unknown_model: "),
    ):
        done = perceiver(*arguments, *(["-o", out] if "no image" not in words else []))
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith(words)
        assert done.stderr.count("\n") == 1
        assert {*tmp_path.iterdir()} == {text, still}


def test_a_file_is_replaced_only_by_a_whole_one(perceiver: Perceiver, film, tmp_path) -> None:
    out = tmp_path / "out.mp4"
    out.write_text("the one from yesterday")
    assert perceiver("optical-flow", film, "-o", out, "--model", "nobody").exit_code == 1
    assert out.read_text() == "the one from yesterday"
    assert perceiver("optical-flow", film, "-o", out).exit_code == 0
    assert len(frames_of(out)) == 3


@pytest.mark.parametrize("missing", ["av", "PIL"])
def test_without_what_reads_files_it_says_what_to_install(missing: str, film, tmp_path) -> None:
    (tmp_path / f"{missing}.py").write_text("raise ImportError")
    done = subprocess.run(
        [sys.executable, "-m", "perceiver_client", "optical-flow", film],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "Error: this needs av and pillow: pip install av pillow\n",
    )


def test_the_warp_error_of_a_movement_that_is_known() -> None:
    first = noise(0, (30, 40))
    second = np.roll(first, (2, 3), axis=(0, 1))
    flow = np.full((30, 40, 2), (3, 2), np.float32)
    warped, unwarped = warp_error(first, second, flow, 1) or (None, None)
    assert warped == 0
    assert unwarped == pytest.approx(np.abs(first - second.astype(float))[:28, :37].mean())
    sparse = warp_error(first, second, flow[::3, ::3], 3)
    assert sparse is not None
    assert sparse.warped == 0
    half = warp_error(first, first, np.full((30, 40, 2), (0.5, 0), np.float32), 1)
    between = np.abs(np.diff(first.astype(float), axis=1)).mean() / 2
    assert half is not None
    assert half.warped == pytest.approx(between)
    assert warp_error(first, second, flow * 100, 1) is None


def test_colours_say_direction_and_length() -> None:
    flow = np.array([[[0, 0], [4, 0], [2, 0]], [[0, 4], [-4, 0], [0, -4]]], np.float32)
    picture = wheel(flow, 4)
    assert picture[0].tolist() == [[255, 255, 255], [255, 0, 0], [255, 127, 127]]
    assert [picture[1, 0].argmin(), picture[1, 1].argmin(), picture[1, 2].argmin()] == [2, 0, 1]
    assert beside(noise(0, (4, 5)), picture, 2).shape == (4, 10, 3)
