"""The process that opens pickles: what it makes of hostile ones, and what it has given up."""

import os
import pickle  # noqa: TID251 (what a hostile file holds)
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from server.pull import PullError, convert
from server.pull import pull as pull_here
from tests.live_server import ROOT
from tests.server.pulling import NAME, may_leave_the_network


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


def test_a_small_file_cannot_take_much_memory(laid_out: Path, tmp_path: Path) -> None:
    """A gigabyte and more of tensor that is stored as 4 bytes."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_bytes((laid_out / "config.json").read_bytes())
    torch.save({"a": torch.ones(1).expand(3 << 27)}, source / "pytorch_model.bin")  # noqa: TID251
    with pytest.raises(PullError, match="far larger than itself"):
        pull_here(NAME, tmp_path / "models", source, print)


def test_a_converter_that_does_not_end_is_ended(laid_out: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((laid_out / "config.json").read_bytes())
    os.mkfifo(tmp_path / "pytorch_model.bin")  # nobody ever writes to it
    with pytest.raises(PullError, match=r"took longer than 0\.5 s and was ended"):
        convert(tmp_path, 0.5)


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


def test_a_process_that_has_left_the_network_reaches_nobody() -> None:
    if not may_leave_the_network():
        pytest.skip("this machine gives a process no network of its own")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        call = f"import socket; socket.create_connection({listener.getsockname()}, 30)"
        leave = "from server.pull_child import leave_network; assert leave_network(); "
        for code, reached in ((call, True), (leave + call, False)):
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert (done.returncode == 0) is reached, done.stderr
    assert "Network is unreachable" in done.stderr
