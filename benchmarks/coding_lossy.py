"""Lossy codecs of the coding benchmark, each with one thread and one knob that quality rises with.

JPEG 2000 and HTJ2K code all bands in one stream without a transform across them, so that their rate allocation weighs the bands
against each other. Codecs of 8 or 12 bits get the samples scaled so that the largest of the scene becomes full scale, the same
factor for all bands; that largest sample travels.
"""

from typing import Any

import numpy as np

from benchmarks.coding_lossless import imagecodecs, imagecodecs_codec, one_or_more
from benchmarks.coding_port import Absent, Codec, KnobRange, Packed, Pixels, pack, unpack

JPEG_XL_EFFORT = 3
"""Higher efforts optimise what people see: at effort 7 the squared error at equal bytes is higher, at 20 times the cost."""
AVIF_SPEED = 8
AVIF_BITS = 12
PSNR_OF_WHOLE_RANGE_DB = KnobRange(low=20.0, high=115.0, step=0.05, start=55.0, stride=6.0)
"""OpenJPEG aims at a PSNR against the full range of the sample type."""


def lossy_codecs() -> list[Codec | Absent]:
    """Every lossy codec of the field, or why it is not there."""
    return [
        imagecodecs_codec("jpeg2000", "JPEG2K", lambda: _jpeg2000(False), "9/7, whole scene", PSNR_OF_WHOLE_RANGE_DB),
        imagecodecs_codec(
            "jpeg2000-5/3", "JPEG2K", lambda: _jpeg2000(True), "5/3, whole scene", PSNR_OF_WHOLE_RANGE_DB
        ),
        imagecodecs_codec(
            "jpeg2000-bands",
            "JPEG2K",
            lambda: _jpeg2000_bands(False),
            "9/7, each band a stream of its own",
            PSNR_OF_WHOLE_RANGE_DB,
        ),
        imagecodecs_codec(
            "jpeg2000-bands-5/3",
            "JPEG2K",
            lambda: _jpeg2000_bands(True),
            "5/3, each band a stream of its own",
            PSNR_OF_WHOLE_RANGE_DB,
        ),
        imagecodecs_codec(
            "htj2k",
            "HTJ2K",
            _htj2k,
            "9/7, whole scene",
            KnobRange(low=0.0, high=110.0, step=0.05, start=45.0, stride=6.0),
        ),
        imagecodecs_codec(
            "jpegxl",
            "JPEGXL",
            _jpegxl,
            f"band by band, effort {JPEG_XL_EFFORT}",
            KnobRange(low=-27.9, high=40.0, step=0.1, start=0.0, stride=6.0),
        ),
        imagecodecs_codec("jpeg", "JPEG8", _jpeg, "band by band, 8 bits", KnobRange(low=1, high=100, step=1)),
        imagecodecs_codec(
            "avif",
            "AVIF",
            _avif,
            f"three bands at a time, {AVIF_BITS} bits",
            KnobRange(low=1, high=99, step=1, start=50, stride=15),
        ),
    ]


def _jpeg2000(reversible: bool) -> tuple[Any, Any]:
    def encode(pixels: Pixels, psnr_db: float) -> bytes:
        options = {"reversible": reversible, "mct": False, "planar": True, "codecformat": "j2k", "numthreads": 1}
        return pack(pixels, [imagecodecs.jpeg2k_encode(one_or_more(pixels), psnr_db, **options)])

    return encode, _decode_openjpeg


def _decode_openjpeg(data: bytes) -> Pixels:
    packed = unpack(data)
    decoded = imagecodecs.jpeg2k_decode(packed.parts[0], planar=True, numthreads=1)
    return np.asarray(decoded).reshape(packed.shape)


def _jpeg2000_bands(reversible: bool) -> tuple[Any, Any]:
    """Every band is set to the same PSNR."""

    def encode(pixels: Pixels, psnr_db: float) -> bytes:
        options = {"reversible": reversible, "mct": False, "codecformat": "j2k", "numthreads": 1}
        return pack(
            pixels, [imagecodecs.jpeg2k_encode(np.ascontiguousarray(band), psnr_db, **options) for band in pixels]
        )

    def decode(data: bytes) -> Pixels:
        packed = unpack(data)
        bands = [imagecodecs.jpeg2k_decode(part, numthreads=1) for part in packed.parts]
        return np.stack(bands).reshape(packed.shape)

    return encode, decode


