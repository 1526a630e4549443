"""`perceiver-server pull` from a hub."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.server.pulling import NAME, REVISION, hub, pull


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


def test_what_a_broken_off_pull_left_is_not_taken_for_the_hubs(
    laid_out: Path, tmp_path: Path
) -> None:
    staging = tmp_path / "models" / f".{NAME}.partial"
    staging.mkdir(parents=True)
    tensors = torch.load(laid_out / "pytorch_model.bin")  # noqa: TID251 (our own)
    changed = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    save_file(changed, staging / "model.safetensors", metadata={"format": "pt"})
    (staging / ".model.safetensors").touch()
    with hub(laid_out) as (url, _):
        done = pull(tmp_path / "models", NAME, HF_ENDPOINT=url, HF_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    place = tmp_path / "models" / NAME
    assert {file.name for file in place.iterdir()} == {"config.json", "model.safetensors"}
    found = load_file(place / "model.safetensors")
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


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
