"""The commands: the catalogue as a table, one answer without a server, errors as sentences."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from tests.live_server import ROOT
from tests.server.pictures import encoded


def run(
    *arguments: str | Path, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "server", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_models_is_a_table(model_repository: Path) -> None:
    done = run("models", "--model-repository", model_repository)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert lines["name"].split() == ["name", "task", "source", "state", "problem"]
    assert lines["text"].split() == ["text", "text-classification", "local", "unloaded", "-"]
    assert "not_pulled" in lines["language-perceiver"]
    assert "pickle" in lines["pickled"]


def test_predict_answers_without_a_server(model_repository: Path, tmp_path: Path) -> None:
    options = ("--model-repository", model_repository, "--threads", "1", "--top-k", "2")
    text = run("predict", "text-classification", "hello", "--model", "text", *options)
    assert text.returncode == 0, text.stderr
    assert [set(entry) for entry in json.loads(text.stdout)] == [{"label", "score"}] * 2

    several = run("predict", "fill-mask", "a [MASK]", "[MASK] [MASK]", "--model", "mask", *options)
    assert [len(spans) for spans in json.loads(several.stdout)] == [1, 2]

    image = tmp_path / "image.png"
    image.write_bytes(encoded("PNG"))
    picture = run("predict", "image-classification", image, "--model", "image", *options)
    assert len(json.loads(picture.stdout)) == 2


def test_predict_says_in_one_sentence_what_is_wrong(model_repository: Path, tmp_path: Path) -> None:
    options = ("--model-repository", model_repository, "--threads", "1")
    no_image = tmp_path / "a.png"
    no_image.write_bytes(b"GIF89a")
    for arguments, sentence in (
        (("fill-mask", "nothing to fill", "--model", "mask"), r"no \[MASK\]"),
        (("text-classification", "a", "--model", "nobody"), "no model 'nobody'"),
        (("image-classification", tmp_path / "none.png", "--model", "image"), "No such file"),
        (("image-classification", no_image, "--model", "image"), "looks like a GIF"),
        (("text-classification", "a", "--model", "truncated"), "truncated|weights|safetensors"),
    ):
        done = run("predict", *arguments, *options)
        assert done.returncode == 1
        assert done.stdout == ""
        last = done.stderr.splitlines()[-1]
        assert re.match(f"Error: .*({sentence})", last), done.stderr
        assert "Traceback" not in done.stderr


def test_serve_says_that_its_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--http-port", str(port), "--grpc-port", "0")
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_refuses_an_open_address_and_bad_names(tmp_path: Path) -> None:
    for arguments, part in (
        (("--host", "0.0.0.0"), "--insecure"),  # noqa: S104
        (("--models", f"../a={tmp_path}"), "not a model name"),
        (("--default-models", "fill-mask=nobody"), "nobody"),
    ):
        done = run("serve", *arguments)
        assert done.returncode == 2
        assert part in done.stderr
        assert "Traceback" not in done.stderr


def test_a_device_that_is_not_there_is_one_sentence() -> None:
    anywhere = ("serve", "--http-port", "0", "--grpc-port", "0")
    for command in (("predict", "fill-mask", "a [MASK]"), anywhere):
        done = run(*command, "--device", "cuda:99")
        assert done.returncode == 2, done.stderr
        assert "Error: device 'cuda:99' is not there" in done.stderr.splitlines()[-1]
        assert "use --device cpu" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        assert "has ended" not in done.stderr  # and was started again


def test_the_environment_configures() -> None:
    done = run("config", env={"PERCEIVER_HTTP_PORT": "1234"})
    assert re.search(r"^http_port: 1234 +# PERCEIVER_HTTP_PORT$", done.stdout, re.MULTILINE)
