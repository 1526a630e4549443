"""`perceiver-server` with the worker of light_worker: python -m tests.server.flow_server serve …"""

import server.engine
from server.cli import main

server.engine.WORKER = "tests.server.light_worker"
main()
