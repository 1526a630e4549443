"""Which models there are: embedded ones, hub ones, folders of the repository, entries of the YAML.

A model is named by a key of this dictionary, never by a path: what a client sends is looked up
and not joined to anything.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open

from perceiver_core.errors import CheckpointError
from perceiver_core.folders import WEIGHTS_FILE
from perceiver_core.pipelines import PIPELINES, open_pipeline
from perceiver_core.pipelines.base import Pipeline
from perceiver_core.pipelines.multimodal_autoencoding import MultimodalAutoencoding
from perceiver_core.zoo import EMBEDDED
from server.config import Settings
from server.errors import Fault

log = logging.getLogger(__name__)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
HUB = {  # name -> task; the repository on the hub is deepmind/NAME
    "language-perceiver": "fill-mask",
    "vision-perceiver-learned": "image-classification",
    "vision-perceiver-fourier": "image-classification",
    "vision-perceiver-conv": "image-classification",
    "optical-flow-perceiver": "optical-flow",
    "multimodal-perceiver": "multimodal-autoencoding",
}


Source = Literal["embedded", "hub", "local"]


@dataclass(frozen=True)
class Entry:
    """One model.  `folder` is None until it is pulled; `task` where config.json does not tell."""

    name: str
    source: Source
    folder: Path | None
    task: str | None
    problem: str | None = None
    format: dict[str, int] | None = None  # of the clips of multimodal-autoencoding


class Catalogue:
    """Every model by name, and the default one of every task."""

    def __init__(self, settings: Settings) -> None:
        """ValueError where the settings name models wrongly; a broken folder is only listed so."""
        self._entries = {name: Entry(name, "hub", None, task) for name, task in HUB.items()}
        for name in HUB:
            if settings.models_dir is not None and (settings.models_dir / name).is_dir():
                self._add(name, "hub", settings.models_dir / name)
        for name, folder in EMBEDDED.items():
            self._add(name, "embedded", folder)
        for folder in _folders(settings.model_repository):
            self._add(folder.name, "local", folder)
        for name, folder in settings.models.items():
            if not NAME.fullmatch(name):
                raise ValueError(f"models: {name!r} is not a model name ({NAME.pattern})")
            if not folder.is_dir():
                raise ValueError(f"models: there is no folder {str(folder)!r} for model {name!r}")
            self._add(name, "local", folder)
        self._defaults = dict(settings.default_models)
        for task, name in self._defaults.items():
            if task not in PIPELINES:
                tasks = ", ".join(sorted(PIPELINES))
                raise ValueError(f"default_models: there is no task {task!r}; there are {tasks}")
            if name not in self._entries:
                raise ValueError(
                    f"default_models: there is no model {name!r} for {task}: `perceiver-server "
                    "models` lists them"
                )
            if self._entries[name].task not in (task, None):  # None: a broken one may be mended
                raise ValueError(
                    f"default_models: model {name!r} does {self._entries[name].task}, not {task}"
                )

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def find(self, task: str, model: str | None) -> Entry:
        """The model to use; Fault unknown_task, unknown_model or model_not_pulled."""
        if task not in PIPELINES:
            tasks = ", ".join(sorted(PIPELINES))
            raise Fault("unknown_task", f"there is no task {task[:80]!r}; there are {tasks}")
        name = model or self.default(task)
        if name is None:
            raise Fault("unknown_model", f"no model for {task} is configured")
        entry = self._entries.get(name)
        if entry is None:
            raise Fault(
                "unknown_model", f"there is no model {name[:80]!r}: GET /v1/models lists them"
            )
        check_task(entry.name, entry.task or task, task)
        if entry.folder is None:
            raise Fault(
                "model_not_pulled",
                f"model {name!r} is not on this machine: run `perceiver-server pull {name}` there "
                "and start the server again",
            )
        return entry

    def default(self, task: str) -> str | None:
        """The model of a request that names none: the configured, embedded or first local one."""
        if task in self._defaults:
            return self._defaults[task]
        candidates = [entry for entry in self if entry.task == task and entry.folder is not None]
        candidates.sort(key=lambda entry: entry.source != "embedded")
        return candidates[0].name if candidates else None

    def _add(self, name: str, source: Source, folder: Path) -> None:
        try:
            pipeline = open_folder(folder)
            entry = Entry(name, source, folder, pipeline.task, format=format_of(pipeline))
        except CheckpointError as error:
            log.warning("model %s cannot be used: %s", name, error)
            entry = Entry(name, source, folder, None, str(error))
        self._entries[name] = entry


def check_task(name: str, its: str, asked: str) -> None:
    """Fault unknown_model where a model is asked for what it does not do."""
    if its != asked:
        raise Fault("unknown_model", f"model {name!r} does {its}, not {asked}")


def open_folder(folder: Path) -> Pipeline[Any, Any]:
    """The folder's pipeline; CheckpointError where the folder is not a model we load."""
    try:
        _check_weights(folder)
        pipeline = open_pipeline(folder)
        format_of(pipeline)
    except CheckpointError:
        raise
    except (
        Exception
    ) as error:  # whatever a stranger's JSON makes of our code: only this model fails
        log.exception("a model folder cannot be read")
        raise CheckpointError("its files cannot be used; the log has the details") from error
    return pipeline


def format_of(pipeline: Pipeline[Any, Any]) -> dict[str, int] | None:
    """The clips that a pipeline takes, where it takes clips."""
    if not isinstance(pipeline, MultimodalAutoencoding):
        return None
    return pipeline.format._asdict()


def _check_weights(folder: Path) -> None:
    """Pickles run code when they are opened, so a folder of pickles is refused by their names.

    A file that is not whole is found here: the worker would find it after others had made room.
    """
    if not (folder / WEIGHTS_FILE).is_file():
        pickles = sorted(file.name for file in folder.glob("*") if file.suffix in PICKLES)
        if pickles:
            raise CheckpointError(
                f"it holds {pickles[0]} but no {WEIGHTS_FILE}: pickles can run code and are never "
                "opened; convert it to safetensors"
            )
        raise CheckpointError(f"{WEIGHTS_FILE} is missing")
    try:
        with safe_open(folder / WEIGHTS_FILE, framework="np"):  # reads the header, no tensors
            pass
    except (SafetensorError, OSError):
        raise CheckpointError(f"{WEIGHTS_FILE} is not a whole safetensors file") from None


def _folders(repository: Path | None) -> list[Path]:
    """The model folders of a repository; names that could not be asked for are left out."""
    if repository is None:
        return []
    folders = [folder for folder in sorted(repository.iterdir()) if folder.is_dir()]
    for folder in folders:
        if not NAME.fullmatch(folder.name):
            log.warning(
                "folder %r of the repository is no model name (%s)", folder.name, NAME.pattern
            )
    return [folder for folder in folders if NAME.fullmatch(folder.name)]
