"""Images that Pillow would open as something else are refused."""

import numpy as np
import pytest
from PIL import Image

from splitbench.datasets.base import ImageError
from splitbench.datasets.formats.decoding import open_image


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_more_than_8_bits_per_value_are_refused(kind, tmp_path):
    values = np.linspace(0, 65535, 64).reshape(8, 8).astype(kind)
    file = tmp_path / "deep.tif"
    Image.fromarray(values).save(file)
    with pytest.raises(ImageError, match="more than 8 bits per value"):
        open_image(file, file)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK"])
def test_all_others_are_rgb(mode, tmp_path):
    file = tmp_path / "picture.tif"
    Image.new("RGB", (4, 4), (200, 0, 0)).convert(mode).save(file)
    assert open_image(file, file).mode == "RGB"
