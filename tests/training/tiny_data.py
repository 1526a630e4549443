"""Packed data of every recipe, a few kilobytes each: what training reads, not what it could learn
from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from training.motions import MOTIONS


def language_id(random: np.random.Generator) -> dict[str, Any]:
    """Two languages without a letter in common."""
    languages = {"aa": "abcdefg \n", "bb": "hijklmé \n"}
    texts = {
        f"{split}_{name}": "".join(random.choice(list(letters), 1500)).encode()
        for name, letters in languages.items()
        for split in ("text", "valid", "test")
    }
    arrays = {name: np.frombuffer(text, np.uint8) for name, text in texts.items()}
    return {"labels": np.array(list(languages)), **arrays}


def fill_mask(random: np.random.Generator) -> dict[str, Any]:
    """A few words, again and again."""
    words = ["a", "perceiver", "reads", "bytes", "and", "writes", "what", "was", "hidden"]
    return {
        split: np.frombuffer(" ".join(random.choice(words, 300)).encode(), np.uint8)
        for split in ("train", "valid", "test")
    }


def fashion(random: np.random.Generator) -> dict[str, Any]:
    """Noise."""
    arrays = {}
    for part in ("train", "test"):
        arrays[f"{part}_images"] = random.integers(0, 256, (20, 28, 28), np.uint8)
        arrays[f"{part}_labels"] = np.arange(20) % 10
    return arrays


def optical_flow(random: np.random.Generator) -> dict[str, Any]:
    """Smooth photographs, and discs to move over them."""
    y, x = np.mgrid[:24, :24] - 11.5
    disc = np.where(np.hypot(x, y) < 11, 255, 0).astype(np.uint8)
    arrays = {}
    for part in ("", "test_"):
        coarse = random.integers(0, 256, (3, 12, 16, 3), np.uint8)
        arrays[f"{part}photos"] = smooth(coarse, 8)
        colours = random.integers(0, 256, (2, 1, 1, 3), np.uint8).repeat(24, 1).repeat(24, 2)
        arrays[f"{part}cutouts"] = np.concatenate(
            [colours, np.stack([disc] * 2)[..., None]], axis=-1
        )
    return arrays


def smooth(coarse: np.ndarray[Any, Any], times: int) -> np.ndarray[Any, Any]:
    """Pictures (n, h, w, c), larger and without edges."""
    large = coarse.repeat(times, 1).repeat(times, 2)
    for axis in (1, 2):
        large = np.mean([np.roll(large, step, axis) for step in range(times)], axis=0)
    return large.astype(np.uint8)


def multimodal(random: np.random.Generator) -> dict[str, Any]:
    """A square of its own colour, and noise, for every kind of clip."""
    arrays = {
        "labels": np.array(list(MOTIONS)),
        "effects": random.integers(0, 256, (3, 24, 24, 4), np.uint8),
        "grounds": random.integers(0, 256, (2, 24, 8, 3), np.uint8),
    }
    for part in ("", "test_"):
        colours = random.integers(0, 256, (len(MOTIONS), 1, 1, 4), np.uint8)
        arrays[f"{part}sprites"] = colours.repeat(24, 1).repeat(24, 2)
        arrays[f"{part}sounds"] = random.integers(-9999, 9999, (len(MOTIONS), 2000), np.int16)
        for kind in ("sprite", "sound"):
            arrays[f"{part}{kind}_labels"] = np.arange(len(MOTIONS))
    return arrays


DATA = {
    "tiny-language-id": language_id,
    "tiny-fill-mask": fill_mask,
    "tiny-fashion": fashion,
    "tiny-flow": optical_flow,
    "tiny-multimodal": multimodal,
}


def packed(name: str, folder: Path) -> Path:
    """The file of a recipe's data, the same one every time."""
    file = folder / f"{name}.npz"
    np.savez(file, **DATA[name](np.random.default_rng(0)))
    return file
