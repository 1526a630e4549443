"""Frames: what goes in comes out, and nothing else gets in."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from server.frames import (
    DTYPES,
    PREFIX,
    SMALL,
    ArraySpec,
    AsyncChannel,
    Channel,
    FrameError,
    Row,
)


class Note(msgspec.Struct, tag="note"):
    text: str


class Other(msgspec.Struct, tag="other"):
    pass


Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, two = socket.socketpair()
    with one, two:
        yield one, two


def frame(header: Any, body: bytes = b"") -> bytes:
    """Bytes on the wire, made by hand."""
    encoded = msgspec.msgpack.encode(header)
    return PREFIX.pack(len(encoded), len(body)) + encoded + body


some_array = st.sampled_from(list(DTYPES.values())).flatmap(
    lambda dtype: arrays.arrays(
        dtype, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    )
)
some_rows = st.lists(st.dictionaries(st.text(max_size=5), some_array, max_size=3), max_size=4)


def same(ours: list[Row], theirs: list[Row]) -> bool:
    """Equal names, dtypes, shapes and bytes."""

    def plain(rows: list[Row]) -> list[object]:
        return [[(k, a.dtype, a.shape, a.tobytes()) for k, a in row.items()] for row in rows]

    return plain(ours) == plain(theirs)


@given(text=st.text(), rows=some_rows)
def test_what_is_sent_is_received(text: str, rows: list[Row]) -> None:
    one, two = socket.socketpair()
    with one, two:
        Channel(one, Note).send(Note(text), rows)
        message, received = Channel[Note](two, Note | Other).receive()
    assert message == Note(text)
    assert same(rows, received)


async def test_the_two_ends_understand_each_other(pair: Pair) -> None:
    ours = AsyncChannel[Note](pair[0], Note)
    theirs = Channel[Note](pair[1], Note)
    big = [{"x": np.random.default_rng(0).normal(size=(1000, 1000))} for _ in range(3)]

    def answer() -> None:
        message, rows = theirs.receive()
        theirs.send(Note(message.text.upper()), rows[::-1])

    child = asyncio.create_task(asyncio.to_thread(answer))
    await ours.send(ours.pack(Note("hello"), big))
    message, rows = await ours.receive()
    await child
    assert message == Note("HELLO")
    assert same(big[::-1], rows)


def test_a_small_frame_is_one_write_and_a_big_array_is_not_copied() -> None:
    one, two = socket.socketpair()
    with one, two:
        channel = Channel[Note](one, Note)
        small: list[Row] = [{"x": np.arange(7), "y": np.zeros(3, np.float32)}] * 8
        assert len(channel.pack(Note(""), small)) == 1
        big = np.zeros(SMALL + 1, np.uint8)
        (_, written) = channel.pack(Note(""), [{"x": big}])
        assert np.shares_memory(big, np.frombuffer(written, np.uint8))


def test_small_frames_that_have_arrived_take_one_read(pair: Pair) -> None:
    sender, receiver = Channel[Note](pair[0], Note), Channel[Note](pair[1], Note)
    rows: list[Row] = [{"x": np.arange(7)}, {"x": np.arange(9)}]
    for text in "ab":
        sender.send(Note(text), rows)
    for text in "ab":
        message, received = receiver.receive()
        assert message == Note(text)
        assert same(rows, received)
        with pytest.raises(BlockingIOError):  # nothing is left in the socket, also not of "b"
            pair[1].recv(1, socket.MSG_DONTWAIT)


SIZES = (0, 3, SMALL - 1, SMALL, SMALL + 1, 3 * SMALL + 7)


@pytest.mark.parametrize("piece", [1000, SMALL, 10 * SMALL])
async def test_frames_arrive_whole_however_they_are_cut(pair: Pair, piece: int) -> None:
    bytes_of = [np.arange(size).astype(np.uint8) for size in SIZES]
    frames: list[list[Row]] = [[{"x": array} for array in bytes_of], [], [{"y": np.ones(2)}]]
    channel = Channel[Note](pair[0], Note)
    wire = b"".join(b"".join(channel.pack(Note("hello"), rows)) for rows in frames)

    def send(sock: socket.socket) -> None:
        for start in range(0, len(wire), piece):
            sock.sendall(wire[start : start + piece])

    sending = asyncio.create_task(asyncio.to_thread(send, pair[0]))
    ours = AsyncChannel[Note](pair[1], Note)
    for rows in frames:
        message, received = await ours.receive()
        assert message == Note("hello")
        assert same(rows, received)
    await sending
    one, two = socket.socketpair()
    with one, two:
        sending = asyncio.create_task(asyncio.to_thread(send, one))
        theirs = Channel[Note](two, Note)
        for rows in frames:
            assert same(rows, (await asyncio.to_thread(theirs.receive))[1])
        await sending


def test_an_array_without_c_order_arrives_in_it(pair: Pair) -> None:
    array = np.arange(12, dtype=np.int32).reshape(3, 4).T[::2]
    Channel(pair[0], Note).send(Note(""), [{"x": array}])
    _, rows = Channel[Note](pair[1], Note).receive()
    np.testing.assert_array_equal(rows[0]["x"], array)
    assert rows[0]["x"].flags.writeable


def test_foreign_byte_order_is_converted(pair: Pair) -> None:
    Channel(pair[0], Note).send(Note(""), [{"x": np.array([1.5, -2.0], ">f4")}])
    _, rows = Channel[Note](pair[1], Note).receive()
    np.testing.assert_array_equal(rows[0]["x"], [1.5, -2.0])


@pytest.mark.parametrize("dtype", [object, "datetime64[s]", "complex64", "U3"])
def test_only_plain_numbers_are_sent(pair: Pair, dtype: Any) -> None:
    with pytest.raises(FrameError, match="dtype"):
        Channel(pair[0], Note).send(Note(""), [{"x": np.zeros(2, dtype)}])


NOTE = {"type": "note", "text": ""}


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        (PREFIX.pack(2**32 - 1, 0), "over the limit"),
        (PREFIX.pack(4, 2**63), "over the limit"),
        (PREFIX.pack(4, 1001), "over the limit"),  # the channel below takes 1000
        (PREFIX.pack(4, 0) + b"\xc1\xc1\xc1\xc1", "cannot be read"),
        (frame([{"type": "unknown"}, []]), "cannot be read"),
        (frame([{"type": "note", "text": 7}, []]), "cannot be read"),
        (frame([NOTE, [[["x", "object", [1]]]]], b"12345678"), "dtype"),
        (frame([NOTE, [[["x", "float32", [-1]]]]]), "shape"),
        (frame([NOTE, [[["x", "float32", [-2, -2]]]]], bytes(16)), "shape"),
        (frame([NOTE, [[["x", "float32", [1] * 9]]]], bytes(4)), "shape"),
        (frame([NOTE, [[["x", "float32", [2**62, 2**62, 0]]]]]), "shape"),
        (frame([NOTE, [[["x", "float32", [2]]]]], bytes(4)), "add up"),
        (frame([NOTE, [[["x", "float32", [2**60, 2**60]]]]], bytes(4)), "add up"),
        (frame([NOTE, [[["x", "uint8", [2]], ["x", "uint8", [2]]]]], bytes(4)), "twice"),
    ],
)
async def test_bad_frames_are_refused_by_both_ends(pair: Pair, sent: bytes, complaint: str) -> None:
    pair[1].sendall(sent)
    with pytest.raises(FrameError, match=complaint):
        Channel[Note](pair[0], Note, max_body=1000).receive()
    one, two = socket.socketpair()
    with one, two:
        two.sendall(sent)
        with pytest.raises(FrameError, match=complaint):
            await AsyncChannel[Note](one, Note, max_body=1000).receive()


async def test_what_the_other_end_would_not_take_is_not_sent(pair: Pair) -> None:
    row = {"x": np.zeros(1001, np.uint8)}
    with pytest.raises(FrameError, match="over the limit"):
        Channel[Note](pair[0], Note, max_body=1000).send(Note("x"), [row])
    pair[0].close()
    assert pair[1].recv(1) == b""


@given(noise=st.binary(max_size=200))
def test_noise_never_does_more_than_raise(noise: bytes) -> None:
    one, two = socket.socketpair()
    with one, two:
        one.sendall(noise)
        one.shutdown(socket.SHUT_WR)
        with pytest.raises((FrameError, EOFError)):
            Channel[Note](two, Note, max_body=1000).receive()


@pytest.mark.parametrize("kept", [0, 3, PREFIX.size, PREFIX.size + 2, -1])
async def test_a_hang_up_in_mid_frame_is_an_end_of_file(pair: Pair, kept: int) -> None:
    whole = frame([NOTE, [[["x", "uint8", [4]]]]], b"1234")
    pair[1].sendall(whole[:kept])
    pair[1].close()
    with pytest.raises(EOFError):
        await AsyncChannel[Note](pair[0], Note).receive()


def test_the_layout_is_as_documented() -> None:
    assert PREFIX.format == "<IQ"
    spec = ArraySpec("x", "int64", (3, 5))
    assert spec.check() == 3 * 5 * 8
    assert struct.calcsize(PREFIX.format) == 12
