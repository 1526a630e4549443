"""The embedded models: small trained checkpoints that answer with no hub at hand."""

from pathlib import Path

EMBEDDED: dict[str, Path] = {
    folder.name: folder
    for folder in sorted(Path(__file__).parent.iterdir())
    if (folder / "config.json").is_file()
}
