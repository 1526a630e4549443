"""tiny-multimodal: what happens in a short clip of a game, and the clip itself again."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.config import PerceiverConfig
from perceiver_core.tasks import PerceiverForMultimodalAutoencoding
from training.clips import FRAMES, SAMPLES, Clips, Director, cast
from training.optimise import LossFunction
from training.watch_and_listen import GRID, GUIDES, watch_and_listen

MODEL = PerceiverForMultimodalAutoencoding
PEAK_LEARNING_RATE = 5e-4
BATCH = 24
SIDE = 32
PATCH = 64  # samples
EXAMPLES = 96  # clips that the starting weights are fitted to
PIXELS, PATCHES = 160, 32  # asked for in training, of 16,384 and 80, drawn at random
MASKED = 0.25  # of the training clips are black, as many others silent
QUIETEST = 2e-3  # the power below which a sound need not be copied any better
LEAST = 8.1  # keeps the loss positive: minus the least logarithms of the errors
TEST_CLIPS, TEST_BATCH, TEST_PIXELS = 480, 24, 2048


class Data:
    """Sprites and sounds to train, others to test."""

    def __init__(self, file: Path) -> None:
        self.train, self.test = cast(file, ""), cast(file, "test_")


def config(data: Data) -> PerceiverConfig:
    """A latent for each of 80 patches of sound and of 2 x 8 x 8 windows on the video, and 12 more,
    of 192 channels; 4 self-attention layers."""
    patches = SAMPLES // PATCH
    return PerceiverConfig(
        num_latents=patches + GRID[0] * GRID[1] * GRID[2] + GUIDES,
        d_latents=192,
        d_model=PATCH + 385 + 4,
        qk_channels=192,
        v_channels=192,
        num_self_attends_per_block=4,
        num_self_attention_heads=8,
        num_cross_attention_heads=4,
        attention_probs_dropout_prob=0.0,
        image_size=SIDE // 4,
        num_frames=FRAMES,
        audio_samples_per_frame=SAMPLES // FRAMES,
        samples_per_patch=PATCH,
        output_shape=[1, FRAMES, SIDE, SIDE],
        output_num_channels=192,
        _label_trainable_num_channels=128,
        id2label=dict(enumerate(data.train.labels)),
    )


def prepare_model(model: PreTrainedModel, data: Data) -> None:
    """Windows for the latents."""
    assert isinstance(model, PerceiverForMultimodalAutoencoding)
    examples = Director(data.train, SIDE, 3).clips(EXAMPLES)
    examples.audio[::4] = 0.1 * torch.randn_like(examples.audio[::4])  # any sound, not these only
    examples.frames[1::8], examples.audio[2::8] = 0, 0
    watch_and_listen(model, inputs_of(examples, model.device))


def loss_function(data: Data, device: torch.device, rng: np.random.Generator) -> LossFunction:
    """Cross-entropy of the label, and the logarithms of the video's and the sound's errors, which
    is what PSNR and SNR measure. Black clips are to stay black, silent ones silent."""
    director = Director(data.train, SIDE, int(rng.integers(1 << 31)), disguised=True)
    random = torch.Generator().manual_seed(int(rng.integers(1 << 31)))

    def loss(model: PreTrainedModel) -> Tensor:
        clips = director.clips(BATCH)
        chance = torch.rand(BATCH, generator=random)
        frames = clips.frames * (chance >= MASKED)[:, None, None, None, None]
        audio = clips.audio * (chance < 1 - MASKED)[:, None]
        pixels = torch.randperm(FRAMES * SIDE * SIDE, generator=random)[:PIXELS]
        patches = torch.randperm(SAMPLES // PATCH, generator=random)[:PATCHES]
        found = model(
            inputs_of(Clips(frames, audio, clips.labels), device),
            subsampled_output_points={"image": pixels.to(device), "audio": patches.to(device)},
        ).logits
        video = (found["image"] - at_pixels(frames, pixels).to(device)).square().mean()
        wanted = audio.unflatten(1, (-1, PATCH))[:, patches].to(device)
        power = audio.square().mean(1).to(device) + QUIETEST
        error = (found["audio"].unflatten(1, (-1, PATCH)) - wanted).square().mean((1, 2)) / power
        label = F.cross_entropy(found["label"], clips.labels.to(device), label_smoothing=0.05)
        total: Tensor = 4 * label + 0.5 * (video + 1e-4).log() + 0.5 * (error.mean() + 1e-3).log()
        return total + LEAST

    return loss


def inputs_of(clips: Clips, device: torch.device) -> dict[str, Tensor]:
    """What the model is given of clips; it replaces the label by a token of its own."""
    label = torch.zeros(len(clips.labels), 1)
    return {
        "image": clips.frames.to(device),
        "audio": clips.audio[..., None].to(device),
        "label": label.expand(-1, 12).to(device),
    }


def at_pixels(frames: Tensor, pixels: Tensor) -> Tensor:
    """Frames (B, T, 3, H, W) at flat indices (frame, row, column) (Q,) -> (B, Q, 3)."""
    return frames.movedim(2, -1).flatten(1, 3)[:, pixels]


def tests(data: Data) -> list[Clips]:
    """Clips of held-out sprites with held-out sounds, a fixed seed, in batches."""
    director = Director(data.test, SIDE, 7)
    return [director.clips(TEST_BATCH) for _ in range(TEST_CLIPS // TEST_BATCH)]


def masked(clips: Clips, modality: str) -> Clips:
    """The clips, black or silent."""
    if modality == "video":
        return replace(clips, frames=torch.zeros_like(clips.frames))
    return replace(clips, audio=torch.zeros_like(clips.audio))


@torch.inference_mode()
def answers(model: PreTrainedModel, clips: Clips, pixels: Tensor) -> dict[str, Tensor]:
    """Logits of the label, all sound and some pixels."""
    points = {"image": pixels.to(model.device), "audio": torch.arange(SAMPLES // PATCH)}
    logits = model(inputs_of(clips, model.device), subsampled_output_points=points).logits
    return {name: values.cpu() for name, values in logits.items()}


def decibels(wanted: Tensor, found: Tensor, power: Tensor | float) -> Tensor:
    """Of each clip (B, ...): `power` over the mean squared error."""
    error = (wanted - found).square().flatten(1).mean(1)
    return 10 * torch.log10(power / error.clamp(min=1e-8))


def score(model: PreTrainedModel, data: Data) -> dict[str, float]:
    """Label accuracy, PSNR of the video and SNR of the sound in dB, on held-out sprites with
    held-out sounds, each also with the other modality masked; simple methods beside them."""
    model.eval()
    random = torch.Generator().manual_seed(8)
    found: dict[str, list[Tensor]] = defaultdict(list)
    for clips in tests(data):
        pixels = torch.randperm(FRAMES * SIDE * SIDE, generator=random)[:TEST_PIXELS]
        seen, power = at_pixels(clips.frames, pixels), clips.audio.square().mean(1)
        both = answers(model, clips, pixels)
        deaf, blind = (answers(model, masked(clips, m), pixels) for m in ("audio", "video"))
        for name, logits in (("", both), ("_picture_only", deaf), ("_sound_only", blind)):
            found[f"label{name}"].append(logits["label"].argmax(-1) == clips.labels)
        for name, logits in (("", both), ("_picture_only", deaf)):
            found[f"video_psnr{name}"].append(decibels(seen, logits["image"].clamp(0, 1), 1.0))
        for name, logits in (("", both), ("_sound_only", blind)):
            found[f"audio_snr{name}"].append(decibels(clips.audio, logits["audio"], power))
        still = at_pixels(clips.frames.mean(1, keepdim=True).expand_as(clips.frames), pixels)
        plain = clips.frames.mean((1, 3, 4))[:, None].expand_as(seen)
        found["video_psnr_own_mean_frame"].append(decibels(seen, still, 1.0))
        found["video_psnr_own_mean_colour"].append(decibels(seen, plain, 1.0))
    means = {name: float(torch.cat(values).float().mean()) for name, values in found.items()}
    return {**means, **nearest_means(data)}


def nearest_means(data: Data) -> dict[str, float]:
    """Label accuracy of the nearest class mean: of spectrograms, and of the frames' differences
    from the first; and of always naming one kind."""
    director = Director(data.train, SIDE, 9)
    known, unknown = [director.clips(TEST_BATCH) for _ in range(50)], tests(data)
    labels = torch.cat([clips.labels for clips in known])
    truth = torch.cat([clips.labels for clips in unknown])
    found = {"label_majority": truth.bincount().max() / len(truth)}
    for name, features in (("sound", spectrogram), ("picture", movement)):
        own, other = (torch.cat([features(c) for c in part]) for part in (known, unknown))
        means = torch.stack([own[labels == kind].mean(0) for kind in range(12)])
        found[f"label_nearest_mean_{name}"] = (
            (torch.cdist(other, means).argmin(-1) == truth).float().mean()
        )
    return {name: float(value) for name, value in found.items()}


def spectrogram(clips: Clips) -> Tensor:
    """(B, F): logarithms of the amplitudes of 16 ms pieces."""
    pieces = clips.audio.unflatten(1, (-1, 128)) * torch.hann_window(128)
    loud: Tensor = torch.fft.rfft(pieces).abs() + 0.05
    return loud.log().flatten(1)


def movement(clips: Clips) -> Tensor:
    """(B, F): by how much each frame, at an eighth of the size, differs from the first one."""
    small = F.avg_pool2d(clips.frames.flatten(0, 1), 4).unflatten(0, (-1, FRAMES))
    moved: Tensor = small - small[:, :1]
    return moved.flatten(1)


def predictions(model: PreTrainedModel, data: Data) -> NDArray[np.int64]:
    """The label of every test clip."""
    pixels = torch.arange(1)
    found = [answers(model, clips, pixels)["label"].argmax(-1) for clips in tests(data)]
    return torch.cat(found).numpy()
