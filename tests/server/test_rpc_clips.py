"""Chunks of video and sound at the gRPC door, unary and streamed, computed by the real worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from perceiver_core.pipelines.multimodal_autoencoding import Footage
from protos.perceiver.v1 import perceiver_pb2 as pb
from server.engine import Engine
from tests.server.pictures import file_of
from tests.server.rpc_calls import call, door, ends, noise, of_error, outcome, raw, streaming
from tests.server.serving import ended, lawful, serving
from tests.tiny import make_multimodal

pytestmark = pytest.mark.asyncio(loop_scope="module")

TASK = "multimodal-autoencoding"
FRAMES, SIDE, SAMPLES = 2, 16, 640
EVERYTHING = pb.MultimodalOptions(
    outputs=[pb.MODALITY_LABEL, pb.MODALITY_VIDEO, pb.MODALITY_AUDIO], top_k=3
)
PIXELS = noise(FRAMES, SIDE, SIDE)
SOUND = np.sin(np.arange(SAMPLES, dtype=np.float32))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def open_door(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Engine, Any]]:
    folder: Path = tmp_path_factory.mktemp("clips")
    make_multimodal(folder / "models" / "clips")
    defaults = {"text-classification": "tiny", TASK: "clips"}
    async with serving(folder, default_models=defaults) as engine, door(engine) as channel:
        yield engine, channel
        assert lawful(engine)


def chunk(images: Sequence[pb.Image] = (), audio: bytes = SOUND.tobytes()) -> pb.Chunk:
    return pb.Chunk(frames=images or [raw(pixels) for pixels in PIXELS], audio=audio)


async def streamed(channel: Any, *chunks: pb.Chunk, asked: pb.MultimodalOptions) -> list[Any]:
    messages = (
        pb.MediaChunk(chunk=one, options=None if number else asked)
        for number, one in enumerate(chunks)
    )
    return [one async for one in streaming(channel, "StreamMultimodalAutoencoding")(messages)]


async def unary(channel: Any, *chunks: pb.Chunk, asked: pb.MultimodalOptions) -> Any:
    return await call(channel, pb.MultimodalAutoencodingRequest(inputs=chunks, options=asked))


async def test_a_chunk_is_answered_with_what_was_asked(open_door: Any) -> None:
    engine, channel = open_door
    footage = Footage(np.stack(PIXELS), SOUND, ("label", "video", "audio"), 3)
    direct = (await engine.predict(TASK, [footage])).outputs[0].clips[0]
    for found in (
        (await unary(channel, chunk(), asked=EVERYTHING)).results[0],
        (await streamed(channel, chunk(), asked=EVERYTHING))[0].clip,
    ):
        assert [(one.label, one.score) for one in found.labels] == [
            (one.label, one.score) for one in direct.labels
        ]
        assert (found.video.frames, found.video.height, found.video.width) == (FRAMES, SIDE, SIDE)
        assert found.video.rgb == direct.video.tobytes()
        assert found.audio == direct.audio.tobytes()
    found = (await unary(channel, chunk(), asked=pb.MultimodalOptions())).results[0]
    assert len(found.labels) == 5
    assert not found.HasField("video")
    assert not found.audio


async def test_a_stream_answers_chunk_by_chunk(open_door: Any) -> None:
    engine, channel = open_door
    before = ended(engine, "completed")
    chunks = [chunk([raw(pixels)]) for pixels in noise(12, SIDE, SIDE)]
    whole = await unary(channel, *chunks, asked=EVERYTHING)
    found = await streamed(channel, *chunks, asked=EVERYTHING)
    assert [one.index for one in found] == list(range(12))
    assert [one.clip for one in found] == list(whole.results)
    assert all(one.batch_size >= 1 for one in found)
    assert ended(engine, "completed") == before + 1 + 12


async def test_files_are_fitted_and_silence_may_be_left_out(open_door: Any) -> None:
    _, channel = open_door
    files = [pb.Image(file=file_of(Image.fromarray(pixels), "PNG")) for pixels in PIXELS]
    mixed = [files[0], raw(PIXELS[1])]
    silence = np.zeros(SAMPLES, np.float32).tobytes()
    first, *others = (
        await unary(
            channel,
            chunk(audio=b""),
            chunk(files, b""),
            chunk(mixed, silence),
            chunk(audio=silence[:400]),
            asked=EVERYTHING,
        )
    ).results
    assert all(other == first for other in others)
    wide = pb.Image(file=file_of(Image.new("RGB", (50, 30), "red"), "JPEG"))
    assert (await unary(channel, chunk([wide] * 2), asked=EVERYTHING)).results[0].video.rgb


BAD = [
    (chunk([raw(pixels) for pixels in noise(2, 8, 16)]), "8×16, the model's frames are 16×16"),
    (chunk([raw(PIXELS[0])] * 3), "the chunk has 3 frames, the model's have 2"),
    (pb.Chunk(), "there are no frames"),
    (chunk([pb.Image()]), "the image is empty"),
    (chunk([pb.Image(file=b"GIF89a")]), "it looks like a GIF"),
    (chunk(audio=b"123"), "the chunk's audio has 3 bytes: send up to 640 samples"),
    (chunk(audio=bytes(4 * SAMPLES + 4)), "the chunk's audio has 2564 bytes"),
    (chunk(audio=np.float32(np.nan).tobytes()), "the audio holds NaN or infinity"),
]


async def test_what_is_wrong_with_a_chunk_is_its_own_answer(open_door: Any) -> None:
    _, channel = open_door
    chunks = [one for bad, _ in BAD for one in (bad, chunk())]
    found = await streamed(channel, *chunks, asked=EVERYTHING)
    assert [code == "ok" for _, code in ends(found)] == [False, True] * len(BAD)
    for one, (bad, sentence) in zip(found[::2], BAD, strict=True):
        assert sentence in one.error.message
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await unary(channel, bad, asked=EVERYTHING)
        assert of_error(error.value)[1:] == (one.error.code, one.error.message)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (pb.MultimodalOptions(outputs=[7]), "invalid_input"),  # type: ignore[list-item]  # unknown
        (pb.MultimodalOptions(outputs=[pb.MODALITY_UNSPECIFIED]), "invalid_input"),
        (pb.MultimodalOptions(top_k=0), "invalid_input"),
        (pb.MultimodalOptions(model="tiny"), "unknown_model"),
    ],
)
async def test_options_that_nothing_satisfies_end_a_stream(
    open_door: Any, options: pb.MultimodalOptions, code: str
) -> None:
    _, channel = open_door
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await streamed(channel, chunk(), asked=options)
    assert of_error(error.value)[1] == code
    request = pb.MultimodalAutoencodingRequest(inputs=[chunk()], options=options)
    assert (await outcome(call(channel, request)))[1] == code


async def test_options_in_a_later_message_are_its_error(open_door: Any) -> None:
    _, channel = open_door
    messages = [pb.MediaChunk(chunk=chunk(), options=EVERYTHING)] * 2
    calling = streaming(channel, "StreamMultimodalAutoencoding")(iter(messages))
    assert ends([one async for one in calling]) == [(0, "ok"), (1, "invalid_input")]


async def test_a_list_within_a_chunk_is_counted_before_it_is_read(open_door: Any) -> None:
    _, channel = open_door
    field = b"\x0a\x00" * 100_000
    inner = b"\x12" + varint(len(field)) + field
    unary_call = channel.unary_unary("/perceiver.v1.Perceiver/MultimodalAutoencoding")
    assert await outcome(unary_call(inner)) == ("RESOURCE_EXHAUSTED", "too_large")
    packed = b"\x0a" + varint(30_006) + b"\x12" + varint(30_000) + b"\x01" * 30_000
    assert await outcome(unary_call(packed)) == ("RESOURCE_EXHAUSTED", "too_large")


def varint(number: int) -> bytes:
    found = b""
    while number >= 0x80:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])


async def test_models_tell_the_format_of_their_chunks(open_door: Any) -> None:
    _, channel = open_door
    models = (await call(channel, pb.ListModelsRequest())).models
    formats = {model.name: model.format for model in models if model.HasField("format")}
    assert formats["clips"] == pb.Format(
        frames=FRAMES, height=SIDE, width=SIDE, samples=SAMPLES, frame_rate=25, sample_rate=8000
    )
    assert "tiny" not in formats
