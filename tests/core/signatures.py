"""The documentation's signatures, one a line of a file, without types."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

SIGNATURES = (Path(__file__).parents[1] / "data" / "seed_signatures.txt").read_text().splitlines()
CLASSES = {line.partition("(")[0].partition(".")[0] for line in SIGNATURES}
REQUIRED, REST = object(), object()


def documented(line: str) -> tuple[str, dict[str, Any]]:
    """`Class(a, b=1, **rest)` -> its name, parameters and their defaults."""
    name, _, parameters = line.partition("(")
    (function,) = ast.parse(f"def f({parameters}: ...").body
    assert isinstance(function, ast.FunctionDef)
    given = function.args
    found: dict[str, Any] = {argument.arg: REQUIRED for argument in given.args}
    defaults = given.args[len(given.args) - len(given.defaults) :]
    for argument, default in zip(defaults, given.defaults, strict=True):
        found[argument.arg] = ast.literal_eval(default)
    if given.kwarg is not None:
        found[given.kwarg.arg] = REST
    return name, found
