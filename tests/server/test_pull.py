"""`perceiver-server pull`, as a user runs it, from folders and from a hub of our own."""

import hashlib
import json
import os
import pickle  # noqa: TID251 (what a hostile file holds)
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file

from perceiver_core.config import PerceiverConfig
from perceiver_core.tasks import TASK_MODELS
from server.pull import PullError
from server.pull import pull as pull_here
from tests.live_server import ROOT, serving
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
# The numbers of the hub's own config.json files, where they differ from the defaults.
PUBLISHED: dict[str, tuple[str, dict[str, Any], str]] = {
    "vision-perceiver-conv": (
        "PerceiverForImageClassificationConvProcessing",
        {"num_latents": 512, "d_latents": 1024, "d_model": 322, "num_blocks": 8}
        | {"num_self_attends_per_block": 6, "num_cross_attention_heads": 1, "num_labels": 1000},
        "48,646,522 parameters",
    ),
    "multimodal-perceiver": (
        "PerceiverForMultimodalAutoencoding",
        {"num_latents": 784, "d_latents": 512, "d_model": 704, "num_self_attends_per_block": 8}
        | {"num_cross_attention_heads": 1, "num_labels": 700},
        "19,858,855 parameters, 183 tensors",
    ),
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


def pull(models: Path, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", "pull", *map(str, arguments), "--models-dir", str(models)],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_DISABLE_XET": "1", **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / NAME
    pickled(folder, "PerceiverForMaskedLM", SMALL)
    return folder


def test_a_folder_laid_out_as_the_hubs_becomes_a_model_that_is_served(
    laid_out: Path, tmp_path: Path
) -> None:
    done = pull(tmp_path / "models", NAME, "--from", laid_out)
    assert done.returncode == 0, done.stderr
    assert "PerceiverForMaskedLM" in done.stdout
    assert ("without a network" in done.stdout) == may_leave_the_network()
    assert {file.name for file in (tmp_path / "models" / NAME).iterdir()} == {
        "config.json",
        "model.safetensors",
    }
    assert not list(tmp_path.glob("models/.*"))
    with serving("--models-dir", tmp_path / "models") as server:
        body = {"inputs": "a[MASK]c", "model": NAME}
        assert server.post("fill-mask", json=body).status_code == 200
    again = pull(tmp_path / "models", NAME, "--from", laid_out)
    assert again.returncode == 1
    assert "is there already" in again.stderr


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


def test_without_a_network_of_its_own_it_converts_and_says_so(
    laid_out: Path, tmp_path: Path
) -> None:
    no_namespaces = "import ctypes, resource; from server import pull_child as c; "
    no_namespaces += "c.leave_network = lambda: False; c.main()"
    for file in laid_out.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", no_namespaces, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "with the network at hand" in done.stdout


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda file: file.write_bytes(b"no weights"), "damaged or holds more than weights"),
        (lambda file: torch.save([1, 2], file), "does not hold tensors by name"),  # noqa: TID251
        (lambda file: torch.save({"a": torch.ones(1)}, file), "lacks"),  # noqa: TID251
    ],
)
def test_what_is_no_checkpoint_is_refused_and_leaves_nothing(
    laid_out: Path, tmp_path: Path, write: Any, says: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_bytes((laid_out / "config.json").read_bytes())
    write(source / "pytorch_model.bin")
    with pytest.raises(PullError, match=says):
        pull_here(NAME, tmp_path / "models", source, print)
    assert list((tmp_path / "models").iterdir()) == []


class Trap:
    """Unpickled, it touches a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def test_a_pickle_that_would_run_code_runs_none(laid_out: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_bytes((laid_out / "config.json").read_bytes())
    sprung = tmp_path / "sprung"
    for hostile in (
        lambda file: file.write_bytes(pickle.dumps({"a": Trap(sprung)})),
        lambda file: torch.save({"a": Trap(sprung)}, file),  # noqa: TID251
    ):
        hostile(source / "pytorch_model.bin")
        with pytest.raises(PullError, match="holds more than weights"):
            pull_here(NAME, tmp_path / "models", source, print)
        assert not sprung.exists()
    torch.load(source / "pytorch_model.bin", weights_only=False)  # noqa: TID251
    assert sprung.exists()  # the trap would have worked


@pytest.mark.full
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name: str, tmp_path: Path) -> None:
    task_model, numbers, says = PUBLISHED[name]
    tensors = pickled(tmp_path / name, task_model, numbers)
    done = pull(tmp_path / "models", name, "--from", tmp_path / name)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    converted = load_file(tmp_path / "models" / name / "model.safetensors")
    assert converted.keys() == tensors.keys()
    assert all(torch.equal(converted[key], tensors[key]) for key in tensors)


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


def test_only_the_named_files_are_fetched_and_their_checksums_hold(
    laid_out: Path, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    folder = tmp_path / "there"
    folder.mkdir()
    for file in laid_out.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "tf_model.h5").write_bytes(b"not wanted")
    (folder / "README.md").write_text("card")
    with hub(folder) as (url, asked):
        done = pull(tmp_path / "models", NAME, HF_ENDPOINT=url, HF_HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    fetched = {path.rpartition("/")[2] for path in asked if "/resolve/" in path}
    assert fetched == {"config.json", "README.md", "pytorch_model.bin"}
    assert REVISION in done.stdout
    assert {file.name for file in (tmp_path / "models" / NAME).iterdir()} == {
        *("config.json", "README.md", "model.safetensors")
    }


@pytest.mark.parametrize("file", ["pytorch_model.bin", "config.json"])
def test_a_file_with_another_checksum_is_refused(laid_out: Path, tmp_path: Path, file: str) -> None:
    with hub(laid_out, file) as (url, _):
        done = pull(tmp_path / "models", NAME, HF_ENDPOINT=url, HF_HOME=str(tmp_path))
    assert done.returncode == 1
    assert f"{file} is not what the hub says" in done.stderr
    assert not (tmp_path / "models" / NAME).exists()


def test_a_hub_that_is_not_there(tmp_path: Path) -> None:
    with hub(tmp_path) as (url, _):
        pass
    done = pull(tmp_path / "models", NAME, HF_ENDPOINT=url, HF_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "the hub did not give deepmind/language-perceiver" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_incomplete_folder(tmp_path: Path) -> None:
    says = "must hold config.json and model.safetensors or pytorch_model.bin"
    with pytest.raises(PullError, match=says):
        pull_here(NAME, tmp_path / "models", tmp_path, print)
