"""A child process for the tests of server/child.py: does what it is told, and no more."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import msgspec
import numpy as np

from server.parent import join_parent


class Options(msgspec.Struct):
    """`starts`: a file that gets a line per start.  `key`: without this file it dies at once."""

    starts: str | None = None
    key: str | None = None


class Hello(msgspec.Struct, tag="hello"):
    pid: int


class Echo(msgspec.Struct, tag="echo"):
    text: str


class Sleep(msgspec.Struct, tag="sleep"):
    seconds: float


class Die(msgspec.Struct, tag="die"):
    pass


class Babble(msgspec.Struct, tag="babble"):
    """Replies, and then speaks again without being asked."""


class Garbage(msgspec.Struct, tag="garbage"):
    """Sends bytes that are no frame."""


class Hang(msgspec.Struct, tag="hang"):
    pass


Call = Echo | Sleep | Die | Babble | Garbage | Hang
Reply = Hello | Echo


def main() -> None:
    options = msgspec.json.decode(sys.argv[2], type=Options)
    if options.starts:
        with Path(options.starts).open("a") as file:
            file.write(f"{os.getpid()}\n")
    if options.key and not Path(options.key).exists():
        sys.exit(1)
    channel = join_parent(int(sys.argv[1]), Call)
    channel.send(Hello(os.getpid()))
    print("echo child is up", flush=True)  # noqa: T201 (a test looks where it comes out)
    while True:
        try:
            call, rows = channel.receive()
        except (EOFError, OSError):
            return
        match call:
            case Echo():
                channel.send(call, rows)
            case Sleep(seconds):
                time.sleep(seconds)
                channel.send(Echo("slept"))
            case Die():
                os.kill(os.getpid(), signal.SIGKILL)
            case Babble():
                channel.send(Echo("one"))
                channel.send(Echo("two"), [{"x": np.zeros(3, np.float32)}])
            case Garbage():
                os.write(int(sys.argv[1]), b"\xff" * 64)
                signal.pause()
            case Hang():
                while True:
                    signal.pause()


if __name__ == "__main__":
    main()
