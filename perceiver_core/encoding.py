"""The mapping that the tokenizer and the image processor return, and how it is filled.

The process that owns the sockets imports this module: torch is imported where tensors are made.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from perceiver_core.errors import InvalidInput

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

IntArray = npt.NDArray[np.int64]
_Choice = TypeVar("_Choice")


class BatchEncoding(dict[str, Any]):
    """A dict whose fields are attributes too: `enc.input_ids is enc["input_ids"]`, `model(**enc)`.

    Seed: the BatchEncoding that PerceiverTokenizer returns (an image processor returns one too).
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no field {name!r}: there is {', '.join(self)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def to(
        self, device: torch.device | str | int | None = None, dtype: torch.dtype | None = None
    ) -> BatchEncoding:
        """Moves every tensor to `device`, in place; `dtype` applies to floating tensors only."""
        for name, value in self.items():
            if hasattr(value, "is_floating_point"):
                kind = dtype if value.is_floating_point() else None
                self[name] = value.to(device=device, dtype=kind)
        return self


def one_of(name: str, value: Any, choices: Sequence[_Choice]) -> _Choice:
    """`value`, or the value of an enum member, as one of `choices`; else InvalidInput."""
    plain = getattr(value, "value", value)
    for choice in choices:
        if plain == choice and type(plain) is type(choice):
            return choice
    names = ", ".join(map(repr, choices))
    raise InvalidInput(f"{name}={plain!r} is not known: choose one of {names}")


def at_least(name: str, value: int, least: int) -> int:
    """`value` if it is `least` or more; else InvalidInput."""
    if value < least:
        raise InvalidInput(f"{name} is {value}: it must be {least} or more")
    return value


def unused(owner: str, options: Mapping[str, Any]) -> None:
    """Logs the names of options that `owner` ignores."""
    if options:
        logger.warning("%s has no use for %s", owner, ", ".join(sorted(options)))


def tensor_kind(return_tensors: Any) -> str | None:
    """'pt', 'np' or None as asked for by `return_tensors`; InvalidInput for any other value."""
    return one_of("return_tensors", return_tensors, (None, "pt", "np"))


def stack(
    name: str, rows: Sequence[npt.NDArray[Any]], kind: str, advice: str
) -> npt.NDArray[Any] | torch.Tensor:
    """Rows of one shape S as one (len(rows), *S) array, or tensor for 'pt', of the rows' dtype.

    InvalidInput with `advice` if the shapes differ.
    """
    shapes = sorted({row.shape for row in rows})
    if len(shapes) > 1:
        raise InvalidInput(
            f"{name} cannot be one tensor, its rows are of shapes {shapes[0]} to {shapes[-1]}: "
            f"{advice}"
        )
    batch = np.stack(rows)
    if kind == "np":
        return batch
    import torch

    return torch.from_numpy(batch)
