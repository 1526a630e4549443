"""`perceiver optical-flow` where something is wrong: one line, exit code 1, and no broken file."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from perceiver_client import cli
from perceiver_client import perceiver_pb2 as pb
from PIL import Image

from tests.clients.conftest import Invoke
from tests.clients.footage import frames_of, noise, png, video
from tests.clients.peers import flow_field, impostor


def test_an_error_is_one_line_and_leaves_no_file(invoke: Invoke, film, tmp_path) -> None:
    text, still, out = (tmp_path / name for name in ("text.mp4", "still.mp4", "out.mp4"))
    text.write_text("no video")
    video(still, [noise(0)])
    for arguments, words in (
        ([text], f"Error: {text}: no video, or damaged"),
        ([tmp_path / "none.mp4"], f"Error: {tmp_path / 'none.mp4'}: No such file"),
        ([still], f"Error: {still}: there is one frame"),
        ([film, "--model", "nobody"], "Error: unknown_model: "),
    ):
        done = invoke("optical-flow", *arguments, "-o", out)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith(words)
        assert done.stderr.count("\n") == 1
        assert {*tmp_path.iterdir()} == {text, still}


def test_an_image_that_is_none_or_broken_is_named(
    invoke: Invoke, images, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10**8)  # the server's own tests lift it
    whole = images[0].read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    head, _, tail = png(noise(0, (200, 300))).rpartition(b"IDAT")  # it has several
    jpeg = io.BytesIO()
    Image.fromarray(noise(0)).save(jpeg, "JPEG")
    broken = tmp_path / "broken"
    for data, words in (
        (b"no image", "no image"),
        (whole[:middle], "truncated"),
        (jpeg.getvalue()[:-200], "truncated"),
        (flipped, "broken"),
        (head + b"\xffDAT" + tail, "broken PNG file"),
        (b"P6 20000 20000 255\n", "exceeds limit"),
    ):
        broken.write_bytes(data)
        done = invoke("optical-flow", images[0], broken)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith(f"Error: {broken}: ")
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
    done = invoke("optical-flow", images[0], tmp_path)
    assert done.stderr == f"Error: {tmp_path}: Is a directory\n"


def test_a_disk_that_takes_no_more(urls, images, tmp_path: Path) -> None:
    out = tmp_path / "flow.npy"
    ask = [sys.executable, "-m", "perceiver_client", "optical-flow", *images, "-o", out]
    done = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -f 0 && exec "$@"', "sh", *ask],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PERCEIVER_SERVER": urls["http"],
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (1, "Error: File too large\n")
    assert {*tmp_path.iterdir()} == {*images}


def moving(index: int) -> pb.FlowField:
    """A field that moves eight pixels to the right."""
    data = np.full((20, 30, 2), (8, 0), "<f4").tobytes()
    return flow_field(index, height=20, width=30, data=data)


def failed(index: int) -> pb.FlowField:
    return pb.FlowField(index=index, error=pb.Error(code="worker_died", message="try again"))


def test_a_pair_without_flow_is_white_and_told_at_the_end(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "flow.mp4"
    with impostor([moving(1), failed(2), moving(3)], frames=4) as urls:
        command = ["optical-flow", str(film), "-o", str(out), "--server", urls["grpc"]]
        done = CliRunner().invoke(cli.main, command)
    assert done.exit_code == 1
    assert done.stdout.splitlines()[1].startswith("3 ")
    words = "1 of 3 pairs have no flow, the first up to frame 2: worker_died: try again"
    assert done.stderr == f"Error: {words}\n"
    red, white = (255, 0, 0), (255, 255, 255)
    means = [picture.mean(axis=(0, 1)) for picture in frames_of(out)]
    np.testing.assert_allclose(means, [red, white, red], atol=5)


def test_a_film_without_any_flow_is_none(film: Path, tmp_path: Path) -> None:
    with impostor([failed(1), failed(2), failed(3)], frames=4) as urls:
        command = ["optical-flow", str(film), "--server", urls["grpc"]]
        done = CliRunner().invoke(cli.main, [*command, "-o", str(tmp_path / "flow.mp4")])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "Error: worker_died: try again\n"
    assert [*tmp_path.iterdir()] == []


def test_a_file_is_replaced_only_by_a_whole_one(invoke: Invoke, film, tmp_path) -> None:
    out = tmp_path / "out.mp4"
    out.write_text("the one from yesterday")
    assert invoke("optical-flow", film, "-o", out, "--model", "nobody").exit_code == 1
    assert out.read_text() == "the one from yesterday"
    assert invoke("optical-flow", film, "-o", out).exit_code == 0
    assert len(frames_of(out)) == 3