def _htj2k() -> tuple[Any, Any]:
    def encode(pixels: Pixels, quality_db: float) -> bytes:
        """The step of the quantizer as a share of full scale is -20 log10 of the knob."""
        step = 10 ** (-quality_db / 20)
        options = {"reversible": False, "planar": True, "rgb": False}
        return pack(pixels, [imagecodecs.htj2k_encode(one_or_more(pixels), step, **options)])

    return encode, _decode_openjpeg  # OpenJPH wraps saturated samples of 8 bits around


def _jpegxl() -> tuple[Any, Any]:
    def encode(pixels: Pixels, quality_db: float) -> bytes:
        """The knob is -20 log10 of the distance. Samples are brought to full scale by a whole factor, which is exact."""
        largest, distance = max(1, int(pixels.max())), 10 ** (-quality_db / 20)
        factor = _full_scale(pixels.dtype) // largest
        options: dict[str, Any] = {"distance": distance, "effort": JPEG_XL_EFFORT, "numthreads": 1}
        bands = [np.ascontiguousarray(band * pixels.dtype.type(factor)) for band in pixels]
        return pack(pixels, [imagecodecs.jpegxl_encode(band, **options) for band in bands], largest=largest)

    def decode(data: bytes) -> Pixels:
        packed = unpack(data)
        factor = _full_scale(packed.dtype) // packed.largest
        bands = np.stack([imagecodecs.jpegxl_decode(part, numthreads=1) for part in packed.parts])
        return np.rint(bands / factor).astype(packed.dtype).reshape(packed.shape)

    return encode, decode


def _jpeg() -> tuple[Any, Any]:
    def encode(pixels: Pixels, quality: float) -> bytes:
        scaled, largest = _scaled(pixels, 8)
        options: dict[str, Any] = {"level": round(quality), "optimize": True}
        return pack(pixels, [imagecodecs.jpeg8_encode(band, **options) for band in scaled], largest=largest)

    def decode(data: bytes) -> Pixels:
        packed = unpack(data)
        return _unscaled(np.stack([imagecodecs.jpeg8_decode(part) for part in packed.parts]), packed, 8)

    return encode, decode


def _avif() -> tuple[Any, Any]:
    """Three bands as one picture in full chroma; a band that is left over fills all three, so that chroma costs nothing.

    The library takes every picture of a single band for a wish to be lossless.
    """

    def bits(dtype: np.dtype[Any]) -> int:
        return 8 if dtype == np.uint8 else AVIF_BITS

    def encode(pixels: Pixels, quality: float) -> bytes:
        scaled, largest = _scaled(pixels, bits(pixels.dtype))
        parts = []
        for bands in _threes(len(scaled)):
            picture = np.ascontiguousarray(np.moveaxis(scaled[list(bands)], 0, 2))
            parts.append(
                imagecodecs.avif_encode(
                    picture,
                    level=round(quality),
                    speed=AVIF_SPEED,
                    bitspersample=bits(pixels.dtype),
                    pixelformat="444",
                    numthreads=1,
                )
            )
        return pack(pixels, parts, largest=largest)

    def decode(data: bytes) -> Pixels:
        packed = unpack(data)
        bands = np.zeros(packed.shape, np.uint16)
        for part, places in zip(packed.parts, _threes(packed.shape[0]), strict=True):
            picture = imagecodecs.avif_decode(part, numthreads=1)
            for channel, band in enumerate(places):
                bands[band] = picture[:, :, 1 if places[0] == places[2] else channel]
        return _unscaled(bands, packed, bits(packed.dtype))

    return encode, decode


def _threes(bands: int) -> list[tuple[int, int, int]]:
    whole = [(first, first + 1, first + 2) for first in range(0, bands - bands % 3, 3)]
    return whole + [(band, band, band) for band in range(bands - bands % 3, bands)]


def _full_scale(dtype: np.dtype[Any]) -> int:
    return int(np.iinfo(dtype).max)


def _scaled(pixels: Pixels, bits: int) -> tuple[Pixels, int]:
    """Samples in `bits` bits, and the largest sample; bytes in 8 bits stay as they are."""
    largest = max(1, int(pixels.max()))
    dtype = np.uint8 if bits == 8 else np.uint16
    if pixels.dtype == np.uint8 and bits == 8:
        return pixels, _full_scale(pixels.dtype)
    scaled: Pixels = np.rint(pixels * ((2**bits - 1) / largest)).astype(dtype)
    return scaled, largest


def _unscaled(scaled: Pixels, packed: Packed, bits: int) -> Pixels:
    samples = np.rint(scaled.reshape(packed.shape) * (packed.largest / (2**bits - 1)))
    pixels: Pixels = samples.clip(0, _full_scale(packed.dtype)).astype(packed.dtype)
    return pixels
