"""The commands: the catalogue as a table, one answer without a server, errors as sentences."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click
import psutil
import pytest
from click.testing import CliRunner, Result

from server.app import open_rpc, welcome
from server.cli import main
from server.config import Settings
from server.engine import Engine
from tests.live_server import ROOT, until
from tests.server.clips import clip, tone
from tests.server.pictures import encoded
from tests.server.serving import settings_of
from tests.tiny import make_multimodal, make_optical_flow


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


def invoke(*arguments: str | Path, env: dict[str, str] | None = None) -> Result:
    """As `run`, in this process, which has loaded it all."""
    done = CliRunner().invoke(main, [*map(str, arguments)], env=env)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


def test_models_is_a_table(model_repository: Path) -> None:
    done = run("models", "--model-repository", model_repository)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert lines["name"].split() == ["name", "task", "source", "state", "problem"]
    assert lines["text"].split() == ["text", "text-classification", "local", "unloaded", "-"]
    assert "not_pulled" in lines["language-perceiver"]
    assert "pickle" in lines["pickled"]


def test_a_user_without_a_home(tmp_path: Path) -> None:
    nowhere = {"HOME": "~"}  # what is left of the folder where nobody knows the user
    assert "models_dir: null  " in run("config", env=nowhere).stdout
    listed = run("models", env=nowhere)
    assert listed.returncode == 0, listed.stderr
    assert "tiny-fashion" in listed.stdout
    pull = ("pull", "language-perceiver", "--from", tmp_path)
    refused = run(*pull, env=nowhere)
    assert (refused.returncode, "say --models-dir FOLDER" in refused.stderr) == (2, True)
    assert "must hold config.json" in run(*pull, "--models-dir", tmp_path, env=nowhere).stderr


def test_predict_answers_without_a_server(model_repository: Path, tmp_path: Path) -> None:
    options = ("--model-repository", model_repository, "--threads", "1", "--top-k", "2")
    text = run("predict", "text-classification", "hello", "--model", "text", *options)
    assert text.returncode == 0, text.stderr
    assert [set(entry) for entry in json.loads(text.stdout)] == [{"label", "score"}] * 2

    both = ("a [MASK]", "[MASK] [MASK]")
    several = invoke("predict", "fill-mask", *both, "--model", "mask", *options)
    assert [len(spans) for spans in json.loads(several.stdout)] == [1, 2]

    image = tmp_path / "image.png"
    image.write_bytes(encoded("PNG"))
    picture = invoke("predict", "image-classification", image, "--model", "image", *options)
    assert len(json.loads(picture.stdout)) == 2


def test_predict_draws_flow_and_labels_videos(tmp_path: Path) -> None:
    options = ("--model-repository", tmp_path / "models", "--threads", "1")
    make_optical_flow(tmp_path / "models" / "flow")
    make_multimodal(tmp_path / "models" / "clips")
    frame, video, png = tmp_path / "frame.png", tmp_path / "video.avi", tmp_path / "flow.png"
    frame.write_bytes(encoded("PNG", (30, 20)))
    video.write_bytes(clip("avi", frames=3, sound=tone(0.1)))

    drawn = invoke("predict", "optical-flow", frame, frame, "--model", "flow", *options, "-o", png)
    assert (drawn.exit_code, drawn.stdout) == (0, ""), drawn.stderr
    assert png.read_bytes().startswith(b"\x89PNG")

    labelled = invoke("predict", "multimodal-autoencoding", video, "--model", "clips", *options)
    assert labelled.exit_code == 0, labelled.stderr
    clips = json.loads(labelled.stdout)
    assert [clip["start"] for clip in clips] == [0, 0.08]
    assert [len(clip["labels"]) for clip in clips] == [5, 5]


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
        done = invoke("predict", *arguments, *options)
        assert done.exit_code == 1
        assert done.stdout == ""
        last = done.stderr.splitlines()[-1]
        assert re.match(f"Error: .*({sentence})", last), done.stderr


def test_ctrl_c_ends_predict_and_prints_no_more_than_that(tmp_path: Path) -> None:
    plan = tmp_path / "faults.json"
    plan.write_text('[{"on": "forward", "action": "hang"}]')
    command = ["predict", "text-classification", "hello", "--fault-plan", str(plan)]
    with subprocess.Popen(
        [sys.executable, "-m", "server", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,  # as a terminal has it, whose Ctrl-C goes to all of them
    ) as process:
        children = psutil.Process(process.pid).children

        def groups() -> set[int]:
            return {os.getpgid(child.pid) for child in children()} - {process.pid}

        until(lambda: len(groups()) == 3, "a worker and two decoders, in groups of their own")
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.split()) == (1, "", ["Aborted!"])


def test_serve_says_that_its_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--http-port", str(port), "--grpc-port", "0")
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: cannot listen on 127.0.0.1 port {port}: Address already in use; --http-port names "
        "another port\n"
    )


async def test_a_port_that_is_lost_at_the_last_moment_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        engine = Engine(settings_of(tmp_path, grpc_port=port))
        with pytest.raises(click.ClickException, match=f"port {port}: .*; --grpc-port names"):
            open_rpc(engine)


def test_serve_refuses_an_open_address_and_bad_names(tmp_path: Path) -> None:
    for arguments, part in (
        (("--host", "0.0.0.0"), "--insecure"),  # noqa: S104
        (("--models", f"../a={tmp_path}"), "not a model name"),
        (("--models", "mine=/nowhere"), "there is no folder '/nowhere' for model 'mine'"),
    ):
        done = run("serve", *arguments)
        assert done.returncode == 2
        assert part in done.stderr
        assert "Traceback" not in done.stderr


def test_models_refuses_what_serve_refuses(tmp_path: Path) -> None:
    for arguments, part in (
        (("--models", f"../a={tmp_path}"), "not a model name"),
        (("--models", "tiny-fashion=/nowhere"), "there is no folder '/nowhere'"),
        (("--default-models", "fill-mask=nobody"), "there is no model 'nobody' for fill-mask"),
        (("--default-models", "no-task=tiny"), "there is no task 'no-task'; there are fill-mask"),
    ):
        done = invoke("models", *arguments)
        assert done.exit_code == 2
        assert part in done.stderr


def test_only_serve_refuses_an_open_address(model_repository: Path) -> None:
    image = {"PERCEIVER_HOST": "0.0.0.0"}  # noqa: S104
    options = ("--model", "text", "--model-repository", model_repository, "--threads", "1")
    for command in (("models",), ("config",), ("predict", "text-classification", "a", *options)):
        done = invoke(*command, env=image)
        assert done.exit_code == 0, done.stderr
    refused = run("serve", env=image)
    assert refused.returncode == 2
    assert refused.stderr == (
        "Error: host '0.0.0.0' (PERCEIVER_HOST) is reachable from other machines and the server "
        "checks no keys: use --host 127.0.0.1, or say --insecure (PERCEIVER_INSECURE=1) where "
        "something else settles who may connect\n"
    )


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (
            "0.0.0.0",  # noqa: S104
            r"0\.0\.0\.0 \(.*\), for example http://127\.0\.0\.1:1 and grpc://127\.0\.0\.1:2 ",
        ),
        ("::", r":: \(.*\), for example http://\[::1\]:1 and grpc://\[::1\]:2 "),
        ("127.0.0.1", r"http://127\.0\.0\.1:1 and grpc://127\.0\.0\.1:2 "),
    ],
)
def test_the_welcome_names_every_address_and_one_to_ask(host: str, said: str) -> None:
    first = welcome(Settings(host=host), 1, 2).splitlines()[0]
    assert re.match(f"perceiver-server listens on {said}", first)


def test_a_device_that_is_not_there_is_one_sentence() -> None:
    anywhere = ("serve", "--http-port", "0", "--grpc-port", "0")
    for command in (("predict", "fill-mask", "a [MASK]"), anywhere):
        done = run(*command, "--device", "cuda:99")
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""  # nothing is promised before the worker works
        assert "Error: device 'cuda:99' is not there" in done.stderr.splitlines()[-1]
        assert "use --device cpu" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        assert "has ended" not in done.stderr  # and was started again


def test_the_environment_configures() -> None:
    done = run("config", env={"PERCEIVER_HTTP_PORT": "1234"})
    assert re.search(r"^http_port: 1234 +# PERCEIVER_HTTP_PORT$", done.stdout, re.MULTILINE)
