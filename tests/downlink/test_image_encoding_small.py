"""Images that OpenJPEG does not make several layers of as it is told: a few pixels of noise, fewer bits than the type has."""

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


@pytest.mark.parametrize("bands", [1, 4, 8])
@pytest.mark.parametrize("top", [1, 255, 4095])
def test_steps_of_more_bytes_than_the_bits_in_use_stay_steps(bands: int, top: int) -> None:
    pixels = np.random.default_rng(bands).integers(0, top + 1, (bands, 72, 80), dtype=np.uint16)
    percents = (1.0, 10.0, 60.0, 80.0, 95.0, 100.0)
    image = encode_image(
        pixels,
        Window(row=3, col=5, height=72, width=80),
        valid=np.ones((72, 80), np.bool_),
        quality_percent=percents,
        levels=3,
        nodata=None,
    )
    assert len(image.payloads) == len(percents)
    decoded = ImageAssembly(nodata=None, payloads=dict(enumerate(image.payloads))).decode()
    assert decoded is not None and decoded.lossless
    np.testing.assert_array_equal(decoded.pixels, pixels)


def test_a_step_without_error_is_not_stated_before_one_with_error() -> None:
    """OpenJPEG may code an even image exactly in its first layer, and worse with the second."""
    pixels = np.full((1, 64, 65), 10_000, np.uint16)
    image = encode_image(
        pixels,
        Window(row=0, col=0, height=64, width=65),
        valid=np.ones((64, 65), np.bool_),
        quality_percent=(0.5, 1.0, 10.0, 100.0),
        levels=4,
        nodata=None,
        settled_mse=31.6,
    )
    assembly = ImageAssembly(nodata=None, payloads=dict(enumerate(image.payloads)))
    for step, stated in enumerate(image.mse):
        decoded = assembly.decode(steps=step + 1)
        assert decoded is not None
        real = float(np.mean((decoded.pixels.astype(np.float64) - pixels) ** 2))
        assert real <= stated + 1e-9, (step, real, stated)
