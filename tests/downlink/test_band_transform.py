"""Bands are decorrelated reversibly: exact on the way back, in the same bytes everywhere, and worth it where it is used."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from downlink.band_transform import MOST_BANDS, BandTransform, fit_band_transform
from downlink.errors import LayerError
from downlink.image_encoding import encode_image
from downlink.image_header import unpack_header
from downlink.image_layers import ImageAssembly
from downlink.jpeg2000 import codestream_shape, encode_layers
from downlink.scene import Window

GOLDEN = BandTransform(
    means=(0x1234, 0x0567), order=(1, 0), lower=(-0x0789,), upper=(0x0456,), single=(-0x0123,), fraction_bits=10
)


def alike(bands: int, *, dtype: str = "uint16", seed: int = 5) -> np.ndarray:
    """Bands that share their details, each with a gain and noise of its own, (bands, 96, 80)."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 12, (96, 80)).cumsum(axis=1)
    gains = rng.uniform(0.5, 1.5, bands)
    top = np.iinfo(dtype).max
    level = 120 if dtype == "uint8" else 1500
    noisy = gains[:, None, None] * shared * (0.3 if dtype == "uint8" else 3) + rng.normal(0, 1.5, (bands, 96, 80))
    return (noisy + level).clip(0, top).astype(dtype)


def test_golden_bytes_and_numbers() -> None:
    assert GOLDEN.pack().hex() == "e848ce1501abedd4568770"
    assert BandTransform.read(b"\x77" + GOLDEN.pack() + b"\x55", 1, 2) == (GOLDEN, 1 + len(GOLDEN.pack()))
    pixels = np.array([[[0x1300]], [[0x0600]]], np.uint16)
    components = GOLDEN.forward(pixels)
    assert components.ravel().tolist() == [-0x01E3, 0x0133]
    assert np.array_equal(GOLDEN.inverse(components), pixels)


@settings(max_examples=60)
@given(st.data())
def test_any_transform_of_any_pixels_is_undone_exactly(data: st.DataObject) -> None:
    bands = data.draw(st.integers(2, 7))
    coefficient = st.integers(-(1 << 15), (1 << 15) - 1)

    def some(count: int) -> tuple[int, ...]:
        return tuple(data.draw(st.lists(coefficient, min_size=count, max_size=count)))

    half = bands * (bands - 1) // 2
    transform = BandTransform(
        means=tuple(data.draw(st.lists(st.integers(-65535, 65535), min_size=bands, max_size=bands))),
        order=tuple(data.draw(st.permutations(range(bands)))),
        lower=some(half),
        upper=some(half),
        single=some(bands - 1),
        fraction_bits=data.draw(st.integers(0, 15)),
    )
    samples = data.draw(
        arrays.arrays(np.uint8, (bands, 3, 5))
        | arrays.arrays(np.uint16, (bands, 3, 5))
        | arrays.arrays(np.int32, (bands, 3, 5), elements=st.integers(-65535, 65535))
    )
    packed = transform.pack()
    assert BandTransform.read(packed, 0, bands) == (transform, len(packed))
    assert np.array_equal(transform.inverse(transform.forward(samples)), samples)


@pytest.mark.parametrize("bands", [2, 3, 4, 8, MOST_BANDS])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_fitted_transform_is_nearly_orthonormal_and_exact(bands: int, dtype: str) -> None:
    pixels = alike(bands, dtype=dtype)
    transform = fit_band_transform(pixels, np.ones(pixels.shape[1:], bool))
    assert transform is not None
    components = transform.forward(pixels)
    assert np.array_equal(transform.inverse(components), pixels)
    centred = pixels.astype(float) - np.array(transform.means)[:, None, None]
    assert float((components.astype(float) ** 2).sum()) == pytest.approx(float((centred**2).sum()), rel=0.04)


def test_no_transform_where_it_promises_nothing() -> None:
    rng = np.random.default_rng(1)
    apart = rng.integers(0, 4096, (4, 64, 64), dtype=np.uint16)
    everywhere = np.ones((64, 64), bool)
    assert fit_band_transform(apart, everywhere) is None
    assert fit_band_transform(apart[:1], everywhere) is None
    assert fit_band_transform(np.full((4, 64, 64), 7, np.uint16), everywhere) is None
    assert fit_band_transform(alike(4)[:, :64, :64], np.zeros((64, 64), bool)) is None
    assert fit_band_transform(np.repeat(alike(4), 5, axis=0)[: MOST_BANDS + 1], np.ones((96, 80), bool)) is None


def test_pixels_without_data_have_no_say() -> None:
    pixels, valid = alike(4), np.ones((96, 80), bool)
    before = fit_band_transform(pixels, valid)
    wider = np.concatenate([pixels, np.random.default_rng(2).integers(0, 65535, (4, 20, 80), dtype=np.uint16)], axis=1)
    hidden = np.concatenate([valid, np.zeros((20, 80), bool)])
    assert fit_band_transform(wider, hidden) == before


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_an_image_of_like_bands_costs_less_at_the_same_error(dtype: str) -> None:
    pixels = alike(4, dtype=dtype)
    window, everywhere = Window(row=0, col=0, height=96, width=80), np.ones((96, 80), bool)
    percents = (4.0, 12.0, 100.0)
    product = encode_image(pixels, window, valid=everywhere, quality_percent=percents, levels=3, nodata=None)
    assert unpack_header(product.payloads[0])[0].transform is not None
    plain = encode_layers(pixels, codestream_shape(pixels, levels=3, qualities=3), percents)
    assert sum(map(len, product.payloads)) < 0.9 * sum(map(len, plain))
    for steps in (1, 2, 3):
        assembly = ImageAssembly(nodata=None)
        for step in range(steps):
            assembly.add(step, product.payloads[step])
        decoded = assembly.decode()
        assert decoded is not None
        error = float(((decoded.pixels.astype(float) - pixels) ** 2).mean())
        assert error * 0.999 <= decoded.mse <= error * 1.1 + 0.1
        assert decoded.lossless is (steps == 3)
    assert np.array_equal(decoded.pixels, pixels)


def test_the_widest_pixels_need_wider_components() -> None:
    rng = np.random.default_rng(9)
    shared = rng.integers(0, 2, (48, 48)) * 65535
    pixels = np.stack([shared, shared ^ rng.integers(0, 3, (48, 48)), shared]).clip(0, 65535).astype(np.uint16)
    product = encode_image(
        pixels,
        Window(row=0, col=0, height=48, width=48),
        valid=np.ones((48, 48), bool),
        quality_percent=(10.0, 100.0),
        levels=2,
        nodata=None,
    )
    header, _ = unpack_header(product.payloads[0])
    assert header.transform is not None and 16 < header.shape.bits <= 19
    assembly = ImageAssembly(nodata=None, payloads=dict(enumerate(product.payloads)))
    decoded = assembly.decode()
    assert decoded is not None and decoded.lossless and np.array_equal(decoded.pixels, pixels)


@pytest.mark.parametrize(
    ("data", "bands"),
    [
        (GOLDEN.pack()[:-1], 2),
        (GOLDEN.pack(), 3),
        (bytes.fromhex("e848ce1502abedd4568770"), 2),  # there are two orders of two
        (bytes.fromhex("8080 08ce 1501 abed d456 8770"), 2),  # a mean of 65,536
        (b"", 1),
        (b"", 2),
        (GOLDEN.pack()[:5], 2),
        (bytes(400), 17),
    ],
)
def test_what_is_no_transform_is_refused(data: bytes, bands: int) -> None:
    with pytest.raises(LayerError):
        BandTransform.read(data, 0, bands)
