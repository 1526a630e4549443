"""A worker without torch: the real frames and messages, answers that anybody can predict.

It starts in a fraction of a second, so that many may die.  The text of a row says what happens:
~raise~, ~nan~, ~die~ (after the last byte of a batch has been read), ~slow~ (50 ms), ~hang~ (a
minute).  A model whose folder holds a file `last-words` is loaded, and the process dies as soon as
it has said so.
Of two frames the flow is how much the first two colours of each pixel grow.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from server.frames import Row
from server.messages import (
    Failed,
    Load,
    Loaded,
    Ran,
    RowError,
    Run,
    Unload,
    Unloaded,
    WorkerCall,
    WorkerReady,
)
from server.parent import join_parent

LABELS = 5


def logits_of(model: str, ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """float32 (LABELS,) in [0, 1): other for every model and every text."""
    seed = crc32(model.encode() + ids.astype(np.int64).tobytes())
    return np.random.default_rng(seed).random(LABELS, np.float32)


def flow_of(row: Row) -> Row:
    y, x, high, wide, stride = row["wanted"]
    first, second = (
        frame[y::stride, x::stride][:high, :wide, :2].astype(np.float32) for frame in row["frames"]
    )
    return {"flow": second - first, "wanted": row["wanted"], "place": row["place"]}


def load(call: Load) -> Loaded | Failed:
    try:
        tensors = load_file(Path(call.folder, "model.safetensors"))
    except (OSError, SafetensorError):
        return Failed("load_failed", "model.safetensors is not a whole safetensors file")
    return Loaded(sum(tensor.nbytes for tensor in tensors.values()))


def run(model: str, rows: list[Row]) -> tuple[list[RowError | None], list[Row]]:
    if "frames" in rows[0]:
        return [None] * len(rows), [flow_of(row) for row in rows]
    errors: list[RowError | None] = []
    outputs: list[Row] = []
    for row in rows:
        text = (row["input_ids"] - 6).clip(0, 255).astype(np.uint8).tobytes()
        if b"~die~" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        if b"~slow~" in text:
            time.sleep(0.05)
        if b"~hang~" in text:
            time.sleep(60)
        if b"~raise~" in text:
            errors.append(RowError("internal", "raised"))
        elif b"~nan~" in text:
            errors.append(RowError("non_finite_output", "not finite"))
        else:
            errors.append(None)
        outputs.append({"logits": logits_of(model, row["input_ids"])} if not errors[-1] else {})
    return errors, outputs


def main() -> None:
    channel = join_parent(int(sys.argv[1]), WorkerCall)
    channel.send(WorkerReady("cpu", "float32", "fast"))
    loaded: set[str] = set()
    while True:
        try:
            call, rows = channel.receive()
        except (EOFError, OSError):
            return
        match call:
            case Load(model, folder):
                reply = load(call)
                if isinstance(reply, Loaded):
                    loaded.add(model)
                channel.send(reply)
                if Path(folder, "last-words").exists():
                    os.kill(os.getpid(), signal.SIGKILL)
            case Unload(model):
                loaded.discard(model)
                channel.send(Unloaded())
            case Run(model):
                if model in loaded:
                    errors, outputs = run(model, rows)
                    channel.send(Ran(errors), outputs)
                else:
                    channel.send(Failed("internal", "this is not loaded"))


if __name__ == "__main__":
    main()
