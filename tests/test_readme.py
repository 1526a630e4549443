"""Every command of the README runs, and answers as printed there.

A `console` block holds commands after `$ ` and what they print. JSON is compared value by value
(numbers to 0.02: another processor rounds otherwise), other output line by line, where `…` stands
for anything. A `python` block runs as it is. `sh` blocks are make targets, which must exist.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
TOLERANCE = 0.02


def console_steps() -> list[tuple[str, str]]:
    """(command, expected output) of every `console` block, in order."""
    steps = []
    for kind, text in BLOCKS:
        if kind == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                lines = part.splitlines()
                end = next(i for i, line in enumerate(lines) if not line.endswith("\\"))
                command = "\n".join(lines[: end + 1])
                steps.append((command, "\n".join(lines[end + 1 :]).strip()))
    return steps


@pytest.fixture(scope="module")
def url():
    """A real server on the embedded models."""
    command = [sys.executable, "-m", "server", "serve", "--http-port", "0", "--grpc-port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield found[0]
        process.terminate()
        process.stdout.read()
        assert process.wait(30) == 0


def run(command: str, url: str) -> str:
    command = command.replace("http://localhost:8000", url).replace("localhost:8000", url[7:])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("command", "expected"), console_steps())
def test_command_prints_what_the_readme_says(url, command, expected):
    found = run(command, url)
    try:
        same_values(json.loads(found), json.loads(expected))
    except json.JSONDecodeError:
        pattern = "(?s:.*)".join(re.escape(part) for part in expected.split("…"))
        assert re.fullmatch(pattern, found), found


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


@pytest.mark.parametrize("code", [text for kind, text in BLOCKS if kind == "python"])
def test_python_block_runs(url, code, monkeypatch):
    monkeypatch.chdir(ROOT)
    exec(compile(code.replace("http://localhost:8000", url), "README.md", "exec"), {})  # noqa: S102  # it is our README


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE))
    assert used
    assert used <= targets


def test_every_setting_is_documented():
    from server.config import Settings

    missing = [name for name in Settings.model_fields if f"`{name}`" not in README]
    assert not missing


def test_every_error_code_is_documented():
    from server.errors import KINDS

    assert not [code for code in KINDS if f"`{code}`" not in README]
