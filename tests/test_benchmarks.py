"""The benchmarks run: each at its shortest, by its own command.  Figures are not judged here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.signatures import CLASSES

ROOT = Path(__file__).parents[1]

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]


def table_of(*arguments: str) -> list[list[str]]:
    """The cells of the rows that `python -m benchmarks …` prints below its first table's head."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_parity():
    rows = table_of("parity")
    assert {row[0] for row in rows} == CLASSES
    assert all(float(row[4]) <= 1e-5 for row in rows)


def test_models():
    (row,) = table_of("models", "--only", "64 bytes", "--turns", "1")
    assert row[0] == "language, 64 bytes"
    assert all(float(cell) > 0 for cell in row[1:5])


def test_whole_of_flow():
    (row,) = table_of("whole", "--only", "flow", "--turns", "1", "--no-peaks")
    assert row[0] == "flow, a tile"
    assert all(float(cell) > 0 for cell in row[5:9])


def test_whole_of_a_clip():
    rows = table_of("whole", "--only", "clip", "--turns", "1")
    assert [row[0] for row in rows if row[0].startswith("clip")] == [
        "clip, label only",
        "clip, all of it",
        "clip, weights",
        "clip, clip",
    ]
    assert all(float(cell) > 0 for cell in rows[0][5:9])


def test_batching():
    rows = table_of("batching", "--turns", "1", "--seconds", "0.5")
    assert {row[0] for row in rows} == {"on", "off"}


def test_overhead():
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed (Debian: apt-get install wrk)")
    rows = table_of("overhead", "--rounds", "1", "--seconds", "1")
    assert {row[0] for row in rows} >= {"FastAPI", "LitServe", "ours, REST", "ours, gRPC"}
