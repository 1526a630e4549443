"""The image, built once for all tests of the session."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.deploy.container import BUILD, Image, output

NAME = "perceiver-server"
SECRET_PLACE = "wheels-of-this-machine"


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Built with one more place that pip looks in: an empty folder on this machine."""
    folder: Path = tmp_path_factory.mktemp("pip") / SECRET_PLACE
    folder.mkdir()
    places = f"{os.environ.get('PIP_FIND_LINKS', '')} {folder}".strip()
    os.environ.setdefault("BUILDAH_ISOLATION", "chroot")
    built = subprocess.run(
        [BUILD],
        env={**os.environ, "IMAGE": NAME, "PIP_FIND_LINKS": places},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout
    return Image(NAME, output(BUILD, "--engine").strip())
