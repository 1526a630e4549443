"""What the environment may change, and what not: proxies, certificates."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from perceiver_client import Label

from tests.clients.peers import Reply, peer
from tests.clients.ways import WAYS, Way

each_way = pytest.mark.parametrize("name", WAYS)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of localhost that only itself vouches for, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the command openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    command = [
        openssl,
        *["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"],
    ]
    command += ["-addext", "subjectAltName=DNS:localhost", "-out", "cert.pem", "-keyout", "key.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


@each_way
def test_no_proxy_gets_between(name: str, monkeypatch) -> None:
    for variable in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    with peer(Reply()) as script:
        assert Way(name, script.urls).ask("text_classification", "a") == [Label("yes", 0.5)]


@each_way
def test_a_certificate_must_be_trusted(name: str, certificate, monkeypatch) -> None:
    with peer(Reply(), tls=certificate) as script:
        way = Way(name, script.urls, retries=0)
        assert way.error("text_classification", "a").code == "unreachable"
        assert script.seen == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert way.ask("text_classification", "a") == [Label("yes", 0.5)]
