"""`python -m tests.server.sealed WHAT`: reads hostile videos in a process that the kernel kills at
its first attempt to open a file or to make a socket, whether or not it would succeed.

WHAT is `ours`, or a way to open that does not refuse: to see that the seal holds.
"""

import ctypes
import io
import platform
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import av

from perceiver_core.errors import InvalidInput
from perceiver_core.pipelines.multimodal_autoencoding import Format
from server.media.limits import Limits
from server.media.video import read_video
from tests.server.hostile import ANSWERED, HLS, REFUSED

WANTED = Format(2, 16, 16, 640, 25, 8000)
LIMITS = Limits(pixels=25_000_000, seconds=60, frames=2000, rows=1024)
# open, openat, creat, socket, connect, openat2
CALLS = {"x86_64": (2, 257, 85, 41, 42, 437), "aarch64": (56, 198, 203, 437)}
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
KILL, ALLOW = 0x80000000, 0x7FFF0000


def seal() -> None:
    """A seccomp filter: the calls above kill, all others are allowed."""
    calls = CALLS[platform.machine()]
    program = struct.pack("<HBBI", LOAD, 0, 0, 0)  # the call's number
    for left, call in enumerate(reversed(calls)):
        jump = struct.pack("<HBBI", JUMP_IF_EQUAL, left + 1, 0, call)
        program = program[:8] + jump + program[8:]
    program += struct.pack("<HBBI", RETURN, 0, 0, ALLOW) + struct.pack("<HBBI", RETURN, 0, 0, KILL)
    buffer = ctypes.create_string_buffer(program)
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, FILTER, ctypes.create_string_buffer(header)) == 0


def ours(files: list[bytes]) -> None:
    """As the media child reads."""
    for data in files:
        with suppress(InvalidInput):
            read_video(data, WANTED, LIMITS)


def a_playlist(_: list[bytes]) -> None:
    """libav as it comes."""
    av.open(io.BytesIO(HLS.encode()), "r")


def a_reference(_: list[bytes]) -> None:
    """The MOV demuxer where it is told to follow references."""
    options = {"enable_drefs": "1", "use_absolute_path": "1"}
    data = REFUSED["a track in another file"][0]()
    av.open(io.BytesIO(data), "r", format="mov", container_options=options)


def nothing(_: list[bytes]) -> None:
    """An open of our own."""
    open("/dev/null").close()  # noqa: PTH123


WAYS: dict[str, Callable[[list[bytes]], Any]] = {
    way.__name__: way for way in (ours, a_playlist, a_reference, nothing)
}


def main() -> None:
    """Warms up, seals, reads."""
    files = [make() for make, _, _ in REFUSED.values()]
    files += [make() for make, _ in ANSWERED.values()]
    ours(files[-1:])
    seal()
    WAYS[sys.argv[1]](files)


if __name__ == "__main__":
    main()
