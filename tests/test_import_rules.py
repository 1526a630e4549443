"""Imports point one way: {rest, rpc, cli} -> engine -> registry, batcher -> children -> core.

The rules are the two tables below. They are read off the source, so an import inside a function or
under TYPE_CHECKING counts too; the last test looks at what the front process really loads.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("perceiver_core", "server", "clients", "training", "benchmarks")

# The rooms of the server, top floor first. A module imports from its own floor or from below; one
# that is named nowhere here (errors, config, frames, ...) is vocabulary: it may import no room.
FLOORS = (
    {"cli", "files", "__main__"},
    {"app"},
    {"rest", "rpc", "oip"},
    {"engine", "answering", "streams"},
    {"work", "metrics", "results"},
    {"registry", "batcher"},
    {"child", "media_pool", "worker", "media", "media_child"},
)

# Who may use a name: the modules listed and what is inside them. Nobody else, and () is nobody.
ONLY: dict[str, tuple[str, ...]] = {
    # our own packages
    "server": ("server", "benchmarks"),
    "perceiver_core": ("perceiver_core", "server", "training", "benchmarks"),
    "training": ("training",),
    "tests": ("benchmarks",),  # its random models and its running servers; neither is installed
    # a child's code runs in the child: the front starts it by name
    "server.worker": ("server.worker", "benchmarks"),
    "server.media_child": ("server.media_child",),
    # one dialect, one folder
    "fastapi": ("server.rest", "server.oip", "benchmarks"),
    "starlette": ("server.rest", "server.oip"),
    **dict.fromkeys(
        ("grpc", "google.protobuf"), ("server.rpc", "server.oip", "clients", "benchmarks")
    ),
    "protos": ("server.rpc", "server.oip", "benchmarks"),  # a client has a copy of its own
    **dict.fromkeys(("grpc_health", "grpc_reflection"), ("server.rpc", "server.oip")),
    "uvicorn": ("server.app", "server.connection", "benchmarks"),
    # the heavy and the dangerous stay out of the front process
    "torch": ("perceiver_core", "server.worker", "server.pull_child", "training", "benchmarks"),
    "PIL": (
        "server.media",
        "perceiver_core.image_processor",
        "perceiver_core.pixels",
        "perceiver_core.pipelines.image_classification",
        "clients",
        "training",
        "benchmarks",
    ),
    "av": ("server.media", "clients", "training", "benchmarks"),
    # the reference to compare with is never a part
    "transformers": ("benchmarks",),
    # unpickling runs code
    **dict.fromkeys(
        ("pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"), ()
    ),
    **dict.fromkeys(("torch.save", "torch.serialization"), ()),
    "torch.load": ("server.pull_child",),  # of weights only, in a process of its own
    "huggingface_hub": ("server.pull",),
    "multiprocessing": ("training",),
    # no data may name code
    "importlib.import_module": ("perceiver_core.__init__", "training"),  # from constant tables
    # configuration is one frozen value, made at the door
    "os.environ": (
        "server.config",
        "server.spawn",  # hands it on, whole
        "clients.python.perceiver_client.cli",  # quietens grpc
        "benchmarks",
    ),
    "os.environb": (),
    "os.getenv": ("server.config", "benchmarks"),
}


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def uses(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all that a module imports and of every attribute it takes of that.

    `import torch as t; t.load(...)` uses torch and torch.load.
    """
    names: dict[str, str] = {}  # as it is called here -> what it is
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{'.' * node.level}{node.module or ''}.{alias.name}"
                names[alias.asname or alias.name] = full
                yield node.lineno, full
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            parts = [node.attr]
            value = node.value
            while isinstance(value, ast.Attribute):
                parts.append(value.attr)
                value = value.value
            if isinstance(value, ast.Name) and value.id in names:
                yield node.lineno, ".".join([names[value.id], *reversed(parts)])


def floor(module: str) -> int | None:
    """Counted from the ground, where vocabulary lives; None for what is no module of the server."""
    if not module.startswith("server."):
        return None
    room = module.split(".")[1]
    for above, rooms in enumerate(FLOORS):
        if room in rooms:
            return len(FLOORS) - above
    return 0


def breaches(root: Path) -> list[str]:
    found = set()
    for path in sorted(file for package in PACKAGES for file in (root / package).rglob("*.py")):
        where = path.relative_to(root)
        if "build" in where.parts:  # a copy that pip left
            continue
        module = ".".join(where.with_suffix("").parts)
        for line, name in uses(ast.parse(path.read_text(encoding="utf-8"))):
            at = f"{where}:{line}: {name}"
            if name.startswith("."):
                found.add(f"{at}: a relative import")
            for banned, users in ONLY.items():
                if inside(name, banned) and not any(inside(module, user) for user in users):
                    found.add(f"{at}: {banned} is only for {', '.join(users) or 'nobody'}")
            here, there = floor(module), floor(name)
            if here is not None and there is not None and there > here:
                found.add(f"{at}: imports point down, this one points up")
    return sorted(found)


def test_the_project_keeps_the_rules() -> None:
    assert breaches(ROOT) == []


@pytest.mark.parametrize(
    ("file", "source", "complaint"),
    [
        ("perceiver_core/a.py", "import server.errors", "server is only for"),
        ("perceiver_core/a.py", "def f():\n    from transformers import AutoModel", "a.py:2"),
        (
            "perceiver_core/a.py",
            "import torch as t\nt.load('x')",
            "torch.load is only for server.pull_child",
        ),
        ("perceiver_core/a.py", "from PIL import Image", "PIL is only for"),
        ("clients/python/a.py", "from perceiver_core.errors import InvalidInput", "is only for"),
        ("training/a.py", "import pickle", "pickle is only for nobody"),
        ("server/errors.py", "from server import registry", "points up"),
        ("server/batcher.py", "from server.engine import Engine", "points up"),
        ("server/rest/tasks.py", "import server.cli", "points up"),
        ("server/engine.py", "from starlette.requests import Request", "starlette is only for"),
        ("server/engine.py", "import grpc", "grpc is only for"),
        ("server/work.py", "from protos.perceiver.v1 import perceiver_pb2", "protos is only for"),
        ("server/rest/tasks.py", "from google.protobuf.message import Message", "is only for"),
        ("clients/python/a.py", "import protos.perceiver.v1", "protos is only for"),
        ("clients/python/a.py", "from grpc_health.v1 import health_pb2", "grpc_health is only"),
        ("server/engine.py", "from .errors import Fault", "a relative import"),
        ("server/batcher.py", "import torch.nn", "torch is only for"),
        ("server/batcher.py", "from server.worker.loop import run", "server.worker is only for"),
        ("server/batcher.py", "from os import environ", "os.environ is only for"),
        ("clients/python/a.py", "from os import environ", "os.environ is only for"),
        ("server/registry.py", "import os\nhome = os.environ['HOME']", "registry.py:2"),
    ],
)
def test_a_breach_is_seen(tmp_path: Path, file: str, source: str, complaint: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert any(complaint in breach for breach in breaches(tmp_path))


LISTING = "import sys, {module}; print(*sorted({{'torch', 'PIL', 'av'}} & sys.modules.keys()))"


@pytest.mark.parametrize("module", ["server.app", "server.cli", "server.engine"])
def test_the_front_process_loads_neither_torch_nor_a_decoder(module: str) -> None:
    fresh = subprocess.run(
        [sys.executable, "-c", LISTING.format(module=module)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert fresh.returncode == 0, fresh.stderr
    assert fresh.stdout.split() == []
