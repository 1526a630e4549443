"""Our models beside transformers', at the published sizes, batch 1, every tensor random.

Every contender answers the same question: logits at each byte of a text, or of each class of an
image. transformers gets its text padded to 2,048 with the mask, as its documentation does; ours
reads it as long as it is. Contenders take turns, so that a machine that slows down slows all of
them; a contender's time is the best of its turns.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.patched import patched
from benchmarks.report import Row, json_option, report
from perceiver_core import tasks
from perceiver_core.numerics import resolve_dtype
from tests.core import peers
from tests.core.published import CONV, FOURIER, LANGUAGE

POSITIONS = 2048
Contender = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """A task class at a published size; `length` in tokens for text, None for a 224 x 224 image."""

    name: str
    kind: str
    sizes: dict[str, Any]
    length: int | None = None

    def inputs(self) -> Tensor:
        """Random ids (1, length) or pixels (1, 3, 224, 224)."""
        if self.length is None:
            return peers.image(224, 224, batch=1)
        return peers.text(self.length, batch=1)[0]


CASES = (
    Case("language, 64 bytes", "PerceiverForMaskedLM", LANGUAGE, length=66),  # and two markers
    Case("language, 2,048 tokens", "PerceiverForMaskedLM", LANGUAGE, length=POSITIONS),
    Case("vision-conv", "PerceiverForImageClassificationConvProcessing", CONV),
    Case("vision-fourier", "PerceiverForImageClassificationFourier", FOURIER),
)
FORMATS = {
    "seconds": "",
    "transformers": ".3f",
    "SDPA + bfloat16": ".3f",
    "ours, reference": ".3f",
    "ours, fast": ".3f",
    "fast / transformers": ".2f",
    "fast / SDPA + bfloat16": ".2f",
    "drift of SDPA + bfloat16": ".1e",
    "drift of reference": ".1e",
    "drift of fast": ".1e",
}


@click.command()
@click.option("--turns", default=3, show_default=True, help="Calls of each contender.")
@click.option("--only", default="", help="Cases whose name holds this.")
@json_option
def main(turns: int, only: str, file: Path | None) -> None:
    """Our models beside transformers', at the published sizes."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    rows = [_measure(case, turns) for case in CASES if only in case.name]
    title = (
        f"Models at the published sizes, batch 1: seconds, best of {turns}; "
        "how many times as fast; drift = max|a - b| / max|b| of the logits from transformers'"
    )
    report(title, FORMATS, rows, file)


def _measure(case: Case, turns: int) -> Row:
    inputs = case.inputs()
    with torch.inference_mode():
        contenders = _contenders(case)
        outputs = [contender(inputs) for contender in contenders]  # which also warms up
        best = best_of([partial(contender, inputs) for contender in contenders], turns)
    speed = [best[0] / best[3], best[1] / best[3]]
    drift = [peers.deviation(output, outputs[0]) for output in outputs[1:]]
    return dict(zip(FORMATS, [case.name, *best, *speed, *drift], strict=True))


def best_of(calls: list[Callable[[], Any]], turns: int) -> list[float]:
    """Seconds of the fastest of `turns` calls of each, taken in turns."""
    best = [float("inf")] * len(calls)
    for _ in range(turns):
        for i, call in enumerate(calls):
            started = time.perf_counter()
            call()
            best[i] = min(best[i], time.perf_counter() - started)
    return best


def _contenders(case: Case) -> list[Contender]:
    """In the order of the table, with the same tensors."""
    reference, theirs = peers.pair(case.kind, case.sizes)
    with tempfile.TemporaryDirectory() as folder:
        reference.save_pretrained(folder)
        fast = getattr(tasks, case.kind).from_pretrained(folder, numerics="fast")
    native = resolve_dtype("auto", "fast", torch.device("cpu"))
    peer, own = (_image, _image) if case.length is None else (_padded_text, _text)
    return [
        partial(peer, theirs),
        partial(peer, patched(theirs, native)),
        partial(own, reference),
        partial(own, fast),
    ]


def _image(model: Any, pixels: Tensor) -> Tensor:
    """(1, 1000)."""
    logits: Tensor = model(inputs=pixels.to(model.dtype)).logits
    return logits.float()


def _padded_text(model: Any, ids: Tensor) -> Tensor:
    """As transformers' documentation pads: logits of all positions, those of the text kept."""
    padding = POSITIONS - ids.shape[1]
    mask = F.pad(torch.ones_like(ids), (0, padding))
    logits: Tensor = model(inputs=F.pad(ids, (0, padding)), attention_mask=mask).logits
    return logits[:, : ids.shape[1]].float()


def _text(model: Any, ids: Tensor) -> Tensor:
    """Logits of the text's own positions."""
    latents = model.perceiver.encode(ids)
    logits: Tensor = model.decode_at(latents, torch.arange(ids.shape[1])[None])
    return logits


if __name__ == "__main__":
    main()
