"""`python -m benchmarks.load URL CALLERS SECONDS SEED`: so many callers, each sending its next text
when it has its answer. Prints the seconds of every answer that came in time, as a JSON list.

Texts are random ASCII of 8 to 2,046 bytes: with its two markers the longest fills 2,048 positions.
"""

from __future__ import annotations

import asyncio
import json
import random
import string
import sys
import time
from collections.abc import Iterator

import httpx

SHORTEST, LONGEST = 8, 2046
SETTLE_S = 0.5  # until the callers are out of step with each other


def texts(seed: int) -> Iterator[str]:
    """Texts without end, their lengths uniform."""
    source = random.Random(seed)
    while True:
        yield "".join(source.choices(string.printable, k=source.randint(SHORTEST, LONGEST)))


async def load(url: str, callers: int, seconds: float, seed: int) -> list[float]:
    """Seconds of each request that was answered between settling and the end."""
    bodies, taken = texts(seed), list[float]()
    begin = time.perf_counter() + SETTLE_S
    end = begin + seconds

    async def call(http: httpx.AsyncClient) -> None:
        while (started := time.perf_counter()) < end:
            response = await http.post(url, json={"inputs": next(bodies)})
            response.raise_for_status()
            if begin < (now := time.perf_counter()) < end:
                taken.append(now - started)

    limits = httpx.Limits(max_connections=callers)
    async with httpx.AsyncClient(limits=limits, timeout=60) as http, asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(call(http))
    return taken


if __name__ == "__main__":
    url, callers, seconds, seed = sys.argv[1:]
    print(json.dumps(asyncio.run(load(url, int(callers), float(seconds), int(seed)))))
