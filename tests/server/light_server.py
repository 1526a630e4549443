"""`perceiver-server` with the worker of light_worker: python -m tests.server.light_server."""

import server.engine
from server.cli import main

server.engine.WORKER = "tests.server.light_worker"

if __name__ == "__main__":
    main()
