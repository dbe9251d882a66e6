"""Images as files in memory: JPEG, WebP, PNG, AVIF and JPEG XL, through Pillow.

An image is an array of bytes, (H, W) grey or (H, W, 3) RGB. What a file holds besides its pixels' code is side
information (JPEG's tables) or framing (containers).
"""

import importlib.util
import io
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, features

from splitbench.methods.base import BitstreamError
from splitbench.methods.coding.image.image_sizes import Size, avif_size, jpeg_xl_size, png_size, webp_size

Format = Literal["jpeg", "webp", "png", "avif", "jpeg-xl"]
Pixels = npt.NDArray[np.uint8]

JPEG_END = b"\xff\xd9"
_PILLOWS_NAMES: Mapping[str, str] = {"jpeg": "JPEG", "webp": "WEBP", "png": "PNG", "avif": "AVIF", "jpeg-xl": "JXL"}
_SIZES: Mapping[str, tuple[str, Callable[[bytes], Size]]] = {
    "png": ("PNG", png_size),
    "webp": ("WebP", webp_size),
    "avif": ("AVIF", avif_size),
    "jpeg-xl": ("JPEG XL", jpeg_xl_size),
}
_SCAN, _TABLES = 0xDA, (0xDB, 0xC4)
_WEBP_FRAMING = 12 + 8  # the RIFF header and one chunk's header
_JPEG_XL_FRAMING = 2  # the signature


def missing(kind: str) -> str | None:
    """Return what to install for this format; None where nothing is missing."""
    if kind == "jpeg-xl" and importlib.util.find_spec("pillow_jxl") is None:
        return "JPEG XL needs the package pillow-jxl-plugin: pip install 'splitbench[jpeg-xl]'"
    if kind == "avif" and not features.check("avif"):
        return "this Pillow was built without AVIF: pip install --upgrade 'pillow>=11.3'"
    if kind == "webp" and not features.check("webp"):
        return "this Pillow was built without WebP: pip install --upgrade pillow"
    return None


def write(picture: Pixels, kind: Format, **options: Any) -> bytes:
    """Encode an image as a file. ``options`` go to Pillow's writer; ``bits`` packs a grey PNG's pixels, 4 at most."""
    _register(kind)
    image = Image.fromarray(picture)
    if "bits" in options:  # Pillow writes fewer than 8 bits with a palette only: one in which each pixel means itself
        image.putpalette([pixel for pixel in range(2 ** options["bits"]) for _ in range(3)])
    if kind == "avif":
        options = {"max_threads": 1} | options
    if kind == "jpeg-xl":
        options = {"num_threads": 0, "lossless": options.get("quality") == 100} | options  # as cjxl takes 100
    buffer = io.BytesIO()
    image.save(buffer, _PILLOWS_NAMES[kind], **options)
    return buffer.getvalue()


def read(data: bytes, kind: Format, shape: tuple[int, ...]) -> Pixels:
    """Return a file's image, which has this shape. Raises BitstreamError for every other file."""
    _register(kind)
    height, width = shape[:2]
    if kind in _SIZES:
        name, size_of = _SIZES[kind]
        if size_of(data) != (width, height):
            raise BitstreamError(f"damaged bitstream: no {name} file of one image of {(width, height)}")
    try:
        image = Image.open(io.BytesIO(data), formats=[_PILLOWS_NAMES[kind]])
        if image.size != (width, height):
            raise BitstreamError(f"damaged bitstream: an image of {image.size} instead of {(width, height)}")
        return cast(Pixels, np.array(image.convert("L" if len(shape) == 2 else "RGB")))
    except (BitstreamError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise a dozen kinds for damaged files
        raise BitstreamError(f"damaged bitstream: {error}") from error


def overhead(data: bytes, kind: Format) -> tuple[int, int]:
    """Return how many bytes of a file that :func:`write` returned are side information, and how many are framing."""
    if kind == "jpeg":
        scan, tables = jpeg_segments(data)
        return tables, scan - tables + len(JPEG_END)
    if kind == "png":
        return 0, len(data) - _png_payload(data)
    if kind == "avif":
        return 0, data.index(b"mdat") + 4
    return 0, _WEBP_FRAMING if kind == "webp" else _JPEG_XL_FRAMING


def jpeg_segments(data: bytes) -> tuple[int, int]:
    """Return where the scan's entropy-coded data begins, and how many bytes before it are tables (ITU-T T.81, B.1)."""
    at, tables = 2, 0
    while True:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _TABLES:
            tables += 2 + length
        at += 2 + length
        if marker == _SCAN:
            return at, tables


def _png_payload(data: bytes) -> int:
    """Bytes of compressed pixels: the contents of all IDAT chunks, which follow an 8-byte signature."""
    at, payload = 8, 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        payload += length if data[at + 4 : at + 8] == b"IDAT" else 0
        at += 12 + length
    return payload


def _register(kind: Format) -> None:
    """Register a format that Pillow does not have."""
    if kind == "jpeg-xl":
        importlib.import_module("pillow_jxl")
