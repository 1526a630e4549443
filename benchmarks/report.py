"""Tables of results as Markdown, with the machine they were measured on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

import torch

from perceiver_core.numerics import native_bfloat16


@dataclass
class Table:
    """A title, column names and rows of cells."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str | float, ...]] = field(default_factory=list)

    def add(self, *cells: str | float) -> None:
        """One more row."""
        assert len(cells) == len(self.columns)
        self.rows.append(cells)

    def markdown(self) -> str:
        """As a paragraph and a Markdown table."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        return f"{self.title}\n\n" + "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def machine() -> str:
    """The facts that figures depend on, in one line."""
    bfloat16 = "native" if native_bfloat16(torch.device("cpu")) else "not native"
    cores = len(os.sched_getaffinity(0))
    return (
        f"{_cpu()}, {cores} cores ({torch.get_num_threads()} torch threads), bfloat16 {bfloat16}, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
