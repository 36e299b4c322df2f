"""An image predicted from what the ground holds: the prediction first, then layers of the difference, exact at the end."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.errors import LayerError, MissingReferenceError
from downlink.image_encoding import ImageProduct, encode_image
from downlink.image_header import unpack_header
from downlink.image_layers import ImageAssembly
from downlink.prediction import Predicted, Reference, ReferenceBlock
from downlink.scene import Window

WINDOW = Window(row=1000, col=70_000, height=48, width=61)
ALL = np.ones((48, 61), bool)
PERCENT = (2.0, 10.0, 100.0)
REFERENCE = Reference(
    scene=0xA1B2C3D4,
    row_shift=-70,
    col_shift=129,
    blocks=(ReferenceBlock(product=0x0123, steps=4, check=0x89ABCDEF),),
    gains=(4096, 4000, 4200),
    offsets=(-5, 160, 0),
)


def image(dtype: str = "uint16", seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 4, (3, 48, 61)).cumsum(axis=2) + 120).clip(0, np.iinfo(dtype).max).astype(dtype)


def near(pixels: np.ndarray, *, noise_dn: float = 1.5) -> Predicted:
    """A prediction that is off by a little everywhere, in all bands alike, and by much in one corner."""
    rng = np.random.default_rng(8)
    off = np.rint(rng.normal(0, noise_dn, pixels.shape[1:]) + np.zeros(pixels.shape))
    off[:, :12, :9] += 60
    top = np.iinfo(pixels.dtype).max
    return Predicted(reference=REFERENCE, pixels=(pixels + off).clip(0, top).astype(pixels.dtype))


def code(
    pixels: np.ndarray,
    predicted: Predicted | None,
    *,
    valid: np.ndarray = ALL,
    nodata: float | None = None,
    unchanged: bool = False,
) -> ImageProduct:
    return encode_image(
        pixels,
        WINDOW,
        valid=valid,
        quality_percent=PERCENT,
        levels=3,
        nodata=nodata,
        predicted=predicted,
        unchanged=unchanged,
    )


def assemble(product: ImageProduct, nodata: float | None = None) -> ImageAssembly:
    return ImageAssembly(nodata=nodata, payloads=dict(enumerate(product.payloads)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_prediction_comes_first_and_the_last_step_is_exact(dtype: str) -> None:
    pixels = image(dtype)
    predicted = near(pixels)
    product = code(pixels, predicted)
    assert len(product.payloads) == len(product.mse) == len(PERCENT) + 1
    _, packets = unpack_header(product.payloads[0])
    assert packets == b"" and len(product.payloads[0]) < 100
    assembly = assemble(product)
    assert assembly.reference == REFERENCE
    for steps in range(1, 5):
        decoded = assembly.decode(lambda reference, window: predicted.pixels, steps=steps)
        assert decoded is not None
        real = float(((decoded.pixels.astype(float) - pixels) ** 2).mean())
        assert real == pytest.approx(product.mse[steps - 1])
        assert real * 0.999 <= decoded.mse <= real * 1.1 + 0.1
        assert decoded.lossless is (steps == 4)
        if steps == 1:
            assert np.array_equal(decoded.pixels, predicted.pixels)
    assert np.array_equal(decoded.pixels, pixels)
    assert list(product.mse) == sorted(product.mse, reverse=True)


def test_unchanged_is_the_prediction_and_the_exact_difference() -> None:
    pixels = image()
    predicted = near(pixels, noise_dn=0.3)
    product = code(pixels, predicted, unchanged=True)
    assert len(product.payloads) == 2
    assert sum(map(len, product.payloads)) < 0.7 * sum(map(len, code(pixels, None).payloads))
    decoded = assemble(product).decode(lambda reference, window: predicted.pixels)
    assert decoded is not None and decoded.lossless and np.array_equal(decoded.pixels, pixels)


def test_a_prediction_that_is_exact_costs_next_to_nothing() -> None:
    pixels = image()
    product = code(pixels, Predicted(reference=REFERENCE, pixels=pixels.copy()), unchanged=True)
    assert product.mse == (0.0, 0.0)
    assert sum(map(len, product.payloads)) < 120
    decoded = assemble(product).decode(lambda reference, window: pixels)
    assert decoded is not None and decoded.lossless


def test_the_prediction_is_asked_for_the_right_window_and_left_as_it_is() -> None:
    pixels = image()
    pixels[:, :9, :9] = 0
    valid = (pixels != 0).any(axis=0)
    predicted = near(pixels)
    kept = predicted.pixels.copy()
    asked = []

    def predict(reference: Reference, window: Window) -> np.ndarray:
        asked.append((reference, window))
        return predicted.pixels

    assembly = assemble(code(pixels, predicted, valid=valid, nodata=0), nodata=0)
    for steps in range(1, 5):
        decoded = assembly.decode(predict, steps=steps)
        assert decoded is not None
        assert np.array_equal(decoded.valid, valid)
        assert (decoded.pixels[:, ~valid] == 0).all()
    assert np.array_equal(decoded.pixels, pixels)
    assert np.array_equal(predicted.pixels, kept)
    assert asked == [(REFERENCE, WINDOW)] * 4


def test_without_a_way_to_the_reference_nothing_is_shown() -> None:
    assembly = assemble(code(image(), near(image())))
    with pytest.raises(MissingReferenceError, match="2712847316") as caught:
        assembly.decode()
    assert (caught.value.scene, caught.value.product, caught.value.steps) == (0xA1B2C3D4, 0x0123, 4)


def test_another_prediction_than_the_named_one_is_found_out() -> None:
    pixels = image()
    predicted = near(pixels)
    wrong = predicted.pixels.copy()
    wrong[1, 30, 40] += 1
    assembly = assemble(code(pixels, predicted))
    with pytest.raises(LayerError, match="checksum"):
        assembly.decode(lambda reference, window: wrong)
    for other in (predicted.pixels[:, :-1], predicted.pixels.astype(np.int32), predicted.pixels[:2]):
        with pytest.raises(LayerError, match="its prediction is"):
            assembly.decode(lambda reference, window, other=other: other)


def test_predictions_that_do_not_fit_are_refused() -> None:
    pixels = image()
    with pytest.raises(LayerError, match="prediction of shape"):
        code(pixels, replace(near(pixels), pixels=pixels[:2]))
    with pytest.raises(LayerError, match="has no prediction"):
        code(pixels, None, unchanged=True)
    assert ImageAssembly(nodata=None).reference is None
    assert assemble(code(pixels, None)).reference is None


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 13), st.integers(8, 16), st.integers(0, 1 << 16), st.booleans())
def test_any_depth_and_any_bands_come_back_exactly(bands: int, depth: int, seed: int, whole_range: bool) -> None:
    rng = np.random.default_rng(seed)
    dtype, top = ("uint8" if depth == 8 else "uint16"), (1 << depth) - 1
    shared = rng.integers(0, top, (1, 24, 19), endpoint=True)
    own = rng.integers(-3, 3, (bands, 24, 19), endpoint=True)
    pixels = (shared + own).clip(0, top).astype(dtype)
    other = rng.integers(0, top, pixels.shape, endpoint=True) if whole_range else pixels + own
    window = Window(row=5, col=6, height=24, width=19)
    reference = replace(REFERENCE, gains=(4096,) * bands, offsets=(0,) * bands)
    for predicted in (None, Predicted(reference=reference, pixels=other.clip(0, top).astype(dtype))):
        product = encode_image(
            pixels,
            window,
            valid=np.ones((24, 19), bool),
            quality_percent=(3.0, 100.0),
            levels=2,
            nodata=None,
            predicted=predicted,
        )
        decoded = assemble(product).decode(lambda reference, window, given=predicted: given.pixels)
        assert decoded is not None and decoded.lossless and np.array_equal(decoded.pixels, pixels)
