"""An image survives the way through layers: exactly with all of them, with the stated distortion with fewer."""

import struct

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.errors import CodestreamError, DownlinkError, LayerError
from downlink.image_encoding import encode_image
from downlink.image_header import distortion, distortion_code, unpack_header
from downlink.image_layers import ImageAssembly
from downlink.scene import Window

PERCENT = (2.0, 10.0, 100.0)
ALL = np.ones((48, 61), bool)


def image(seed: int = 3, dtype: str = "uint16") -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 4, (3, 48, 61)).cumsum(axis=2) + 400).clip(1, 65535).astype(dtype)


def assemble(payloads: dict[int, bytes], nodata: float | None = None) -> ImageAssembly:
    assembly = ImageAssembly(nodata=nodata)
    for step, payload in payloads.items():
        assembly.add(step, payload)
    return assembly


def test_stated_distortion_is_the_real_one() -> None:
    pixels = image()
    window = Window(row=1000, col=70_000, height=48, width=61)
    product = encode_image(pixels, window, valid=ALL, quality_percent=PERCENT, levels=3, nodata=None)
    for count in range(1, 4):
        decoded = assemble(dict(enumerate(product.payloads[:count]))).decode()
        assert decoded is not None
        real = float(((decoded.pixels.astype(float) - pixels) ** 2).mean())
        assert decoded.window == window
        assert real * 0.999 <= decoded.mse <= real * 1.1 + 0.1
        assert decoded.lossless is (count == 3)


def test_steps_after_a_gap_wait_for_it() -> None:
    product = encode_image(
        image(), Window(row=0, col=0, height=48, width=61), valid=ALL, quality_percent=PERCENT, levels=3, nodata=None
    )
    without_start = assemble({1: product.payloads[1], 2: product.payloads[2]})
    assert without_start.decode() is None
    gap = assemble({0: product.payloads[0], 2: product.payloads[2]})
    assert gap.usable_steps == 1
    gap.add(1, product.payloads[1])
    decoded = gap.decode()
    assert decoded is not None and decoded.lossless
    assert np.array_equal(decoded.pixels, image())


def test_nodata_comes_back_exactly_at_every_quality() -> None:
    pixels = image()
    pixels[:, :20, 30:] = 0
    pixels[1, 40, 40] = 0  # one band alone is a measurement, not a hole
    product = encode_image(
        pixels,
        Window(row=0, col=0, height=48, width=61),
        valid=(pixels != 0).any(axis=0),
        quality_percent=PERCENT,
        levels=3,
        nodata=0,
    )
    for count in range(1, 4):
        decoded = assemble(dict(enumerate(product.payloads[:count])), nodata=0).decode()
        assert decoded is not None
        assert np.array_equal(decoded.valid, ~(pixels == 0).all(axis=0))
        assert (decoded.pixels[:, ~decoded.valid] == 0).all()
    assert np.array_equal(decoded.pixels, pixels)


def test_an_image_without_any_valid_pixel() -> None:
    pixels = np.zeros((2, 20, 20), "uint8")
    product = encode_image(
        pixels,
        Window(row=0, col=0, height=20, width=20),
        valid=np.zeros((20, 20), bool),
        quality_percent=PERCENT,
        levels=3,
        nodata=0,
    )
    decoded = assemble(dict(enumerate(product.payloads)), nodata=0).decode()
    assert decoded is not None and not decoded.valid.any()
    assert np.array_equal(decoded.pixels, pixels)


def test_pixels_under_a_mask_keep_their_values() -> None:
    """An alpha band hides pixels, it does not replace them: where the scene has no nodata value they travel as they are."""
    pixels, valid = image(), np.ones((48, 61), bool)
    valid[10:30, 5:25] = False
    product = encode_image(
        pixels,
        Window(row=0, col=0, height=48, width=61),
        valid=valid,
        quality_percent=PERCENT,
        levels=3,
        nodata=None,
    )
    decoded = assemble(dict(enumerate(product.payloads))).decode()
    assert decoded is not None and decoded.lossless
    assert np.array_equal(decoded.pixels, pixels)
    assert np.array_equal(decoded.valid, valid)


def test_pixels_must_fill_their_window() -> None:
    with pytest.raises(LayerError, match="do not fill"):
        encode_image(
            image(),
            Window(row=0, col=0, height=48, width=60),
            valid=ALL,
            quality_percent=PERCENT,
            levels=3,
            nodata=None,
        )


def test_a_damaged_lossless_image_is_not_passed_off_as_exact() -> None:
    product = encode_image(
        image(), Window(row=0, col=0, height=48, width=61), valid=ALL, quality_percent=PERCENT, levels=3, nodata=None
    )
    other = encode_image(
        image(4), Window(row=0, col=0, height=48, width=61), valid=ALL, quality_percent=PERCENT, levels=3, nodata=None
    )
    mixed = assemble({0: product.payloads[0], 1: product.payloads[1], 2: other.payloads[2]})
    with pytest.raises((LayerError, CodestreamError)):
        mixed.decode()


@given(st.floats(min_value=0, max_value=2**31, allow_nan=False))
def test_distortion_code_is_close(mse: float) -> None:
    assert (mse + 1) * (1 - 1e-9) <= distortion(distortion_code(mse)) + 1 <= (mse + 1) * 2 ** (1 / 8) * (1 + 1e-9)


@settings(max_examples=60)
@given(st.data())
def test_hostile_headers_raise_one_kind_of_error(data: st.DataObject) -> None:
    product = encode_image(
        image(), Window(row=0, col=0, height=48, width=61), valid=ALL, quality_percent=PERCENT, levels=3, nodata=None
    )
    payload = bytearray(product.payloads[0])
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, 40))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(payload)))
    try:
        unpack_header(bytes(payload[:cut]))
        decoded = assemble({0: bytes(payload[:cut])}).decode()
    except DownlinkError:
        return
    assert decoded is not None


@pytest.mark.parametrize("declared", [7, 9, 1 << 45])
def test_a_mask_that_declares_another_size_is_refused_before_any_memory_is_taken(declared: int) -> None:
    rows = bytes(range(1, 9))
    mask = zstandard.compress(rows)
    start = bytes.fromhex("03 08 01 00 01 8322 05 08 08 08 abcdef01")
    header, _ = unpack_header(start + bytes([len(mask)]) + mask)
    assert header.window == Window(row=0x1103, col=5, height=8, width=8)
    assert header.valid is not None
    assert np.packbits(header.valid, axis=1).tobytes() == rows
    lying = struct.pack("<IBQ", 0xFD2FB528, 0xE0, declared) + struct.pack("<I", 8 << 3 | 1)[:3] + rows
    with pytest.raises(LayerError, match=f"declares {declared} bytes"):
        unpack_header(start + bytes([len(lying)]) + lying)
