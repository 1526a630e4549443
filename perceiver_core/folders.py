"""Model folders: where a named model lies, and reading its small files. No torch here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from perceiver_core.errors import CheckpointError
from perceiver_core.zoo import EMBEDDED

WEIGHTS_FILE = "model.safetensors"


def model_folder(name: str | Path) -> Path:
    """The folder of a model: an embedded model's name, or a path to a folder."""
    if str(name) in EMBEDDED:
        return EMBEDDED[str(name)]
    folder = Path(name)
    if not folder.is_dir():
        raise CheckpointError(
            f"no model {folder.name!r} on this machine: give a folder that holds config.json and "
            f"model.safetensors, or one of {', '.join(sorted(EMBEDDED))}"
        )
    return folder


def read_json(file: Path) -> dict[str, Any]:
    """One JSON object from a file of a model folder; errors name the bare file only."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{file.name} is missing from the model folder") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file.name} cannot be read as JSON") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{file.name} must hold one JSON object")
    return values


def weight_bytes(folder: Path) -> int:
    """Size of the folder's weights on disk, in bytes."""
    try:
        return (folder / WEIGHTS_FILE).stat().st_size
    except OSError:
        raise CheckpointError(f"{WEIGHTS_FILE} is missing from the model folder") from None
