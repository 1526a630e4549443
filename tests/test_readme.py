"""Every command of the README runs, and answers as printed there.

A `console` block holds commands after `$ ` and what they print. JSON is compared value by value,
other output as it stands, where `…` stands for anything; numbers to 0.02, for another processor
rounds otherwise. A `python` block runs as it is, and prints what the comment behind a `print(…)`
says. `sh` blocks are make targets, which must exist.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOLERANCE = 0.02
NUMBER = r"\d+\.\d+"


def blocks(kind: str, readme: str = README) -> list[str]:
    """What stands in the blocks of a kind, in order."""
    return re.findall(rf"^```{kind}\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)


def console_steps(readme: str = README) -> list[tuple[str, str]]:
    """(command, expected output) of every `console` block, in order."""
    steps = []
    for text in blocks("console", readme):
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            end = next(i for i, line in enumerate(lines) if not line.endswith("\\"))
            command = "\n".join(lines[: end + 1])
            steps.append((command, "\n".join(lines[end + 1 :]).strip()))
    return steps


@pytest.fixture(scope="module")
def served():
    """Addresses of READMEs -> those of a real server on the embedded models."""
    command = [sys.executable, "-m", "server", "serve", "--http-port", "0", "--grpc-port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://(\S+) and grpc://(\S+)", process.stdout.readline())
        assert found is not None
        yield {"localhost:8000": found[1], "localhost:8001": found[2]}
        process.terminate()
        process.stdout.read()
        assert process.wait(30) == 0


def addressed(text: str, served: Mapping[str, str]) -> str:
    for shown, real in served.items():
        text = text.replace(shown, real)
    return text


def run(command: str, served: Mapping[str, str]) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    servers = {  # what a command asks that names no server
        "PERCEIVER_SERVER": f"http://{served['localhost:8000']}",
        "PERCEIVER_GRPC_SERVER": f"grpc://{served['localhost:8001']}",
    }
    done = subprocess.run(
        ["/bin/sh", "-c", addressed(command, served)],
        cwd=ROOT,
        env={**os.environ, "PATH": path, **servers},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("command", "expected"), console_steps())
def test_command_prints_what_the_readme_says(served, command, expected):
    same_output(run(command, served), expected)


def same_output(found: str, expected: str) -> None:
    try:
        same_values(json.loads(found), json.loads(expected))
    except json.JSONDecodeError:
        wanted = re.sub(NUMBER, "0.0", expected)
        pattern = "(?s:.*)".join(re.escape(part) for part in wanted.split("…"))
        assert re.fullmatch(pattern, re.sub(NUMBER, "0.0", found)), found
        if "…" not in expected:
            numbers = [float(number) for number in re.findall(NUMBER, expected)]
            same_values([float(number) for number in re.findall(NUMBER, found)], numbers)


def same_values(found: object, expected: object) -> None:
    """Equal but for the last digits of numbers."""
    assert type(found) is type(expected)
    if isinstance(expected, dict) and isinstance(found, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            same_values(found[key], expected[key])
    elif isinstance(expected, list) and isinstance(found, list):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            same_values(a, b)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=TOLERANCE)
    else:
        assert found == expected


@pytest.mark.parametrize("code", blocks("python"))
def test_python_block_runs(served, code, monkeypatch):
    run_python(code, served, monkeypatch)


def run_python(code: str, served: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(addressed(code, served), "README.md", "exec"), {})  # noqa: S102  # it is our README
    comments = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE)
    same_output(printed.getvalue(), "…".join(["", *comments, ""]))


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [ROOT / page for page in ("README.md", "CONTRIBUTING.md")]
    pages += [ROOT / part / "README.md" for part in ("benchmarks", "deploy")]
    for page in pages:
        used = set(re.findall(r"^(?:\| `)?make ([a-z-]+)", page.read_text(), re.MULTILINE))
        assert used <= targets, page.name


def test_every_setting_is_documented():
    from server.config import Settings

    missing = [name for name in Settings.model_fields if f"`{name}`" not in README]
    assert not missing


def test_every_error_code_is_documented():
    from server.errors import KINDS

    assert not [code for code in KINDS if f"`{code}`" not in README]
