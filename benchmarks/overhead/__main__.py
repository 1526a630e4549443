"""`python -m benchmarks.overhead`: every contender in turn, several short rounds, one table."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
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
from benchmarks.report import Row, json_option, report

BODY = '{"inputs": "hello"}'
JSON = {"Content-Type": "application/json"}
CONCURRENCIES = (1, 16)
YARDSTICK = "LitServe"
FORMATS = {
    "server": "",
    "at once": "",
    "p50 ms": ".2f",
    "p99 ms": ".2f",
    "requests/s": ",.0f",
    "of LitServe's": ".2f",
    "CPU µs/request": ".0f",
}


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
@json_option
def main(
    rounds: int, seconds: int, environment: Path, only: Sequence[str], file: Path | None
) -> None:
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
    title = (
        f"Overhead: {LITSERVE}, wrk for HTTP, an asyncio client for gRPC (its own cost is in its "
        f"figures), medians of {rounds} rounds of {seconds} s"
    )
    report(title, FORMATS, rows_of(seen), file)


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


def rows_of(seen: Mapping[tuple[str, int], Sequence[Round]]) -> list[Row]:
    """The medians of the rounds, by concurrency."""
    rows: list[Row] = []
    for concurrency in CONCURRENCIES:
        yardstick = median(seen.get((YARDSTICK, concurrency), ()), "rate")
        for (name, at_once), found in seen.items():
            if at_once != concurrency:
                continue
            p50, p99, rate, cpu = (median(found, key) for key in ("p50", "p99", "rate", "cpu"))
            figures = (name, concurrency, p50, p99, rate, rate / yardstick, cpu)
            rows.append(dict(zip(FORMATS, figures, strict=True)))
    return rows


def median(found: Sequence[Round], key: str) -> float:
    """Of one figure, over the rounds; not a number where there is none."""
    return statistics.median([float(getattr(one, key)) for one in found] or [math.nan])


if __name__ == "__main__":
    main()
