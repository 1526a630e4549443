"""What the gRPC door refuses: the same codes as REST, statuses from the one table, all counted."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest

from server.errors import KINDS
from server.rpc.errors import MAX_DETAILS
from tests.live_server import LiveServer
from tests.server.pictures import encoded
from tests.server.rpc_calls import (
    IMAGE,
    MASK,
    TEXT,
    call,
    channel_to,
    door,
    of_error,
    outcome,
    refusal,
    trailers,
)
from tests.server.serving import ask, ended, held, lawful, serving, until, waiting
from tests.tiny import make_text_classifier


@pytest.fixture(scope="module")
def channel(live: LiveServer) -> Any:
    with channel_to(live, ("grpc.max_send_message_length", -1)) as channel:
        yield channel


STATUSES = {  # the contract's table
    400: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    406: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    408: "CANCELLED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    507: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
}


def test_statuses_are_the_contracts() -> None:
    assert {code: kind.grpc for code, kind in KINDS.items()} == {
        code: STATUSES[kind.http] for code, kind in KINDS.items()
    }
    assert all(kind.grpc in grpc.StatusCode.__members__ for kind in KINDS.values())


@pytest.mark.parametrize(
    ("request_", "code", "part"),
    [
        (TEXT(), "invalid_input", "there is no input: send at least one"),
        (TEXT(inputs=["a", ""]), "invalid_input", "inputs[1]: the text is empty"),
        (TEXT(inputs=["a"], top_k=0), "invalid_input", "top_k is 0: use 1 to 5"),
        (TEXT(inputs=["a"], top_k=6), "invalid_input", "top_k is 6: use 1 to 5"),
        (TEXT(inputs=["a"], function_to_apply=9), "invalid_input", "'9': use one of softmax, "),  # type: ignore[arg-type]  # unknown on purpose
        (TEXT(inputs=["a" * 300]), "invalid_input", "300"),
        (TEXT(inputs=["a"], model="nix"), "unknown_model", "there is no model 'nix'"),
        (TEXT(inputs=["a"], model="mask"), "unknown_model", "does fill-mask, not text-class"),
        (TEXT(inputs=["a"], model="truncated"), "load_failed", "not a whole safetensors file"),
        (MASK(inputs=["a"]), "invalid_input", "put one [MASK] for each byte"),
        (MASK(inputs=["[MASK]"], targets=["no"]), "invalid_input", "target 'no' has 2 bytes"),
        (MASK(inputs=["[MASK]"], targets=["a"] * 101), "invalid_input", "101 strings"),
        (
            MASK(inputs=["[MASK]"], model="language-perceiver"),
            "model_not_pulled",
            "perceiver-server pull",
        ),
        (MASK(inputs=["[MASK] " * 60] * 16, top_k=100), "too_large", "the answer would be"),
        (IMAGE(inputs=[b"GIF89a"]), "unsupported_media_type", "it looks like a GIF"),
        (IMAGE(inputs=[encoded("PNG"), b""]), "unsupported_media_type", "inputs[1]: the body"),
        (IMAGE(inputs=[encoded("PNG")[:60]]), "invalid_input", "the image is damaged"),
        (TEXT(inputs=["a"] * 129), "too_large", "129 inputs in one request, the limit is 128"),
        (TEXT(inputs=["a"] * 2000), "too_large", "over 1128 fields, the limit"),
        (TEXT(inputs=["a" * 4 * 1024**2]), "too_large", f"the limit is {4 * 1024**2}"),
        (TEXT(inputs=["~raise~"]), "internal", "the server made a mistake"),
    ],
)
def test_a_refused_call_says_why(channel: Any, request_: Any, code: str, part: str) -> None:
    status, found, sentence = refusal(channel, request_)
    assert (status, found) == (KINDS[code].grpc, code)
    assert part in sentence


def test_the_sentences_are_those_of_rest(live: LiveServer, channel: Any) -> None:
    requests: list[tuple[str, dict[str, Any]]] = [
        ("text-classification", {"inputs": "", "parameters": {}}),
        ("text-classification", {"inputs": "a", "parameters": {"top_k": 6}}),
        ("text-classification", {"inputs": "a", "model": "nix"}),
        ("text-classification", {"inputs": "a", "model": "mask"}),
        ("fill-mask", {"inputs": "a"}),
        ("fill-mask", {"inputs": "[MASK]", "parameters": {"targets": ["no"]}}),
    ]
    for task, body in requests:
        rest = live.post(task, json=body).json()
        kind: Any = TEXT if task == "text-classification" else MASK
        options = body.get("parameters", {})
        request = kind(inputs=[body["inputs"]], model=body.get("model"), **options)
        assert refusal(channel, request)[1:] == (rest["code"], rest["error"])


def test_what_never_reached_the_engine_is_counted_once(live: LiveServer, channel: Any) -> None:
    raw = channel.unary_unary("/perceiver.v1.Perceiver/TextClassification")
    received = live.metric("received_total", protocol="grpc")
    for message, code in ((b"\xff", "malformed"), (b"\x12\0" * 2000, "too_large")):
        before = live.metric("refused_total", protocol="grpc", code=code)
        with pytest.raises(grpc.RpcError) as error:
            raw(message, metadata=(("x-request-id", "mine"),))
        assert of_error(error.value)[1] == code
        assert trailers(error.value)["x-request-id"] == "mine"
        assert live.metric("refused_total", protocol="grpc", code=code) == before + 1
    assert live.metric("received_total", protocol="grpc") == received
    refused = live.metric("refused_total", protocol="grpc")
    rejected = live.metric("requests_total", protocol="grpc", outcome="rejected")
    assert refusal(channel, TEXT(inputs=[""]))[1] == "invalid_input"
    assert live.metric("refused_total", protocol="grpc") == refused
    assert live.metric("requests_total", protocol="grpc", outcome="rejected") == rejected + 1


def test_a_long_sentence_still_reaches_the_caller(channel: Any) -> None:
    target = "ü" * 100_000
    status, code, sentence = refusal(channel, MASK(inputs=["[MASK]"], targets=[target]))
    assert (status, code) == ("INVALID_ARGUMENT", "invalid_input")
    assert sentence.startswith("target 'üüü")
    assert len(sentence) == MAX_DETAILS


def test_what_is_no_message_is_an_invalid_argument(channel: Any) -> None:
    for kind in ("FillMask", "TextClassification"):
        raw = channel.unary_unary(f"/perceiver.v1.Perceiver/{kind}")
        for message in (b"\x12", b"\x12\x05abc", b"\x12\x02\xff\xfe", b"\xff" * 100, b"\x07"):
            with pytest.raises(grpc.RpcError) as error:
                raw(message)
            assert of_error(error.value)[:2] == ("INVALID_ARGUMENT", "malformed")


async def test_a_full_queue_says_when_to_come_back(tmp_path: Path) -> None:
    async with serving(tmp_path, max_queue=1) as engine, door(engine) as channel:
        async with held(engine) as first:
            second = call(channel, TEXT(inputs=["waits"]))
            assert await until_queued(engine, 1)
            third = call(channel, TEXT(inputs=["is refused"]))
            assert await outcome(third) == ("RESOURCE_EXHAUSTED", "queue_full")
            found = dict(await third.trailing_metadata())
            assert found["grpc-retry-pushback-ms"] == "1000"
        assert await outcome(second) == ("OK", "")
        await first
        assert lawful(engine)


async def until_queued(engine: Any, count: int) -> bool:
    await until(waiting(engine, count))
    return True


async def test_a_dead_worker_is_unavailable(tmp_path: Path) -> None:
    async with serving(tmp_path) as engine, door(engine) as channel:
        warm = ask(engine, "warm")
        await warm
        pid = engine.worker.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        calling = call(channel, TEXT(inputs=["on the device"]))
        await until(lambda: sum(engine.ledger.in_flight.values()) == 1)
        os.kill(pid, signal.SIGKILL)
        assert await outcome(calling) == ("UNAVAILABLE", "worker_died")
        assert await outcome(call(channel, TEXT(inputs=["again"]))) == ("OK", "")
        assert ended(engine, "failed") == 1


async def test_what_fits_no_memory_is_exhausted(tmp_path: Path) -> None:
    tiny = make_text_classifier(tmp_path / "models" / "tiny") / "model.safetensors"
    make_text_classifier(tmp_path / "models" / "larger", d_latents=64)
    budget = tiny.stat().st_size
    async with serving(tmp_path, memory_budget=budget) as engine, door(engine) as channel:
        calling = call(channel, TEXT(inputs=["a"], model="larger"))
        assert await outcome(calling) == ("RESOURCE_EXHAUSTED", "out_of_memory")


async def test_a_row_without_a_finite_answer_is_invalid(tmp_path: Path) -> None:
    make_text_classifier(tmp_path / "models" / "tiny", nan_byte=7)
    async with serving(tmp_path) as engine, door(engine) as channel:
        found = await outcome(call(channel, TEXT(inputs=["a", "\x07"])))
        assert found == ("INVALID_ARGUMENT", "non_finite_output")


def test_errors_leave_one_line_in_the_log(live: LiveServer, channel: Any) -> None:
    refusal(channel, TEXT(inputs=["a secret", ""]), metadata=(("x-request-id", "find-me"),))
    lines = [line for line in live.log().splitlines() if "find-me" in line]
    assert len(lines) == 1
    assert lines[0].endswith("INVALID_ARGUMENT invalid_input")
    assert "a secret" not in json.dumps(live.log())
