"""What the package is: small, typed, and the same messages as the server's."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import perceiver_client
import pytest
from perceiver_client import (
    AsyncClient,
    Client,
    calls,
    multimodal_autoencoding,
    optical_flow,
)
from perceiver_client import perceiver_pb2 as pb
from perceiver_client.channels import SERVICE

from tests.live_server import ROOT

PACKAGE = ROOT / "clients" / "python"
FOREIGN = "{'torch', 'PIL', 'av', 'server', 'perceiver_core', 'protos', 'pydantic'}"
LISTING = f"import sys, perceiver_client; print(*sorted({FOREIGN} & sys.modules.keys()))"


def test_importing_it_loads_nothing_of_the_server() -> None:
    fresh = subprocess.run(
        [sys.executable, "-P", "-c", LISTING],
        cwd="/",
        env={"PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert fresh.returncode == 0, fresh.stderr
    assert fresh.stdout.split() == []


@pytest.mark.parametrize("name", ["perceiver_pb2.py", "perceiver_pb2.pyi"])
def test_the_messages_are_the_servers(name: str) -> None:
    ours = PACKAGE / "perceiver_client" / name
    assert ours.read_bytes() == (ROOT / "protos" / "perceiver" / "v1" / name).read_bytes()


def test_every_rpc_has_a_call_and_every_call_a_method() -> None:
    service = pb.DESCRIPTOR.services_by_name["Perceiver"]
    assert f"/{service.full_name}/" == SERVICE
    made = (
        *(calls.TextClassification, calls.FillMask, calls.ImageClassification, calls.ListModels),
        *(optical_flow.OpticalFlow, optical_flow.OpticalFlowStream),
        multimodal_autoencoding.MultimodalAutoencoding,
        multimodal_autoencoding.MultimodalAutoencodingStream,
    )
    assert {call.rpc: call.reply.DESCRIPTOR.full_name for call in made} == {
        method.name: method.output_type.full_name for method in service.methods
    }


def test_both_clients_have_the_same_methods_and_all_is_exported() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(Client) == public(AsyncClient)
    assert all(hasattr(perceiver_client, name) for name in perceiver_client.__all__)


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    declared = {one.split(">")[0] for one in project["dependencies"]}
    assert declared == {"grpcio", "httpx", "numpy", "protobuf", "tenacity"}
    assert (PACKAGE / "perceiver_client" / "py.typed").exists()
    assert project["readme"] == Path("README.md").name


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost:8000", "127.0.0.1", "/v1", "ftp://localhost", "http://", "http:///v1"),
        *("grpc://localhost", "http://localhost:port"),
        *("http://localhost:99999", "http://user:secret@localhost", "http://localhost/?a=b"),
        *("http://[::1", "unix:/socket"),
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_url_of_a_server(kind: type[Client], url: str) -> None:
    with pytest.raises(ValueError, match=r"http://HOST:PORT .* grpc://HOST:PORT"):
        kind(url)


@pytest.mark.parametrize("url", ["http://localhost:8000/v1", "grpc://localhost:8001/v1"])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_url_ends_with_the_port(kind: type[Client], url: str) -> None:
    with pytest.raises(ValueError, match=r"the URL ends with the port, without /v1$"):
        kind(url)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_help_names_the_options(kind: type[Client]) -> None:
    parameters = inspect.signature(kind.fill_mask).parameters
    assert [*parameters][:2] == ["self", "inputs"]
    assert {*parameters} == {"self", "inputs", "top_k", "targets", "model", "timeout"}
    assert "targets: score these only" in str(kind.fill_mask.__doc__)
    assert "tries included" in str(kind.image_classification.__doc__)


def test_the_licence_goes_with_it() -> None:
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    (name,) = project["license-files"]
    assert (PACKAGE / name).read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": float("nan")}, {"retries": -1}])
def test_settings_that_make_no_sense(options) -> None:
    with pytest.raises(ValueError, match="but must be"):
        Client("grpc://127.0.0.1:1", **options)
