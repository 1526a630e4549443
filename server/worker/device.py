"""What the machine offers, and what `auto` comes to on it."""

from __future__ import annotations

import os

import torch

from perceiver_core.numerics import resolve_dtype
from server.messages import WorkerOptions, WorkerReady


def settle(options: WorkerOptions) -> WorkerReady:
    """Applies the options to torch and says what came of them.

    auto device: the first CUDA device where there is one.  auto dtype: perceiver_core's choice.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)  # one forward pass at a time has nothing to run beside itself
    name = options.device
    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    dtype = resolve_dtype(options.dtype, options.numerics, device)
    return WorkerReady(
        device=name,
        dtype=str(dtype).removeprefix("torch."),
        numerics=options.numerics,
        torch=str(torch.__version__),
        memory_bytes=_memory_bytes(device),
    )


def _memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
