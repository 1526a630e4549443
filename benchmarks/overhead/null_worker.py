"""The real worker process, but for the forward pass: a text classifier that does nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from perceiver_core.pipelines.base import Row
from perceiver_core.pipelines.text_classification import TextClassification
from server.worker.__main__ import main


def nothing(pipeline: TextClassification, model: Any, rows: list[Row]) -> list[Row]:
    """Constant `logits` float32 (num_labels,) for every row."""
    return [{"logits": np.zeros(len(pipeline.labels), np.float32)} for _ in rows]


if __name__ == "__main__":
    TextClassification.forward = nothing  # type: ignore[method-assign]  # the point of this file
    main()
