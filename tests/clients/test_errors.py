"""Every kind of error has its code, the same whichever way it comes."""

from __future__ import annotations

import socket
from base64 import b64encode

import pytest

from tests.clients.peers import Reply, peer, refusal
from tests.clients.ways import GRPC_WAYS, WAYS, Way
from tests.live_server import LiveServer
from tests.server.pictures import encoded

NOT_OURS = Reply(502, "UNKNOWN", body=b"<html>Bad gateway")
NO_JSON = Reply(200, "UNIMPLEMENTED", body=b"<html>Welcome")
OTHER_JSON = Reply(200, "NOT_FOUND", body=b'{"status": "ok"}')
NO_RESULTS = Reply(results=0)
EMPTY_JSON = Reply(200, "INTERNAL", body=b"[[{}]]")
IN_JSON = b'{"inputs": "%s"}' % b64encode(encoded("PNG"))  # an answer to it would be REST's alone

each_way = pytest.mark.parametrize("name", WAYS)


@pytest.mark.parametrize(
    ("method", "inputs", "options", "code"),
    [
        ("fill_mask", "nothing masked", {}, "invalid_input"),
        ("text_classification", "x" * 1000, {}, "invalid_input"),
        ("fill_mask", "[MASK]", {"targets": ["long"]}, "invalid_input"),
        ("text_classification", "a", {"top_k": 6}, "invalid_input"),
        ("text_classification", "a", {"model": "nobody"}, "unknown_model"),
        ("fill_mask", "[MASK]", {"model": "language-perceiver"}, "model_not_pulled"),
        ("text_classification", "a", {"model": "mask"}, "unknown_model"),
        ("text_classification", ["a"] * 129, {}, "too_large"),
        ("text_classification", "a" * 5_000_000, {}, "too_large"),
        ("image_classification", b"GIF89a", {}, "unsupported_media_type"),
        ("image_classification", IN_JSON, {}, "unsupported_media_type"),
        ("text_classification", "~raise~", {}, "internal"),
    ],
)
def test_what_the_server_refuses(way: Way, method, inputs, options, code: str) -> None:
    error = way.error(method, inputs, **options)
    assert error.code == code
    assert error.message
    assert str(error) == f"{code}: {error.message}"


def test_an_error_names_the_request_in_the_servers_log(way: Way, live: LiveServer) -> None:
    error = way.error("text_classification", "a", model="nobody")
    assert f"request {error.request_id}: " in live.log()
    assert error.retry_after is None


def test_a_failed_load_says_when_to_try_again(way: Way) -> None:
    once = Way(way.name, way.urls, retries=0)
    error = once.error("text_classification", "a", model="truncated")
    assert error.code == "load_failed"
    assert error.retry_after is not None
    assert error.retry_after > 0


def test_the_image_at_fault_is_named(way: Way) -> None:
    error = way.error("image_classification", [b"no image"])
    assert not error.message.startswith("inputs[")
    error = way.error("image_classification", [b"no image", encoded("PNG")])
    assert error.message.startswith("inputs[0]: ")
    assert error.code == "unsupported_media_type"


@pytest.mark.parametrize(
    ("method", "inputs", "options"),
    [
        ("text_classification", [], {}),
        ("image_classification", [], {}),
        ("image_classification", b"", {}),
        ("fill_mask", "[MASK]", {"targets": []}),
        ("fill_mask", "[MASK]", {"targets": ["\udc80"]}),
        ("text_classification", "a\ud800", {}),
        ("text_classification", "a", {"top_k": 0}),
        ("text_classification", "a", {"top_k": 2**40}),
        ("text_classification", "a", {"function_to_apply": "relu"}),
    ],
)
def test_what_not_every_transport_can_carry(way: Way, method, inputs, options) -> None:
    error = way.error(method, inputs, **options)
    assert error.code == "invalid_input"
    assert error.message


