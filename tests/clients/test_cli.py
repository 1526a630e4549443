"""`perceiver`, as a person types it: real processes against the real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import perceiver_client
import pytest
from click.testing import CliRunner
from perceiver_client import cli

from tests.live_server import ROOT, LiveServer
from tests.server.pictures import encoded

NEED_MEDIA = "Error: this needs av and pillow: pip install av pillow"

Perceiver = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=["http", "grpc"])
def perceiver(request: pytest.FixtureRequest, urls: dict[str, str]) -> Perceiver:
    """The command, with a server from the environment."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PERCEIVER_SERVER": urls[request.param],
    }

    def run(*arguments: object, stdin: str | bytes = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "perceiver_client", *map(str, arguments)],
            cwd=ROOT,
            env=environment,
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return run


def test_text_classification_is_an_aligned_table(perceiver: Perceiver, live: LiveServer) -> None:
    expected = live.post("text-classification", json={"inputs": ["a\tb", "second"]}).json()
    done = perceiver("text-classification", "a\tb", "second", "--top-k", 2)
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.splitlines()
    assert head == "input   label    score"
    assert rows == [
        f"{shown:6}  {one['label']}  {one['score']:.4f}"
        for shown, labels in zip(["a·b", "second"], expected, strict=True)
        for one in labels[:2]
    ]


def test_lines_of_standard_input_may_be_more_than_one_call_takes(
    perceiver: Perceiver, live: LiveServer
) -> None:
    lines = [f"line {number}" for number in range(140)]
    expected = [
        live.post("text-classification", json={"inputs": text}).json()[0]
        for text in ["first", *lines]
    ]
    stdin = "\n\n".join(lines)
    done = perceiver("text-classification", "first", "-", "--json", stdin=stdin)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == expected


def test_fill_mask(perceiver: Perceiver, live: LiveServer) -> None:
    text = "[MASK][MASK] is [MASK]"
    expected = live.post("fill-mask", json={"inputs": text, "parameters": {"top_k": 3}}).json()
    done = perceiver("fill-mask", text, "--top-k", 3, "--json")
    assert json.loads(done.stdout) == [expected]
    assert done.stdout.count("\n") == 1
    done = perceiver("fill-mask", "i[MASK]", "--target", "s", "--target", "n", "--model", "mask")
    assert sorted(line.split()[0] for line in done.stdout.splitlines()) == ["filled", "n", "s"]


@pytest.mark.parametrize(
    ("texts", "columns", "begins"),
    [
        (["i[MASK]"], "", [""]),
        (["i[MASK]", "[MASK]o"], "input    ", ["i[MASK]  ", "[MASK]o  "]),
        (["[MASK] [MASK]"], "span  ", ["1     ", "2     "]),
        (["[MASK] [MASK]", "i[MASK]"], "input          span  ", ["[MASK] [MASK]  1     "]),
    ],
)
def test_a_row_of_fill_mask_says_which_of_several_masks_it_fills(
    texts: list[str], columns: str, begins: list[str], live: LiveServer
) -> None:
    command = ["--server", live.url, "fill-mask", *texts, "--top-k", "1"]
    head, *rows = CliRunner().invoke(cli.main, command).stdout.splitlines()
    assert head.startswith(f"{columns}filled  score")
    assert [row[: len(begin)] for row, begin in zip(rows, begins, strict=False)] == begins


