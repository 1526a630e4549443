"""Fault plans: read strictly, and firing where they say."""

from pathlib import Path

import numpy as np
import pytest

from perceiver_core.errors import CheckpointError
from perceiver_core.pipelines.text import text_ids
from server.faults import FaultPlan, InjectedFault, Rule
from server.frames import Row


def rows(*texts: str) -> list[Row]:
    return [{"input_ids": text_ids(text.encode())} for text in texts]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '[{"on": "forward"}]',
        '[{"on": "never", "action": "raise"}]',
        '[{"on": "load", "action": "fail", "unknown": 1}]',
    ],
)
def test_a_plan_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(text)
    with pytest.raises(ValueError, match="fault_plan"):
        FaultPlan.read(str(plan))
    with pytest.raises(ValueError, match="fault_plan"):
        FaultPlan.read(str(tmp_path / "missing.json"))


def test_a_plan_is_read_from_a_file(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text('[{"on": "load", "model": "m", "action": "fail"}]')
    faults = FaultPlan.read(str(plan))
    faults.load("other")
    with pytest.raises(CheckpointError):
        faults.load("m")


def test_a_rule_fires_on_its_rows_and_as_often_as_it_says() -> None:
    faults = FaultPlan([Rule("forward", "raise", contains="poison", times=2)])
    faults.forward("m", rows("fine", "also fine"))
    for _ in range(2):
        with pytest.raises(InjectedFault):
            faults.forward("m", rows("fine", "some poison here"))
    faults.forward("m", rows("poison"))


def test_a_rule_may_need_a_large_batch() -> None:
    faults = FaultPlan([Rule("forward", "oom", above=2)])
    faults.forward("m", rows("a", "b"))
    with pytest.raises(MemoryError):
        faults.forward("m", rows("a", "b", "c"))


def test_nan_names_the_rows_to_spoil() -> None:
    faults = FaultPlan([Rule("forward", "nan", contains="é")])
    assert faults.forward("m", rows("e", "é", "aé")) == [1, 2]
    assert faults.forward("m", [{"pixels": np.zeros((3, 4, 4), np.float32)}]) == []
