"""The real server, all promises on, whose worker computes nothing: `… serve --http-port 0`."""

from __future__ import annotations

from server import engine
from server.cli import main

if __name__ == "__main__":
    engine.WORKER = "benchmarks.overhead.null_worker"
    main()
