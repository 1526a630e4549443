"""`perceiver-server pull` as a user runs it, checkpoints as the hub has them, and such a hub."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import torch

from perceiver_core.config import PerceiverConfig
from perceiver_core.tasks import TASK_MODELS
from server.spawn import python
from tests.live_server import ROOT
from tests.tiny import randomise

NAME = "language-perceiver"
REVISION = "a" * 40
SMALL = {
    "num_latents": 8,
    "d_latents": 16,
    "d_model": 16,
    "num_self_attends_per_block": 1,
    "num_self_attention_heads": 2,
    "num_cross_attention_heads": 8,
    "max_position_embeddings": 64,
}


def pickled(folder: Path, task_model: str, numbers: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Lays a folder out as the hub's: config.json and pytorch_model.bin; its tensors."""
    config = PerceiverConfig(**numbers)
    config.architectures = [task_model]
    model = TASK_MODELS[task_model](config)
    randomise(model)
    folder.mkdir()
    config.save_pretrained(folder)
    tensors = dict(model.state_dict())
    torch.save(tensors, folder / "pytorch_model.bin")  # noqa: TID251 (as the hub's files were)
    return tensors


def pull(
    models: Path, *arguments: str | Path, cwd: Path = ROOT, **env: str
) -> subprocess.CompletedProcess[str]:
    command, ours = python("server", "pull", *map(str, arguments), "--models-dir", str(models))
    return subprocess.run(
        command,
        cwd=cwd,
        env={**ours, "HF_HUB_DISABLE_XET": "1", **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


class Hub(BaseHTTPRequestHandler):
    """The two questions that pull asks the hub, answered from a folder."""

    folder: ClassVar[Path]
    lies: ClassVar[set[str]]  # files of which another checksum is told
    asked: ClassVar[list[str]]

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def answer(self, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        name = path.rpartition("/")[2]
        headers = {"X-Repo-Commit": REVISION}
        if path == f"/api/models/deepmind/{NAME}":
            body = json.dumps(self.info()).encode()
        elif path.startswith(f"/deepmind/{NAME}/resolve/{REVISION}/"):
            body = (self.folder / name).read_bytes()
            headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()}"'
        else:
            self.send_error(404)
            return
        self.send_response(200)
        for key, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def info(self) -> dict[str, Any]:
        files = []
        for file in sorted(self.folder.iterdir()):
            body = file.read_bytes()
            if file.name in self.lies:
                body += b"!"
            told: dict[str, Any] = {"rfilename": file.name, "size": len(body)}
            told["blobId"] = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()  # noqa: S324
            if file.suffix == ".bin":
                sha256 = hashlib.sha256(body).hexdigest()
                told["lfs"] = {"sha256": sha256, "size": len(body), "pointerSize": 1}
            files.append(told)
        return {"id": f"deepmind/{NAME}", "sha": REVISION, "siblings": files}

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def hub(folder: Path, *lies: str) -> Iterator[tuple[str, list[str]]]:
    """Its URL, and what it is asked."""
    handler = type("OfFolder", (Hub,), {"folder": folder, "lies": {*lies}, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", handler.asked  # type: ignore[attr-defined]  # made above
        finally:
            server.shutdown()
            thread.join()


def may_leave_the_network() -> bool:
    """Whether this machine gives a process a network of its own: asked of a process of its own."""
    tried = subprocess.run(
        [
            sys.executable,
            "-c",
            f"""
import ctypes
libc = ctypes.CDLL(None)
raise SystemExit(libc.unshare({0x40000000}) and libc.unshare({0x50000000}))""",
        ],
        check=False,
    )
    return tried.returncode == 0
