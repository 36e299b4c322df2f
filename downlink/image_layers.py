"""An image as layers: what is coded on board, step by step, and put together again on the ground.

The payload of step 0 is a header (`downlink.image_header`) followed by the packets of the first quality layer; every
later payload is the packets of one more quality layer.

Bands that look alike are decorrelated first (`downlink.band_transform`), reversibly, where that promises to save bits.

The validity mask travels exactly. Where all invalid pixels hold the scene's nodata value they are filled with the mean of
their band before coding, so that their edge costs no bits, and set again after decoding. Pixels that a mask or an alpha
band calls invalid have values of their own, which are coded as they are.
"""

import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from downlink.band_transform import BandTransform, fit_band_transform
from downlink.errors import LayerError
from downlink.image_header import ImageHeader, distortion, distortion_code, pack_header, unpack_header
from downlink.jpeg2000 import codestream_shape, component_shape, decode_layers, encode_layers
from downlink.scene import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProduct:
    """One coded window of a scene."""

    window: Window
    """Where it lies in the scene."""
    payloads: tuple[bytes, ...]
    """One per step."""
    mse: tuple[float, ...]
    """Mean squared error over valid pixels and all bands once this step has arrived, in DN squared; the last is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """A window rebuilt from the steps that arrived."""

    window: Window
    """Where it lies in the scene."""
    pixels: np.ndarray
    """(bands, height, width), uint8 or uint16."""
    valid: np.ndarray
    """(height, width) bool: False where the scene had no data."""
    mse: float
    """Stated mean squared error in DN squared; 0 when lossless."""
    lossless: bool
    """True when every step arrived and the pixels match the checksum made on board."""


def encode_image(
    pixels: np.ndarray,
    window: Window,
    *,
    valid: np.ndarray,
    quality_percent: Sequence[float],
    levels: int,
    nodata: float | None,
) -> ImageProduct:
    """Code the pixels (bands, height, width) of a window into one payload per entry of `quality_percent`.

    `valid` is (height, width) bool and travels exactly. Distortion is measured over valid pixels by decoding each step.
    Raises CodestreamError for arrays that cannot be coded, LayerError for a window or mask that does not fit.
    """
    if pixels.shape[1:] != (window.height, window.width) or valid.shape != pixels.shape[1:]:
        raise LayerError(
            f"pixels of shape {pixels.shape} with a mask of shape {valid.shape} do not fill a window of "
            f"{window.height} x {window.width}"
        )
    all_nodata = nodata is not None and bool((pixels[:, ~valid] == nodata).all())
    filled = _fill(pixels, valid) if all_nodata else pixels
    plain = codestream_shape(pixels, levels=levels, qualities=len(quality_percent))
    transform = fit_band_transform(filled, valid)
    if transform is None:
        shape, components = plain, filled
    else:
        components = transform.forward(filled)
        shape = component_shape(components, pixel_bits=plain.bits, levels=levels, qualities=len(quality_percent))
    layers = encode_layers(components, shape, _of_component_bits(quality_percent, plain.bits / shape.bits))
    rebuilt = (_bands(decode_layers(shape, layers[: n + 1]), transform, plain.bits) for n in range(len(layers) - 1))
    mse = [*(_mse(filled, bands, valid) for bands in rebuilt), 0.0]
    header = ImageHeader(
        window=window,
        shape=shape,
        pixel_bits=plain.bits,
        transform=transform,
        distortion_codes=bytes(distortion_code(value) for value in mse),
        pixel_check=pixel_check(pixels),
        valid=None if valid.all() else valid,
        filled=all_nodata,
    )
    return ImageProduct(
        window=window,
        payloads=(pack_header(header) + layers[0], *layers[1:]),
        mse=tuple(mse),
    )


@dataclass(slots=True, kw_only=True)
class ImageAssembly:
    """The steps of one image as they arrive, in any order."""

    nodata: float | None
    """The scene's nodata value."""
    payloads: dict[int, bytes] = field(default_factory=dict)
    """Step to payload."""

    def add(self, step: int, payload: bytes) -> None:
        """Keep a step; one that is already there is not replaced."""
        self.payloads.setdefault(step, payload)

    @property
    def usable_steps(self) -> int:
        """Steps that can be decoded: those without a gap from step 0."""
        count = 0
        while count in self.payloads:
            count += 1
        return count

    def decode(self) -> DecodedImage | None:
        """Rebuild the image from its usable steps, or None when step 0 is not there.

        Raises LayerError or CodestreamError when the payloads contradict each other: checked bytes that do not decode
        mean that two ends do not speak the same version.
        """
        steps = self.usable_steps
        if steps == 0:
            return None
        header, packets = unpack_header(self.payloads[0])
        if steps > header.shape.qualities:
            raise LayerError(f"{steps} steps for an image of {header.shape.qualities} at {header.window}")
        components = decode_layers(header.shape, [packets, *(self.payloads[step] for step in range(1, steps))])
        pixels = _bands(components, header.transform, header.pixel_bits)
        valid = np.ones(pixels.shape[1:], bool) if header.valid is None else header.valid
        if header.filled and not valid.all():
            if self.nodata is None:
                raise LayerError(f"image at {header.window} has pixels without data, but its scene has no nodata value")
            pixels[:, ~valid] = self.nodata
        complete = steps == header.shape.qualities
        if complete and pixel_check(pixels) != header.pixel_check:
            raise LayerError(f"image at {header.window} is complete, but its pixels do not match their checksum")
        mse = 0.0 if complete else distortion(header.distortion_codes[steps - 1])
        return DecodedImage(window=header.window, pixels=pixels, valid=valid, mse=mse, lossless=complete)


def pixel_check(pixels: np.ndarray) -> int:
    """CRC-32 of the samples as little-endian bytes in (bands, height, width) order."""
    return binascii.crc32(np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)).tobytes())


def _of_component_bits(quality_percent: Sequence[float], share: float) -> list[float]:
    """Percentages of the raw pixels as percentages of components of more bits; 100 stays, it stands for lossless."""
    return [percent if percent == 100 else percent * share for percent in quality_percent]


def _bands(components: np.ndarray, transform: BandTransform | None, pixel_bits: int) -> np.ndarray:
    """The pixels that decoded components stand for."""
    dtype = np.dtype(np.uint8 if pixel_bits == 8 else np.uint16)
    return components.astype(dtype, copy=False) if transform is None else transform.inverse(components, dtype)


def _band_means(pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    return pixels[:, valid].mean(axis=1) if valid.any() else np.zeros(pixels.shape[0])


def _fill(pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Invalid pixels set to the mean of their band."""
    if valid.all():
        return pixels
    filled = pixels.copy()
    filled[:, ~valid] = np.rint(_band_means(pixels, valid)).astype(pixels.dtype)[:, None]
    return filled


def _mse(reference: np.ndarray, rebuilt: np.ndarray, valid: np.ndarray) -> float:
    """Band by band, so that no more than one band is held in floating point."""
    count = int(valid.sum()) * reference.shape[0]
    if count == 0:
        return 0.0
    total = 0.0
    for band, other in zip(reference, rebuilt, strict=True):
        difference = np.subtract(band, other, dtype=np.float64)
        difference *= valid
        total += float(np.vdot(difference, difference))
    return float(total / count)
