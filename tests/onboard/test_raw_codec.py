"""The codec of raw tiles: exact whatever the pixels, and clear about damage."""

import binascii
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onboard.errors import RawTileError, StoreError
from onboard.raw_codec import SAMPLES_LIMIT, decode_raw, encode_raw

SHIPS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "s2_ships" / "images"
GOLDEN = (
    "54524157010102000000040000000555a1fa820000000c28b52ffd2003190000d5dfe0000000001d0000000c0000000428b5"
    "2ffd2014a10000e4827d7d277a8081857b7b8280837e7f837d808028b52ffd200319000018c000ea1616ea01000000160000"
    "00000000000028b52ffd20146d0000388b8080808076800100073002"
)


def assert_exact(pixels: np.ndarray, valid: np.ndarray) -> bytes:
    data = encode_raw(pixels, valid)
    decoded, decoded_valid = decode_raw(data)
    assert decoded.dtype == pixels.dtype
    assert np.array_equal(decoded, pixels)
    assert decoded_valid.dtype == np.bool_
    assert np.array_equal(decoded_valid, valid)
    return data


def textured(
    rng: np.random.Generator, shape: tuple[int, int, int], sigma: float, dtype: type = np.uint16
) -> np.ndarray:
    """Smooth ground under noise of `sigma` DN, the bands alike."""
    bands, height, width = shape
    ground = 40 * np.sin(np.arange(height) / 9)[:, None] + 30 * np.cos(np.arange(width) / 7)
    levels = 120 + 10 * np.arange(bands)[:, None, None]
    top = np.iinfo(dtype).max
    return np.clip(ground + levels + rng.normal(0, sigma, shape), 0, top).astype(dtype)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_pixels_come_back_exactly(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16]))
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 40)))
    pixels = data.draw(hnp.arrays(dtype, shape))
    valid = data.draw(st.one_of(st.just(np.ones(shape[1:], bool)), hnp.arrays(np.bool_, shape[1:])))
    assert_exact(pixels, valid)


