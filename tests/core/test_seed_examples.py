"""The documentation's examples, with only imports and Auto names changed, random weights for a hub
checkpoint and a random picture for one of the web. They are at the published sizes, so all are in
`make test-full`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from perceiver_core import (
    PerceiverClassificationDecoder,
    PerceiverConfig,
    PerceiverForMaskedLM,
    PerceiverForMultimodalAutoencoding,
    PerceiverForOpticalFlow,
    PerceiverForSequenceClassification,
    PerceiverImagePreprocessor,
    PerceiverImageProcessor,
    PerceiverModel,
    PerceiverTextPreprocessor,
    PerceiverTokenizer,
    tasks,
)
from tests.core.published import FLOW, LANGUAGE, MULTIMODAL, PUBLISHED

pytestmark = pytest.mark.full


@pytest.fixture
def image():
    random = np.random.default_rng(0)
    return Image.fromarray(random.integers(0, 256, (480, 640, 3), dtype=np.uint8))


def test_config():
    configuration = PerceiverConfig()
    model = PerceiverModel(configuration)
    configuration = model.config
    assert configuration.num_latents == 256


def test_model_on_text():
    config = PerceiverConfig()
    preprocessor = PerceiverTextPreprocessor(config)
    decoder = PerceiverClassificationDecoder(
        config,
        num_channels=config.d_latents,
        trainable_position_encoding_kwargs={"num_channels": config.d_latents, "index_dims": 1},
        use_query_residual=True,
    )
    model = PerceiverModel(config, input_preprocessor=preprocessor, decoder=decoder)
    tokenizer = PerceiverTokenizer()
    text = "hello world"
    inputs = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        outputs = model(inputs=inputs)
    logits = outputs.logits
    assert list(logits.shape) == [1, 2]
    criterion = torch.nn.CrossEntropyLoss()
    labels = torch.tensor([1])
    loss = criterion(logits, labels)
    assert loss.isfinite()


def test_model_on_an_image(image):
    config = PerceiverConfig(image_size=224)
    preprocessor = PerceiverImagePreprocessor(
        config,
        prep_type="conv1x1",
        spatial_downsample=1,
        out_channels=256,
        position_encoding_type="trainable",
        concat_or_add_pos="concat",
        project_pos_dim=256,
        trainable_position_encoding_kwargs={
            "num_channels": 256,
            "index_dims": config.image_size**2,
        },
    )
    model = PerceiverModel(
        config,
        input_preprocessor=preprocessor,
        decoder=PerceiverClassificationDecoder(
            config,
            num_channels=config.d_latents,
            trainable_position_encoding_kwargs={"num_channels": config.d_latents, "index_dims": 1},
            use_query_residual=True,
        ),
    )
    image_processor = PerceiverImageProcessor()
    inputs = image_processor(image, return_tensors="pt").pixel_values
    with torch.no_grad():
        outputs = model(inputs=inputs)
    logits = outputs.logits
    assert list(logits.shape) == [1, 2]
    criterion = torch.nn.CrossEntropyLoss()
    labels = torch.tensor([1])
    loss = criterion(logits, labels)
    assert loss.isfinite()


def test_masked_lm(tmp_path):
    PerceiverForMaskedLM(PerceiverConfig(**LANGUAGE)).save_pretrained(tmp_path)
    tokenizer = PerceiverTokenizer.from_pretrained(tmp_path)
    model = PerceiverForMaskedLM.from_pretrained(tmp_path)
    text = "This is an incomplete sentence where some words are missing."
    inputs = tokenizer(text, padding="max_length", return_tensors="pt")
    inputs["input_ids"][0, 52:61] = tokenizer.mask_token_id
    labels = tokenizer(text, padding="max_length", return_tensors="pt").input_ids
    outputs = model(**inputs, labels=labels)
    loss = outputs.loss
    assert np.isfinite(round(loss.item(), 2))
    logits = outputs.logits
    assert list(logits.shape) == [1, 2048, 262]
    encoding = tokenizer(text, padding="max_length", return_tensors="pt")
    encoding["input_ids"][0, 52:61] = tokenizer.mask_token_id
    with torch.no_grad():
        outputs = model(**encoding)
    logits = outputs.logits
    assert list(logits.shape) == [1, 2048, 262]
    masked_tokens_predictions = logits[0, 52:61].argmax(dim=-1).tolist()
    assert isinstance(tokenizer.decode(masked_tokens_predictions), str)


def test_sequence_classification(tmp_path):
    PerceiverForSequenceClassification(PerceiverConfig()).save_pretrained(tmp_path)
    tokenizer = PerceiverTokenizer.from_pretrained(tmp_path)
    model = PerceiverForSequenceClassification.from_pretrained(tmp_path)
    text = "hello world"
    inputs = tokenizer(text, return_tensors="pt").input_ids
    outputs = model(inputs=inputs)
    assert list(outputs.logits.shape) == [1, 2]


@pytest.mark.parametrize(("name", "sizes"), [(row[0], row[1]) for row in PUBLISHED[1:4]])
def test_image_classification(name, sizes, image, tmp_path):
    model_class = getattr(tasks, name)
    model_class(PerceiverConfig(**sizes)).save_pretrained(tmp_path)
    PerceiverImageProcessor().save_pretrained(tmp_path)
    image_processor = PerceiverImageProcessor.from_pretrained(tmp_path)
    model = model_class.from_pretrained(tmp_path)
    inputs = image_processor(images=image, return_tensors="pt").pixel_values
    outputs = model(inputs=inputs)
    logits = outputs.logits
    assert list(logits.shape) == [1, 1000]
    predicted_class_idx = logits.argmax(-1).item()
    assert model.config.id2label[predicted_class_idx].startswith("LABEL_")


def test_optical_flow(tmp_path):
    PerceiverForOpticalFlow(PerceiverConfig(**FLOW)).save_pretrained(tmp_path)
    model = PerceiverForOpticalFlow.from_pretrained(tmp_path)
    patches = torch.randn(1, 2, 27, 368, 496)
    outputs = model(inputs=patches)
    logits = outputs.logits
    assert list(logits.shape) == [1, 368, 496, 2]


def test_multimodal_autoencoding(tmp_path):
    PerceiverForMultimodalAutoencoding(PerceiverConfig(**MULTIMODAL)).save_pretrained(tmp_path)
    images = torch.randn((1, 16, 3, 224, 224))
    audio = torch.randn((1, 30720, 1))
    label = torch.zeros((images.shape[0], 700))
    inputs = dict(image=images, audio=audio, label=label)  # noqa: C408 (the documentation's words)
    model = PerceiverForMultimodalAutoencoding.from_pretrained(tmp_path)
    nchunks = 128
    image_chunk_size: Any = np.prod((16, 224, 224)) // nchunks
    audio_chunk_size = audio.shape[1] // model.config.samples_per_patch // nchunks
    chunk_idx = 0
    subsampling = {
        "image": torch.arange(image_chunk_size * chunk_idx, image_chunk_size * (chunk_idx + 1)),
        "audio": torch.arange(audio_chunk_size * chunk_idx, audio_chunk_size * (chunk_idx + 1)),
        "label": None,
    }
    outputs = model(inputs=inputs, subsampled_output_points=subsampling)
    logits = outputs.logits
    assert list(logits["audio"].shape) == [1, 240]
    assert list(logits["image"].shape) == [1, 6272, 3]
    assert list(logits["label"].shape) == [1, 700]
