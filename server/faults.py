"""Faults made to order, for tests: a plan is a JSON list of rules, executed in the worker.

    [{"on": "forward", "contains": "poison", "action": "raise"},
     {"on": "forward", "contains": "slow", "action": "delay", "seconds": 0.5, "times": 1},
     {"on": "forward", "action": "oom", "above": 8},
     {"on": "load", "model": "tiny-fashion", "action": "fail"},
     {"on": "start", "action": "crash"}]

`perceiver-server serve --fault-plan FILE` takes one, on a loopback address only.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from perceiver_core.errors import CheckpointError
from server.frames import Row

BYTE_OFFSET = 6  # of the Perceiver's byte ids: id = byte + 6


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When and what.  contains: text in a row; above: more rows than this; times: how often."""

    on: Literal["start", "load", "forward"]
    action: Literal["delay", "raise", "nan", "oom", "crash", "hang", "fail"]
    model: str | None = None
    contains: str | None = None
    above: int = 0
    seconds: float = 0.0
    times: int | None = None


class InjectedFault(RuntimeError):
    """What `raise` raises."""


class FaultPlan:
    """The rules, and how often each has fired."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules = list(rules)
        self._fired = [0] * len(self._rules)

    @classmethod
    def read(cls, path: str | None) -> FaultPlan:
        """The plan of a file; ValueError where it cannot be read as one."""
        if path is None:
            return cls()
        try:
            return cls(msgspec.json.decode(Path(path).read_bytes(), type=list[Rule]))
        except (OSError, msgspec.MsgspecError) as error:
            raise ValueError(f"fault_plan {path!r}: {error}") from None

    def start(self) -> None:
        """Called once, before the worker announces itself."""
        for rule in self._due("start", None, ()):
            _perform(rule)

    def load(self, model: str) -> None:
        """Called before a model is loaded."""
        for rule in self._due("load", model, ()):
            _perform(rule)

    def forward(self, model: str, rows: Sequence[Row]) -> list[int]:
        """Called before a forward pass; returns the rows whose output is to become NaN."""
        poisoned: set[int] = set()
        for rule in self._due("forward", model, rows):
            if rule.action == "nan":
                poisoned |= {index for index, row in enumerate(rows) if _matches(rule, row)}
            else:
                _perform(rule)
        return sorted(poisoned)

    def _due(self, on: str, model: str | None, rows: Sequence[Row]) -> Iterable[Rule]:
        for index, rule in enumerate(self._rules):
            if (
                rule.on == on
                and rule.model in (None, model)
                and (rule.times is None or self._fired[index] < rule.times)
                and len(rows) >= rule.above + (on == "forward")
                and (rule.contains is None or any(_matches(rule, row) for row in rows))
            ):
                self._fired[index] += 1
                yield rule


def spoil(row: Row) -> Row:
    """The row with NaN in every floating-point array."""
    return {
        name: np.full_like(array, np.nan) if array.dtype.kind == "f" else array
        for name, array in row.items()
    }


def _matches(rule: Rule, row: Row) -> bool:
    return rule.contains is None or any(
        rule.contains.encode() in _text(array) for array in row.values()
    )


def _text(array: np.ndarray[Any, Any]) -> bytes:
    """Byte ids as the bytes they stand for; special tokens and anything else as NUL."""
    if array.dtype.kind not in "iu" or array.ndim != 1:
        return b""
    values = array.astype(np.int64) - BYTE_OFFSET
    return np.where((values >= 0) & (values < 256), values, 0).astype(np.uint8).tobytes()


def _perform(rule: Rule) -> None:
    match rule.action:
        case "delay":
            time.sleep(rule.seconds)
        case "hang":
            while True:
                signal.pause()
        case "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        case "oom":
            raise MemoryError("injected")
        case "fail":
            raise CheckpointError("injected load failure")
        case _:
            raise InjectedFault("injected")
