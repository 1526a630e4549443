"""Weights in and out: safetensors only."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from perceiver_core.config import PerceiverConfig
from perceiver_core.errors import CheckpointError
from perceiver_core.folders import WEIGHTS_FILE, model_folder
from perceiver_core.numerics import resolve_dtype, set_numerics
from perceiver_core.positions import PerceiverTrainablePositionEncoding

log = logging.getLogger(__name__)

# Counted by BatchNorm in training, absent from some checkpoints, read by nothing here.
OPTIONAL_SUFFIX = ".num_batches_tracked"
DRAWS = ("normal_", "uniform_", "kaiming_uniform_")  # of tensors and of torch.nn.init


class Undrawn(TorchFunctionMode):
    """Draws no random weights: they come from a file, and to draw on the meta device torch would
    first import its compiler, which takes as much CPU time as importing torch."""

    def __torch_function__(self, function: Any, _: Any, args: Any = (), given: Any = None) -> Any:
        given = given or {}
        if getattr(function, "__name__", "") in DRAWS:
            return given["tensor"] if "tensor" in given else args[0]
        return (torch.empty if function is torch.randn else function)(*args, **given)


class PreTrainedModel(nn.Module):
    """A module with a configuration that reads and writes model folders."""

    config: PerceiverConfig

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Of the parameters."""
        return next(self.parameters()).device

    @torch.no_grad()
    def initialise(self) -> None:
        """Draw fresh weights: normal with the configured deviation, biases 0, norms 1."""
        std = self.config.initializer_range
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
                module.weight.normal_(0.0, std)
            if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
                module.bias.zero_()
            if isinstance(module, PerceiverTrainablePositionEncoding):
                module.position_embeddings.normal_(0.0, std)
            if isinstance(module, nn.ParameterDict):  # padding and mask of modalities
                for parameter in module.values():
                    parameter.normal_(0.0, std)
        for name, parameter in self.named_parameters():
            if name.endswith("embeddings.latents"):
                parameter.normal_(0.0, std)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        numerics: str = "reference",
        device: str | torch.device = "cpu",
        dtype: str = "auto",
    ) -> Self:
        """Load a model folder or an embedded model by name, ready to infer (eval mode).

        numerics 'reference' computes in float32 as the published port does, 'fast' as fast as the
        device can. Raises CheckpointError with what is wrong with the folder.
        """
        folder = model_folder(name)
        config = PerceiverConfig.from_pretrained(folder)
        try:
            with torch.device("meta"), Undrawn():
                model = cls(config)
        except ValueError as error:
            raise CheckpointError(f"config.json describes no model: {error}") from error
        place = torch.device(device)
        model.load_weights(folder / WEIGHTS_FILE, place, resolve_dtype(dtype, numerics, place))
        set_numerics(model, numerics)
        return model.eval().requires_grad_(False)

    def load_weights(self, file: Path, device: torch.device, dtype: torch.dtype) -> None:
        """Take every tensor from `file`: a missing or misshapen one is an error that names it,
        a surplus one a warning."""
        found = read_tensors(file)
        own = dict(self.state_dict())
        missing = [n for n in own if n not in found and not n.endswith(OPTIONAL_SUFFIX)]
        if missing:
            raise CheckpointError(f"{file.name} lacks {len(missing)} tensors: {_some(missing)}")
        wrong = [n for n, t in own.items() if n in found and found[n].shape != t.shape]
        if wrong:
            name = wrong[0]
            raise CheckpointError(
                f"{file.name}: {name} is {tuple(found[name].shape)}, "
                f"config.json makes it {tuple(own[name].shape)}"
            )
        surplus = [n for n in found if n not in own]
        if surplus:
            log.warning("%s has %d unused tensors: %s", file.name, len(surplus), _some(surplus))
        for name in own:
            if name not in found:
                found[name] = torch.zeros((), dtype=torch.int64)
        # Copied: the file is mapped, and a file that is overwritten must not reach a served model.
        placed = {
            n: found[n].to(device, dtype if found[n].is_floating_point() else None, copy=True)
            for n in own
        }
        self.load_state_dict(placed, assign=True)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write `config.json` and `model.safetensors` (floats as `dtype`) into `folder`."""
        self.config.architectures = [type(self).__name__]
        self.config.save_pretrained(folder)
        tensors = {
            name: t.detach().to("cpu", dtype if t.is_floating_point() else None).contiguous()
            for name, t in self.state_dict().items()
        }
        save_file(tensors, Path(folder) / WEIGHTS_FILE, metadata={"format": "pt"})


def read_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file; CheckpointError names the bare file."""
    try:
        return load_file(file)
    except FileNotFoundError:
        raise CheckpointError(f"{file.name} is missing from the model folder") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{file.name} is not a whole safetensors file") from error


def _some(names: list[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (" …" if len(names) > 3 else "")
