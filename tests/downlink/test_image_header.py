"""The header of an image: golden bytes, a way back, and one clear error for everything else."""

import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.band_transform import BandTransform
from downlink.codestream import CodestreamShape
from downlink.errors import DownlinkError, LayerError
from downlink.image_header import ImageHeader, pack_header, unpack_header
from downlink.image_layers import ImageAssembly
from downlink.scene import Window

TRANSFORM = BandTransform(
    means=(-0x34, 0x0567), order=(1, 0), lower=(-0x0789,), upper=(0x0456,), single=(-0x0123,), fraction_bits=10
)
GOLDEN_ALONE = "03 10 01 05 06 83a204 05 c802 4d 0c 91 3f2210 89abcdef"
"""Window at (69,891, 5), 328 x 77 px, one band of 12 bits, 5 decompositions, 6 steps."""
GOLDEN_PREDICTED = "03 16 02 02 03 07 09 08 0d 0e 50 20 01234567 04 5ec7e7f1 67ce15 01 ab edd4568770"
"""Two bands transformed, a reference of four bytes, 2 quality layers behind the prediction."""


def alone(codes: bytes = bytes((0x91, 0x8E, 0x7D, 0x7B, 0x7A, 0))) -> ImageHeader:
    return ImageHeader(
        window=Window(row=69891, col=5, height=328, width=77),
        shape=CodestreamShape(height_px=328, width_px=77, components=1, bits=12, levels=5, qualities=len(codes)),
        pixel_bits=16,
        transform=None,
        distortion_codes=codes,
        pixel_check=0x89ABCDEF,
        valid=None,
        filled=False,
    )


def test_golden_bytes_of_an_image_that_stands_alone() -> None:
    packed = pack_header(alone())
    assert packed.hex() == bytes.fromhex(GOLDEN_ALONE).hex()
    assert unpack_header(packed + b"packets") == (alone(), b"packets")


def test_golden_bytes_of_a_predicted_image() -> None:
    header = ImageHeader(
        window=Window(row=7, col=9, height=8, width=13),
        shape=CodestreamShape(height_px=8, width_px=13, components=2, bits=14, levels=2, qualities=2, signed=True),
        pixel_bits=16,
        transform=TRANSFORM,
        distortion_codes=bytes((0x50, 0x4E, 0)),
        pixel_check=0x01234567,
        valid=None,
        filled=False,
        reference=bytes.fromhex("5ec7e7f1"),
    )
    packed = pack_header(header)
    assert packed.hex() == bytes.fromhex(GOLDEN_PREDICTED).hex()
    assert unpack_header(packed) == (header, b"")


@given(st.lists(st.integers(0, 255), max_size=20))
def test_distortion_codes_come_back(codes: list[int]) -> None:
    header = alone(bytes((*sorted(codes, reverse=True), 0)))
    packed = pack_header(header)
    assert unpack_header(packed)[0].distortion_codes == header.distortion_codes
    assert len(packed) <= len(pack_header(alone(b"\0"))) + 1 + len(codes) + 9


@given(st.binary(max_size=80), st.integers(0, 31))
def test_any_bytes_are_a_header_or_one_error(rest: bytes, flags: int) -> None:
    for payload in (rest, bytes((3, flags)) + rest, pack_header(alone())[:12] + rest):
        try:
            header, packets = unpack_header(payload)
        except LayerError:
            continue
        assert unpack_header(pack_header(header) + packets)[0].shape == header.shape
        assert all(before >= after for before, after in pairwise(header.distortion_codes))


@pytest.mark.parametrize("cut", range(0, 21, 2))
def test_a_cut_header_is_refused(cut: int) -> None:
    with pytest.raises(LayerError):
        unpack_header(pack_header(alone())[:cut])


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, 2, "version 2"),
        (1, 0x30, "flags 0x30"),
        (2, 0, "0 bands"),
        (3, 33, "33 decompositions"),
        (4, 0, "0 steps"),
        (12, 8, "of 8 bits"),
        (12, 17, "of 17 bits"),
    ],
)
def test_fields_out_of_range_are_named(place: int, value: int, message: str) -> None:
    payload = bytearray(pack_header(alone()))
    payload[place] = value
    with pytest.raises(LayerError, match=message):
        unpack_header(bytes(payload))


@pytest.mark.parametrize("size", ["8080 01 8080 01", "ffff ff07 01", "ffff ffff ff 01", "00 05"])
def test_sizes_beyond_the_limit_take_no_memory(size: str) -> None:
    with pytest.raises(LayerError, match=r"announces|no number"):
        unpack_header(bytes.fromhex("03 10 0d 05 01 00 00" + size + "0c 89abcdef"))


def test_the_largest_image_without_packets_is_refused_quickly() -> None:
    largest = bytes.fromhex("03 10 01 05 01 00 00 8020 8020 0c 89abcdef")
    header, _ = unpack_header(largest)
    assert header.shape.height_px * header.shape.width_px == 1 << 24
    start_s = time.process_time()
    with pytest.raises(DownlinkError):
        ImageAssembly(nodata=None, payloads={0: largest}).decode()
    assert time.process_time() - start_s < 3


def test_a_mask_comes_back() -> None:
    valid = np.arange(328 * 77).reshape(328, 77) % 11 > 2
    header = replace(alone(), valid=valid, filled=True)
    again, packets = unpack_header(pack_header(header) + b"rest")
    assert packets == b"rest" and again.filled and again.valid is not None and np.array_equal(again.valid, valid)
