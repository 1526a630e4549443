"""POST /v1/optical-flow: two frames in; numbers, files or a picture out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np

from perceiver_core.pipelines.optical_flow import Flow, OpticalFlowInput
from server.arrays import flo, npy
from server.media_pool import MediaPool
from server.rest.answer import Parts, json_parts
from server.rest.door import JSON, Call, Door, Form, Posted, options_of
from server.rest.schemas import OpticalFlowAnswer, OpticalFlowParameters, OpticalFlowRequest
from server.rest.uploads import Upload, read_upload
from server.results import magnitudes
from server.signatures import check_image, image_format

_FRAMES = Upload(
    OpticalFlowRequest,
    OpticalFlowParameters,
    ("frame1", "frame2"),
    image_format,
    check_image,
    "send two images as the parts `frame1` and `frame2`, and `parameters`, if any, as a JSON part",
)


async def _read(posted: Posted) -> Call:
    uploaded = await read_upload(posted.headers, posted.body, _FRAMES)
    options = options_of(uploaded.parameters) | uploaded.files
    if "region" in options:
        options["region"] = tuple(options["region"])
    return Call([OpticalFlowInput(**options)], True, uploaded.model)


async def _json(_: MediaPool, outputs: Sequence[Flow], single: bool) -> Parts:
    return await asyncio.to_thread(_described, outputs[0].flow)


def _described(flow: np.ndarray[Any, np.dtype[np.float32]]) -> Parts:
    return json_parts({"flow": flow, **magnitudes(flow)})


async def _npy(_: MediaPool, outputs: Sequence[Flow], single: bool) -> Parts:
    return [*npy(outputs[0].flow)]


async def _flo(_: MediaPool, outputs: Sequence[Flow], single: bool) -> Parts:
    return [*flo(outputs[0].flow)]


async def _png(media: MediaPool, outputs: Sequence[Flow], single: bool) -> Parts:
    return [await media.render("flow-png", {"flow": outputs[0].flow})]


OPTICAL_FLOW = Door(
    task="optical-flow",
    summary="How far each pixel of a frame moves until the next one.",
    request=OpticalFlowRequest,
    answer=OpticalFlowAnswer,
    media=(),
    parts=_FRAMES.parts,
    read=_read,
    forms={
        JSON: Form(_json),
        "application/x-npy": Form(_npy, "flow.npy"),
        "application/octet-stream": Form(_flo, "flow.flo"),
        "image/png": Form(_png, "flow.png"),
    },
    large=True,
)
