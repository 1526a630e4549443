"""Every class and parameter of the documentation is here, under its name and with its default."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import perceiver_core
from tests.core.signatures import CLASSES, REQUIRED, REST, SIGNATURES, documented

# The documentation's `**kwargs` of a configuration: what its base class takes and a Perceiver uses.
CONFIG_REST = (
    *("num_labels", "id2label", "label2id", "problem_type", "architectures"),
    *("output_attentions", "output_hidden_states", "return_dict"),
)


def have(name: str) -> dict[str, Any]:
    """The same of ours; a default that a dataclass makes anew each time is made."""
    owner, _, method = name.partition(".")
    kind = getattr(perceiver_core, owner)
    parameters = dict(inspect.signature(getattr(kind, method) if method else kind).parameters)
    parameters.pop("self", None)
    found: dict[str, Any] = {}
    for key, parameter in parameters.items():
        default = parameter.default
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            default = REST
        elif default is inspect.Parameter.empty:
            default = REQUIRED
        elif repr(default) == "<factory>":
            default = getattr(kind(), key)
        found[key] = default
    return found


@pytest.mark.parametrize("line", SIGNATURES, ids=lambda line: line.partition("(")[0])
def test_every_documented_parameter_is_here(line):
    """In the documented order; ours may have more, but behind these."""
    name, wanted = documented(line)
    found = have(name)
    if name == "PerceiverConfig":
        del wanted["kwargs"]
        assert set(CONFIG_REST) <= set(found)
    assert {key: found.get(key, "missing") for key in wanted} == wanted
    in_order = [key for key in wanted if wanted[key] is not REST]
    assert list(found)[: len(in_order)] == in_order


def test_the_list_is_the_whole_documentation():
    assert len(CLASSES) == 31
    ours = {"CheckpointError", "InvalidInput", "PerceiverAbstractDecoder"}
    assert set(perceiver_core.__all__) == CLASSES | ours