def test_image_classification(perceiver: Perceiver, live: LiveServer, tmp_path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(encoded("PNG"))
    expected = live.post("image-classification", content=path.read_bytes()).json()
    done = perceiver("image-classification", path, path, "--json", "--top-k", 5)
    assert json.loads(done.stdout) == [expected, expected]
    done = perceiver("image-classification", "-", "--json", stdin=path.read_bytes())
    assert json.loads(done.stdout) == [expected]
    done = perceiver("image-classification", path, "--function-to-apply", "none", "--top-k", 1)
    assert done.stdout.splitlines()[1].split()[-2] == expected[0]["label"]


def test_models(perceiver: Perceiver, live: LiveServer) -> None:
    assert perceiver("models", "--json").stdout.count('"name"') == len(
        live.http.get("/v1/models").json()["models"]
    )
    rows = [line.split() for line in perceiver("models").stdout.splitlines()]
    assert rows[0] == ["name", "task", "state", "default"]
    assert ["mask", "fill-mask", "loaded", "yes"] in rows


def test_an_error_is_one_line(perceiver: Perceiver, tmp_path) -> None:
    for arguments, words in (
        (("fill-mask", "nothing"), "Error: invalid_input: the text has no [MASK]"),
        (("models", "--server", "http://127.0.0.1:1"), "Error: unreachable: no answer from http"),
        (("text-classification", "~slow~", "--timeout", 0.2), "Error: deadline: no answer within"),
        (("image-classification", tmp_path / "none.png"), f"Error: {tmp_path / 'none.png'}: No "),
    ):
        done = perceiver(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(words)
        assert done.stderr.count("\n") == 1


def test_an_error_names_the_one_of_many_inputs_that_it_is_about(
    perceiver: Perceiver, tmp_path
) -> None:
    good, bad, empty = (tmp_path / f"{name}.png" for name in ("good", "bad", "empty"))
    for file, content in ((good, encoded("PNG")), (bad, b"no image"), (empty, b"")):
        file.write_bytes(content)
    for arguments, code, words in (
        (("fill-mask", *["i[MASK]"] * 33, "nothing"), "invalid_input", "nothing: the text has"),
        (("image-classification", good, bad), "unsupported_media_type", f"{bad}: the "),
        (("image-classification", good, empty), "invalid_input", f"{empty} is empty"),
        (("image-classification", good, "-"), "invalid_input", "standard input is empty"),
    ):
        done = perceiver(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"Error: {code}: {words}")
        assert done.stderr.count("\n") == 1


def test_an_error_that_is_about_no_input_names_none(perceiver: Perceiver, tmp_path) -> None:
    good = tmp_path / "good.png"
    good.write_bytes(encoded("PNG"))
    for options, words in (
        (("--server", "http://127.0.0.1:1"), "unreachable: no answer from "),
        (("--model", "nobody"), "unknown_model: "),
    ):
        done = perceiver("image-classification", good, good, *options)
        assert done.stderr.startswith(f"Error: {words}")
        assert str(good) not in done.stderr


def test_options_of_every_command_stand_before_or_behind_it(perceiver: Perceiver, urls) -> None:
    nobody, here = "grpc://127.0.0.1:1", urls["http"]
    for arguments in (
        ("--server", here, "--json", "models"),
        ("models", "--server", here, "--json"),
        ("--server", nobody, "models", "--server", here, "--json"),
    ):
        done = perceiver(*arguments)
        assert done.returncode == 0, done.stderr
        assert isinstance(json.loads(done.stdout), list)
    done = perceiver("--server", nobody, "models")  # PERCEIVER_SERVER is set, but says less
    assert f"no answer from {nobody}" in done.stderr


def test_grpcs_own_lines_are_not_printed(perceiver: Perceiver, urls) -> None:
    done = perceiver("models", "--server", urls["grpc"].replace("grpc", "grpcs"))
    assert done.stderr.startswith("Error: unreachable: ")
    assert done.stderr.count("\n") == 1


def test_standard_input_that_is_no_text(perceiver: Perceiver) -> None:
    done = perceiver("text-classification", "-", stdin=b"\xff\xfe")
    assert (done.returncode, done.stderr) == (1, "Error: standard input is not UTF-8\n")


def test_an_unknown_model_comes_with_the_command_that_lists_them(perceiver: Perceiver) -> None:
    done = perceiver("text-classification", "a", "--model", "nobody")
    assert done.stderr.startswith("Error: unknown_model: ")
    assert "perceiver models" in done.stderr


def test_version() -> None:
    done = CliRunner().invoke(cli.main, ["--version"])
    assert done.stdout == f"perceiver, version {perceiver_client.__version__}\n"


@pytest.mark.parametrize(
    ("missing", "arguments", "words"),
    [
        ("click", [], "the command needs click: pip install click"),
        ("av", ["optical-flow", "a.mp4"], NEED_MEDIA),
        ("PIL", ["optical-flow", "a", "b"], NEED_MEDIA),
        (
            "av",
            ["multimodal-autoencoding", "a.mp4", "-o", "b.mp4"],
            NEED_MEDIA,
        ),
    ],
)
def test_what_is_missing_is_to_be_installed(missing: str, arguments, words: str, tmp_path) -> None:
    (tmp_path / f"{missing}.py").write_text("raise ImportError")
    done = subprocess.run(
        [sys.executable, "-m", "perceiver_client", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (1, f"{words}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["fill-mask"],
        ["optical-chaos"],
        ["models", "--server", "localhost"],
        ["models", "--timeout", "0"],
        ["text-classification", "a", "--top-k", "0"],
        ["text-classification", "-"],
    ],
)
def test_wrong_usage_is_told_apart(arguments: list[str]) -> None:
    done = CliRunner().invoke(cli.main, arguments)
    assert done.exit_code == 2
    assert "Usage: " in done.stderr
    assert done.stdout == ""


def test_every_command_has_help() -> None:
    for name, command in cli.main.commands.items():
        done = CliRunner().invoke(cli.main, [name, "-h"])
        assert done.exit_code == 0
        assert command.help
        assert not command.get_short_help_str().endswith("...")  # as click cuts it
        assert "PERCEIVER_SERVER" in done.stdout
