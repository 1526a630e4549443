"""Every command of the pages that users read runs, and answers as printed there.

A `console` block holds commands after `$ ` and what they print. JSON is compared value by value,
other output as it stands, where `…` stands for anything; numbers to 0.02 or, if that is more, half
a percent, for another processor rounds otherwise. A `python` block runs as it is, and prints what
the comment behind a `print(…)` says. `sh` blocks are make targets, which must exist.
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
PAGES = {
    str(page.relative_to(ROOT)): page.read_text(encoding="utf-8")
    for page in (
        ROOT / "README.md",
        ROOT / "clients" / "python" / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
    )
}
TOLERANCE, SHARE = 0.02, 0.005
NUMBER = r"\d+\.\d+"


def blocks(kind: str) -> list[tuple[str, str]]:
    """(page, what stands in a block of the kind), in order."""
    found = re.compile(rf"^```{kind}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [(page, block) for page, text in PAGES.items() for block in found.findall(text)]


def console_steps() -> list[tuple[str, str, str]]:
    """(page, command, expected output) of every `console` block, in order."""
    steps = []
    for page, text in blocks("console"):
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            end = next(i for i, line in enumerate(lines) if not line.endswith("\\"))
            command = "\n".join(lines[: end + 1])
            steps.append((page, command, "\n".join(lines[end + 1 :]).strip()))
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


@pytest.mark.parametrize(("page", "command", "expected"), console_steps())
def test_command_prints_what_the_page_says(served, page, command, expected):
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
        assert found == pytest.approx(expected, abs=TOLERANCE, rel=SHARE)
    else:
        assert found == expected


@pytest.mark.parametrize(("page", "code"), blocks("python"))
def test_python_block_runs(served, page, code, monkeypatch):
    monkeypatch.chdir(ROOT)
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(addressed(code, served), page, "exec"), {})  # noqa: S102  # it is our page
    comments = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE)
    same_output(printed.getvalue(), "…".join(["", *comments, ""]))


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    others = ("CONTRIBUTING.md", "benchmarks/README.md", "deploy/README.md")
    for page, text in {**PAGES, **{name: (ROOT / name).read_text() for name in others}}.items():
        used = set(re.findall(r"(?:^|[|`] *`?)make ([a-z-]+)", text, re.MULTILINE))
        assert used <= targets, page


def test_links_lead_somewhere():
    for page, text in PAGES.items():
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert ((ROOT / page).parent / link).exists(), (page, link)


def test_every_setting_is_documented():
    from server.config import Settings

    page = PAGES["docs/configuration.md"]
    assert not [name for name in Settings.model_fields if f"| `{name}` |" not in page]


def test_every_error_code_is_documented():
    from server.errors import KINDS

    assert not [code for code in KINDS if f"`{code}`" not in PAGES["docs/rest.md"]]
