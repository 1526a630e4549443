"""Answers as bytes: arrays in JSON, pieces of large answers, readers who take their time."""

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from server.errors import Fault
from server.rest import answer
from server.rest.answer import PIECE, Base64, Parts, Unread, json_parts, response
from tests.live_server import LiveServer, serving, until
from tests.server.pictures import encoded

DTYPES: Any = st.sampled_from([np.dtype("<f4"), np.dtype(">f4"), np.dtype("u1")])
SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
ARRAYS: Any = arrays_of.arrays(DTYPES, SHAPES)
TREES = st.recursive(
    ARRAYS | st.text() | st.integers(-9, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def joined(parts: Parts) -> bytes:
    return b"".join(
        base64.b64encode(part.data) if isinstance(part, Base64) else part for part in parts
    )


def described(value: Any) -> Any:
    """What JSON must say of it."""
    if isinstance(value, list):
        return [described(one) for one in value]
    if isinstance(value, dict):
        return {key: described(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        data = base64.b64encode(value.astype(value.dtype.newbyteorder("<")).tobytes()).decode()
        return {"shape": [*value.shape], "dtype": value.dtype.name, "data": data}
    return value


@given(TREES)
def test_arrays_stand_in_json_as_shape_dtype_and_base64(value: Any) -> None:
    parts = json_parts(value)
    assert json.loads(joined(parts)) == described(value)
    assert sum(map(len, parts)) == len(joined(parts))


def test_a_part_of_an_array_is_sent_as_it_looks() -> None:
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    for part in (whole[::2], whole[:, 1:3], whole.T):
        assert json.loads(joined(json_parts(part))) == described(part)


async def sent(parts: Parts, unread: Unread) -> tuple[dict[str, str], list[bytes]]:
    """The header and the pieces of a response, as a server gets them."""
    header: dict[str, str] = {}
    pieces: list[bytes] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            header.update({name.decode(): value.decode() for name, value in message["headers"]})
        else:
            pieces.append(message.get("body", b""))
        held.append(unread.bytes)

    async def receive() -> Any:
        raise AssertionError("nothing more to receive")

    held: list[int] = []
    await response(parts, "a/b", {"x-a": "1"}, unread)({"type": "http"}, receive, send)
    header["held"] = str(max(held))
    return header, pieces


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7])
async def test_large_answers_leave_in_pieces(size: int) -> None:
    data = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)
    as_it_is: Parts = [b"head", data.data]
    as_json: Parts = [b'{"data":"', Base64(data.data), b'"}']
    for parts in (as_it_is, as_json):
        unread = Unread()
        header, pieces = await sent(parts, unread)
        whole = b"".join(pieces)
        assert whole == joined(parts)
        assert header["content-length"] == str(len(whole))
        assert (header["content-type"], header["x-a"]) == ("a/b", "1")
        assert max(map(len, pieces)) <= PIECE * 4 // 3
        assert header["held"] == ("0" if len(whole) <= PIECE else str(len(whole)))
        assert unread.bytes == 0


async def test_an_answer_that_cannot_be_sent_is_let_go() -> None:
    unread = Unread()

    async def send(_: Any) -> None:
        assert unread.bytes == 2 * PIECE
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await response([bytes(2 * PIECE)], "a/b", {}, unread)({"type": "http"}, send, send)  # type: ignore[arg-type]  # never received from
    assert unread.bytes == 0


def test_what_waits_to_be_read_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "MAX_UNREAD", 3 * PIECE)
    unread = Unread()
    unread.check(4 * PIECE)  # the first one
    with unread.holding(PIECE):
        unread.check(2 * PIECE)
        unread.check()
        with pytest.raises(Fault, match=f"{PIECE} bytes of answers") as caught:
            unread.check(2 * PIECE + 1)
        with unread.holding(2 * PIECE):
            unread.check(PIECE)  # a small one
            with pytest.raises(Fault):
                unread.check()
    unread.check(4 * PIECE)
    assert (caught.value.code, caught.value.retry_after) == ("queue_full", 1.0)


