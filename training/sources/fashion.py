"""Fashion-MNIST (Debian `dataset-fashion-mnist`, MIT): 28 x 28 grey pictures of clothing."""

import gzip
import logging
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.sources.files import save
from training.sources.packages import debian, write_sources

log = logging.getLogger(__name__)

_FOLDER = "usr/share/datasets/fashion-mnist"
_FILES = {
    "train_images": "train-images-idx3-ubyte.gz",
    "train_labels": "train-labels-idx1-ubyte.gz",
    "test_images": "t10k-images-idx3-ubyte.gz",
    "test_labels": "t10k-labels-idx1-ubyte.gz",
}
_UINT8 = 0x08


def read_idx(path: Path) -> NDArray[np.uint8]:
    """One gzipped IDX file: a big-endian header (0, 0, type, rank, sizes...), then the bytes."""
    data = gzip.decompress(path.read_bytes())
    zero, kind, rank = struct.unpack(">HBB", data[:4])
    if zero != 0 or kind != _UINT8:
        raise ValueError(f"{path.name} is not an IDX file of unsigned bytes")
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def prepare(out: Path, work: Path) -> None:
    """Write out/fashion.npz, uint8: {train,test}_images (n, 28, 28), {train,test}_labels (n,)."""
    (package,) = debian(["dataset-fashion-mnist"], "MIT", work)
    arrays = {key: read_idx(package.root / _FOLDER / name) for key, name in _FILES.items()}
    save(out / "fashion.npz", arrays)
    write_sources(out / "fashion.sources.json", [package], "train and test, as published")
    log.info("fashion: %s", {key: value.shape for key, value in arrays.items()})
