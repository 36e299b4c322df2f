"""What is stated of a step is what it leaves wrong: on a sample of rows of large images, weighted where that is asked for."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from downlink.errors import LayerError
from downlink.image_distortion import Distortion, DistortionMeter, never_rising
from downlink.image_encoding import ImageProduct, encode_image
from downlink.image_layers import ImageAssembly
from downlink.scene import Window

SCENES = Path("../shared/data/s2_ships/images")
PERCENT = (0.25, 0.7, 2.0, 5.0, 12.0, 100.0)


def textured(height: int, width: int, seed: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    walk = rng.normal(0, 9, (2, height, width)).cumsum(axis=1).cumsum(axis=2)
    return (abs(walk + rng.normal(0, 20, (2, height, width))) % 4000).astype(np.uint16)


def code(
    pixels: np.ndarray, *, weights: np.ndarray | None = None, settled_mse: float = 0.0, valid: np.ndarray | None = None
) -> ImageProduct:
    return encode_image(
        pixels,
        Window(row=0, col=0, height=pixels.shape[1], width=pixels.shape[2]),
        valid=np.ones(pixels.shape[1:], bool) if valid is None else valid,
        quality_percent=PERCENT,
        levels=5,
        nodata=None,
        weights=weights,
        settled_mse=settled_mse,
    )


def errors(pixels: np.ndarray, product: ImageProduct) -> list[np.ndarray]:
    """Squared error (h, w) of every step, mean over bands."""
    assembly = ImageAssembly(nodata=None, payloads=dict(enumerate(product.payloads)))
    found = []
    for steps in range(1, len(product.payloads) + 1):
        decoded = assembly.decode(steps=steps)
        assert decoded is not None
        found.append(((decoded.pixels.astype(float) - pixels) ** 2).mean(axis=0))
    return found


@pytest.mark.skipif(not SCENES.is_dir(), reason=f"no real scenes at {SCENES}")
@pytest.mark.parametrize("name", ["athens_2023-08-18", "santos_2023-07-25"])
def test_the_sample_of_rows_says_what_all_rows_say_on_real_tiles(name: str) -> None:
    with rasterio.open(SCENES / f"{name}.tif") as scene:
        pixels = scene.read(window=((300, 812), (400, 912)))
    product = code(pixels)
    real = [float(error.mean()) for error in errors(pixels, product)]
    assert list(product.mse) == sorted(product.mse, reverse=True)
    assert real == sorted(real, reverse=True) and real[-1] == 0
    assert np.array(product.mse) == pytest.approx(np.array(real), rel=0.02)


def test_small_images_are_measured_in_every_row() -> None:
    pixels = textured(100, 70)
    product = code(pixels)
    assert product.weighted_mse == product.mse
    assert product.mse == pytest.approx([float(error.mean()) for error in errors(pixels, product)])


@pytest.mark.parametrize("height", [100, 400])
def test_weights_say_which_pixels_matter(height: int) -> None:
    pixels = textured(height, 70)
    pixels[:, :, 35:] = 800 + pixels[:, :, 35:] // 400  # nothing to be wrong about
    weights = np.where(np.arange(70) < 35, 0.5, 8.0) * np.ones((height, 1), np.float32)
    valid = np.ones((height, 70), bool)
    valid[:30] = False
    product = code(pixels, weights=weights, valid=valid)
    for step, error in enumerate(errors(pixels, product)[:-1]):
        assert product.mse[step] == pytest.approx(error[30:].mean(), rel=0.1)
        assert product.weighted_mse[step] == pytest.approx((error * weights)[30:].sum() / weights[30:].sum(), rel=0.1)
    assert product.weighted_mse[3] < product.mse[3]
    assert product.weighted_mse[-1] == 0


def test_what_only_rows_outside_the_sample_have_wrong_is_not_overlooked() -> None:
    pixels = textured(400, 60)
    weights = np.zeros((400, 60), np.float32)
    weights[300] = 1.0  # every third row is sampled from row 1 on: not this one
    product = code(pixels, weights=weights)
    assert product.weighted_mse[:3] == pytest.approx([error[300].mean() for error in errors(pixels, product)[:3]])
    meter = DistortionMeter(pixels, np.ones((400, 60), bool), None)
    assert meter.rows == slice(1, None, 3)
    nearly = pixels.copy()
    nearly[1, 300, 7] += 12
    sampled = meter.distortion(nearly[:, meter.rows])
    whole = DistortionMeter(pixels, np.ones((400, 60), bool), None, all_rows=True)
    assert sampled == Distortion(mse=0.0, weighted_mse=0.0)
    assert whole.distortion(nearly[:, whole.rows]).mse == pytest.approx(144 / pixels.size)


def test_steps_behind_a_settled_one_are_stated_as_bad_as_it() -> None:
    pixels = textured(200, 150)
    exact, settled = code(pixels), code(pixels, settled_mse=1e9)
    assert settled.mse == (exact.mse[0],) * 5 + (0.0,)
    assert settled.payloads[1:] == exact.payloads[1:]
    middle = exact.mse[2] * 1.01
    assert code(pixels, settled_mse=middle).mse == (*exact.mse[:3], exact.mse[2], exact.mse[2], 0.0)


def test_what_is_stated_never_rises() -> None:
    measured = [Distortion(mse=mse, weighted_mse=9 - mse) for mse in (7.0, 2.0, 3.0, 1.0, 0.0)]
    stated = never_rising(measured)
    assert [step.mse for step in stated] == [7.0, 3.0, 3.0, 1.0, 0.0]
    assert [step.weighted_mse for step in stated] == [9.0, 9.0, 9.0, 9.0, 9.0]


def test_weights_that_do_not_fit_are_refused() -> None:
    pixels = textured(40, 50)
    for weights in (np.ones((40, 51)), np.full((40, 50), -1.0), np.full((40, 50), np.nan)):
        with pytest.raises(LayerError, match="weights of shape"):
            code(pixels, weights=weights)
