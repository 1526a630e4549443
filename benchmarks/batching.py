"""What batching gains and costs: one server that batches and one with `--max-batch 1`.

Both are real processes with one worker thread each, and take turns. One caller sends each text to
both, so that whatever slows the machine slows both alike; 16 and 64 callers (benchmarks/load.py, a
third process) each send the next text when they have their answer. The mean batch is from /metrics.

The embedded models read 512 bytes at most, so the model is random: of the published language
model's shape with a quarter of its latents, a fifth of their width and 8 of its 26 layers, such
that a text takes 5 to 20 ms.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import quantiles
from typing import Any

import click

from benchmarks.load import texts
from benchmarks.report import Row, json_option, report
from tests.live_server import LiveServer, serving
from tests.tiny import make_text_classifier

CALLERS = (16, 64)
REQUESTS_ALONE = 400
SIZES: dict[str, Any] = {
    "num_latents": 64,
    "d_latents": 256,
    "d_model": 128,
    "num_self_attends_per_block": 8,
    "num_self_attention_heads": 8,
    "num_cross_attention_heads": 8,
    "max_position_embeddings": 2048,
}
FORMATS = {
    "batching": "",
    "callers": "",
    "requests/s": ".0f",
    "mean batch": ".1f",
    "p50 ms": ".1f",
    "p99 ms": ".1f",
}
Servers = dict[str, LiveServer]


@click.command()
@click.option("--turns", default=3, show_default=True, help="Turns of each server under load.")
@click.option("--seconds", default=3.0, show_default=True, help="Length of a turn.")
@json_option
def main(turns: int, seconds: float, file: Path | None) -> None:
    """Requests/s and latency with and without batching."""
    with tempfile.TemporaryDirectory() as folder:
        make_text_classifier(Path(folder), **SIZES)
        model = ("--models", f"default={folder}", "--default-models", "text-classification=default")
        with serving(*model, "--max-batch", "1") as off, serving(*model) as on:
            rows = list(_rows({"off": off, "on": on}, turns, seconds))
    title = (
        f"Batching: texts of 8 to 2,046 bytes over REST; under load {turns} turns of {seconds:g} s"
    )
    report(title, FORMATS, rows, file)


def _rows(servers: Servers, turns: int, seconds: float) -> Iterator[Row]:
    _alone(servers, 20)  # loads the model
    for name, taken in _alone(servers, REQUESTS_ALONE).items():
        yield _row(name, 1, len(taken) / sum(taken), 1.0, taken)
    for callers in CALLERS:
        before = {name: _computed(server) for name, server in servers.items()}
        answers = {name: list[float]() for name in servers}
        for turn in range(turns):
            for name, server in servers.items():
                answers[name] += _load(server, callers, seconds, seed=turn)
        for name, server in servers.items():
            rows, batches = (b - a for a, b in zip(before[name], _computed(server), strict=True))
            rate = len(answers[name]) / (turns * seconds)
            yield _row(name, callers, rate, rows / batches, answers[name])


def _row(name: str, callers: int, rate: float, batch: float, taken: list[float]) -> Row:
    cuts = [1000 * cut for cut in quantiles(taken, n=100)]
    return dict(zip(FORMATS, [name, callers, rate, batch, cuts[49], cuts[98]], strict=True))


def _alone(servers: Servers, requests: int) -> dict[str, list[float]]:
    """Seconds of every answer where nobody else asks."""
    taken: dict[str, list[float]] = {name: [] for name in servers}
    for text in islice(texts(seed=0), requests):
        for name, server in servers.items():
            started = time.perf_counter()
            server.post("text-classification", json={"inputs": text}).raise_for_status()
            taken[name].append(time.perf_counter() - started)
    return taken


def _load(server: LiveServer, callers: int, seconds: float, seed: int) -> list[float]:
    """Seconds of every answer to a process of callers."""
    url = f"{server.url}/v1/text-classification"
    command = [sys.executable, "-m", "benchmarks.load", url, *map(str, (callers, seconds, seed))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    taken: list[float] = json.loads(done.stdout)
    return taken


def _computed(server: LiveServer) -> tuple[float, float]:
    """Rows and batches so far."""
    return server.metric("items_computed_total"), server.metric("batches_total")


if __name__ == "__main__":
    main()