@pytest.mark.parametrize("sigma", [0, 1, 8, 20, 60, 150, 1200, 9000])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 1, 70_001), (3, 70_001, 1), (4, 211, 173), (2, 64, 512), (13, 40, 37)]
)
def test_every_noise_and_shape_comes_back_exactly(sigma: float, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(int(sigma) + shape[1])
    assert_exact(textured(rng, shape, sigma), rng.random(shape[1:]) < 0.7)


@pytest.mark.parametrize("low_bits", [0, 2, 4, 8])
def test_differences_at_and_beyond_the_edge_of_the_symbols(low_bits: int) -> None:
    """A sawtooth of noise that asks for so many low bits, with jumps of every size around the largest that a symbol holds."""
    rng = np.random.default_rng(low_bits)
    sigma = {0: 3, 2: 20, 4: 60, 8: 2000}[low_bits]
    pixels = textured(rng, (2, 300, 200), sigma)
    edge = 128 << low_bits
    jumps = [0, 1, edge - 1, edge, edge + 1, 2 * edge - 1, 2 * edge, 30_000, 32_767, 32_768, 65_535]
    for row, jump in enumerate(jumps):
        above = (
            pixels[:, 16 * row + 8, 100].astype(np.int64) + jump
        )  # not in a row that the choice of low bits looks at
        pixels[:, 16 * row + 8, 100] = np.minimum(above, 65_535)
    data = assert_exact(pixels, np.ones((300, 200), bool))
    assert data[23] >> 4 == low_bits


def test_pixels_that_do_not_lie_in_order_and_other_byte_orders_are_taken() -> None:
    rng = np.random.default_rng(3)
    pixels = textured(rng, (4, 33, 47), 5)
    valid = rng.random((33, 47)) < 0.5
    expected = encode_raw(pixels, valid)
    assert encode_raw(np.asfortranarray(pixels), np.asfortranarray(valid)) == expected
    assert encode_raw(np.pad(pixels, ((0, 0), (2, 1), (3, 4)))[:, 2:-1, 3:-4], valid) == expected


def test_a_flat_tile_takes_next_to_nothing_and_noise_hardly_more_than_itself() -> None:
    valid = np.ones((256, 256), bool)
    assert len(encode_raw(np.full((4, 256, 256), 777, np.uint16), valid)) < 1000
    noise = np.random.default_rng(1).integers(0, 65_536, (4, 256, 256)).astype(np.uint16)
    assert len(encode_raw(noise, valid)) < 1.02 * noise.nbytes


def test_bands_that_go_together_take_fewer_bytes_than_bands_that_do_not() -> None:
    rng = np.random.default_rng(5)
    texture = rng.normal(0, 40, (256, 256))
    alike = (1000 + texture + rng.normal(0, 2, (2, 256, 256))).astype(np.uint16)
    unlike = np.stack([alike[0], alike[1, ::-1, ::-1]])
    valid = np.ones((256, 256), bool)
    assert len(encode_raw(alike, valid)) < 0.8 * len(encode_raw(unlike, valid))


def test_what_is_no_tile_is_refused() -> None:
    valid = np.ones((4, 4), bool)
    for pixels in (np.zeros((1, 4, 4), np.int16), np.zeros((4, 4), np.uint16), np.zeros((1, 4, 5), np.uint16)):
        with pytest.raises(ValueError, match="cannot encode"):
            encode_raw(pixels, valid)
    with pytest.raises(ValueError, match="1 to 255 bands"):
        encode_raw(np.zeros((256, 4, 4), np.uint8), valid)
    with pytest.raises(ValueError, match="1 to 255 bands"):
        encode_raw(np.zeros((0, 4, 4), np.uint8), valid)


@pytest.fixture(scope="module")
def encoded() -> bytes:
    rng = np.random.default_rng(11)
    pixels = textured(rng, (3, 40, 31), 30)
    pixels[1, 5, 9] = 60_000
    return encode_raw(pixels, rng.random((40, 31)) < 0.9)


def test_damage_is_a_store_error() -> None:
    assert issubclass(RawTileError, StoreError)


def test_every_truncation_is_told(encoded: bytes) -> None:
    for size in [*range(200), *range(200, len(encoded), 37), len(encoded) - 1]:
        with pytest.raises(RawTileError):
            decode_raw(encoded[:size])
    with pytest.raises(RawTileError):
        decode_raw(encoded + b"\x00")


def test_every_flipped_bit_is_told_or_harmless(encoded: bytes) -> None:
    """zstd has bits that mean nothing (and its own ways to say the same): what is decoded at all is decoded exactly."""
    pixels, valid = decode_raw(encoded)
    told = 0
    for position in range(len(encoded)):
        damaged = bytearray(encoded)
        damaged[position] ^= 1 << position % 8
        try:
            found, found_valid = decode_raw(bytes(damaged))
        except RawTileError:
            told += 1
        else:
            assert np.array_equal(found, pixels)
            assert np.array_equal(found_valid, valid)
    assert told > 0.98 * len(encoded)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 60), st.integers(0, 60))
def test_garbage_is_told(noise: bytes, keep: int, skip: int) -> None:
    whole = encode_raw(np.arange(60, dtype=np.uint16).reshape(1, 6, 10) * 700, np.eye(6, 10, dtype=bool))
    data = whole[:keep] + noise + whole[keep + skip :]
    if data == whole:
        return
    try:
        pixels, valid = decode_raw(data)
    except RawTileError:
        return
    assert np.array_equal(pixels, np.arange(60, dtype=np.uint16).reshape(1, 6, 10) * 700)
    assert np.array_equal(valid, np.eye(6, 10, dtype=bool))


def test_a_hostile_header_costs_no_memory() -> None:
    bomb = zstandard.ZstdCompressor(level=3).compress(bytes(400_000_000))
    band = struct.pack(">BIII", 0, len(bomb), 0, 0) + bomb
    tracemalloc.start()
    for shape in ((255, 65_535, 65_535), (1, 0, 5), (0, 5, 5), (1, 2**32 - 1, 2**32 - 1), (1, 64, 64)):
        header = struct.pack(">4sBBBII", b"TRAW", 1, 3, *shape)
        with pytest.raises(RawTileError):
            decode_raw(header + struct.pack(">II", 0, 0) + band)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2_000_000
    assert SAMPLES_LIMIT * 2 <= 1 << 27


def golden_tile() -> tuple[np.ndarray, np.ndarray]:
    """An asymmetric tile with a mask, a jump, and a second band that is like the first."""
    first = [[100, 102, 99, 60_000, 7], [101, 103, 101, 103, 9], [98, 102, 100, 105, 9], [97, 104, 99, 104, 8]]
    pixels = np.array([first, first], np.uint16)
    pixels[1] += np.arange(11, 15, dtype=np.uint16)[:, np.newaxis]
    valid = np.array([[1, 1, 0, 1, 0], [1, 0, 1, 1, 1], [0, 1, 1, 1, 1], [1, 1, 1, 1, 0]], bool)
    return pixels, valid


