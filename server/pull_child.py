"""`python -m server.pull_child FOLDER`: turns pytorch_model.bin into model.safetensors, and loads
the model once.

The only place where a pickle is opened: with weights_only, which builds tensors and calls nothing,
in a process whose memory and files are limited by the size of the weights, and which can reach no
network where the kernel allows to give it up.  One line on stdout says what was found; one on
stderr what is wrong.
"""

from __future__ import annotations

import ctypes
import socket
import sys
from pathlib import Path
from typing import Any

from perceiver_core.errors import CheckpointError
from perceiver_core.folders import WEIGHTS_FILE
from server.confine import confine
from server.pull import PICKLED_FILE

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_COPIES = 4  # of the weights in memory: float16 ones have been seen to take three
_WORKING_BYTES = 1 << 30


def main() -> None:
    """Exit code 1 and a sentence where the folder does not become a model."""
    folder = Path(sys.argv[1])
    alone = leave_network()  # before torch starts threads, which would forbid it
    weights = sum(file.stat().st_size for file in folder.iterdir())
    import torch

    torch.set_num_threads(1)  # no more can be started
    confine(_COPIES * weights + _WORKING_BYTES, 2 * weights)
    try:
        if not (folder / WEIGHTS_FILE).exists():
            convert(folder)
        network = "without a network" if alone else "with the network"
        print(f"{describe(folder)}; read {network} at hand")  # noqa: T201 (the answer to the parent)
    except CheckpointError as error:
        sys.exit(str(error))


def leave_network() -> bool:
    """Moves this process into a network of its own with nobody in it; False where the kernel does
    not let it."""
    libc = ctypes.CDLL(None, use_errno=True)
    for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET):
        if libc.unshare(flags) == 0:
            return [name for _, name in socket.if_nameindex()] == ["lo"]
    return False


def convert(folder: Path) -> None:
    """Writes the tensors of the pickle as safetensors.  Raises CheckpointError."""
    import torch
    from safetensors.torch import save_file

    try:
        loaded: Any = torch.load(  # noqa: TID251 (weights_only: see above)
            folder / PICKLED_FILE, map_location="cpu", weights_only=True
        )
    except Exception as error:  # whatever its reader makes of a file that is none
        raise CheckpointError(
            f"{PICKLED_FILE} is damaged or holds more than weights: it was not converted"
        ) from error
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in loaded.items()
    ):
        raise CheckpointError(f"{PICKLED_FILE} does not hold tensors by name: it was not converted")
    # Cloned: tensors that share memory, as tied weights do, cannot be written otherwise.
    try:
        tensors = {name: tensor.detach().clone().contiguous() for name, tensor in loaded.items()}
    except RuntimeError as error:  # what torch raises where there is no memory
        raise CheckpointError(
            f"{PICKLED_FILE} holds tensors far larger than itself: it was not converted"
        ) from error
    partial = folder / f".{WEIGHTS_FILE}"
    save_file(tensors, partial, metadata={"format": "pt"})
    partial.chmod(0o644)  # safetensors writes for its owner alone; the server may be another user
    partial.rename(folder / WEIGHTS_FILE)


def describe(folder: Path) -> str:
    """Loads the model and says what it is.  Raises CheckpointError."""
    from perceiver_core.tasks import load_model

    model = load_model(folder, "reference", "cpu", "float32")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return f"{type(model).__name__}: {parameters:,} parameters, {len(model.state_dict())} tensors"


if __name__ == "__main__":
    main()
