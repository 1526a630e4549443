"""What one comparison with transformers is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from perceiver_core.numerics import set_numerics
from tests.core import peers
from tests.core.published import SMALL

# max|a - b| / max|b| of each tensor.
BOUNDS = {"reference": 1e-5, "fast": 1e-4}


class Outputs(NamedTuple):
    """What both libraries give, in the same structure."""

    numerics: str
    ours: Any
    theirs: Any


@dataclass(frozen=True)
class Case:
    """A class of the documentation in one variant: built twice with the same random tensors, and
    called alike.

    `call(module, ask)` gives the outputs; `ask` are the options for intermediate states, of which
    `fast` computes no attention maps. `what`: the outputs in words.
    """

    name: str
    variant: str
    what: str
    build: peers.Build
    call: Callable[[Any, dict[str, bool]], Any]
    sizes: dict[str, Any] = field(default_factory=lambda: SMALL)

    def __str__(self) -> str:
        return f"{self.name}-{self.variant}"

    @torch.no_grad()
    def outputs(self) -> Iterator[Outputs]:
        """Of both numerical paths."""
        ours, theirs = peers.twins(self.build, self.sizes)
        for numerics in BOUNDS:
            set_numerics(ours, numerics)
            ask = {"output_hidden_states": True, "output_attentions": numerics == "reference"}
            yield Outputs(numerics, self.call(ours, ask), self.call(theirs, ask))


@dataclass(frozen=True)
class Plain:
    """A class without tensors of its own: what both libraries make of the same input."""

    name: str
    variant: str
    what: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]

    def __str__(self) -> str:
        return f"{self.name}-{self.variant}"

    def outputs(self) -> Iterator[Outputs]:
        """There is one way to compute them."""
        yield Outputs("reference", self.ours(), self.theirs())


def attentions_of(ask: dict[str, bool]) -> dict[str, bool]:
    """What a decoder by itself can be asked for."""
    return {"output_attentions": ask["output_attentions"]}
