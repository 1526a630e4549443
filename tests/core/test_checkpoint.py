"""Model folders: what loads, what is refused, and what an error may say."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from perceiver_core import (
    CheckpointError,
    PerceiverConfig,
    PerceiverForImageClassificationConvProcessing,
    PerceiverForSequenceClassification,
)
from perceiver_core.numerics import resolve_dtype
from perceiver_core.pipelines import TASK_OF_ARCHITECTURE, open_pipeline
from perceiver_core.tasks import TASK_MODELS, load_model
from tests import tiny

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    return tiny.make_text_classifier(tmp_path)


def rewrite(folder, change):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def fails(folder) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_model(folder, "reference", "cpu", "auto")
    assert str(folder) not in str(caught.value)
    return str(caught.value)


def test_saved_is_loaded_bit_for_bit(tmp_path):
    model = tiny.make(PerceiverForSequenceClassification, tmp_path)
    again = PerceiverForSequenceClassification.from_pretrained(tmp_path)
    ids = torch.arange(6, 26)[None]
    with torch.no_grad():
        assert torch.equal(again(ids).logits, model(ids).logits)
    assert not again.training


def test_missing_tensors_are_named(folder):
    rewrite(folder, lambda tensors: tensors.pop("perceiver.embeddings.latents"))
    assert "lacks 1 tensors: perceiver.embeddings.latents" in fails(folder)


def test_misshapen_tensor_is_named(folder):
    latents = {"perceiver.embeddings.latents": torch.zeros(3, 3)}
    rewrite(folder, lambda tensors: tensors.update(latents))
    assert "perceiver.embeddings.latents is (3, 3), config.json makes it (8, 32)" in fails(folder)


def test_surplus_tensors_are_a_warning(folder, caplog):
    rewrite(folder, lambda tensors: tensors.update(extra=torch.zeros(2)))
    with caplog.at_level(logging.WARNING):
        load_model(folder, "reference", "cpu", "auto")
    assert "1 unused tensors: extra" in caplog.text


def test_truncated_weights(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert fails(folder) == "model.safetensors is not a whole safetensors file"


def test_missing_weights(folder):
    (folder / "model.safetensors").unlink()
    assert "model.safetensors is missing" in fails(folder)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "must hold one JSON object"),
        ('{"architectures": ["LlamaForCausalLM"]}', "LlamaForCausalLM"),
        ('{"architectures": []}', "this library has"),
    ],
)
def test_bad_config(folder, text, sentence):
    (folder / "config.json").write_text(text)
    assert sentence in fails(folder)


@pytest.mark.parametrize(
    "bad",
    [
        {"num_latents": "many"},
        {"cross_attention_shape_for_attention": "v"},
        {"id2label": ["a"]},
        {"id2label": {"1": "a", "7": "b"}},
        {"hidden_act": "swish"},
        {"num_self_attention_heads": 7},
        {"num_latents": -1},
        {"train_size": [0, 0]},
        {"train_size": [-5, 7]},
        {"train_size": [64.5, 96]},
        {"train_size": [64, 96, 3]},
        {"train_size": 64},
        {"output_shape": [1, 0, 32, 32]},
        {"output_shape": [16, 32, 32]},
        {"model_type": "bert"},
    ],
)
def test_bad_values_in_config(folder, bad):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **bad}))
    assert fails(folder)


def test_a_vocabulary_without_room_for_every_byte_is_refused(folder):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "vocab_size": 50}))
    with pytest.raises(CheckpointError, match="vocab_size 50: bytes need 262"):
        open_pipeline(folder)


def test_both_tables_of_architectures_name_the_same():
    assert set(TASK_MODELS) == set(TASK_OF_ARCHITECTURE)


def test_config_is_data(folder):
    """Keys that name code in other libraries are ignored."""
    values = json.loads((folder / "config.json").read_text())
    values |= {"auto_map": {"AutoModel": "evil.Model"}, "_attn_implementation": "org/repo"}
    (folder / "config.json").write_text(json.dumps(values))
    (folder / "evil.py").write_text("raise SystemExit('imported')")
    load_model(folder, "reference", "cpu", "auto")


def test_batchnorm_counter_is_optional(tmp_path):
    """The published conversion lacked it."""
    tiny.make_image_classifier(tmp_path)
    rewrite(tmp_path, lambda tensors: [tensors.pop(n) for n in list(tensors) if "num_batches" in n])
    PerceiverForImageClassificationConvProcessing.from_pretrained(tmp_path)


def test_config_round_trip(tmp_path):
    config = PerceiverConfig(id2label={0: "no", 1: "yes", 2: "ça"}, qk_channels=8)
    config.save_pretrained(tmp_path)
    again = PerceiverConfig.from_pretrained(tmp_path)
    assert again == config
    assert again.num_labels == 3
    assert again.label2id == {"no": 0, "yes": 1, "ça": 2}


def test_unknown_name_tells_what_there_is():
    with pytest.raises(CheckpointError, match="no model 'nowhere'"):
        PerceiverForSequenceClassification.from_pretrained("somewhere/nowhere")


def test_dtypes():
    assert resolve_dtype("auto", "reference", CPU) is torch.float32
    assert resolve_dtype("bfloat16", "fast", CPU) is torch.bfloat16
    with pytest.raises(ValueError, match="'reference' is float32"):
        resolve_dtype("bfloat16", "reference", CPU)
    with pytest.raises(ValueError, match="'float16'"):
        resolve_dtype("float16", "fast", CPU)


LOAD = """
import sys
from perceiver_core import tasks
from perceiver_core.folders import model_folder
for name, numerics in (("fashion", "fast"), ("fill-mask", "reference"), ("language-id", "fast")):
    tasks.load_model(model_folder(f"tiny-{name}"), numerics, "cpu", "float32")
print(sorted({"torch._dynamo", "sympy"} & sys.modules.keys()))
"""


def test_loading_imports_no_compiler():
    """It would double the time that a new worker takes to its first answer."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
