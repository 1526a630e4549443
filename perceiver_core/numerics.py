"""The two numerical paths and the number format of each device."""

from __future__ import annotations

import torch
from torch import nn

from perceiver_core.attention import MultiHeadAttention

NUMERICS = ("reference", "fast")


def native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def resolve_dtype(dtype: str, numerics: str, device: torch.device) -> torch.dtype:
    """'auto' | 'float32' | 'bfloat16' to a torch dtype: `reference` is float32 always, `fast` takes
    bfloat16 where it is native. Raises ValueError for other names."""
    if dtype not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"dtype is {dtype!r}: use auto, float32 or bfloat16")
    if numerics == "reference" and dtype == "bfloat16":
        raise ValueError("numerics 'reference' is float32: use dtype float32 or numerics 'fast'")
    if dtype == "auto":
        native = numerics == "fast" and native_bfloat16(device)
        dtype = "bfloat16" if native else "float32"
    return torch.float32 if dtype == "float32" else torch.bfloat16


def set_numerics(model: nn.Module, numerics: str) -> None:
    """Choose how the model computes: 'reference' (the published port's order of operations) or
    'fast' (the quickest attention kernels, folded projections)."""
    if numerics not in NUMERICS:
        raise ValueError(f"numerics is {numerics!r}: use one of {', '.join(NUMERICS)}")
    for module in model.modules():
        if isinstance(module, MultiHeadAttention):
            module.fast = module.folded = numerics == "fast"
