"""An image as layers, on the making side: coded on board, step by step, with what each step leaves wrong.

Bands that look alike are decorrelated first (`downlink.band_transform`), reversibly, where that promises to save bits.

The validity mask travels exactly. Where all invalid pixels hold the scene's nodata value they are filled with the mean of
their band before coding, so that their edge costs no bits, and set again after decoding. Pixels that a mask or an alpha
band calls invalid have values of their own, which are coded as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from downlink.band_transform import fit_band_transform
from downlink.errors import LayerError
from downlink.image_header import ImageHeader, distortion_code, pack_header
from downlink.image_layers import bands_of, pixel_check
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
    rebuilt = (bands_of(decode_layers(shape, layers[: n + 1]), transform, plain.bits) for n in range(len(layers) - 1))
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


def _of_component_bits(quality_percent: Sequence[float], share: float) -> list[float]:
    """Percentages of the raw pixels as percentages of components of more bits; 100 stays, it stands for lossless."""
    return [percent if percent == 100 else percent * share for percent in quality_percent]


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
