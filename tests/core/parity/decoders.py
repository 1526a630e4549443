"""Decoders by themselves: their queries, what the queries read from latents, attention maps."""

from __future__ import annotations

from typing import Any

import torch

from tests.core import peers
from tests.core.parity.case import Case, attentions_of
from tests.core.parity.preprocessors import fourier, learned

WHAT = "queries, logits, attentions"
Ask = dict[str, bool]


def latents() -> torch.Tensor:
    """(B, N, D) of the small sizes."""
    return peers.noise(2, 7, 24, seed=1)


def _read(module: Any, ask: Ask, **options: Any) -> Any:
    """Queries, logits and attention maps for the latents."""
    z = latents()
    query = module.decoder_query(options.pop("inputs", z), **options)
    decoded = module(query, z, **attentions_of(ask))
    return query, decoded.logits, decoded.cross_attentions, module.num_query_channels


def _basic(project: bool, residual: bool) -> Case:
    options: dict[str, Any] = {
        **learned(9, 12),
        "num_channels": 12,
        "qk_channels": 8,
        "v_channels": 16,
        "num_heads": 4,
        "widening_factor": 2,
        "use_query_residual": residual,
        "final_project": project,
    }
    final = "projected" if project else "as_read"
    return Case(
        "PerceiverBasicDecoder",
        f"{final}_{'residual' if residual else 'no_residual'}",
        WHAT,
        lambda c, config: c.PerceiverBasicDecoder(config, 6, **options),
        _read,
    )


GRID = {**fourier(4, 6), "output_index_dims": (4, 6)}
POINTS = torch.tensor([0, 7, 23, 7])


def _queries_of_points(module: Any, ask: Ask) -> Any:
    """A mix of the inputs and of the positions of chosen outputs."""
    inputs = peers.noise(2, 4, 5)
    options = {"inputs_without_pos": inputs, "subsampled_points": POINTS}
    return _read(module, ask, inputs=inputs, **options)


def _queries_of_a_grid(module: Any, _: Ask) -> Any:
    """Of every point of inputs that are still laid out as (B, C, T, H, W)."""
    return module.decoder_query(peers.noise(2, 3, 2, 5, 4))


def _classification(residual: bool) -> Case:
    def build(c: Any, config: Any) -> Any:
        options = {"num_channels": 24, "use_query_residual": residual, **learned(1, 24)}
        return c.PerceiverClassificationDecoder(config, **options)

    variant = "residual" if residual else "no_residual"
    return Case("PerceiverClassificationDecoder", variant, WHAT, build, _read)


def _flow(rescale_factor: float) -> Case:
    def build(c: Any, config: Any) -> Any:
        options = {"rescale_factor": rescale_factor, "num_channels": 12, **fourier(4, 6)}
        return c.PerceiverOpticalFlowDecoder(config, (4, 6), **options)

    def call(module: Any, ask: Ask) -> Any:
        return _read(module, ask, inputs=peers.noise(2, 4 * 6, 12))

    return Case("PerceiverOpticalFlowDecoder", f"by_{rescale_factor:g}", WHAT, build, call)


SHAPE = [2, 2, 3, 4]
PIXELS = {"output_num_channels": 6, "num_channels": 12}


def _video(module: Any, _: Ask) -> Any:
    """Theirs takes no `output_attentions`."""
    z = latents()
    query = module.decoder_query(z)
    return query, module(query, z).logits, module.num_query_channels


def _video_points(module: Any, _: Ask) -> Any:
    return module.decoder_query(latents(), subsampled_points=torch.tensor([5, 0, 23, 12]))


def multimodal(c: Any, config: Any, **options: Any) -> Any:
    """Decoders that only make queries, of three widths, read by one cross-attention."""
    query = {"position_encoding_only": True}
    modalities = {
        "label": c.PerceiverClassificationDecoder(config, **learned(1, 11), **query),
        "image": c.PerceiverBasicVideoAutoencodingDecoder(
            config, SHAPE, output_num_channels=6, **fourier(2, 3, 4), **query
        ),
        "audio": c.PerceiverBasicDecoder(
            config, 6, output_index_dims=(8,), **fourier(24, bands=5), **query
        ),
    }
    return c.PerceiverMultimodalDecoder(
        config, modalities, num_outputs=None, output_num_channels=6, **options
    )


def _multimodal(variant: str, **options: Any) -> Case:
    points = {"image": torch.tensor([3, 23, 0]), "audio": torch.tensor([7, 1]), "label": None}
    sizes = {"audio": 2, "image": 3, "label": 2}
    return Case(
        "PerceiverMultimodalDecoder",
        variant,
        WHAT,
        lambda c, config: multimodal(c, config, **options),
        lambda module, ask: _read(module, ask, modality_sizes=sizes, subsampled_points=points),
    )


CASES = [
    Case(
        "PerceiverProjectionDecoder",
        "mean_latent",
        "logits",
        lambda c, config: c.PerceiverProjectionDecoder(config),
        lambda module, _: getattr(out := module(None, latents()), "logits", out),
    ),
    *(_basic(project, residual) for project in (True, False) for residual in (True, False)),
    Case(
        "PerceiverBasicDecoder",
        "chosen_points",
        WHAT,
        lambda c, config: c.PerceiverBasicDecoder(
            config, 6, num_channels=18 + 5, concat_preprocessed_input=True, **GRID
        ),
        _queries_of_points,
    ),
    Case(
        "PerceiverBasicDecoder",
        "projected_positions",
        WHAT,
        lambda c, config: c.PerceiverBasicDecoder(
            config, 6, num_channels=7, out_channels=12, project_pos_dim=7, **learned(5, 12)
        ),
        _read,
    ),
    Case(
        "PerceiverBasicDecoder",
        "queries_of_a_grid",
        "queries",
        lambda c, config: c.PerceiverBasicDecoder(
            config, 6, position_encoding_only=True, **fourier(2, 5, 4)
        ),
        _queries_of_a_grid,
    ),
    _classification(residual=True),
    _classification(residual=False),
    _flow(100.0),
    _flow(0.5),
    Case(
        "PerceiverBasicVideoAutoencodingDecoder",
        "frames",
        "queries, logits",
        lambda c, config: c.PerceiverBasicVideoAutoencodingDecoder(
            config, SHAPE, **PIXELS, **learned((2, 3, 4), 12)
        ),
        _video,
    ),
    Case(
        "PerceiverBasicVideoAutoencodingDecoder",
        "chosen_pixels",
        "queries",
        lambda c, config: c.PerceiverBasicVideoAutoencodingDecoder(
            config, SHAPE, **PIXELS, **fourier(2, 3, 4)
        ),
        _video_points,
    ),
    _multimodal("one_head"),
    _multimodal("heads_and_padding", num_heads=2, min_padding_size=5, qk_channels=8),
    _multimodal("residual", use_query_residual=True),
]
