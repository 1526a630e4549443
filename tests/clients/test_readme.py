"""The client's README tells every error that its module tells."""

from __future__ import annotations

from perceiver_client import errors

from tests.test_readme import PAGES


def test_the_table_of_errors_is_the_modules() -> None:
    assert errors.__doc__ is not None
    documented = [line for line in errors.__doc__.splitlines() if line.startswith("| `")]
    assert documented
    for line in documented:
        assert line.split("|")[1] in PAGES["clients/python/README.md"]
