"""`perceiver-server pull`: a published checkpoint, from the hub or from files at hand, made ready.

    hub ──► staging folder ──► SHA-256 checked ──► pull_child: converted, loaded once ──► in place

The staging folder lies beside the place, so that what is in place is always whole; it stays when a
download breaks off, and the next pull goes on from there.  This process reads no weights.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from perceiver_core.config import CONFIG_FILE
from perceiver_core.errors import CheckpointError
from perceiver_core.folders import WEIGHTS_FILE
from perceiver_core.pipelines import open_pipeline
from server.catalogue import HUB
from server.spawn import python

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

OWNER = "deepmind"
PICKLED_FILE = "pytorch_model.bin"
SMALL_FILES = (
    *("preprocessor_config.json", "tokenizer_config.json", "special_tokens_map.json"),
    "README.md",
)
CHILD = "server.pull_child"
HUB_TIMEOUT_S = 30.0
CONVERT_LIMIT_S = 600.0
_CHUNK = 1 << 20

Say = Callable[[str], None]


class PullError(Exception):
    """Why there is no model; a sentence for the person who asked."""


def pull(name: str, models_dir: Path, source: Path | None, say: Say) -> Path:
    """Puts the hub's checkpoint `name` into models_dir/NAME and returns that folder.

    source: a folder laid out as the hub's, to be read instead of the hub.  Raises PullError.
    """
    place = models_dir / name
    if place.exists():
        raise PullError(f"{name} is there already: delete its folder to pull it again")
    staging = models_dir / f".{name}.partial"
    with _told(OSError, "the model folder cannot be written"):
        staging.mkdir(parents=True, exist_ok=True)
        if source is None:
            download(f"{OWNER}/{name}", staging, say)
        else:
            _copy(source, staging)
        try:
            _check_task(name, staging)
            say(convert(staging))
        except PullError:
            shutil.rmtree(staging)
            raise
        shutil.rmtree(staging / ".cache", ignore_errors=True)  # the hub library's notes
        (staging / PICKLED_FILE).unlink(missing_ok=True)
        staging.rename(place)
    return place


def chosen(names: set[str], where: str) -> list[str]:
    """The files that are taken of those there are: safetensors rather than a pickle."""
    weights = next((file for file in (WEIGHTS_FILE, PICKLED_FILE) if file in names), None)
    if weights is None or CONFIG_FILE not in names:
        raise PullError(
            f"{where} is no model folder: it must hold {CONFIG_FILE} and {WEIGHTS_FILE} or "
            f"{PICKLED_FILE}"
        )
    return [CONFIG_FILE, *(file for file in SMALL_FILES if file in names), weights]


def download(repository: str, staging: Path, say: Say) -> None:
    """The chosen files of a hub repository, one revision of it, each checked."""
    try:
        import huggingface_hub as hub
    except ImportError:
        raise PullError(
            "pull needs huggingface_hub: pip install 'perceiver-server[hub]', or name a folder "
            "with the files: --from FOLDER"
        ) from None
    unreachable = f"the hub did not give {repository}; is there a network? --from FOLDER needs none"
    with _told(Exception, unreachable):
        info = hub.HfApi().model_info(repository, files_metadata=True, timeout=HUB_TIMEOUT_S)
    files = {file.rfilename: file for file in info.siblings or []}
    names = chosen(set(files), f"{repository} on the hub")
    say(f"{repository} at revision {info.sha}: {', '.join(names)}")
    for left in staging.iterdir():  # by a pull that was broken off; nobody checks it any more
        if left.is_file() and left.name not in names:
            left.unlink()
    for name in names:
        with _told(Exception, unreachable):
            hub.hf_hub_download(repository, name, revision=info.sha, local_dir=staging)
        if not is_intact(staging / name, files[name]):
            (staging / name).unlink()
            raise PullError(
                f"{name} is not what the hub says it is (its checksum differs) and was deleted: "
                "pull again"
            )


def is_intact(file: Path, told: RepoSibling) -> bool:
    """Whether a file has the checksum that the hub tells: SHA-256 of large files, git's own of
    small ones."""
    if told.lfs is not None:
        return _digest(file, hashlib.sha256()) == str(told.lfs.sha256)
    header = f"blob {file.stat().st_size}\0".encode()
    return _digest(file, hashlib.sha1(header, usedforsecurity=False)) == str(told.blob_id)


def _digest(file: Path, digest: hashlib._Hash) -> str:
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _copy(source: Path, staging: Path) -> None:
    if not source.is_dir():
        raise PullError(f"there is no folder {str(source)!r}")
    names = chosen({file.name for file in source.iterdir()}, repr(str(source)))
    shutil.rmtree(staging)  # what a download left that was broken off
    staging.mkdir()
    for name in names:
        shutil.copyfile(source / name, staging / name)


def _check_task(name: str, folder: Path) -> None:
    with _told(CheckpointError, "these are not the files of a model"):
        task = open_pipeline(folder).task
    if task != HUB[name]:
        raise PullError(
            f"these are the files of a model for {task}, but {name} is one for {HUB[name]}: name "
            "the folder with its own files, or serve this one as --models NAME=FOLDER"
        )


def convert(folder: Path, limit_s: float = CONVERT_LIMIT_S) -> str:
    """Has a process of its own convert the weights where they are pickled, and load the model;
    what it says of it.  Raises PullError with what is wrong, also after `limit_s` seconds."""
    command, env = python(CHILD, str(folder))
    try:
        child = subprocess.run(
            command, env=env, capture_output=True, text=True, check=False, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        raise PullError(
            f"the converter took longer than {limit_s:g} s and was ended: pull again when the "
            "machine is less busy"
        ) from None
    if child.returncode != 0:
        last = child.stderr.strip().rpartition("\n")[2]
        raise PullError(last or f"the converter ended with exit code {child.returncode}")
    return child.stdout.strip()


@contextmanager
def _told(kind: type[Exception], sentence: str) -> Iterator[None]:
    """Gives the errors of a library our words, and the first line of its own."""
    try:
        yield
    except PullError:
        raise
    except kind as error:
        first = str(error).strip().partition("\n")[0]
        raise PullError(f"{sentence} ({first or type(error).__name__})") from error
