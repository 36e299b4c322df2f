"""The header in front of an image's first layer.

Big-endian:

    offset  bytes  field
    0       1      version, 2
    1       8      row, column of the window in the scene (4 each)
    9       4      height, width (2 each)
    13      1      bands
    14      1      bits per sample, 8 or 16
    15      1      wavelet decompositions
    16      1      steps q
    17      1      1 when invalid pixels hold the scene's nodata value and were filled before coding, else 0
    18      1      bits c of each signed component, 8 to 24, where the bands are transformed; 0 where they are coded as they are
    19      q      distortion code of each step, see `distortion_code`
    19 + q  4      CRC-32 of the exact pixels as little-endian (bands, height, width)
    23 + q  4      length m of the validity mask; 0 when every pixel is valid
    27 + q  t      band transform (`downlink.band_transform`) where c is not 0; t = 3 b + 2 (b - 1) (b + 1) for b bands
    27+q+t  m      validity mask: zstd of its bits, rows padded to bytes, first pixel in the highest bit
"""

import math
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import zstandard

from downlink.band_transform import BandTransform
from downlink.codestream import LARGEST_COMPONENT_BITS, CodestreamShape
from downlink.errors import LayerError
from downlink.scene import Window

VERSION: Final = 2
FIXED_FIELDS: Final = struct.Struct(">BIIHHBBBBBB")
CHECK_AND_MASK: Final = struct.Struct(">II")
MASK_LIMIT_BYTES: Final = 1 << 20
SAMPLE_LIMIT: Final = 1 << 24
"""Samples that one image may announce, so that a damaged header cannot exhaust memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """What step 0 says of its image."""

    window: Window
    """Where the image lies in the scene."""
    shape: CodestreamShape
    """How its bands, or the components of its bands, are coded."""
    pixel_bits: int
    """8 or 16."""
    transform: BandTransform | None
    """What made components of bands; None where the bands are coded as they are."""
    distortion_codes: bytes
    """One per step."""
    pixel_check: int
    """CRC-32 of the exact pixels."""
    valid: np.ndarray | None
    """(height, width) bool, or None when every pixel is valid."""
    filled: bool
    """Whether invalid pixels hold the nodata value, and were filled before coding."""


def pack_header(header: ImageHeader) -> bytes:
    """The bytes in front of the packets of step 0."""
    mask = (
        b""
        if header.valid is None
        else zstandard.ZstdCompressor(level=9).compress(np.packbits(header.valid, axis=1).tobytes())
    )
    fixed = FIXED_FIELDS.pack(
        VERSION,
        header.window.row,
        header.window.col,
        header.window.height,
        header.window.width,
        header.shape.components,
        header.pixel_bits,
        header.shape.levels,
        header.shape.qualities,
        header.filled,
        0 if header.transform is None else header.shape.bits,
    )
    transform = b"" if header.transform is None else header.transform.pack()
    return fixed + header.distortion_codes + CHECK_AND_MASK.pack(header.pixel_check, len(mask)) + transform + mask


def unpack_header(payload: bytes) -> tuple[ImageHeader, bytes]:
    """The header of a step 0, and the packets behind it. Raises LayerError for anything else."""
    try:
        version, row, col, height, width, bands, bits, levels, qualities, filled, component_bits = (
            FIXED_FIELDS.unpack_from(payload)
        )
        codes = payload[FIXED_FIELDS.size : FIXED_FIELDS.size + qualities]
        check, mask_bytes = CHECK_AND_MASK.unpack_from(payload, FIXED_FIELDS.size + qualities)
    except struct.error as error:
        raise LayerError(f"image header of {len(payload)} bytes is cut: {error}") from error
    if version != VERSION or bits not in (8, 16) or levels > 32 or filled > 1 or 0 in (bands, height, width, qualities):
        raise LayerError(
            f"image header version {version}, {bands} bands, {bits} bits, {height} x {width}: this ground reads version {VERSION}"
        )
    if bands * height * width > SAMPLE_LIMIT or mask_bytes > MASK_LIMIT_BYTES:
        raise LayerError(f"image header announces {bands} x {height} x {width} samples, the limit is {SAMPLE_LIMIT}")
    if component_bits and not bits <= component_bits <= LARGEST_COMPONENT_BITS:
        raise LayerError(
            f"image header announces components of {component_bits} bits for pixels of {bits}; {LARGEST_COMPONENT_BITS} is the limit"
        )
    at = FIXED_FIELDS.size + qualities + CHECK_AND_MASK.size
    transform = None
    if component_bits:
        transform_bytes = BandTransform.size_bytes(bands)
        transform = BandTransform.unpack(payload[at : at + transform_bytes], bands)
        at += transform_bytes
    valid = _unpack_mask(payload[at : at + mask_bytes], height, width) if mask_bytes else None
    header = ImageHeader(
        window=Window(row=row, col=col, height=height, width=width),
        shape=CodestreamShape(
            height_px=height,
            width_px=width,
            components=bands,
            bits=component_bits or bits,
            levels=levels,
            qualities=qualities,
            signed=component_bits > 0,
        ),
        pixel_bits=bits,
        transform=transform,
        distortion_codes=codes,
        pixel_check=check,
        valid=valid,
        filled=bool(filled),
    )
    return header, payload[at + mask_bytes :]


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
