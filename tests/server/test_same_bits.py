"""The same question alone or in a crowd: the same bits, for every embedded model, on a CPU (B4)."""

import asyncio
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from perceiver_core.pipelines.fill_mask import FillMaskInput
from perceiver_core.pipelines.image_classification import ImageClassificationInput
from perceiver_core.pipelines.text_classification import TextClassificationInput
from server.engine import Engine
from tests.core.sentences import SENTENCES
from tests.server.serving import ask, held, settings_of, until

PROBE = 3
CROWD = 31


def picture(seed: int) -> bytes:
    random = np.random.default_rng(seed)
    file = BytesIO()
    Image.fromarray(random.integers(0, 256, (30 + seed, 40, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def crowd_of(task: str) -> list[Any]:
    texts = [text[: 10 + 7 * i] for i, text in enumerate([*SENTENCES.values()] * 2)]
    if task == "text-classification":
        return [TextClassificationInput(text) for text in texts[:CROWD]]
    if task == "fill-mask":
        # 1 to 4 queries each: where kernels would change their order of summation
        short = [text.encode()[:240].decode(errors="ignore") for text in texts]  # as it reads
        masked = [text + "[MASK]" * (1 + i % 4) for i, text in enumerate(short)]
        return [FillMaskInput(text, top_k=20) for text in masked[:CROWD]]
    return [ImageClassificationInput(picture(seed), 10) for seed in range(CROWD)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("task", ["text-classification", "fill-mask", "image-classification"])
async def test_the_answer_has_the_same_bits_alone_and_among_others(
    task: str, dtype: str, tmp_path: Path
) -> None:
    items = crowd_of(task)
    # A CPU without bfloat16 takes seconds for what is a moment elsewhere.
    settings = settings_of(tmp_path, dtype=dtype, default_models={}, timeout_ms=120_000)
    async with Engine(settings) as engine:
        alone = await engine.predict(task, [items[PROBE]])
        await ask(engine, "the model that holds the device is loaded")
        async with held(engine):
            requests = [
                asyncio.create_task(engine.predict(task, [item], protocol="crowd"))
                for item in items
            ]
            # Decoded too: only then are they rows that ride together.
            await until(lambda: engine.batcher.waiting_requests() == CROWD)
        together = await asyncio.gather(*requests)
    assert alone.batch_size == 1
    assert together[PROBE].batch_size == CROWD
    assert together[PROBE].outputs == alone.outputs
