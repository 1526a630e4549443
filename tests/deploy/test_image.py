"""The image, built and run for real: `make test-deploy`."""

from __future__ import annotations

import json
import urllib.request

import grpc
import pytest

from protos.perceiver.v1 import perceiver_pb2 as pb
from tests.deploy.conftest import SECRET_PLACE
from tests.deploy.container import PATIENCE_S, Container, Image

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(1800)]  # the first test waits for the build

QUESTION = "Dove posso trovare una buona libreria in questa città?"
INSECURE = {"PERCEIVER_INSECURE": "1"}


def over_rest(port: int) -> str:
    """The label of the question."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/text-classification",
        json.dumps({"inputs": QUESTION}).encode(),
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        label: str = json.load(response)[0][0]["label"]
    return label


def over_grpc(port: int) -> str:
    """The label of the question."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(
            "/perceiver.v1.Perceiver/TextClassification",
            request_serializer=pb.TextClassificationRequest.SerializeToString,
            response_deserializer=pb.TextClassificationResponse.FromString,
        )
        response: pb.TextClassificationResponse = call(
            pb.TextClassificationRequest(inputs=[QUESTION]), timeout=PATIENCE_S
        )
    return response.results[0].labels[0].label


@pytest.mark.parametrize("user", [None, "54321:0"], ids=["its user", "any user"])
def test_it_answers_writes_nothing_and_ends_well(image: Image, user: str | None):
    with image.container(user, **INSECURE) as container:
        container.start()
        http_port, grpc_port = container.ports()
        assert over_rest(http_port) == "it"
        assert over_grpc(grpc_port) == "it"
        assert healthy(container) == 0
        container.terminate()
        code, said = container.ended()
        assert code == 0, said
        assert "accepted ones are answered first" in said
        assert container.written() == []


def healthy(container: Container) -> int:
    """Exit code of the image's own health check."""
    kind, *command = container.image.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    code: int = container.execute(*command).returncode
    return code


def test_health_check_fails_where_nothing_listens(image: Image):
    with image.container(**INSECURE) as container:
        container.start()
        over_rest(container.ports()[0])  # answered: ready
        assert healthy(container) == 0
        container.terminate()
        container.ended()
        assert healthy(container) != 0


def test_it_refuses_to_be_open_to_all_unasked(image: Image):
    with image.container() as container:
        container.start()
        code, said = container.ended()
    assert code != 0
    assert "checks no keys" in said


def test_configuration(image: Image):
    config = image.config
    user = config["User"].split(":")
    assert all(part.isdecimal() and int(part) > 0 for part in user)
    assert (config["Entrypoint"], config["Cmd"]) == (["perceiver-server"], ["serve"])
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["ExposedPorts"]) == {"8000/tcp", "8001/tcp"}
    assert config["Labels"]["org.opencontainers.image.version"]
    assert "PERCEIVER_INSECURE" not in "".join(config["Env"])


def test_nothing_of_the_build_is_left(image: Image):
    """No trace of the machine's pip settings, also where only root may read; no cache, no pip."""
    assert SECRET_PLACE not in image.description
    with image.container("0:0", **INSECURE) as container:
        container.start()
        container.ports()
        assert found(container, f"grep -rlF {SECRET_PLACE} /opt /etc /var /home /root /srv") == []
        assert found(container, "ls -A /build /run/secrets /root/.cache /opt/venv/bin/pip") == []
        assert found(container, "find / -xdev -name '*.whl' -path '/opt/*'") == []
        assert found(container, "ls -A /opt/venv/lib/python3*/site-packages/torch/test") == []


def test_its_user_may_change_nothing(image: Image):
    with image.container(**INSECURE) as container:
        container.start()
        container.ports()
        assert found(container, "find /opt /etc /usr /home -writable -not -type l") == []


def found(container: Container, command: str) -> list[str]:
    """What a shell command prints in the container; what it cannot find does not matter."""
    return container.execute("sh", "-c", f"{command} 2>/dev/null").stdout.splitlines()
