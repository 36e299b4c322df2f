"""Lossless codecs of the coding benchmark, each with one thread and without a transform across bands."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import zstandard

from benchmarks.coding_port import Absent, Codec, Pixels, pack, unpack

try:
    imagecodecs: Any = importlib.import_module("imagecodecs")
except ImportError:
    imagecodecs = None

ZSTD_LEVEL = 3
PREDICTED_ZSTD_LEVEL = 1
AEC_BLOCK = 32
AEC_REFERENCE_INTERVAL = 128
"""Blocks between reference samples."""
JPEG_XL_EFFORTS = (1, 3, 5)


def lossless_codecs() -> list[Codec | Absent]:
    """Every lossless codec of the field, or why it is not there."""
    return [
        imagecodecs_codec("jpeg2000", "JPEG2K", _jpeg2000, "5/3, one stream of all bands, OpenJPEG"),
        *(
            imagecodecs_codec(f"jpegxl-e{effort}", "JPEGXL", partial(_jpegxl, effort), f"effort {effort}")
            for effort in JPEG_XL_EFFORTS
        ),
        imagecodecs_codec("htj2k", "HTJ2K", _htj2k, "5/3, one stream of all bands, OpenJPH"),
        imagecodecs_codec("jpegls", "JPEGLS", _jpegls, "band by band, CharLS"),
        imagecodecs_codec("ccsds121", "AEC", _ccsds121, f"libaec, blocks of {AEC_BLOCK}, preprocessor on"),
        Codec(name=f"zstd-{ZSTD_LEVEL}", encode=_encode_zstd, decode=_decode_zstd, note="raw samples"),
        Codec(
            name=f"planes-zstd-{PREDICTED_ZSTD_LEVEL}",
            encode=_encode_planes,
            decode=_decode_planes,
            note="plane predictor, bytes of a sample apart",
        ),
    ]


def imagecodecs_codec(
    name: str, module: str, make: Callable[[], tuple[Any, Any]], note: str, knob: Any = None
) -> Codec | Absent:
    """A codec of the imagecodecs package, `make` giving (encode, decode), or that it is absent."""
    if imagecodecs is None:
        return Absent(name=name, reason="the Python package imagecodecs is not installed")
    if not getattr(getattr(imagecodecs, module, None), "available", False):
        return Absent(name=name, reason=f"imagecodecs {imagecodecs.__version__} was built without {module}")
    encode, decode = make()
    return Codec(name=name, encode=encode, decode=decode, knob=knob, note=note)


def _jpeg2000() -> tuple[Any, Any]:
    def encode(pixels: Pixels, _: float) -> bytes:
        options = {"reversible": True, "mct": False, "planar": True, "codecformat": "j2k", "numthreads": 1}
        return pack(pixels, [imagecodecs.jpeg2k_encode(one_or_more(pixels), **options)])

    def decode(data: bytes) -> Pixels:
        packed = unpack(data)
        decoded = imagecodecs.jpeg2k_decode(packed.parts[0], planar=True, numthreads=1)
        return np.asarray(decoded).reshape(packed.shape)

    return encode, decode


def _jpegxl(effort: int) -> tuple[Any, Any]:
    def encode(band: Pixels) -> bytes:
        return bytes(imagecodecs.jpegxl_encode(band, effort=effort, lossless=True, numthreads=1))

    return _band_by_band(encode, lambda data, packed: imagecodecs.jpegxl_decode(data, numthreads=1))


def _htj2k() -> tuple[Any, Any]:
    def encode(pixels: Pixels, _: float) -> bytes:
        return pack(pixels, [imagecodecs.htj2k_encode(one_or_more(pixels), reversible=True, planar=True, rgb=False)])

    def decode(data: bytes) -> Pixels:
        packed = unpack(data)
        return np.asarray(imagecodecs.htj2k_decode(packed.parts[0], planar=True)).reshape(packed.shape)

    return encode, decode


def _jpegls() -> tuple[Any, Any]:
    return _band_by_band(
        lambda band: bytes(imagecodecs.jpegls_encode(band)), lambda data, packed: imagecodecs.jpegls_decode(data)
    )


def _ccsds121() -> tuple[Any, Any]:
    def options(dtype: np.dtype[Any]) -> dict[str, int]:
        flags = int(imagecodecs.AEC.FLAG.DATA_PREPROCESS)
        return {
            "bitspersample": 8 * dtype.itemsize,
            "flags": flags,
            "blocksize": AEC_BLOCK,
            "rsi": AEC_REFERENCE_INTERVAL,
        }

    def encode(band: Pixels) -> bytes:
        return bytes(imagecodecs.aec_encode(band, **options(band.dtype)))

    def decode(data: bytes, packed: Any) -> Pixels:
        _, height, width = packed.shape
        # The last block is whole whatever the image has: without that room libaec refuses.
        room = (height * width + AEC_BLOCK * AEC_REFERENCE_INTERVAL) * packed.dtype.itemsize
        decoded = imagecodecs.aec_decode(data, **options(packed.dtype), out=room)
        return np.frombuffer(decoded, packed.dtype, count=height * width).reshape(height, width)

    return _band_by_band(encode, decode)


def _band_by_band(encode_band: Callable[[Pixels], bytes], decode_band: Callable[[bytes, Any], Any]) -> tuple[Any, Any]:
    def encode(pixels: Pixels, _: float) -> bytes:
        return pack(pixels, [encode_band(np.ascontiguousarray(band)) for band in pixels])

    def decode(data: bytes) -> Pixels:
        packed = unpack(data)
        bands = [np.asarray(decode_band(part, packed)) for part in packed.parts]
        return np.stack(bands).reshape(packed.shape)

    return encode, decode


def one_or_more(pixels: Pixels) -> Pixels:
    """A single band as (height, width), as the JPEG 2000 libraries want it; more bands as they are."""
    return np.ascontiguousarray(pixels[0] if len(pixels) == 1 else pixels)


def _encode_zstd(pixels: Pixels, _: float) -> bytes:
    return pack(pixels, [zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(pixels.tobytes())])


def _decode_zstd(data: bytes) -> Pixels:
    packed = unpack(data)
    return np.frombuffer(zstandard.ZstdDecompressor().decompress(packed.parts[0]), packed.dtype).reshape(packed.shape)


def _encode_planes(pixels: Pixels, _: float) -> bytes:
    """Each sample less its plane prediction (left + above - above left), folded so that small errors have small codes."""
    error = pixels.copy()
    error[:, :, 1:] -= pixels[:, :, :-1]
    error[:, 1:] -= error[:, :-1].copy()
    bits = 8 * pixels.dtype.itemsize
    folded = (error << 1) ^ (error.view(f"i{pixels.dtype.itemsize}") >> (bits - 1)).view(pixels.dtype)
    planes = np.ascontiguousarray(folded.view(np.uint8).reshape(-1, pixels.dtype.itemsize).T)
    return pack(pixels, [zstandard.ZstdCompressor(level=PREDICTED_ZSTD_LEVEL).compress(planes.tobytes())])


def _decode_planes(data: bytes) -> Pixels:
    packed = unpack(data)
    planes = np.frombuffer(zstandard.ZstdDecompressor().decompress(packed.parts[0]), np.uint8)
    folded = np.ascontiguousarray(planes.reshape(packed.dtype.itemsize, -1).T).view(packed.dtype).reshape(packed.shape)
    error = (folded >> 1) ^ (0 - (folded & 1)).astype(packed.dtype)
    rows = np.cumsum(error, axis=1, dtype=packed.dtype)
    pixels: Pixels = np.cumsum(rows, axis=2, dtype=packed.dtype)
    return pixels
