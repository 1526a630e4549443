"""Every example of the client's README runs, and answers as printed there."""

from __future__ import annotations

import pytest

from tests.live_server import ROOT
from tests.test_readme import (  # noqa: F401  # `served` is a fixture
    blocks,
    console_steps,
    run,
    run_python,
    same_output,
    served,
)

README = (ROOT / "clients" / "python" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("command", "expected"), console_steps(README))
def test_command_prints_what_the_readme_says(served, command, expected) -> None:  # noqa: F811
    same_output(run(command, served), expected)


@pytest.mark.parametrize("code", blocks("python", README))
def test_python_block_runs(served, code, monkeypatch) -> None:  # noqa: F811
    run_python(code, served, monkeypatch)


def test_the_table_of_errors_is_the_modules() -> None:
    from perceiver_client import errors

    assert errors.__doc__ is not None
    documented = [line for line in errors.__doc__.splitlines() if line.startswith("| `")]
    assert documented
    for line in documented:
        assert line.split("|")[1] in README
