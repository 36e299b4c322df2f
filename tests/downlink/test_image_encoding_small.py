"""Images of a few pixels of noise, which OpenJPEG cannot always code in several layers."""

import numpy as np
import pytest

from downlink.image_encoding import encode_image
from downlink.image_layers import ImageAssembly
from downlink.scene import Window


@pytest.mark.parametrize("bands", [1, 4, 8, 13])
@pytest.mark.parametrize("size", [(1, 1), (4, 5), (8, 8), (8, 11), (11, 16), (16, 16), (17, 33)])
def test_noise_in_many_bands_comes_back_exactly(bands: int, size: tuple[int, int]) -> None:
    height, width = size
    pixels = np.random.default_rng(bands * 100 + width).integers(0, 65_536, (bands, height, width), dtype=np.uint16)
    image = encode_image(
        pixels,
        Window(row=3, col=5, height=height, width=width),
        valid=np.ones(size, np.bool_),
        quality_percent=(0.4, 1.2, 3.0, 8.0, 25.0, 100.0),
        levels=5,
        nodata=None,
    )
    assembly = ImageAssembly(nodata=None, payloads=dict(enumerate(image.payloads)))
    decoded = assembly.decode()
    assert decoded is not None and decoded.lossless
    np.testing.assert_array_equal(decoded.pixels, pixels)
    assert len(image.mse) == len(image.weighted_mse) == len(image.payloads) and image.mse[-1] == 0
