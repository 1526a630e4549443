"""What the server answers, as plain values: equal ones are equal, over whatever they came."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Label:
    """One label of an input, and its score."""

    label: str
    score: float


@dataclass(frozen=True)
class Fill:
    """One filling of a span of masks.  `sequence`: the text with it, other spans stay masked;
    `score`: product of its bytes' probabilities; `token`: id of the first byte; `tokens`: of all.
    """

    sequence: str
    score: float
    token: int
    token_str: str
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Model:
    """A model of the catalogue.  `state`: not_pulled, unloaded, loading, loaded or failed;
    `default`: of its task; `problem`: why it cannot be used, where that is so."""

    name: str
    task: str | None
    source: str
    state: str
    default: bool
    resident_bytes: int
    problem: str | None
