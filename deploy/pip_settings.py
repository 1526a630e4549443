"""`python3 pip_settings.py FOLDER`: where pip gets packages on this machine, for an image's build.

Writes FOLDER/pip.conf, FOLDER/pip.pem (its certificates, where it names some) and FOLDER/folders
(local folders it names, one a line); prints the names of the first two.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What says where packages come from and how they are reached; the rest of a pip.conf is about the
# machine it stands on.
PLACES = ("index-url", "extra-index-url", "find-links")
WAYS = ("no-index", "trusted-host", "proxy", "timeout", "default-timeout", "retries")
SECRETS = "/run/secrets"


def settings() -> dict[str, str]:
    """Option → value, as `pip install` would see them: global, then install's, then PIP_…."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in printed.splitlines():
        name, equals, value = line.partition("=")
        section, dot, option = name.rpartition(".")
        if equals and dot and section in found:
            found[section][option] = ast.literal_eval(value)
    return found["global"] | found["install"] | found[":env:"]


def local_folder(place: str) -> Path | None:
    """The folder of a file: URL or a path; of an index, the parent too, which its links lead to."""
    path = Path(unquote(urlsplit(place).path) if place.startswith("file:") else place)
    if not path.is_absolute() or not path.exists():
        return None
    return path.parent if path.is_file() or path.name == "simple" else path


def main(target: Path) -> None:
    found = settings()
    lines = [f"{option} = {found[option]}" for option in WAYS if option in found]
    folders: set[Path] = set()
    for option in PLACES:
        places = found.get(option, "").split()
        if places:
            lines.append("\n    ".join([f"{option} =", *places]))
            folders.update(folder for folder in map(local_folder, places) if folder)
    secrets = ["pip.conf"]
    if "cert" in found:
        lines.append(f"cert = {SECRETS}/pip.pem")
        (target / "pip.pem").write_bytes(Path(found["cert"]).read_bytes())
        secrets.append("pip.pem")
    (target / "pip.conf").write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")
    (target / "folders").write_text("".join(f"{folder}\n" for folder in sorted(folders)))
    sys.stdout.write("\n".join([*secrets, ""]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
