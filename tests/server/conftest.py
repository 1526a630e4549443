"""One server on tiny random models, shared by the tests that leave it as they found it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live_server import LiveServer, serving
from tests.server.pulling import NAME, SMALL, pickled
from tests.tiny import (
    make_fill_mask,
    make_image_classifier,
    make_multimodal,
    make_optical_flow,
    make_text_classifier,
)

PLAN = """[
    {"on": "forward", "contains": "~slow~", "action": "delay", "seconds": 1.0},
    {"on": "forward", "contains": "~raise~", "action": "raise"}
]"""


@pytest.fixture(scope="session")
def model_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good models `text`, `mask`, `image`, `flow`, `clips`; `truncated` and `pickled` ones; a
    pickle in disguise."""
    repository = tmp_path_factory.mktemp("repository")
    make_text_classifier(repository / "text")
    make_fill_mask(repository / "mask")
    make_image_classifier(repository / "image")
    make_optical_flow(repository / "flow")
    make_multimodal(repository / "clips")

    weights = make_text_classifier(repository / "truncated") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])

    pickle = f"cposix\nsystem\n(S'touch {repository / 'canary'}'\ntR.".encode()
    make_text_classifier(repository / "disguised").joinpath("model.safetensors").write_bytes(pickle)
    pickled = make_text_classifier(repository / "pickled")
    (pickled / "model.safetensors").unlink()
    (pickled / "pytorch_model.bin").write_bytes(pickle)
    return repository


@pytest.fixture(scope="session")
def fault_plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts with `~slow~` in them take a second, with `~raise~` they fail."""
    plan = tmp_path_factory.mktemp("faults") / "plan.json"
    plan.write_text(PLAN)
    return plan


@pytest.fixture(scope="session")
def defaults() -> tuple[str, ...]:
    """The good models as their tasks' defaults."""
    tasks = {
        "text-classification": "text",
        "fill-mask": "mask",
        "image-classification": "image",
        "optical-flow": "flow",
        "multimodal-autoencoding": "clips",
    }
    return ("--default-models", ",".join(f"{task}={model}" for task, model in tasks.items()))


@pytest.fixture(scope="session")
def live(
    model_repository: Path, fault_plan: Path, defaults: tuple[str, ...]
) -> Iterator[LiveServer]:
    """The shared server."""
    repository: list[str | Path] = ["--model-repository", model_repository, *defaults]
    with serving(*repository, "--fault-plan", fault_plan) as server:
        for task, inputs in (("text-classification", "a"), ("fill-mask", "[MASK]")):
            assert server.post(task, json={"inputs": inputs}).status_code == 200
        yield server


@pytest.fixture(scope="session")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint, laid out as the hub's."""
    folder = tmp_path_factory.mktemp("hub") / NAME
    pickled(folder, "PerceiverForMaskedLM", SMALL)
    return folder
