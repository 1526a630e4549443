"""Inputs under either of their names."""

from __future__ import annotations

from torch import Tensor


def given(inputs: Tensor | None, named: Tensor | None, name: str) -> Tensor:
    """`inputs` or the argument called `name`; ValueError unless exactly one is given."""
    if (inputs is None) == (named is None):
        raise ValueError(f"give either inputs or {name}")
    found = inputs if inputs is not None else named
    assert found is not None
    return found
