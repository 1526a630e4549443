"""What the machine offers, and what `auto` comes to on it."""

from __future__ import annotations

import torch

from perceiver_core.numerics import resolve_dtype
from server.memory import give_large_blocks_back
from server.messages import WorkerOptions, WorkerReady
from server.worker.cores import usable_cores

LARGE = 2 * 2**20  # numbers in a block: temporaries of a published flow tile, not of small models
KEPT = 32 * 2**20  # bytes of freed small blocks, which small models live on


def settle(options: WorkerOptions) -> WorkerReady:
    """Applies the options to this process and says what came of them; ValueError where nothing can.

    auto device: the first CUDA device where there is one.  auto dtype: perceiver_core's choice.
    """
    # torch's own choice, the cores of its affinity, overlooks the quota of a container
    torch.set_num_threads(options.threads or min(torch.get_num_threads(), usable_cores()))
    torch.set_num_interop_threads(1)  # one forward pass at a time has nothing to run beside itself
    name = options.device
    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    found = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= found:
        raise ValueError(
            f"device {name!r} is not there, PyTorch finds {found} CUDA devices: use --device cpu, "
            "or --device auto"
        )
    dtype = resolve_dtype(options.dtype, options.numerics, device)
    give_large_blocks_back(LARGE * dtype.itemsize, KEPT)
    return WorkerReady(
        device=name,
        dtype=str(dtype).removeprefix("torch."),
        numerics=options.numerics,
    )
