"""What a process gives up for good before it reads a stranger's bytes."""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path

_PR_SET_NO_NEW_PRIVS = 38
_OPEN_FILES = 32


def confine(memory_bytes: int, file_bytes: int = 0) -> None:
    """No new privileges, no core dumps, no more threads or processes, few open files.

    memory_bytes: of address space, beyond what is taken already.
    file_bytes: the longest file that may be written.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    limits = {
        resource.RLIMIT_AS: _address_space() + memory_bytes,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    for kind, limit in limits.items():
        _, hard = resource.getrlimit(kind)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (limit, limit))


def _address_space() -> int:
    """Bytes of address space that the interpreter and its libraries take already."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
