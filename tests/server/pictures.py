"""Encoded images for tests."""

import io
from typing import Any

import numpy as np
from PIL import Image


def encoded(kind: str, size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    """A grey gradient."""
    return file_of(Image.linear_gradient("L").resize(size).convert("RGB"), kind, **options)


def file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    """An image's file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_of(pixels: np.ndarray[Any, Any]) -> bytes:
    """The PNG of RGB pixels."""
    return file_of(Image.fromarray(pixels), "PNG")
