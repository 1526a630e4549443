"""Containers of the built image: docker's or podman's where an engine answers, else buildah's.

buildah runs a container as a chroot: the machine's network and processes, the image's files and
user.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
BUILD = str(ROOT / "deploy" / "build-image")
REACHED = re.compile(r"http://127\.0\.0\.1:(\d+) and grpc://127\.0\.0\.1:(\d+)")
TMP = "/tmp"  # noqa: S108 (the container's, the one place where it may write)
VENV = "/opt/venv/bin"
PATIENCE_S = 60


def output(*command: str) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Image:
    """The image, as its engine sees it."""

    def __init__(self, name: str, engine: str) -> None:
        self.name = name
        self.engine = engine
        kind = ["--type", "image"] if engine in ("buildah", "podman") else []
        self.description = output(engine, "inspect", *kind, name)
        found = json.loads(self.description)
        self.config: dict[str, Any] = (
            found["Docker"]["config"] if engine == "buildah" else found[0]["Config"]
        )

    @contextmanager
    def container(self, user: str | None = None, **environment: str) -> Iterator[Container]:
        """A container that nothing runs in yet; gone after the block."""
        kind = BuildahContainer if self.engine == "buildah" else EngineContainer
        container = kind(self, user or self.config["User"], environment)
        try:
            yield container
        finally:
            container.remove()


class Container:
    """One container: `start` its server, `execute` other commands beside it."""

    def __init__(self, image: Image, user: str, environment: Mapping[str, str]) -> None:
        self.image = image
        self.user = user
        self.environment = dict(environment)
        self.name = ""
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Starts the image's own command."""
        self.process = subprocess.Popen(
            self.server_command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def ports(self) -> tuple[int, int]:
        """Of REST and gRPC, on this machine, once the server listens."""
        assert self.process is not None
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            if found := REACHED.search(line):
                return self.reached("http", int(found[1])), self.reached("grpc", int(found[2]))
        raise AssertionError("".join(said))

    def ended(self) -> tuple[int, str]:
        """Exit code, and what was said since."""
        assert self.process is not None
        said, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said

    def server_command(self) -> list[str]:
        raise NotImplementedError

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command beside the server."""
        raise NotImplementedError

    def reached(self, door: str, port: int) -> int:
        """The machine's port that leads to a door's port in the container."""
        raise NotImplementedError

    def terminate(self) -> None:
        """SIGTERM, to the server's first process."""
        raise NotImplementedError

    def written(self) -> list[str]:
        """Files outside /tmp that the container's processes made or changed."""
        raise NotImplementedError

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.terminate()
            self.process.communicate(timeout=PATIENCE_S)


class EngineContainer(Container):
    """docker run, podman run: read-only, with a /tmp of its own."""

    def __init__(self, image: Image, user: str, environment: Mapping[str, str]) -> None:
        super().__init__(image, user, environment)
        options = [part for pair in self.environment.items() for part in ("-e", "=".join(pair))]
        options += ["--user", user, "--read-only", "--tmpfs", TMP]
        options += ["-p", "127.0.0.1::8000", "-p", "127.0.0.1::8001"]
        self.name = output(image.engine, "create", *options, image.name).strip()

    def server_command(self) -> list[str]:
        return [self.image.engine, "start", "--attach", self.name]

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        run = [self.image.engine, "exec", self.name, *command]
        return subprocess.run(run, capture_output=True, text=True, check=False)

    def reached(self, door: str, port: int) -> int:
        return int(output(self.image.engine, "port", self.name, f"{port}/tcp").rpartition(":")[2])

    def terminate(self) -> None:
        output(self.image.engine, "kill", "--signal", "TERM", self.name)

    def written(self) -> list[str]:
        changed = output(self.image.engine, "diff", self.name).splitlines()
        return [line for line in changed if not line[2:].startswith(TMP)]

    def remove(self) -> None:
        super().remove()
        output(self.image.engine, "rm", "--force", self.name)


class BuildahContainer(Container):
    """buildah run: a chroot with the machine's network, so that ports are chosen, not published."""

    def __init__(self, image: Image, user: str, environment: Mapping[str, str]) -> None:
        free = {"PERCEIVER_HTTP_PORT": "0", "PERCEIVER_GRPC_PORT": "0"}
        super().__init__(image, user, free | dict(environment))
        self.name = output("buildah", "from", "--pull-never", image.name).strip()
        self._root = output("buildah", "mount", self.name).strip()

    def _run(self, *command: str) -> list[str]:
        options = [part for pair in self.environment.items() for part in ("--env", "=".join(pair))]
        return ["buildah", "run", "--user", self.user, *options, self.name, "--", *command]

    def server_command(self) -> list[str]:
        config = self.image.config
        return self._run(*config["Entrypoint"], *config["Cmd"])

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._run(*command), capture_output=True, text=True, check=False)

    def reached(self, door: str, port: int) -> int:
        self.environment[f"PERCEIVER_{door.upper()}_PORT"] = str(port)  # for what `execute` runs
        return port

    def terminate(self) -> None:
        """To the first process inside: `buildah run` and its own helper stand before it."""
        assert self.process is not None
        for process in psutil.Process(self.process.pid).children(recursive=True):
            if process.cmdline()[:2] == [f"{VENV}/python", f"{VENV}/perceiver-server"]:
                process.terminate()
                return
        raise AssertionError("no server runs")

    def written(self) -> list[str]:
        tmp = ["-path", f"{self._root}{TMP}", "-prune"]
        owned = ["-uid", self.user.partition(":")[0], "-print"]
        return output("find", self._root, *tmp, "-o", *owned).splitlines()

    def remove(self) -> None:
        super().remove()
        output("buildah", "rm", self.name)
