"""The header in front of an image's first layer.

Numbers are big-endian, varints apart (`downlink.varint`).

    bytes  field
    1      version, 3
    1      flags: 1 invalid pixels hold the scene's nodata value and were filled before coding; 2 a reference is named; 4 the bands
           are transformed; 8 a validity mask follows; 16 pixels have 16 bits, else 8; the others are 0
    1      bands
    1      wavelet decompositions
    1      steps q
    4 v    varints: row, column, height, width of the window in the scene
    1      bits c of each coded sample: unsigned 8 of pixels of 8 bits, 9 to 16 of others; signed 9 to 24 with flag 2 or 4
    d      distortion codes of all steps but the last, see `_pack_codes`
    4      CRC-32 of the exact pixels as little-endian (bands, height, width)
    v + n  varint n and a reference (`downlink.prediction.Reference.pack`), only with flag 2
    t      band transform (`downlink.band_transform`), only with flag 4
    v + m  varint m and the validity mask, only with flag 8: zstd of its bits, rows padded to bytes, first pixel in the highest bit

Without a reference the packets of the first quality layer follow. With one step 0 ends here: its pixels are the prediction.
"""

import math
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import zstandard

from downlink.band_transform import BandTransform
from downlink.codestream import LARGEST_COMPONENT_BITS, CodestreamShape, smallest_bits
from downlink.errors import LayerError
from downlink.scene import Window
from downlink.varint import read_varint, varint

