"""Starting weights for a model that watches and listens: some latents begin as windows on a part of
the picture for some frames, others on a stretch of sound.

A place is coded by sines and cosines; projections that turn the inputs' Fourier features, the
latents and the queries into such codes are found by least squares, so that a query at a place
attends to the keys around it from the first step. Training moves the windows where it likes.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from perceiver_core.attention import MultiHeadAttention, PerceiverLayer
from perceiver_core.decoders import PerceiverMultimodalDecoder
from perceiver_core.postprocessors import PerceiverMultimodalPostprocessor
from perceiver_core.tasks.multimodal_autoencoding import PerceiverForMultimodalAutoencoding

GRID = (2, 8, 8)  # windows on the video: frames, rows, columns
GUIDES = 12  # latents that tell the decoder where in its window a pixel is
# Shortest and longest wavelength of a code and its pairs of sines and cosines: patches of sound;
# frames, rows and columns of patches of the picture.
SOUND_WAVES = ((2.5, 160.0, 10),)
VIDEO_WAVES = ((2.5, 32.0, 4), (2.5, 16.0, 3), (2.5, 16.0, 3))
HALF = 20  # channels of either code
FLAG = 1.5  # in a channel of either modality's own
STRENGTH = HALF / 2 + FLAG**2  # of a code times itself
QUIET = 0.01  # the trunk starts as little more than what it is given
SOFT = 0.3  # so does what follows the decoder's attention, but colours need some of it
LABEL_COPIES = 400  # that the label asks all latents alike counts as much as some pixels
LOUD = 3.0  # the code of its place in a latent
CONTENT = 2.5  # samples and colours outweigh the features of their places


def code(places: Tensor, blur: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Tensor:
    """Places (P, 1) of sound or (P, 3) of video -> (P, HALF + 2), waves shorter than `blur`
    faded."""
    parts = []
    sound = places.shape[1] == 1
    waves = SOUND_WAVES if sound else VIDEO_WAVES
    for place, (short, long, pairs), width in zip(places.T, waves, blur, strict=False):
        rates = 2 * math.pi / torch.logspace(math.log10(short), math.log10(long), pairs)
        gain = torch.exp(-((rates * width) ** 2) / 4)
        angles = place[:, None] * rates
        parts += [gain * angles.sin(), gain * angles.cos()]
    flag = torch.tensor([FLAG, 0.0] if sound else [0.0, FLAG])
    return torch.cat([*parts, flag.expand(len(places), -1)], dim=-1)


def grid(*sizes: int) -> Tensor:
    """Every place of a grid, (P, d)."""
    axes = torch.meshgrid(*(torch.arange(n).float() for n in sizes), indexing="ij")
    return torch.stack(axes, dim=-1).flatten(0, -2)


def normalised(elements: Tensor) -> Tensor:
    """As the layer norm before attention leaves them."""
    return nn.functional.layer_norm(elements, elements.shape[-1:])


@torch.no_grad()
def watch_and_listen(
    model: PerceiverForMultimodalAutoencoding, examples: dict[str, Tensor]
) -> None:
    """Aim the encoder's heads, half of the trunk's and the decoder, and read the outputs off, as
    some example inputs ask."""
    config, perceiver = model.config, model.perceiver
    sound = grid(config.num_frames * config.audio_samples_per_frame // config.samples_per_patch)
    _, frames, height, width = config.output_shape
    steps = torch.tensor([frames / GRID[0], height / 4 / GRID[1], width / 4 / GRID[2]])
    video = (grid(*GRID) + 0.5) * steps - 0.5  # the middles of the windows
    inputs = perceiver.preprocess(examples).inputs
    _number(perceiver.embeddings.latents, sound, video)

    own = normalised(perceiver.embeddings.latents[None, : -GUIDES or None])
    read = perceiver.encoder.cross_attention.attention.self
    keys = torch.cat([code(sound), code(grid(frames, height // 4, width // 4))])
    for head in range(read.num_heads):
        later = ((head + 0.5) / read.num_heads - 0.5) * steps[0] * torch.tensor([1.0, 0, 0])
        looked = torch.cat([code(sound), code(video + later)])
        _aim(read, head, (own, looked), (normalised(inputs)[:, : len(keys)], keys), 20.0)
    content = max(config.samples_per_patch, 48)
    read.value.weight[:, :content] *= CONTENT
    read.value.weight[:, content:] = 0
    perceiver.encoder.cross_attention.mlp.dense2.weight *= QUIET

    seen = normalised(perceiver.attend(inputs))[:, : own.shape[1]]
    places = torch.cat([code(sound), code(video)])
    random = torch.Generator().manual_seed(1)
    for layer in cast(list[PerceiverLayer], perceiver.encoder.self_attends):
        attention = layer.attention.self
        for head in range(attention.num_heads // 2):
            move = torch.randn(4, generator=random) * torch.tensor([2.5, 4.0, 1.5, 1.5])
            looked = torch.cat([code(sound + move[0]), code(video + move[1:])])
            _aim(attention, head, (seen, looked), (seen, places), 8.0)
        for dense in (layer.attention.output.dense, layer.mlp.dense2):
            dense.weight *= QUIET
    latents = perceiver.encoder.process(perceiver.attend(inputs))
    _aim_decoder(model, sound, video, latents)
    _read_off(model, latents, examples)


def _number(latents: Tensor, sound: Tensor, video: Tensor) -> None:
    """Each latent starts with the code of its place in channels of its modality's own; the guides,
    the last ones, with a channel each."""
    latents.mul_(0.05)
    width, guides = HALF + 2, slice(2 * HALF + 4, 2 * HALF + 4 + GUIDES)
    latents[: len(sound), :width] = LOUD * code(sound)
    latents[len(sound) : -GUIDES, width : 2 * width] = LOUD * code(video)
    latents[:-GUIDES, guides] = 0
    latents[-GUIDES:, guides] = 3 * torch.eye(GUIDES)


def _aim(
    attention: MultiHeadAttention,
    head: int,
    query: tuple[Tensor, Tensor],
    key: tuple[Tensor, Tensor],
    logit: float,
) -> None:
    """Set a head's projections to those that turn normalised elements (B, P, C) into the codes
    wanted of them (P, K); two equal codes make about `logit`."""
    first, gain = head * attention.qk_per_head, attention.qk_per_head**0.25
    for projection, (table, wanted), strength in (
        (attention.query, query, logit / STRENGTH),
        (attention.key, key, 1.0),
    ):
        projection.weight[first : first + attention.qk_per_head] *= 0.3
        flat, codes = table.flatten(0, 1), wanted.repeat(len(table), 1)
        rows = _solve(flat, codes, 1e-4).T
        projection.weight[first : first + wanted.shape[1]] = gain * strength * rows


def _aim_decoder(
    model: PerceiverForMultimodalAutoencoding, sound: Tensor, video: Tensor, latents: Tensor
) -> None:
    """A patch of sound asks its own latent; a pixel the windows around it, and each guide more or
    less by where it is in its window, of which the layers after attention learn nothing else."""
    decoder = model.perceiver.decoder
    assert isinstance(decoder, PerceiverMultimodalDecoder)
    pixels = grid(*model.config.output_shape[1:])
    places = (pixels - torch.tensor([0, 1.5, 1.5])) / torch.tensor([1, 4, 4])
    phases = pixels * 2 * math.pi / torch.tensor([16, 8, 8])
    signals = torch.cat([phases.sin(), phases.cos()], dim=-1)
    heard = nn.functional.pad(code(sound), (0, signals.shape[1]))
    watched = torch.cat([code(places, (5.0, 0.8, 0.8)), signals], dim=-1)
    names = ("audio", "image", *["label"] * LABEL_COPIES)
    queries = [decoder.modality_query(name, latents[:1]) for name in names]
    anywhere = torch.zeros(LABEL_COPIES, HALF + 2 + signals.shape[1])
    guides = torch.zeros(GUIDES, HALF + 2 + signals.shape[1])
    guides[:, HALF + 1] = 4.0  # with FLAG: about as much as the windows around a pixel
    guides[:, HALF + 2 :] = torch.cat([torch.eye(GUIDES // 2), -torch.eye(GUIDES // 2)])
    windows = nn.functional.pad(torch.cat([code(sound), code(video)]), (0, signals.shape[1]))
    layer = decoder.decoder.decoding_cross_attention
    layer.mlp.dense2.weight *= SOFT
    attention = layer.attention.self
    asked = (normalised(torch.cat(queries, dim=1)), torch.cat([heard, watched, anywhere]))
    _aim(attention, 0, asked, (normalised(latents), torch.cat([windows, guides])), 18.0)


def _read_off(
    model: PerceiverForMultimodalAutoencoding, latents: Tensor, wanted: dict[str, Tensor]
) -> None:
    """The last projections by least squares: of the sound, and of the colours of some pixels."""
    perceiver = model.perceiver
    decoder, outputs = perceiver.decoder, perceiver.output_postprocessor
    assert isinstance(decoder, PerceiverMultimodalDecoder)
    assert isinstance(outputs, PerceiverMultimodalPostprocessor)
    colours = wanted["image"].movedim(2, -1).flatten(1, 3)
    pixels = torch.randperm(colours.shape[1])[:512]
    samples = wanted["audio"].flatten(1)
    loudness = (samples.square().mean(1) + 2e-3).sqrt()[:, None, None]
    patches = samples.unflatten(1, (-1, model.config.samples_per_patch))
    for name, points, values, scale in (
        ("audio", torch.arange(patches.shape[1]), patches, loudness),
        ("image", pixels, colours[:, pixels], torch.ones(1, 1, 1)),
    ):
        query = decoder.modality_query(name, latents[:1], points=points)
        found = nn.functional.pad(perceiver.decode(latents, query), (0, 1), value=1.0)
        rows = _solve((found / scale).flatten(0, 1), (values / scale).flatten(0, 1), 1e-4).T
        last = cast(nn.Linear, outputs.modalities[name].classifier)
        last.weight.copy_(rows[:, :-1])
        last.bias.copy_(rows[:, -1])


def _solve(table: Tensor, wanted: Tensor, ridge: float) -> Tensor:
    """(P, C), (P, K) -> (C, K): table @ found is nearly what is wanted."""
    square = table.T @ table
    square.diagonal().add_(ridge * square.diagonal().mean())
    found: Tensor = torch.linalg.solve(square, table.T @ wanted)
    return found
