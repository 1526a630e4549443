"""Every class of the documentation beside transformers', at small odd sizes, every tensor random.

The tests bound the deviations, `python -m benchmarks parity` prints them.
"""

from __future__ import annotations

from tests.core.parity import decoders, models, postprocessors, preprocessors, surroundings
from tests.core.parity.case import Case, Plain

CASES: list[Case | Plain] = [
    *surroundings.CASES,
    *preprocessors.CASES,
    *decoders.CASES,
    *postprocessors.CASES,
    *models.CASES,
]
