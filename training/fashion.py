"""tiny-fashion: the kind of a garment, on black as in Fashion-MNIST or on any plain background."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.config import PerceiverConfig
from perceiver_core.image_processor import PerceiverImageProcessor
from perceiver_core.tasks import PerceiverForImageClassificationConvProcessing
from training.optimise import LossFunction

MODEL = PerceiverForImageClassificationConvProcessing
PEAK_LEARNING_RATE = 2e-3
BATCH = 96
SIDE = 48  # pixels of the model's input
PLAIN_SHARE = 0.5  # of the training pictures stay white on black, moved only a little
# "T-shirt/top" and its like are the data set's own names.
LABELS = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
PROCESSOR = PerceiverImageProcessor(
    crop_size={"height": SIDE, "width": SIDE},
    size={"height": SIDE, "width": SIDE},
    image_mean=[0.5, 0.5, 0.5],
    image_std=[0.5, 0.5, 0.5],
)


class Data:
    """Fashion-MNIST: grey uint8 (n, 28, 28) and labels."""

    def __init__(self, file: Path) -> None:
        arrays = np.load(file, allow_pickle=False)
        self.train = torch.from_numpy(arrays["train_images"])
        self.train_labels = torch.from_numpy(arrays["train_labels"]).long()
        self.test = torch.from_numpy(arrays["test_images"])
        self.test_labels = torch.from_numpy(arrays["test_labels"]).long()


def config(data: Data) -> PerceiverConfig:
    """48 latents of 128 channels over 11 x 11 convolved positions."""
    return PerceiverConfig(
        num_latents=48,
        d_latents=128,
        num_self_attends_per_block=4,
        num_self_attention_heads=4,
        num_cross_attention_heads=4,
        qk_channels=64,
        v_channels=128,
        attention_probs_dropout_prob=0.0,
        image_size=SIDE,
        id2label=dict(enumerate(LABELS)),
    )


def moved(
    grey: Tensor, shift: float, scales: tuple[float, float], random: torch.Generator
) -> Tensor:
    """Each picture (B, 1, 28, 28) mirrored at random, scaled and shifted (`shift` is a share of the
    side), at SIDE x SIDE, black outside."""
    n = len(grey)
    scale = torch.empty(n).uniform_(*scales, generator=random)
    mirror = torch.where(torch.rand(n, generator=random) < 0.5, -1.0, 1.0)
    offset = torch.empty(n, 2).uniform_(-2 * shift, 2 * shift, generator=random)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = mirror / scale, 1 / scale, offset
    grid = F.affine_grid(theta, [n, 1, SIDE, SIDE], align_corners=False)
    return F.grid_sample(grey, grid.to(grey), mode="bilinear", align_corners=False)


def dressed(grey: Tensor, random: torch.Generator) -> Tensor:
    """Garments (B, 1, h, w) in [0, 1], each in a colour of its own before a plain background:
    (B, 3, h, w).

    A third are plain inversions; backgrounds are light more often than not, as in shops."""
    n = len(grey)
    colours = torch.rand(n, 6, 1, 1, generator=random).to(grey)
    cloth, wall = colours[:, :3], colours[:, 3:]
    light = torch.rand(n, 1, 1, 1, generator=random).to(grey) < 0.6
    wall = torch.where(light, 1 - 0.15 * wall, wall)
    grey_cloth = torch.rand(n, 1, 1, 1, generator=random).to(grey) < 0.4
    cloth = torch.where(grey_cloth, cloth[:, :1], cloth)
    inside = (grey * 6).clamp(max=1)
    photo = inside * cloth * (0.25 + 0.75 * grey) + (1 - inside) * wall
    inverted = torch.rand(n, 1, 1, 1, generator=random).to(grey) < 1 / 3
    return torch.where(inverted, 1 - grey, photo)


def loss_function(data: Data, device: torch.device, rng: np.random.Generator) -> LossFunction:
    """Cross-entropy of a batch, half of it white on black, half dressed up."""
    random = torch.Generator().manual_seed(int(rng.integers(2**31)))
    images = data.train.to(device)

    def loss(model: PreTrainedModel) -> Tensor:
        pick = torch.randint(len(images), (BATCH,), generator=random)
        grey = images[pick.to(device), None].float() / 255
        plain = int(PLAIN_SHARE * BATCH)
        near = moved(grey[:plain], 0.05, (0.9, 1.1), random).expand(-1, 3, -1, -1)
        far = dressed(moved(grey[plain:], 0.1, (0.65, 1.1), random), random)
        pixels = (torch.cat([near, far]) - 0.5) / 0.5
        labels = data.train_labels[pick].to(device)
        return F.cross_entropy(model(pixels).logits, labels, label_smoothing=0.05)

    return loss


@torch.inference_mode()
def answers(model: PreTrainedModel, images: list[NDArray[np.uint8]]) -> Tensor:
    """The label number of each RGB image, through the image processor."""
    found = []
    for start in range(0, len(images), 500):
        pixels = PROCESSOR(images[start : start + 500], return_tensors="pt").pixel_values
        found.append(model(pixels.to(model.device)).logits.argmax(-1).cpu())
    return torch.cat(found)


def published(data: Data) -> list[NDArray[np.uint8]]:
    """The 10,000 test pictures as they are."""
    return [np.repeat(image.numpy()[..., None], 3, -1) for image in data.test]


def photos(data: Data) -> list[NDArray[np.uint8]]:
    """The same dressed up: colours, plain backgrounds, inversion, shift, scale; a fixed seed."""
    random = torch.Generator().manual_seed(11)
    pictures = dressed(moved(data.test[:, None].float() / 255, 0.1, (0.65, 1.1), random), random)
    return list((pictures * 255).round().byte().permute(0, 2, 3, 1).numpy())


def score(model: PreTrainedModel, data: Data) -> dict[str, float]:
    """Accuracy on the test pictures as published and dressed up, and of the nearest class mean."""
    model.eval()
    grey = data.train.float().flatten(1)
    means = torch.stack([grey[data.train_labels == i].mean(0) for i in range(len(LABELS))])
    nearest = torch.cdist(data.test.float().flatten(1), means).argmin(-1)
    found = {
        "fashion_mnist_test": answers(model, published(data)),
        "plain_backgrounds": answers(model, photos(data)),
        "nearest_class_mean_fashion_mnist_test": nearest,
    }
    return {
        name: (labels == data.test_labels).float().mean().item() for name, labels in found.items()
    }


def predictions(model: PreTrainedModel, data: Data) -> NDArray[np.int64]:
    """The label of every test picture as published."""
    return answers(model, published(data)).numpy()
