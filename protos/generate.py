"""Writes the Python messages of every .proto: `python -m protos.generate [--check]`.

The server's copy stands beside the .proto, the client package has its own, the same bytes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "protos"
PROTOS = ("perceiver/v1/perceiver.proto",)
CLIENT = ROOT / "clients" / "python" / "perceiver_client"


def generated() -> dict[Path, bytes]:
    """Every generated file and what belongs in it."""
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{SOURCES}"]
        command += [f"--python_out={folder}", f"--pyi_out={folder}", *PROTOS]
        if subprocess.run(command, check=False).returncode:
            sys.exit("protoc failed: its words are above")
        for path in Path(folder).rglob("*_pb2.py*"):
            content = path.read_bytes()
            files[SOURCES / path.relative_to(folder)] = content
            files[CLIENT / path.name] = content
    return files


def main() -> None:
    """Writes the files, or says which are out of date."""
    files = generated()
    stale = [p for p, content in files.items() if not p.exists() or p.read_bytes() != content]
    if "--check" in sys.argv[1:]:
        if stale:
            names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
            sys.exit(f"out of date: {names}: run `make proto`")
        return
    for path in stale:
        path.write_bytes(files[path])


if __name__ == "__main__":
    main()
