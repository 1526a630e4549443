"""Make the training data of one default model: `python -m training.prepare language-id`."""

import argparse
import logging
import tempfile
from pathlib import Path

from training.sources import fashion, fill_mask, language_id, multimodal_autoencoding, optical_flow

MAKERS = {
    "language-id": language_id.prepare,
    "fashion": fashion.prepare,
    "fill-mask": fill_mask.prepare,
    "flow": optical_flow.prepare,
    "multimodal": multimodal_autoencoding.prepare,
}


def prepare(name: str, out: Path, work: Path | None = None) -> None:
    """Write the named data set into `out`; downloads are kept in `work`, if given."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        MAKERS[name](out, work or Path(temporary))


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(MAKERS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    parser.add_argument("--work", type=Path, help="keep downloads here (default: nowhere)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    prepare(options.name, options.out, options.work)


if __name__ == "__main__":
    main()