VERSION: Final = 3
FIXED_FIELDS: Final = struct.Struct(">BBBBB")
FILLED, REFERENCED, TRANSFORMED, MASKED, SIXTEEN_BITS = 1, 2, 4, 8, 16
ALL_FLAGS: Final = FILLED | REFERENCED | TRANSFORMED | MASKED | SIXTEEN_BITS
MASK_LIMIT_BYTES: Final = 1 << 20
REFERENCE_LIMIT_BYTES: Final = 1 << 12
MOST_LEVELS: Final = 32
SAMPLE_LIMIT: Final = 1 << 24
"""Samples that one image may announce, so that a damaged header cannot exhaust memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """What step 0 says of its image."""

    window: Window
    """Where the image lies in the scene."""
    shape: CodestreamShape
    """How its bands, or the components of its bands or of their difference to a prediction, are coded."""
    pixel_bits: int
    """8 or 16."""
    transform: BandTransform | None
    """What made components of bands; None where the bands are coded as they are."""
    distortion_codes: bytes
    """One per step, never rising; the last is 0."""
    pixel_check: int
    """CRC-32 of the exact pixels."""
    valid: np.ndarray | None
    """(height, width) bool, or None when every pixel is valid."""
    filled: bool
    """Whether invalid pixels hold the nodata value, and were filled before coding."""
    reference: bytes | None = None
    """What the image is predicted from, packed; None where it stands alone."""

    @property
    def steps(self) -> int:
        """Payloads of the image: its quality layers, and the prediction before them where there is one."""
        return self.shape.qualities + (self.reference is not None)


def pack_header(header: ImageHeader) -> bytes:
    """The bytes in front of the packets of step 0."""
    window, shape = header.window, header.shape
    flags = (
        FILLED * header.filled
        | REFERENCED * (header.reference is not None)
        | TRANSFORMED * (header.transform is not None)
        | MASKED * (header.valid is not None)
        | SIXTEEN_BITS * (header.pixel_bits == 16)
    )
    parts = [
        FIXED_FIELDS.pack(VERSION, flags, shape.components, shape.levels, header.steps),
        *map(varint, (window.row, window.col, window.height, window.width)),
        bytes([shape.bits]),
        _pack_codes(header.distortion_codes),
        header.pixel_check.to_bytes(4, "big"),
    ]
    if header.reference is not None:
        parts += varint(len(header.reference)), header.reference
    if header.transform is not None:
        parts.append(header.transform.pack())
    if header.valid is not None:
        mask = zstandard.ZstdCompressor(level=9, write_checksum=False).compress(
            np.packbits(header.valid, axis=1).tobytes()
        )
        parts += varint(len(mask)), mask
    return b"".join(parts)


def unpack_header(payload: bytes) -> tuple[ImageHeader, bytes]:
    """The header of a step 0, and the packets behind it. Raises LayerError for anything else."""
    if len(payload) < FIXED_FIELDS.size:
        raise LayerError(f"image header of {len(payload)} bytes is cut: {FIXED_FIELDS.size} stand at its start")
    version, flags, bands, levels, steps = FIXED_FIELDS.unpack_from(payload)
    referenced = bool(flags & REFERENCED)
    if version != VERSION or flags & ~ALL_FLAGS or levels > MOST_LEVELS or not bands or steps < 1 + referenced:
        raise LayerError(
            f"image header version {version}, flags {flags:#x}, {bands} bands, {levels} decompositions, {steps} steps: "
            f"this ground reads version {VERSION}"
        )
    window, at = _window(payload, FIXED_FIELDS.size, bands)
    pixel_bits = 16 if flags & SIXTEEN_BITS else 8
    signed = bool(flags & (REFERENCED | TRANSFORMED))
    bits, at = _byte(payload, at), at + 1
    largest = LARGEST_COMPONENT_BITS if signed else pixel_bits
    if not smallest_bits(pixel_bits, signed) <= bits <= largest:
        raise LayerError(
            f"image header announces samples of {bits} bits for pixels of {pixel_bits}; {largest} is the limit"
        )
    codes, at = _unpack_codes(payload, at, steps)
    check, at = _piece(payload, at, 4)
    reference, at = _counted(payload, at, REFERENCE_LIMIT_BYTES) if referenced else (None, at)
    transform, at = BandTransform.read(payload, at, bands) if flags & TRANSFORMED else (None, at)
    mask, at = _counted(payload, at, MASK_LIMIT_BYTES) if flags & MASKED else (None, at)
    shape = CodestreamShape(
        height_px=window.height,
        width_px=window.width,
        components=bands,
        bits=bits,
        levels=levels,
        qualities=steps - referenced,
        signed=signed,
    )
    header = ImageHeader(
        window=window,
        shape=shape,
        pixel_bits=pixel_bits,
        transform=transform,
        distortion_codes=codes,
        pixel_check=int.from_bytes(check, "big"),
        valid=None if mask is None else _unpack_mask(mask, window.height, window.width),
        filled=bool(flags & FILLED),
        reference=reference,
    )
    return header, payload[at:]


def _window(payload: bytes, at: int, bands: int) -> tuple[Window, int]:
    """The window whose varints start at `at`, small enough for so many bands."""
    places = []
    for _ in range(4):
        place, at = read_varint(payload, at)
        places.append(place)
    row, col, height, width = places
    if not height or not width or bands * height * width > SAMPLE_LIMIT:
        raise LayerError(f"image header announces {bands} x {height} x {width} samples, the limit is {SAMPLE_LIMIT}")
    return Window(row=row, col=col, height=height, width=width), at


def _byte(payload: bytes, at: int) -> int:
    return _piece(payload, at, 1)[0][0]


def _piece(payload: bytes, at: int, size_bytes: int) -> tuple[bytes, int]:
    piece = payload[at : at + size_bytes]
    if len(piece) < size_bytes:
        raise LayerError(f"image header of {len(payload)} bytes is cut: {size_bytes} bytes are needed at byte {at}")
    return piece, at + size_bytes


def _counted(payload: bytes, at: int, limit_bytes: int) -> tuple[bytes, int]:
    """Bytes behind a varint that counts them."""
    size_bytes, at = read_varint(payload, at)
    if size_bytes > limit_bytes:
        raise LayerError(
            f"image header announces a field of {size_bytes} bytes at byte {at}, its limit is {limit_bytes}"
        )
    return _piece(payload, at, size_bytes)


def _pack_codes(codes: bytes) -> bytes:
    """All codes but the last, which is 0: the first in a byte, then how far each falls below the one before, in digits of 4 bits.

    A digit 15 says that its number goes on with the next digit, which is added. An odd count of digits is padded with a 0.
    """
    if len(codes) == 1:
        return b""
    digits: list[int] = []
    for before, code in pairwise(codes[:-1]):
        fall = before - code
        digits += [15] * (fall // 15) + [fall % 15]
    digits += [0] * (len(digits) % 2)
    return codes[:1] + bytes(high << 4 | low for high, low in zip(digits[::2], digits[1::2], strict=True))


def _unpack_codes(payload: bytes, at: int, steps: int) -> tuple[bytes, int]:
    """The codes of `_pack_codes` and where they end."""
    if steps == 1:
        return b"\x00", at
    codes, half = [_byte(payload, at)], 2 * (at + 1)
    while len(codes) < steps - 1:
        digit, code = 15, codes[-1]
        while digit == 15:
            digit = _byte(payload, half // 2) >> (0 if half % 2 else 4) & 15
            half += 1
            code -= digit
            if code < 0:
                raise LayerError(f"image header states a distortion below 0 at step {len(codes)} of {steps}")
        codes.append(code)
    return bytes((*codes, 0)), (half + 1) // 2


def _unpack_mask(packed: bytes, height: int, width: int) -> np.ndarray:
    row_bytes = -(-width // 8)
    try:
        # As much memory is taken as the frame declares, so that comes first.
        size = zstandard.get_frame_parameters(packed).content_size
        if size != height * row_bytes:
            raise LayerError(f"validity mask declares {size} bytes, {height} rows of {row_bytes} were announced")
        bits = zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise LayerError(f"validity mask of {len(packed)} bytes is damaged: {error}") from error
    rows = np.frombuffer(bits, np.uint8).reshape(height, row_bytes)
    return np.unpackbits(rows, axis=1, count=width).astype(bool)


def distortion_code(mse: float) -> int:
    """One byte for a mean squared error: 8 log2(1 + mse) rounded up, so that it never flatters (by at most 9.1 % of
    1 + mse), up to 2^31.9."""
    return min(255, math.ceil(8 * math.log2(1 + mse) - 1e-9))


def distortion(code: int) -> float:
    """Mean squared error of a distortion code, in DN squared."""
    return float(2 ** (code / 8) - 1)
