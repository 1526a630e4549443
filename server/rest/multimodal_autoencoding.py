"""POST /v1/multimodal-autoencoding: a video in; its clips' labels, frames and sound out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from perceiver_core.pipelines.multimodal_autoencoding import (
    Clip,
    MultimodalAutoencodingInput,
    Reconstruction,
)
from server.errors import Fault
from server.media_pool import MediaPool
from server.rest.answer import Parts, json_parts
from server.rest.door import JSON, Call, Door, Form, Posted, options_of
from server.rest.schemas import (
    MultimodalAutoencodingAnswer,
    MultimodalAutoencodingParameters,
    MultimodalAutoencodingRequest,
)
from server.rest.uploads import Upload, read_upload
from server.results import mp4
from server.signatures import check_video, video_format

MP4 = "video/mp4"
_VIDEO = Upload(
    MultimodalAutoencodingRequest,
    MultimodalAutoencodingParameters,
    ("file",),
    video_format,
    check_video,
    "send the video as the part `file`, and `parameters`, if any, as a JSON part",
)


async def _read(posted: Posted) -> Call:
    uploaded = await read_upload(posted.headers, posted.body, _VIDEO)
    options = options_of(uploaded.parameters)
    if posted.answer_type == MP4:
        options["outputs"] = _of_mp4(options.get("outputs", ["video", "audio"]))
    if "outputs" in options:
        options["outputs"] = tuple(dict.fromkeys(options["outputs"]))
    item = MultimodalAutoencodingInput(uploaded.files["file"], **options)
    return Call([item], True, uploaded.model)


def _of_mp4(outputs: list[str]) -> list[str]:
    if "label" in outputs or "video" not in outputs:
        raise Fault(
            "invalid_input",
            f"parameters.outputs is {outputs}, but {MP4} holds video and audio: leave it out, or "
            f"accept {JSON}",
        )
    return outputs


async def _json(_: MediaPool, outputs: Sequence[Reconstruction], single: bool) -> Parts:
    return await asyncio.to_thread(_described, outputs[0])


def _described(made: Reconstruction) -> Parts:
    return json_parts(
        {
            "frame_rate": made.format.frame_rate,
            "sample_rate": made.format.sample_rate,
            "clips": [_clip(clip) for clip in made.clips],
        }
    )


def _clip(clip: Clip) -> dict[str, Any]:
    """What was asked for."""
    return {name: value for name, value in vars(clip).items() if value is not None}


async def _mp4(media: MediaPool, outputs: Sequence[Reconstruction], single: bool) -> Parts:
    return [await mp4(media, outputs[0])]


MULTIMODAL_AUTOENCODING = Door(
    task="multimodal-autoencoding",
    summary="Label a video with sound, or see and hear it as the model does.",
    request=MultimodalAutoencodingRequest,
    answer=MultimodalAutoencodingAnswer,
    media=("video/mp4", "video/webm", "video/quicktime", "application/octet-stream"),
    parts=_VIDEO.parts,
    read=_read,
    forms={JSON: Form(_json), MP4: Form(_mp4, "reconstruction.mp4")},
    large=True,
)
