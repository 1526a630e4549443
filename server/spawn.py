"""How our own processes are started."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def python(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """The command and the environment that run one of our modules.

    -P and PYTHONPATH: it imports this very code, not a folder `server` or a file `ctypes.py` of
    wherever the user happens to stand.
    """
    home = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
    return [sys.executable, "-P", "-m", module, *arguments], {**os.environ, "PYTHONPATH": path}
