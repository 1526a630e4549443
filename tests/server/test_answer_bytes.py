"""How large an answer's arrays may get is settled before they are computed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perceiver_core.pipelines.multimodal_autoencoding import Footage
from perceiver_core.pipelines.optical_flow import FramePair
from server import work
from server.engine import Engine
from server.errors import Fault
from tests.server.serving import computed, settings_of
from tests.tiny import make_multimodal, make_optical_flow

FRAME = np.zeros((40, 50, 3), np.uint8)
FOOTAGE = (np.zeros((5, 16, 16, 3), np.uint8), None)  # three clips of two frames and 640 samples
VIDEO, AUDIO = 3 * 2 * 16 * 16 * 3, 3 * 640 * 4
FLOW, CLIPS = "optical-flow", "multimodal-autoencoding"


CASES: list[tuple[str, list[Any], int]] = [
    (FLOW, [FramePair(FRAME, FRAME)], 40 * 50 * 8),
    (FLOW, [FramePair(FRAME, FRAME, (5, 6, 7, 8))], 7 * 8 * 8),
    (FLOW, [FramePair(FRAME, FRAME, None, 7)], 6 * 8 * 8),
    (FLOW, [FramePair(FRAME, FRAME, None, 7)] * 3, 3 * 6 * 8 * 8),
    (CLIPS, [Footage(*FOOTAGE, ("label", "video", "audio"))], VIDEO + AUDIO),
    (CLIPS, [Footage(*FOOTAGE, ("audio",))], AUDIO),
    (CLIPS, [Footage(*FOOTAGE, ("label",))], 0),
]


async def test_one_byte_too_many_is_refused_and_not_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_optical_flow(tmp_path / "models" / "flow")
    make_multimodal(tmp_path / "models" / "clips")
    models = {FLOW: "flow", CLIPS: "clips"}
    async with Engine(settings_of(tmp_path, default_models=models)) as engine:
        for task, items, size in CASES:
            before = computed(engine)
            monkeypatch.setattr(work, "MAX_ARRAYS", size - 1)
            with pytest.raises(Fault, match=f"would take {size} bytes") as caught:
                await engine.predict(task, items)
            assert caught.value.code == "too_large"
            assert computed(engine) == before
            monkeypatch.setattr(work, "MAX_ARRAYS", size)
            assert len((await engine.predict(task, items)).outputs) == len(items)
