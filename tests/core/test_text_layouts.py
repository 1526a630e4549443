"""Text between special tokens, as in the published port's examples, and raw bytes alone, as in the
original release: both through the tokenizer, the model and the pipeline."""

from __future__ import annotations

import pytest
import torch

from perceiver_core import InvalidInput, PerceiverForMaskedLM, PerceiverTokenizer
from perceiver_core.pipelines import open_pipeline
from perceiver_core.pipelines.base import softmax
from perceiver_core.pipelines.fill_mask import FillMaskInput
from perceiver_core.tasks import load_model
from perceiver_core.zoo import EMBEDDED

FOLDER = EMBEDDED["tiny-fill-mask"]
TEXT = "the cat sat [MASK][MASK] the mat"
LAYOUTS = pytest.mark.parametrize("special", [True, False], ids=["special_tokens", "raw"])


@pytest.fixture(scope="module")
def model() -> PerceiverForMaskedLM:
    model = load_model(FOLDER, "reference", "cpu", "float32")
    assert isinstance(model, PerceiverForMaskedLM)
    return model


@LAYOUTS
def test_the_tokenizer_writes_and_reads_both(special):
    tokenizer = PerceiverTokenizer.from_pretrained(FOLDER)
    ids = tokenizer(TEXT, add_special_tokens=special).input_ids
    assert len(ids) == 22 + 2 * special
    assert ids[special] == ord("t") + 6
    assert tokenizer.decode(ids) == (f"[CLS]{TEXT}[SEP]" if special else TEXT)
    bare = TEXT.replace("[MASK]", "")
    assert tokenizer.decode(ids, skip_special_tokens=True) == bare
    nothing_special = tokenizer(TEXT, add_special_tokens=special, raw=True).input_ids
    assert len(nothing_special) == len(TEXT) + 2 * special


@LAYOUTS
def test_the_pipeline_asks_the_model_in_the_layout_wanted(model, special):
    pipeline = open_pipeline(FOLDER)
    item = FillMaskInput(TEXT, top_k=3, special_tokens=special)
    ids = PerceiverTokenizer()(TEXT, add_special_tokens=special, return_tensors="pt").input_ids
    with torch.no_grad():
        logits = model(ids).logits[0, 12 + special : 14 + special, 6:]
    ((best, *_),) = pipeline(model, item)
    first, second = softmax(logits.numpy())
    score = first[best.tokens[0] - 6] * second[best.tokens[1] - 6]
    assert best.score == pytest.approx(score, rel=1e-4)
    assert best.sequence == TEXT.replace("[MASK][MASK]", best.token_str)


def test_raw_bytes_leave_room_for_two_more():
    pipeline = open_pipeline(FOLDER)
    longest = "x" * (pipeline.config.max_position_embeddings - 1) + "[MASK]"
    pipeline.check(FillMaskInput(longest, special_tokens=False))
    with pytest.raises(InvalidInput, match="reads at most"):
        pipeline.check(FillMaskInput(longest))
    with pytest.raises(InvalidInput, match="reads at most"):
        pipeline.check(FillMaskInput("x" + longest, special_tokens=False))
