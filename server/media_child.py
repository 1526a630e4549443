"""The process that decodes untrusted media: `python -m server.media_child FD OPTIONS`.

It gives up what it does not need before it reads the first byte from outside: no new privileges,
no files to write, few to open, no core dumps, bounded memory and CPU.  The parent kills it when a
call takes too long (server/child.py).  One call at a time, one reply each.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import math
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from perceiver_core.errors import CheckpointError, InvalidInput
from perceiver_core.pipelines import open_pipeline
from server.errors import INTERNAL
from server.frames import Channel, Row
from server.media import decode_image
from server.messages import Failed, MediaOptions, MediaReady, Preprocess, Preprocessed
from server.parent import join_parent

log = logging.getLogger(__name__)

_PR_SET_NO_NEW_PRIVS = 38
_OPEN_FILES = 32


def main() -> None:
    """Answers calls until the parent hangs up."""
    options = msgspec.json.decode(sys.argv[2], type=MediaOptions)
    channel: Channel[Preprocess] = join_parent(int(sys.argv[1]), Preprocess)
    confine(options.memory_bytes)
    channel.send(MediaReady())
    with suppress(EOFError, OSError):
        while True:
            call, rows = channel.receive()
            _limit_cpu(options.time_limit_s)
            channel.send(*answer(call, rows, options.max_pixels))


def answer(call: Preprocess, rows: list[Row], max_pixels: int) -> tuple[msgspec.Struct, list[Row]]:
    """The item's rows, or why there are none."""
    try:
        pipeline = open_pipeline(Path(call.folder))
        item: Any = msgspec.msgpack.decode(rows[0]["item"].tobytes(), type=pipeline.input_type)
        pipeline.decode = functools.partial(decode_image, max_pixels=max_pixels)  # type: ignore[attr-defined]
        return Preprocessed(), pipeline.preprocess(item)
    except InvalidInput as error:
        return Failed(getattr(error, "code", "invalid_input"), str(error)), []
    except CheckpointError as error:
        return Failed("load_failed", str(error)), []
    except MemoryError:
        return Failed("too_large", "the image takes too much memory: send a smaller one"), []
    except Exception:
        log.exception("preprocessing failed: our bug")
        return Failed("internal", INTERNAL), []


def confine(memory_bytes: int) -> None:
    """Gives up privileges and resources, for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    limits = {
        resource.RLIMIT_AS: _address_space() + memory_bytes,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    for kind, limit in limits.items():
        _, hard = resource.getrlimit(kind)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (limit, limit))


def _limit_cpu(seconds: float) -> None:
    """One call's CPU time, in case the parent cannot kill us."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit = math.ceil(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def _address_space() -> int:
    """Bytes of address space that the interpreter and its libraries take already."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="media_child %(levelname)s %(message)s")
    main()
