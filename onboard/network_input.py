"""From the sensor's digital numbers to what the network sees. One function, used in training and in flight.

Three bands (near infrared, red, green) as the square root of reflectance. Photon noise grows with the square root of
the signal, so after the root the noise of dark water and of bright quays is alike and the network spends its range
evenly (the Anscombe transform without its constant). The measured choice is docs/decisions/0003-detector-input.md.
Pure numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from downlink.scene import Window
from onboard.errors import DetectorInputError

SENTINEL2_DN_PER_REFLECTANCE = 10_000.0
"""Sentinel-2 quantification value: uint16 digital number of reflectance 1.0."""

TRUE_COLOUR_DN_PER_COUNT = 3558.0 / 255.0
"""An 8-bit scene is read as ESA's stretch of the true colour image: 255 counts are digital number 3558."""

_BAND_SYNONYMS = {
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    "nir": "B08",
    "near infrared": "B08",
    "b2": "B02",
    "b3": "B03",
    "b4": "B04",
    "b8": "B08",
}


def band_key(name: str) -> str:
    """The Sentinel-2 name of a band: "NIR", "b8" and "B08" are one band. Unknown names come back in capitals."""
    stripped = name.strip()
    return _BAND_SYNONYMS.get(stripped.lower(), stripped.upper())


def select_bands(pixels: np.ndarray, band_names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Pick `wanted` bands, in that order, from (bands, height, width).

    Raises DetectorInputError naming what is there and what is needed.
    """
    return pixels[_places(pixels, band_names, wanted)]


def _places(pixels: np.ndarray, band_names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where the wanted bands are. Raises DetectorInputError."""
    if pixels.ndim != 3 or pixels.shape[0] != len(band_names):
        raise DetectorInputError(
            f"pixels of shape {pixels.shape} do not go with the {len(band_names)} band names {tuple(band_names)}; "
            "give (bands, height, width) with one name per band",
            present=tuple(band_names),
            needed=tuple(wanted),
        )
    present = [band_key(name) for name in band_names]
    missing = [name for name in wanted if band_key(name) not in present]
    if missing:
        raise DetectorInputError(
            f"the detector needs the bands {', '.join(wanted)}; missing {', '.join(missing)}; "
            f"the scene has {', '.join(band_names) or 'none'}. Set the band descriptions of the scene, or use a model "
            "trained for these bands",
            present=tuple(band_names),
            needed=tuple(wanted),
        )
    return [present.index(band_key(name)) for name in wanted]


InputKind = Literal["sqrt_reflectance", "sqrt_above_dark"]
"""How digital numbers reach the network: as they are, or above the dark level of their own tile."""

_DARK_PERCENTILE = 0.5
_DARK_FLOOR_DN = 60.0
"""What the darkest ground keeps: noise must not fall off the scale."""
_DARK_STEP_PX = 4
"""The dark level is looked for in every such row and column."""


def dark_level(pixels: np.ndarray) -> np.ndarray:
    """(bands,) float32: what the air alone shows, from the darkest valid pixels of (bands, height, width).

    Dark object subtraction (Chavez 1988, doi:10.1016/0034-4257(88)90019-3): deep water and shadow reflect next to nothing, so what is
    measured there is the path's. A pixel that is 0 in every band is nodata. Every fourth row and column are looked at.
    """
    return _dark_of(pixels[:, ::_DARK_STEP_PX, ::_DARK_STEP_PX])


def _dark_of(sample: np.ndarray) -> np.ndarray:
    flat = sample.reshape(len(sample), -1)
    known = flat.any(axis=0)
    if not known.all():
        flat = flat[:, known]
    if not flat.shape[1]:
        return np.zeros(len(flat), np.float32)
    place = int(flat.shape[1] * _DARK_PERCENTILE / 100)
    return np.partition(flat, place, axis=1)[:, place].astype(np.float32)


def compress_above_dark(dn: np.ndarray, dark: np.ndarray) -> np.ndarray:
    """Square root of the reflectance above the dark level, clipped to 0..1, float32; (bands, height, width), (bands,)."""
    return compress_dn(dn.astype(np.float32) - (dark - _DARK_FLOOR_DN)[:, None, None])


def compress_dn(dn: np.ndarray) -> np.ndarray:
    """Square root of reflectance, clipped to 0..1, float32, same shape. Not-a-number counts as 0."""
    reflectance = dn.astype(np.float32)
    reflectance /= SENTINEL2_DN_PER_REFLECTANCE
    if np.issubdtype(dn.dtype, np.floating):
        np.nan_to_num(reflectance, copy=False, nan=0.0)
    np.clip(reflectance, 0.0, 1.0, out=reflectance)
    return np.sqrt(reflectance, out=reflectance)


def network_input(
    pixels: np.ndarray, band_names: Sequence[str], wanted: Sequence[str], *, kind: InputKind = "sqrt_reflectance"
) -> np.ndarray:
    """(bands, height, width) uint8 or uint16 to (len(wanted), height, width) float32 in 0..1.

    Raises DetectorInputError for missing bands or another type of number.
    """
    height, width = pixels.shape[1:]
    whole = Window(row=0, col=0, height=height, width=width)
    return window_inputs(pixels, band_names, wanted, kind=kind, windows=(whole,))[0]


def window_inputs(
    pixels: np.ndarray,
    band_names: Sequence[str],
    wanted: Sequence[str],
    *,
    kind: InputKind,
    windows: Sequence[Window],
) -> list[np.ndarray]:
    """As `network_input`, for windows of `pixels`, which share the dark level of all of it. Windows may overlap.

    Where they are a small part of the whole they alone are prepared; else the whole is, once. Bit for bit what `compress_above_dark` or
    `compress_dn` makes of the bands.
    """
    places = _places(pixels, band_names, wanted)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise DetectorInputError(
            f"the detector reads uint8 or uint16 digital numbers, not {pixels.dtype}; convert the scene first",
            present=tuple(band_names),
            needed=tuple(wanted),
        )
    bands = [pixels[place] for place in places]
    if pixels.dtype == np.uint8:
        bands = [band * np.float32(TRUE_COLOUR_DN_PER_COUNT) for band in bands]
    levels: np.ndarray = np.zeros(len(bands), np.float32)
    if kind == "sqrt_above_dark":
        levels = _dark_of(np.stack([band[::_DARK_STEP_PX, ::_DARK_STEP_PX] for band in bands])) - _DARK_FLOOR_DN

    def prepared(window: Window) -> np.ndarray:
        image = np.empty((len(bands), window.height, window.width), np.float32)
        for band, level, out in zip(bands, levels, image, strict=True):
            _compress_into(out, band[window.slices], level)
        return image

    height, width = pixels.shape[1:]
    if sum(window.height * window.width for window in windows) < height * width:
        return [prepared(window) for window in windows]
    image = prepared(Window(row=0, col=0, height=height, width=width))
    return [image[:, *window.slices] for window in windows]


def _compress_into(out: np.ndarray, dn: np.ndarray, level: np.float32) -> None:
    """Square root of the reflectance above a level, clipped to 0..1, one pass after the other in the same memory."""
    np.subtract(dn, level, out=out, dtype=np.float32)
    out /= SENTINEL2_DN_PER_REFLECTANCE
    np.clip(out, 0.0, 1.0, out=out)
    np.sqrt(out, out=out)
