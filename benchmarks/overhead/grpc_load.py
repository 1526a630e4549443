"""`grpc_load URL AT_ONCE SECONDS`: one channel, so many calls at once, each as soon as the last.

Prints what wrk.lua prints.  Its own work is on the same cores as the server's, as wrk's is, and it
is much slower than wrk: read its figures as what a Python caller gets.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import grpc

from protos.perceiver.v1 import perceiver_pb2 as pb

METHOD = "/perceiver.v1.Perceiver/TextClassification"


async def main(target: str, at_once: int, seconds: float) -> None:
    times: list[float] = []
    async with grpc.aio.insecure_channel(target) as channel:
        call = channel.unary_unary(
            METHOD,
            request_serializer=pb.TextClassificationRequest.SerializeToString,
            response_deserializer=pb.TextClassificationResponse.FromString,
        )
        request = pb.TextClassificationRequest(inputs=["hello"])
        began = time.perf_counter()

        async def ask() -> None:
            while (now := time.perf_counter()) < began + seconds:
                await call(request)
                times.append(time.perf_counter() - now)

        await asyncio.gather(*(ask() for _ in range(at_once)))
        spent = time.perf_counter() - began
    times.sort()
    found = {
        "requests": len(times),
        "microseconds": spent * 1e6,
        "p50": times[len(times) // 2] * 1e6,
        "p99": times[len(times) * 99 // 100] * 1e6,
        "errors": 0,  # any is an exception
    }
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1].removeprefix("grpc://"), int(sys.argv[2]), float(sys.argv[3])))
