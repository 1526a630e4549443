"""No version with a known hole is declared, pinned or installed; and the pins are pins."""

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.test_import_rules import ROOT, uses

# The lowest version of each library without a hole that matters to us, and what the hole was.
FLOORS = {
    "grpcio": "1.85",  # compressed messages were measured before they were inflated
    "h11": "0.16",  # CVE-2025-43859: smuggling through chunked bodies
    "pillow": "12.3",  # decoders of PSD, FITS, EPS, JPEG 2000; the bundled libwebp
    "protobuf": "6.33.5",  # CVE-2025-4565, CVE-2026-0994: unbounded recursion
    "python-multipart": "0.0.32",  # CVE-2024-53981, CVE-2026-24486 and later ones
    "safetensors": "0.8",
    "starlette": "1.3.1",  # limits on form fields were ignored
    "torch": "2.10",  # CVE-2026-24747: memory corruption by a weights file
    "transformers": "5.3",  # CVE-2026-4372, CVE-2026-5241: config.json could run code
    "uvicorn": "0.51",  # workers are replaced without dropping requests
}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUN_TIME = [Requirement(text) for text in PROJECT["dependencies"]]
EXTRAS = [
    Requirement(text) for extra in PROJECT["optional-dependencies"].values() for text in extra
]
PINS = [
    line
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize("name", FLOORS)
def test_the_floor_is_kept(name: str) -> None:
    floor = Version(FLOORS[name])
    for requirement in RUN_TIME + EXTRAS:
        if canonicalize_name(requirement.name) == name:
            assert any(
                specifier.operator == ">=" and Version(specifier.version) >= floor
                for specifier in requirement.specifier
            ), f"pyproject.toml admits {name} below {floor}"
    for pin in map(Requirement, PINS):
        if canonicalize_name(pin.name) == name:
            pinned = Version(str(pin.specifier).removeprefix("=="))
            assert pinned >= floor, f"constraints.txt pins {name} {pinned}"
    try:
        installed = Version(version(name))
    except PackageNotFoundError:
        return  # an extra that is not here
    assert installed >= floor, f"{name} {installed} is installed"


def test_everything_but_torch_is_pinned() -> None:
    for pin in PINS:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin), pin
    pinned = {canonicalize_name(Requirement(pin).name) for pin in PINS}
    declared = {canonicalize_name(requirement.name) for requirement in RUN_TIME + EXTRAS}
    assert declared - pinned == {"torch", "perceiver-server"}
    assert not {name for name in pinned if re.match(r"torch|nvidia|cuda|triton", name)}


def test_what_is_served_imports_only_what_it_declares() -> None:
    distributions = packages_distributions()
    hub = map(Requirement, PROJECT["optional-dependencies"]["hub"])  # one command says it needs it
    declared = {canonicalize_name(requirement.name) for requirement in (*RUN_TIME, *hub)}
    ours = {"perceiver_core", "protos", "server"}
    undeclared = set()
    for path in (file for package in ours for file in (ROOT / package).rglob("*.py")):
        for line, name in uses(ast.parse(path.read_text(encoding="utf-8"))):
            top = name.split(".")[0]
            if top in ours or top in sys.stdlib_module_names:
                continue
            if declared.isdisjoint(map(canonicalize_name, distributions.get(top, [top]))):
                undeclared.add(f"{path.relative_to(ROOT)}:{line}: {top}")
    assert sorted(undeclared) == []
