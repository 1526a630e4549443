"""What a process has open, by the kernel's names."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path


def open_files(pid: int | str = "self") -> Counter[str]:
    """The files, sockets and pipes that a process has open now.

    Names, no number: a socket or pipe that is opened later has another name, so `now - before` is
    what has been opened since and is still open, whatever else was closed meanwhile.
    """
    found: Counter[str] = Counter()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile; iterdir's own, too
            found[str(file.readlink())] += 1
    return found
