"""The hyper-parameters of a Perceiver, as published checkpoints spell them in `config.json`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perceiver_core.errors import CheckpointError

CONFIG_FILE = "config.json"
_COUNTS = (
    *("num_latents", "d_latents", "d_model", "num_blocks", "num_self_attends_per_block"),
    *("num_self_attention_heads", "num_cross_attention_heads", "qk_channels", "v_channels"),
    *("self_attention_widening_factor", "cross_attention_widening_factor", "vocab_size"),
    *("max_position_embeddings", "image_size", "num_frames", "audio_samples_per_frame"),
    *("samples_per_patch", "output_num_channels", "num_labels"),
)
_SHAPES = {"train_size": 2, "output_shape": 4}  # how many counts


@dataclass
class PerceiverConfig:
    """Every size of a Perceiver (seed: PerceiverConfig); the defaults are language-perceiver's.

    `layer_norm_eps` is kept because checkpoints carry it; the published networks use 1e-5 whatever
    it says. `num_labels` follows `id2label` when that is given.
    """

    num_latents: int = 256
    d_latents: int = 1280
    d_model: int = 768
    num_blocks: int = 1
    num_self_attends_per_block: int = 26
    num_self_attention_heads: int = 8
    num_cross_attention_heads: int = 8
    qk_channels: int | None = None
    v_channels: int | None = None
    cross_attention_shape_for_attention: str = "kv"
    self_attention_widening_factor: int = 1
    cross_attention_widening_factor: int = 1
    hidden_act: str | Callable[[Any], Any] = "gelu"
    attention_probs_dropout_prob: float = 0.1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    use_query_residual: bool = True
    vocab_size: int = 262
    max_position_embeddings: int = 2048
    image_size: int = 56
    train_size: list[int] = field(default_factory=lambda: [368, 496])
    num_frames: int = 16
    audio_samples_per_frame: int = 1920
    samples_per_patch: int = 16
    output_shape: list[int] = field(default_factory=lambda: [1, 16, 224, 224])
    output_num_channels: int = 512
    _label_trainable_num_channels: int = 1024
    num_labels: int = 2
    id2label: dict[int, str] | None = None
    label2id: dict[str, int] | None = None
    problem_type: str | None = None
    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True
    architectures: list[str] | None = None

    def __post_init__(self) -> None:
        for name in _COUNTS:
            value = getattr(self, name)
            if value is None and name in ("qk_channels", "v_channels"):
                continue
            if not _is_count(value):
                raise ValueError(f"{name} is {value!r}: it must be a whole number of at least 1")
        for name, length in _SHAPES.items():
            value = getattr(self, name)
            given = isinstance(value, list | tuple) and len(value) == length
            if not given or not all(map(_is_count, value)):
                raise ValueError(
                    f"{name} is {value!r}: it must be {length} whole numbers of at least 1"
                )
        if self.id2label is None:
            self.id2label = {i: f"LABEL_{i}" for i in range(self.num_labels)}
        else:
            self.id2label = {int(i): str(label) for i, label in self.id2label.items()}
            if sorted(self.id2label) != list(range(len(self.id2label))):
                raise ValueError("id2label must name 0, 1, 2 … without gaps")
        self.num_labels = len(self.id2label)
        if self.label2id is None:
            self.label2id = {label: i for i, label in self.id2label.items()}
        if self.cross_attention_shape_for_attention not in ("q", "kv"):
            raise ValueError(
                "cross_attention_shape_for_attention is "
                f"{self.cross_attention_shape_for_attention!r}: use 'q' or 'kv'"
            )

    def chosen(self, name: str, value: bool | None) -> bool:
        """What a call says of `return_dict` and the like, or else what this configuration says."""
        return bool(getattr(self, name)) if value is None else value

    @property
    def labels(self) -> tuple[str, ...]:
        """The label names in the order of the logits."""
        assert self.id2label is not None
        return tuple(self.id2label[i] for i in range(self.num_labels))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PerceiverConfig:
        """Build from the keys of a `config.json`: known keys are read, all others ignored."""
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> PerceiverConfig:
        """Read `config.json` of a model folder or of an embedded model named so."""
        from perceiver_core.folders import model_folder, read_json

        values = read_json(model_folder(folder) / CONFIG_FILE)
        if values.get("model_type", "perceiver") != "perceiver":
            raise CheckpointError(
                f"config.json says model_type {values['model_type']!r}: only 'perceiver' is served"
            )
        try:
            return cls.from_dict(values)
        except (TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"config.json has a bad value: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of this configuration, with `model_type`."""
        values = dataclasses.asdict(self)
        if callable(self.hidden_act):
            raise ValueError("hidden_act is a function: a configuration file can only name one")
        return {"model_type": "perceiver", **values}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` into `folder`, which is made if missing."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False)
        (Path(folder) / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value >= 1
