"""`perceiver-server pull`, as a user runs it, from folders."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from server.pull import PullError
from server.pull import pull as pull_here
from tests.live_server import ROOT, serving
from tests.server.pulling import NAME, may_leave_the_network, pickled, pull

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


def test_a_model_for_another_task_is_not_taken(tmp_path: Path) -> None:
    zoo = ROOT / "perceiver_core" / "zoo" / "tiny-flow"
    done = pull(tmp_path / "models", NAME, "--from", zoo)
    assert done.returncode == 1
    assert "a model for optical-flow, but language-perceiver is one for fill-mask" in done.stderr
    assert not list((tmp_path / "models").iterdir())


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


def test_no_python_file_of_the_users_folder_is_run(laid_out: Path, tmp_path: Path) -> None:
    for module in ("ctypes", "torch", "perceiver_core"):
        (tmp_path / f"{module}.py").write_text("open('sprung', 'w')")
    done = pull(tmp_path / "models", NAME, "--from", laid_out, cwd=tmp_path)
    assert not (tmp_path / "sprung").exists()
    assert done.returncode == 0, done.stderr
    subprocess.run([sys.executable, "-c", "import ctypes"], cwd=tmp_path, check=True)
    assert (tmp_path / "sprung").exists()  # the trap would have worked


def test_a_folder_is_taken_where_a_download_broke_off(laid_out: Path, tmp_path: Path) -> None:
    staging = tmp_path / f".{NAME}.partial"
    (staging / ".cache" / "huggingface").mkdir(parents=True)
    (staging / "README.md").touch()
    with pytest.raises(PullError, match="must hold"):  # what is there already is kept
        pull_here(NAME, tmp_path, tmp_path, print)
    assert (staging / "README.md").exists()
    place = pull_here(NAME, tmp_path, laid_out, print)
    assert {file.name for file in place.iterdir()} == {"config.json", "model.safetensors"}


def test_an_incomplete_folder(tmp_path: Path) -> None:
    says = "must hold config.json and model.safetensors or pytorch_model.bin"
    with pytest.raises(PullError, match=says):
        pull_here(NAME, tmp_path / "models", tmp_path, print)


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
