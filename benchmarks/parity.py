"""Every class of the documentation, ours, and how far ours is from transformers'.

The figure is the largest max|a - b| / max|b| of any tensor that any variant of the class gives, at
small odd sizes with every tensor random (tests/core/parity); whatever is no tensor was equal.
`fast` is our quick path in float32, of which a class without computation has none.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import click
import torch

from benchmarks.report import Row, json_option, report
from tests.core.parity import CASES
from tests.core.parity.case import BOUNDS, Case, Plain
from tests.core.parity.drift import drift_of_flow
from tests.core.peers import deviations
from tests.core.signatures import CLASSES, SIGNATURES

COLUMNS = ("seed", "ours", "compared", "variants", *BOUNDS)


@click.command()
@json_option
def main(file: Path | None) -> None:
    """Every class of the seed, ours, max|a - b| / max|b|."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DeprecationWarning)  # of transformers, about itself
    names = dict.fromkeys(line.partition("(")[0].partition(".")[0] for line in SIGNATURES)
    rows = [_row(name, [case for case in CASES if case.name == name]) for name in names]
    title = (
        f"{len(CLASSES)} classes beside transformers', every tensor random: the largest "
        "max|a - b| / max|b| of all that a class gives in all variants; 0 is equal to the last "
        "bit; what is no tensor was equal"
    )
    report(title, dict.fromkeys(COLUMNS, ""), rows, file)
    drift, flow = drift_of_flow()
    click.echo(f"`fast` in bfloat16 moves a flow of {flow:.2f} pixels by {drift:.3f}, on average")
    over = [
        f"{row['seed']} {numerics} {row[numerics]}"
        for row in rows
        for numerics, bound in BOUNDS.items()
        if row[numerics] and float(row[numerics]) > bound
    ]
    if over:
        sys.exit(f"over the bounds {BOUNDS}: {', '.join(over)}")


def _row(name: str, cases: Sequence[Case | Plain]) -> Row:
    worst: dict[str, float] = {}
    for case in cases:
        for found in case.outputs():
            figures = [figure for _, figure in deviations(found.ours, found.theirs)]
            worst[found.numerics] = max(worst.get(found.numerics, 0.0), *figures, 0.0)
    ours = f"perceiver_core.{name}"
    shown = [f"{worst[n]:.1e}" if n in worst else "" for n in BOUNDS]
    return dict(zip(COLUMNS, [name, ours, cases[0].what, len(cases), *shown], strict=True))


if __name__ == "__main__":
    main()