@pytest.mark.parametrize(
    ("method", "inputs", "options", "sentence"),
    [
        ("text_classification", [b"a"], {}, r"inputs\[0\] must be str, but is b'a'"),
        ("text_classification", 3, {}, "one input or a list of them, but is 3"),
        ("image_classification", 3, {}, "one input or a list of them, but is 3"),
        ("image_classification", "a path", {}, "a path is a pathlib.Path.*, but is 'a path'"),
        ("image_classification", ["a path"], {}, "a path is a pathlib.Path.*, but is 'a path'"),
        ("fill_mask", "[MASK]", {"targets": "a"}, "targets must be a list, but is 'a'"),
        ("fill_mask", "[MASK]", {"targets": 3}, "targets must be a list, but is 3"),
        ("fill_mask", "[MASK]", {"topk": 3}, "no option 'topk'; it has top_k, targets, model"),
        ("fill_mask", "[MASK]", {"function_to_apply": "none"}, "no option 'function_to_apply'"),
        ("fill_mask", "[MASK]", {"top_k": "3"}, "top_k must be an int, but is '3'"),
        ("fill_mask", "[MASK]", {"top_k": True}, "top_k must be an int, but is True"),
        ("fill_mask", "[MASK]", {"model": 3}, "model must be a str, but is 3"),
        ("fill_mask", "[MASK]", {"timeout": "3"}, "timeout must be a number .*, but is '3'"),
    ],
)
def test_programming_errors_are_type_errors(way: Way, method, inputs, options, sentence) -> None:
    with pytest.raises(TypeError, match=sentence):
        way.ask(method, inputs, **options)


def test_a_file_that_cannot_be_read(way: Way, tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        way.ask("image_classification", tmp_path / "nowhere.png")


@each_way
@pytest.mark.parametrize(
    ("code", "http", "status"),
    [
        ("queue_full", 429, "RESOURCE_EXHAUSTED"),
        ("draining", 503, "UNAVAILABLE"),
        ("worker_died", 503, "UNAVAILABLE"),
        ("out_of_memory", 507, "RESOURCE_EXHAUSTED"),
        ("too_slow", 408, "CANCELLED"),
        ("deadline", 504, "DEADLINE_EXCEEDED"),
        ("a_code_of_tomorrow", 418, "FAILED_PRECONDITION"),
    ],
)
def test_the_servers_code_is_passed_on(name: str, code: str, http: int, status: str) -> None:
    with peer(refusal(code, http, status)) as script:
        error = Way(name, script.urls).error("text_classification", "a")
        assert (error.code, error.message) == (code, "not now")


@each_way
@pytest.mark.parametrize("reply", [NOT_OURS, NO_JSON, OTHER_JSON, EMPTY_JSON, NO_RESULTS])
def test_something_else_answers(name: str, reply: Reply) -> None:
    with peer(reply) as script:
        error = Way(name, script.urls).error("text_classification", "a")
        assert error.code == "bad_answer"
        assert script.urls[name.split()[0]] in error.message
        assert len(script.seen) == 1


@each_way
def test_nobody_listens(name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        urls = {
            scheme: f"{scheme}://127.0.0.1:{taken.getsockname()[1]}" for scheme in ("http", "grpc")
        }
        error = Way(name, urls).error("text_classification", "a")
        assert error.code == "unreachable"
        assert urls[name.split()[0]] in error.message


@each_way
@pytest.mark.parametrize("secure", ["", "s"])
def test_the_other_port_is_named(name: str, secure: str, urls) -> None:
    """Of a REST URL to the gRPC port and the other way round, and of TLS where there is none."""
    scheme = name.split()[0]
    other = {"http": "grpc", "grpc": "http"}[scheme]
    place = urls[scheme if secure else other].partition("://")[2]
    error = Way(name, {scheme: f"{scheme}{secure}://{place}"}, retries=0).error("models")
    assert error.code == "unreachable"
    assert error.message.endswith(f": try {scheme if secure else other}://{place}")


def test_too_large_a_message(way: Way) -> None:
    error = way.error("image_classification", bytes(66 * 1024 * 1024))
    assert error.code == "too_large"


@pytest.mark.parametrize("name", GRPC_WAYS)
def test_messages_beyond_a_servers_usual_limit_need_no_setting(name: str) -> None:
    """It may be configured otherwise."""
    large = "a" * 65 * 1024 * 1024
    with peer(Reply(label=large)) as script:
        (label,) = Way(name, script.urls).ask("text_classification", large)
        assert label.label == large
