"""What `make` and deploy/build-image say to a person, without building anything."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}


def said(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60
    )


def test_make_help_is_a_table_of_all_targets_and_names_the_variables() -> None:
    *rows, last = said("make").stdout.splitlines()
    found = [re.fullmatch(r"(make ([a-z-]+) +)\S.*", row) for row in rows]
    assert len({len(row[1]) for row in found if row}) == 1
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: help (.*)$", makefile, re.MULTILINE)
    assert {row[2] for row in found if row} == set(phony.split())
    assert all(name in last for name in re.findall(r"^([A-Z_]+) \?=", makefile, re.MULTILINE))


@pytest.mark.parametrize("target", ["serve", "install"])
def test_a_python_that_is_not_there(target: str, tmp_path) -> None:
    done = said("make", target, "PYTHON=nopython", f"VENV={tmp_path}")
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == (
        "there is no command nopython. Python 3.11 or newer is needed, for example: "
        f"make PYTHON=python3.12 {target}"
    )


def test_build_image_explains_itself() -> None:
    done = said(ROOT / "deploy" / "build-image", "--help")
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first.startswith("Builds the image")
    assert any(line.strip().startswith("TORCH, PIP_ARGS") for line in rest)
    assert "set -" not in done.stdout