TIGHT = """
from server import cli
from server.rest import answer
answer.MAX_UNREAD = 1
cli.main()
"""


def sums_up(server: LiveServer) -> bool:
    sums = server.conservation()
    return sums.pop("perceiver_received_total") == sums.total()


@pytest.fixture(scope="module")
def tight(model_repository: Path, defaults: tuple[str, ...]) -> Iterator[LiveServer]:
    """A server with room for one large answer."""
    repository = ("--model-repository", model_repository)
    with serving(*repository, *defaults, program=("-c", TIGHT)) as server:
        assert server.post("fill-mask", json={"inputs": "[MASK]"}).status_code == 200
        yield server


MANY = {"inputs": ["[MASK] " * 30] * 12, "parameters": {"top_k": 100}}  # megabytes of answer
FLOW = {"files": {"frame1": encoded("PNG"), "frame2": encoded("PNG")}}


def ask_much(
    server: LiveServer, sock: socket.socket, outcomes: tuple[str, ...] = ("completed",)
) -> None:
    """Asks for megabytes; returns when the answer is made, and nothing of it read.

    The system's buffers, which would swallow some of them, are kept small on our side.
    """
    body = json.dumps(MANY).encode()
    head = f"POST /v1/fill-mask HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.connect(("127.0.0.1", server.port))

    def ended() -> float:
        return sum(server.metric("requests_total", outcome=name) for name in outcomes)

    before = ended()
    sock.sendall(head.encode() + body)
    until(lambda: ended() == before + 1, "the answer is made")


def test_large_answers_wait_for_the_reading_of_others(tight: LiveServer) -> None:
    with socket.socket() as sock:
        ask_much(tight, sock)
        for refusal in (tight.post("optical-flow", **FLOW), tight.post("fill-mask", json=MANY)):
            assert (refusal.status_code, refusal.json()["code"]) == (429, "queue_full")
            assert refusal.headers["Retry-After"] == "1"
        assert tight.post("fill-mask", json={"inputs": "[MASK]"}).status_code == 200
    until(lambda: tight.post("optical-flow", **FLOW).status_code == 200, "there is room again")
    assert sums_up(tight)


def test_who_leaves_in_the_middle_leaves_nothing_behind(tight: LiveServer) -> None:
    files = psutil.Process(tight.process.pid).num_fds
    assert tight.http.get("/livez").status_code == 200
    before = files()
    for _ in range(3):
        with socket.socket() as sock:
            ask_much(tight, sock)
            assert len(sock.recv(4096)) > 0
    until(lambda: files() == before, "the connections are closed")
    until(lambda: tight.post("optical-flow", **FLOW).status_code == 200, "there is room again")
    assert "Traceback" not in tight.log()


READERS, ROOM = 30, 64 * 1024 * 1024


@pytest.mark.full
def test_many_who_do_not_read_hold_little(
    model_repository: Path, defaults: tuple[str, ...]
) -> None:
    flags = ("--model-repository", model_repository, "--body-timeout-s", "30")
    program = TIGHT.replace("MAX_UNREAD = 1", f"MAX_UNREAD = {ROOM}")
    with serving(*flags, *defaults, program=("-c", program)) as server, ExitStack() as stack:
        assert server.post("fill-mask", json=MANY).status_code == 200
        front = psutil.Process(server.process.pid)
        files, memory = front.num_fds(), front.memory_info().rss
        socks = [stack.enter_context(socket.socket()) for _ in range(READERS)]
        for sock in socks:
            ask_much(server, sock, outcomes=("completed", "rejected"))
        assert front.memory_info().rss - memory < 2 * ROOM
        for sock in socks:
            status = sock.recv(12)
            if status != b"HTTP/1.1 200":
                assert status == b"HTTP/1.1 429"
                sock.close()  # that one has been answered
        assert server.post("fill-mask", json={"inputs": "[MASK]"}).status_code == 200
        until(lambda: front.num_fds() == files, "every connection is closed")
