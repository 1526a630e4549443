"""`python -m server.worker FD OPTIONS`: the worker's main loop.  Started by server/child.py."""

from __future__ import annotations

import logging
import sys

import msgspec

from server.faults import FaultPlan
from server.frames import FrameError
from server.messages import Failed, Load, Run, Unload, Unloaded, WorkerCall, WorkerOptions
from server.parent import join_parent
from server.worker.device import settle
from server.worker.runner import Runner


def main() -> None:
    """Announces the device, then answers one call after another until the parent goes."""
    logging.basicConfig(format="worker %(levelname)s %(message)s", level=logging.INFO)
    channel = join_parent(int(sys.argv[1]), WorkerCall)
    options = msgspec.json.decode(sys.argv[2], type=WorkerOptions)
    try:
        faults = FaultPlan.read(options.fault_plan)
        ready = settle(options)
    except ValueError as error:
        channel.send(Failed("invalid_input", str(error)))
        return
    faults.start()
    runner = Runner(ready, faults)
    try:
        channel.send(ready)
        while True:
            call, rows = channel.receive()
            match call:
                case Load(model, folder):
                    channel.send(runner.load(model, folder))
                case Unload(model):
                    runner.unload(model)
                    channel.send(Unloaded())
                case Run(model):
                    reply, outputs = runner.run(model, rows)
                    try:
                        channel.send(reply, outputs)
                    except FrameError as error:  # before the first byte: the channel is whole
                        channel.send(Failed("internal", str(error)))
    except (EOFError, OSError):
        return  # the parent has gone


if __name__ == "__main__":
    main()
