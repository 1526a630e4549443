"""Every class and parameter of the documentation is here, under its name and with its default."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

import perceiver_core
from perceiver_core import PerceiverConfig, tasks
from tests.core.published import SMALL
from tests.core.signatures import CLASSES, REQUIRED, REST, SIGNATURES, documented
from tests.tiny import randomise

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


def test_a_changed_projection_changes_the_answer():
    """Positions are kept between calls only while nothing they are made of changes."""
    model: Any = tasks.PerceiverForImageClassificationLearned(PerceiverConfig(**SMALL)).eval()
    randomise(model)
    pixels = torch.randn(1, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model(pixels).logits
        assert torch.equal(model(pixels).logits, before)
        model.perceiver.input_preprocessor.positions_projection.weight.mul_(5)
        assert not torch.equal(model(pixels).logits, before)


def test_what_was_kept_while_inferring_can_be_trained_with():
    model: Any = tasks.PerceiverForImageClassificationFourier(
        PerceiverConfig(**{**SMALL, "num_cross_attention_heads": 1})
    )
    pixels = torch.randn(1, 3, 20, 20)
    with torch.inference_mode():
        model(pixels)
    model(pixels, labels=torch.tensor([1])).loss.backward()
