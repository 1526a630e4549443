"""`python -m benchmarks.overhead`: every contender in turn, several short rounds, one table."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
import httpx

from benchmarks.overhead.contenders import (
    HERE,
    LITSERVE,
    ROOT,
    Contender,
    fastapi,
    litserve,
    ours,
    wrk,
)

BODY = '{"inputs": "hello"}'
JSON = {"Content-Type": "application/json"}
CONCURRENCIES = (1, 16)
YARDSTICK = "LitServe"


@dataclass(frozen=True)
class Round:
    """One contender under load for some seconds.  Latencies in ms."""

    p50: float
    p99: float
    rate: float  # requests per second
    cpu: float  # microseconds per request, all processes of the server


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Rounds; the table has their medians.")
@click.option("--seconds", default=3, show_default=True, help="Length of one measurement.")
@click.option(
    "--environment",
    default=ROOT / "runs" / "litserve",
    type=click.Path(path_type=Path),
    help="Where LitServe is installed.",
)
@click.option("--only", multiple=True, help="Contenders to measure, by the start of their name.")
def main(rounds: int, seconds: int, environment: Path, only: Sequence[str]) -> None:
    """Overhead of a server whose model does nothing, beside FastAPI and LitServe."""
    wrk()
    seen: dict[tuple[str, int], list[Round]] = defaultdict(list)
    with ExitStack() as running:
        started = (fastapi(), litserve(environment), ours())
        contenders = [one for context in started for one in running.enter_context(context)]
        chosen = [one for one in contenders if one.name.startswith(tuple(only) or "")]
        for one in chosen:
            if one.url.startswith("http:"):
                httpx.post(
                    one.url, content=BODY, headers=JSON, timeout=60
                ).raise_for_status()  # loads the model
            measure(one, 1, 1)
        for _ in range(rounds):
            for concurrency in CONCURRENCIES:
                for one in chosen:
                    seen[one.name, concurrency].append(measure(one, concurrency, seconds))
    print(facts(rounds, seconds))
    print(table(seen))


def measure(one: Contender, concurrency: int, seconds: int) -> Round:
    """One closed loop of `concurrency` connections; every answer must be a good one."""
    before = one.cpu_seconds()
    generator = _wrk if one.url.startswith("http:") else _grpc
    output = subprocess.run(
        generator(one.url, concurrency, seconds), check=True, capture_output=True, text=True
    ).stdout
    cpu = one.cpu_seconds() - before
    found = json.loads(output.strip().splitlines()[-1])
    if found["errors"] or not found["requests"]:
        raise SystemExit(f"{one.name} at {concurrency}: {found}")
    return Round(
        p50=found["p50"] / 1000,
        p99=found["p99"] / 1000,
        rate=found["requests"] / found["microseconds"] * 1e6,
        cpu=cpu / found["requests"] * 1e6,
    )


def _wrk(url: str, concurrency: int, seconds: int) -> list[str]:
    script = ("-s", str(HERE / "wrk.lua"), url)
    return [wrk(), "-t1", f"-c{concurrency}", f"-d{seconds}s", *script, "--", BODY]


def _grpc(url: str, concurrency: int, seconds: int) -> list[str]:
    module = "benchmarks.overhead.grpc_load"
    return [sys.executable, "-m", module, url, str(concurrency), str(seconds)]


def table(seen: dict[tuple[str, int], list[Round]]) -> str:
    """Markdown: the median of the rounds."""
    lines = [
        "| server | at once | p50 ms | p99 ms | requests/s | of LitServe's | CPU µs/request |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for concurrency in CONCURRENCIES:
        yardstick = seen.get((YARDSTICK, concurrency))
        for (name, at_once), found in seen.items():
            if at_once != concurrency:
                continue
            p50, p99, rate, cpu = (median(found, key) for key in ("p50", "p99", "rate", "cpu"))
            ratio = f"{rate / median(yardstick, 'rate'):.2f}" if yardstick else "–"
            cells = (f"{p50:.2f}", f"{p99:.2f}", f"{rate:,.0f}", ratio, f"{cpu:.0f}")
            lines.append(f"| {name} | {concurrency} | {' | '.join(cells)} |")
    return "\n".join(lines)


def median(found: Sequence[Round], key: str) -> float:
    """Of one figure, over the rounds."""
    return statistics.median([float(getattr(one, key)) for one in found])


def facts(rounds: int, seconds: int) -> str:
    """What the figures were taken on."""
    info = Path("/proc/cpuinfo").read_text()
    models = {
        line.partition(": ")[2] for line in info.splitlines() if line.startswith("model name")
    }
    return (
        f"{', '.join(models)}, {os.cpu_count()} CPUs, Python {platform.python_version()}, "
        f"{LITSERVE}; wrk for HTTP, an asyncio client for gRPC (its own cost is in its figures); "
        f"medians of {rounds} rounds of {seconds} s\n"
    )


if __name__ == "__main__":
    main()