def test_golden_bytes() -> None:
    """What was stored by an earlier version is read by this one."""
    pixels, valid = golden_tile()
    decoded, decoded_valid = decode_raw(bytes.fromhex(GOLDEN))
    assert np.array_equal(decoded, pixels)
    assert np.array_equal(decoded_valid, valid)


def test_the_same_bytes_are_written_apart_from_how_zstd_packs_them() -> None:
    assert unpacked_parts(encode_raw(*golden_tile())) == unpacked_parts(bytes.fromhex(GOLDEN))


def unpacked_parts(data: bytes) -> list[object]:
    """Headers without lengths, and every part, its frame undone."""
    bands, height, width, check, mask_bytes = struct.unpack(">xxxxxxBIIII", data[:23])
    unpacked = zstandard.ZstdDecompressor().decompress
    parts: list[object] = [data[:15], check, unpacked(data[23 : 23 + mask_bytes])]
    place = 23 + mask_bytes
    for _ in range(bands):
        method, symbol_bytes, place_bytes, top_bytes = struct.unpack(">BIII", data[place : place + 13])
        place += 13
        parts += [method, unpacked(data[place : place + symbol_bytes])]
        place += symbol_bytes
        parts.append(unpacked(data[place : place + place_bytes]) if place_bytes else b"")
        place += place_bytes
        low_bytes = -(-height * width * (method >> 4) // 8)
        parts += [data[place : place + top_bytes], data[place + top_bytes :][:low_bytes]]
        place += top_bytes + low_bytes
    assert place == len(data)
    return parts


def test_an_independent_reader_finds_the_pixels(encoded: bytes) -> None:
    """Read by the book of the format, pixel by pixel."""
    pixels, valid = decode_raw(encoded)
    magic, version, flags, bands, height, width, check, mask_bytes = struct.unpack(">4sBBBIIII", encoded[:23])
    assert (magic, version, flags, bands, height, width) == (b"TRAW", 1, 1, 3, 40, 31)
    unpacked = zstandard.ZstdDecompressor().decompress
    mask = unpacked(encoded[23 : 23 + mask_bytes])
    place = 23 + mask_bytes
    found = np.zeros((bands, height * width), np.int64)
    before = [0] * (height * width)
    for band in range(bands):
        method, symbol_bytes, place_bytes, top_bytes = struct.unpack(">BIII", encoded[place : place + 13])
        place += 13
        symbols = unpacked(encoded[place : place + symbol_bytes])
        place += symbol_bytes
        where = unpacked(encoded[place : place + place_bytes]) if place_bytes else bytes(-(-height * width // 8))
        place += place_bytes
        tops = list(encoded[place : place + top_bytes])
        place += top_bytes
        bits = method >> 4
        low = encoded[place : place + -(-height * width * bits // 8)]
        place += len(low)
        differences = []
        for index in range(height * width):
            value = symbols[index] << bits
            if bits:
                value |= low[index * bits // 8] >> (index * bits % 8) & ((1 << bits) - 1)
            if where[index // 8] >> (7 - index % 8) & 1:
                value |= tops.pop(0) << (8 + bits)
            differences.append(value - (128 << bits) + (before[index] if method & 1 else 0))
        before = differences
        plane = np.cumsum(differences).reshape(height, width)
        found[band] = np.cumsum(plane, axis=0).reshape(-1) % 65_536
    assert place == len(encoded)
    assert np.array_equal(found.reshape(pixels.shape), pixels)
    assert np.array_equal(np.unpackbits(np.frombuffer(mask, np.uint8))[: valid.size].reshape(valid.shape), valid)
    assert check == binascii.crc32(encoded[:15] + pixels.astype("<u2").tobytes() + mask)


@pytest.mark.skipif(not SHIPS.is_dir(), reason="no real Sentinel-2 scenes at ../shared/data/s2_ships")
def test_real_sentinel_2_takes_less_than_half() -> None:
    rasterio = pytest.importorskip("rasterio")
    raw_bytes = coded_bytes = 0
    for path in sorted(SHIPS.glob("*.tif"))[:4]:
        with rasterio.open(path) as scene:
            pixels = scene.read(window=((0, 300), (0, 500)))
        raw_bytes += pixels.nbytes
        coded_bytes += len(assert_exact(pixels, np.ones(pixels.shape[1:], bool)))
    assert raw_bytes > 2 * coded_bytes
