"""Encoded images for tests."""

import io

from PIL import Image


def encoded(kind: str, size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    """A grey gradient."""
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
