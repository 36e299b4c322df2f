"""Exact pixels of a tile in few bytes, fast: what the raw store keeps until the image layers of the tile are coded.

Every band becomes differences: from the pixel above and, of those, from the one before (a plane through three neighbours,
modulo 2^16), and where that is smaller from the differences of the band before. A difference is near 0, so with a bias it is a
small positive number, of which

* the `low_bits` lowest, noise in all but name, are packed as they are,
* the next 8 are a symbol that zstd writes in Huffman codes: its search for repetitions is set so that it hardly takes time,
* what lies above, which few pixels have, goes into a bit map of where and a list of what.

An encoded tile (big-endian):

    offset  bytes  field
    0       4      "TRAW"
    4       1      version, 1
    5       1      flags: 1 samples are uint16 (else uint8), 2 every pixel is valid
    6       1      bands
    7       4      height
    11      4      width
    15      4      CRC-32 of bytes 0 to 14, the pixels (band by band, row by row, little-endian samples) and, unless every
                   pixel is valid, the mask's bits (row by row, first pixel in the highest bit, the last byte filled with 0)
    19      4      length of the mask, 0 where every pixel is valid
    23             the mask's bits as one zstd frame, then the bands:

    0       1      1 the differences of the band before are taken off, plus 16 * low_bits (0, 2, 4 or 8)
    1       4 x 3  lengths of symbols, places, tops
    13             symbols (one zstd frame, height * width bytes), places (one zstd frame of a bit map, empty where no pixel
                   has more), tops (one byte for each), low bits (8 / low_bits pixels to a byte, the first in the lowest bits)
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from onboard.errors import RawTileError

SAMPLES_LIMIT: Final = 1 << 26
"""Most samples of a tile: what a damaged or hostile header can make a reader allocate is 2 bytes for each, and as much in work."""
_MAGIC: Final = b"TRAW"
_VERSION: Final = 1
_SHAPE: Final = struct.Struct(">4sBBBII")
_CHECK: Final = struct.Struct(">II")
_BAND: Final = struct.Struct(">BIII")
_UINT16, _ALL_VALID = 1, 2
_FROM_BAND_BEFORE = 1
_LOW_BITS: Final = ((16.0, 0), (64.0, 2), (512.0, 4))
"""Mean size of a difference below which so many low bits are packed as they are, measured on Sentinel-2; 8 beyond."""
_SAMPLED_ROWS: Final = 16
"""Every so many rows are looked at to choose how a band is written."""
_GATHER_PAIRS: Final = np.uint32(1 << 24 | 1 << 18 | 1 << 12 | 1 << 6)
"""Times a word whose four bytes hold two bits each: gathers them in the highest byte, those of the lowest byte lowest."""
_SYMBOLS: Final = zstandard.ZstdCompressionParameters(
    strategy=zstandard.STRATEGY_FAST, window_log=17, hash_log=8, chain_log=6, search_log=1, min_match=7, target_length=0
)
_PLACES_LEVEL: Final = 1
_PIECE: Final = 1 << 15
"""Samples worked on at once."""

Samples = NDArray[Any]
"""(samples,) of uint8 or uint16."""


def encode_raw(pixels: NDArray[Any], valid: NDArray[np.bool_]) -> bytes:
    """`pixels` (bands, height, width) of uint8 or uint16 and their `valid` (height, width), exactly, as bytes.

    Raises ValueError for arrays that are not of this kind, do not fit together or hold more than SAMPLES_LIMIT samples.
    """
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim != 3 or valid.shape != pixels.shape[1:]:
        raise ValueError(f"cannot encode {pixels.dtype} of shape {pixels.shape} with validity of shape {valid.shape}")
    if not 0 < pixels.size <= SAMPLES_LIMIT or len(pixels) > 255:
        raise ValueError(
            f"cannot encode shape {pixels.shape}: 1 to 255 bands and 1 to {SAMPLES_LIMIT} samples are taken"
        )
    pixels = np.ascontiguousarray(pixels)
    mask = b"" if valid.all() else np.packbits(valid).tobytes()
    flags = (_UINT16 if pixels.dtype == np.uint16 else 0) | (0 if mask else _ALL_VALID)
    shape = _SHAPE.pack(_MAGIC, _VERSION, flags, *pixels.shape)
    packed_mask = zstandard.ZstdCompressor(level=_PLACES_LEVEL).compress(mask) if mask else b""
    check = _CHECK.pack(_check(shape, pixels, mask), len(packed_mask))
    return b"".join([shape, check, packed_mask, *_written_bands(pixels)])


def decode_raw(data: bytes) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """(pixels, valid) as they were given to `encode_raw`.

    Raises RawTileError for bytes that are not an encoded tile, whole and undamaged; allocates no more than 8 bytes for each
    sample that it can hold whatever they are.
    """
    reader = _Reader(data)
    shape = reader.take(_SHAPE.size)
    magic, version, flags, bands, height, width = _SHAPE.unpack(shape)
    if magic != _MAGIC or version != _VERSION or flags & ~(_UINT16 | _ALL_VALID):
        raise RawTileError(f"{len(data)} bytes are no raw tile of version {_VERSION}; discard them")
    if not 0 < bands * height * width <= SAMPLES_LIMIT:
        raise RawTileError(
            f"a raw tile says {bands} bands of {height} x {width} px, 1 to {SAMPLES_LIMIT} samples can be; discard it"
        )
    check, mask_bytes = _CHECK.unpack(reader.take(_CHECK.size))
    count = height * width
    mask = reader.take(mask_bytes)
    valid = np.ones((height, width), dtype=np.bool_)
    bits = b""
    if not flags & _ALL_VALID:
        bits = _decompressed(mask, -(-count // 8))
        valid = np.unpackbits(np.frombuffer(bits, np.uint8), count=count).view(np.bool_).reshape(height, width)
    elif mask_bytes:
        raise RawTileError("a raw tile without a mask has bytes of one; discard it")
    pixels = np.empty((bands, height, width), dtype=np.uint16 if flags & _UINT16 else np.uint8)
    before: Samples | None = None
    for band in pixels:
        before = _read_differences(reader, pixels.dtype, count, before)
        _sum_up(before, band)
    if reader.left or _check(shape, pixels, bits) != check:
        raise RawTileError(f"a raw tile of {bands} bands of {height} x {width} px does not check; discard it")
    return pixels, valid


def _check(shape: bytes, pixels: NDArray[Any], mask: bytes) -> int:
    samples = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    return zlib.crc32(mask, zlib.crc32(samples.data, zlib.crc32(shape)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Method:
    """How a band is written."""

    low_bits: int
    """How many are packed as they are: 0, 2, 4 or 8."""
    from_band_before: bool
    """Whether the differences of the band before are taken off."""


def _methods(pixels: NDArray[Any]) -> list[_Method]:
    """For every band the smaller differences, and the low bits that their size asks for, by a sample of its rows."""
    rows = np.arange(pixels.shape[1] // 2 % _SAMPLED_ROWS, pixels.shape[1], _SAMPLED_ROWS)
    vertical = pixels[:, rows] - pixels[:, np.maximum(rows, 1) - 1]
    sample = vertical[:, :, 1:] - vertical[:, :, :-1] if pixels.shape[2] > 1 else vertical
    methods = []
    for index, own in enumerate(sample):
        size, from_band_before = _mean_size(own), False
        if index:
            between = _mean_size(own - sample[index - 1])
            size, from_band_before = min(size, between), between < size
        low_bits = next((bits for limit, bits in _LOW_BITS if size < limit), 8) if pixels.dtype == np.uint16 else 0
        methods.append(_Method(low_bits=low_bits, from_band_before=from_band_before))
    return methods


def _mean_size(differences: NDArray[Any]) -> float:
    signed = differences.view(np.int8 if differences.dtype == np.uint8 else np.int16)
    return float(np.abs(signed).mean(dtype=np.float32))


class _BandParts:
    """The parts of one band, filled piece by piece."""

    def __init__(self, count: int, method: _Method) -> None:
        self._method = method
        self._symbols = np.empty(count, np.uint8)
        self._places: NDArray[np.uint8] | None = None
        self._tops: list[NDArray[np.uint8]] = []
        self._low = np.empty(-(-count * method.low_bits // 8), np.uint8)

    def take(self, start: int, biased: Samples, work: "_Work") -> None:
        """The differences of the pixels from `start` on, which the bias has made positive; they are overwritten."""
        low_bits = self._method.low_bits
        if biased.dtype == np.uint16:
            if low_bits:
                packed = work.packed_low(biased, low_bits)
                self._low[start * low_bits // 8 :][: len(packed)] = packed
            if low_bits < 8:
                self._take_above(start, biased, work)
            if low_bits:
                np.right_shift(biased, np.uint16(low_bits), out=biased)
        self._symbols[start : start + len(biased)] = biased

    def _take_above(self, start: int, biased: Samples, work: "_Work") -> None:
        limit = 256 << self._method.low_bits
        if biased.max() < limit:
            return
        above = np.greater_equal(biased, np.uint16(limit), out=work.above[: len(biased)])
        where = np.flatnonzero(above)
        if self._places is None:
            self._places = np.zeros(-(-len(self._symbols) // 8), np.uint8)
        bits = np.packbits(above)
        self._places[start // 8 :][: len(bits)] = bits
        self._tops.append((biased[where] >> np.uint16(8 + self._method.low_bits)).astype(np.uint8))

    def written(self, symbols: zstandard.ZstdCompressor, places: zstandard.ZstdCompressor) -> list[bytes]:
        """Header and parts."""
        parts = [
            symbols.compress(self._symbols.data),
            b"" if self._places is None else places.compress(self._places.data),
            b"".join(tops.tobytes() for tops in self._tops),
        ]
        method = self._method.low_bits << 4 | (_FROM_BAND_BEFORE if self._method.from_band_before else 0)
        return [_BAND.pack(method, *map(len, parts)), *parts, self._low.tobytes()]


class _Work:
    """Room for one piece of a band, small enough for the processor's cache and used again and again."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.vertical = np.empty(_PIECE + 1, dtype)
        self.plane = [np.empty(_PIECE, dtype), np.empty(_PIECE, dtype)]
        self.biased = np.empty(_PIECE, dtype)
        self.above = np.empty(_PIECE, np.bool_)
        self._low = np.zeros(_PIECE, np.uint8)
        self._words = np.empty(_PIECE // 4, np.uint32)

    def packed_low(self, biased: Samples, low_bits: int) -> NDArray[np.uint8]:
        """The low bits, 8 / low_bits pixels to a byte."""
        low = self._low[: -(-len(biased) // 4) * 4]
        low[len(biased) :] = 0
        low[: len(biased)] = biased
        if low_bits == 8:
            return low[: len(biased)]
        np.bitwise_and(low, np.uint8((1 << low_bits) - 1), out=low)
        if low_bits == 2:
            words = np.multiply(low.view("<u4"), _GATHER_PAIRS, out=self._words[: len(low) // 4])
            packed: NDArray[np.uint8] = np.right_shift(words, np.uint32(24), out=words).astype(np.uint8)
        else:
            pairs = low.view("<u2")
            packed = (pairs | pairs >> np.uint16(4)).astype(np.uint8)
        return packed[: -(-len(biased) * low_bits // 8)]

    def differences(self, band: Samples, width: int, start: int) -> Samples:
        """Those of the piece of `band` (samples,) from `start` on: from the pixel above, and of these from the one before."""
        stop = min(start + _PIECE, len(band))
        first = max(start - 1, 0)
        vertical = self.vertical[: stop - first]
        unchanged = min(max(width - first, 0), len(vertical))  # the first row has none above
        vertical[:unchanged] = band[first : first + unchanged]
        rest = first + unchanged
        np.subtract(band[rest:stop], band[rest - width : stop - width], out=vertical[unchanged:])
        self.plane.reverse()
        plane = self.plane[0][: stop - start]
        if start == 0:
            plane[0] = vertical[0]
            np.subtract(vertical[1:], vertical[:-1], out=plane[1:])
        else:
            np.subtract(vertical[1:], vertical[:-1], out=plane)
        return plane


def _written_bands(pixels: NDArray[Any]) -> list[bytes]:
    """The bands of a contiguous (bands, height, width), piece by piece: what is worked on stays in the cache."""
    bands, width = pixels.reshape(len(pixels), -1), pixels.shape[2]
    methods = _methods(pixels)
    parts = [_BandParts(bands.shape[1], method) for method in methods]
    work = _Work(pixels.dtype)
    for start in range(0, bands.shape[1], _PIECE):
        before: Samples | None = None
        for band, method, part in zip(bands, methods, parts, strict=True):
            differences = work.differences(band, width, start)
            biased = work.biased[: len(differences)]
            np.add(differences, pixels.dtype.type(128 << method.low_bits), out=biased)
            if method.from_band_before and before is not None:
                np.subtract(biased, before, out=biased)
            part.take(start, biased, work)
            before = differences
    symbols = zstandard.ZstdCompressor(compression_params=_SYMBOLS)
    places = zstandard.ZstdCompressor(level=_PLACES_LEVEL)
    return [piece for part in parts for piece in part.written(symbols, places)]


def _sum_up(differences: Samples, band: Samples) -> None:
    """The (height, width) `band` that the differences are of."""
    np.cumsum(differences, dtype=band.dtype, out=band.reshape(-1))
    for row in range(1, len(band)):
        np.add(band[row], band[row - 1], out=band[row])


class _Reader:
    """Takes an encoded tile apart from its start."""

    def __init__(self, data: bytes) -> None:
        self._rest = memoryview(data)

    @property
    def left(self) -> int:
        """Bytes not taken yet."""
        return len(self._rest)

    def take(self, size_bytes: int) -> bytes:
        """The next bytes. Raises RawTileError where there are not so many."""
        if size_bytes > len(self._rest):
            raise RawTileError(
                f"a raw tile ends {size_bytes - len(self._rest)} bytes too early; it was cut off, discard it"
            )
        taken, self._rest = self._rest[:size_bytes], self._rest[size_bytes:]
        return bytes(taken)


def _read_differences(reader: _Reader, dtype: np.dtype[Any], count: int, before: Samples | None) -> Samples:
    """What one band's differences were before symbols, places, tops and low bits were made of them."""
    method, symbol_bytes, place_bytes, top_bytes = _BAND.unpack(reader.take(_BAND.size))
    low_bits, from_band_before = method >> 4, bool(method & _FROM_BAND_BEFORE)
    if (
        low_bits not in (0, 2, 4, 8)
        or (low_bits and dtype == np.uint8)
        or method & 0x0E
        or (from_band_before and before is None)
    ):
        raise RawTileError(f"a raw tile has a band written in no known way ({method:#x}); discard it")
    symbols, places, tops = reader.take(symbol_bytes), reader.take(place_bytes), reader.take(top_bytes)
    low = reader.take(-(-count * low_bits // 8))
    differences = np.frombuffer(_decompressed(symbols, count), np.uint8).astype(dtype)
    if low_bits:
        np.left_shift(differences, dtype.type(low_bits), out=differences)
        differences |= _unpacked_low(np.frombuffer(low, np.uint8), low_bits, count)
    if places:
        bits = np.frombuffer(_decompressed(places, -(-count // 8)), np.uint8)
        where = np.flatnonzero(np.unpackbits(bits, count=count))
        if dtype == np.uint8 or low_bits == 8 or len(where) != len(tops):
            raise RawTileError(f"a raw tile has {len(tops)} tops for {len(where)} places; discard it")
        differences[where] |= np.frombuffer(tops, np.uint8).astype(dtype) << dtype.type(8 + low_bits)
    np.subtract(differences, dtype.type(128 << low_bits), out=differences)
    if before is not None and from_band_before:
        np.add(differences, before, out=differences)
    return differences


def _unpacked_low(packed: NDArray[np.uint8], low_bits: int, count: int) -> NDArray[np.uint8]:
    if low_bits == 8:
        return packed
    spread = np.empty((len(packed), 8 // low_bits), np.uint8)
    for place in range(8 // low_bits):
        np.right_shift(packed, np.uint8(place * low_bits), out=spread[:, place])
    np.bitwise_and(spread, np.uint8((1 << low_bits) - 1), out=spread)
    return spread.reshape(-1)[:count]


def _decompressed(frame: bytes, size_bytes: int) -> bytes:
    """The content of a zstd frame, which must have just this size. Raises RawTileError."""
    try:
        told = zstandard.get_frame_parameters(frame).content_size
        if told != size_bytes:  # the library would allocate what a frame says
            raise RawTileError(f"a raw tile has a part of {told} bytes where {size_bytes} belong; discard it")
        return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise RawTileError(f"a raw tile has a damaged part ({error}); discard it") from error
