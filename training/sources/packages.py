"""Fetch Debian, npm and PyPI packages by name with their ordinary clients, into a work folder.

Nothing is installed and the system is not edited: a .deb is only unpacked (`dpkg -x`), and where
apt has no package lists (or stale ones) fresh lists go to the work folder, not to /var/lib/apt.
"""

import json
import logging
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Package:
    """One unpacked package: `root` holds its files."""

    manager: str
    name: str
    version: str
    licence: str
    root: Path


def _apt(args: list[str], folder: Path, lists: Path | None) -> subprocess.CompletedProcess[str]:
    """Run apt-get in `folder`, with its own package lists under `lists` unless that is None."""
    options = ["-q"]
    if lists is not None:
        (lists / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
        (lists / "lists/partial").mkdir(parents=True, exist_ok=True)
        options += [f"-oDir::State::Lists={lists}/lists", f"-oDir::Cache={lists}/cache"]
        options += ["-oAcquire::Languages=none"]
    command = ["apt-get", *options, *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def debian(names: list[str], licence: str, work: Path) -> list[Package]:
    """Download and unpack Debian packages, in the order of `names`."""
    folder = work / "deb"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in names if not list(folder.glob(f"{name}_*.deb"))]
    if missing:
        log.info("apt-get download: %s", " ".join(missing))
        done = _apt(["download", *missing], folder, None)
        if done.returncode != 0:
            # Lists missing, or so old that the file they name is gone from the mirror.
            log.info("apt's lists are missing or stale: fetching fresh ones into %s", work / "apt")
            _apt(["update"], folder, work / "apt")
            done = _apt(["download", *missing], folder, work / "apt")
        if done.returncode != 0:
            raise RuntimeError(f"apt-get download failed for {missing}: {done.stderr.strip()}")
    return [_unpack_deb(name, licence, folder, work) for name in names]


def _unpack_deb(name: str, licence: str, folder: Path, work: Path) -> Package:
    (file,) = folder.glob(f"{name}_*.deb")
    field = ["dpkg-deb", "-f", str(file), "Version"]
    version = subprocess.run(field, capture_output=True, text=True, check=True).stdout.strip()
    root = work / "unpacked" / name
    if not root.exists():
        root.mkdir(parents=True)
        command = ["dpkg", "-x", str(file), str(root)]
        subprocess.run(command, check=True)
    return Package("Debian", name, version, licence, root)


def npm(name: str, version: str, licence: str, work: Path) -> Package:
    """Download and unpack one npm package; its scripts are never run."""
    flat = name.lstrip("@").replace("/", "-")
    folder = work / "npm"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{flat}-{version}.tgz"
    if not file.exists():
        log.info("npm pack %s@%s", name, version)
        command = ["npm", "pack", "--silent", "--ignore-scripts", f"{name}@{version}"]
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
    root = work / "unpacked" / f"npm-{flat}"
    if not root.exists():
        with tarfile.open(file) as archive:
            archive.extractall(root, filter="data")
    return Package("npm", name, version, licence, root / "package")


def pypi(name: str, version: str, licence: str, work: Path) -> Package:
    """Download and unpack one wheel; nothing is installed and none of its code runs."""
    folder = work / "pypi"
    folder.mkdir(parents=True, exist_ok=True)
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(folder.glob(pattern)):
        log.info("pip download %s==%s", name, version)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", f"{name}=={version}"]
        subprocess.run(command, cwd=folder, check=True)
    (file,) = folder.glob(pattern)
    root = work / "unpacked" / f"pypi-{name}"
    if not root.exists():
        with zipfile.ZipFile(file) as archive:
            archive.extractall(root)  # noqa: S202 (zipfile keeps members inside)
    return Package("PyPI", name, version, licence, root)


def write_sources(path: Path, packages: list[Package], used_for: str) -> None:
    """Write beside a data file which packages, versions and licences it was made from."""
    rows = [{key: value for key, value in asdict(p).items() if key != "root"} for p in packages]
    text = json.dumps({"used_for": used_for, "packages": rows}, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
