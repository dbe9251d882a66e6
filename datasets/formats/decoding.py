"""Opening images that may be damaged."""

import errno
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from splitbench.datasets.base import ImageError

PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EIO, errno.ESTALE, errno.ETIMEDOUT}
"""What the machine or its storage lacks for the moment, and no image's fault."""


def open_image(source: Path | BinaryIO, name: Path | str) -> Image.Image:
    """Return the image as RGB, its EXIF rotation left alone as the users of ImageNet and COCO do.

    Raises:
        ImageError: it cannot be decoded.
        MemoryError, OSError: memory or files ran out: another try may succeed.
    """
    try:
        with Image.open(source) as image:
            if image.mode.startswith(("I", "F")):  # Pillow would cut off what is above 255
                raise ImageError(f"{name} has more than 8 bits per value ({image.mode}): save it with 8")
            return image.convert("RGB")
    except (MemoryError, ImageError):
        raise
    except UnidentifiedImageError:  # its message names the stream, and not the image
        raise ImageError(f"{name} cannot be read as an image (cannot identify its format)") from None
    except Exception as error:  # Pillow's decoders raise a dozen kinds for damaged files
        if isinstance(error, OSError) and error.errno in PASSING:
            raise
        raise ImageError(f"{name} cannot be read as an image ({error})") from None


def read_size(source: Path | BinaryIO) -> tuple[int, int] | None:
    """Return height and width from the file's header; None where it is not an image."""
    try:
        with Image.open(source) as image:
            return image.height, image.width
    except Exception:  # of a dozen kinds, likewise
        return None
