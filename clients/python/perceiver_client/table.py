"""Rows as aligned columns for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 40  # characters of a cell that is not the last of its row

Row = Sequence[object]


def table(rows: Sequence[Row]) -> str:
    """A line for each row; all rows are as long as the first."""
    cells = [[*(short(v) for v in row[:-1]), _cell(row[-1])] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: object) -> str:
    """On one line: nothing in a text may break the table."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}"
    return "".join(char if char.isprintable() else "·" for char in str(value))


def short(value: object) -> str:
    """A value on one line of SHOWN characters at most."""
    text = _cell(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
