"""Which pixels are cloud, and which are as bright but something else: snow, sand, rock, roofs.

Two branches, by the type of a sample:

* uint16 is taken as reflectance through a gain and an offset (Sentinel-2: DN / 10000). The tests follow Fmask (Zhu and
  Woodcock 2012, doi:10.1016/j.rse.2011.10.028, section 3.1.1): whiteness eq. 2, haze-optimised transform eq. 3, the
  bright-rock ratio eq. 5, the snow index eq. 1; with stricter limits, since a lost tile costs more than a kept cloud.
  Pixels that pass are the hearts of clouds; these then grow by a few pixels into what passes weaker limits, their rims.
* uint8 is a picture of unknown scale: only near-white counts.

A band that the sensor clips says only "at least so much": where it does, it is taken for as bright as the brightest visible band.

Known to be taken for cloud: snow and salt where there is no SWIR band, unless they are darker in NIR; white roofs larger than
three samples on a side where there is no SWIR band. Known to be missed: thin cloud through which the ground shows, dark cloud,
cirrus below the limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field


class BandRole(StrEnum):
    """What a band sees, as far as cloud tests care."""

    BLUE = "blue"
    GREEN = "green"
    RED = "red"
    NIR = "nir"
    CIRRUS = "cirrus"
    SWIR16 = "swir16"


_ROLE_OF_NAME: Final[Mapping[str, BandRole]] = {
    **{role.value: role for role in BandRole},
    "b02": BandRole.BLUE,
    "b03": BandRole.GREEN,
    "b04": BandRole.RED,
    "b08": BandRole.NIR,
    "b8a": BandRole.NIR,
    "b10": BandRole.CIRRUS,
    "b11": BandRole.SWIR16,
    "b": BandRole.BLUE,
    "g": BandRole.GREEN,
    "r": BandRole.RED,
    "n": BandRole.NIR,
    "swir1": BandRole.SWIR16,
}
"""Names that mean one thing only: colours and Sentinel-2's two-digit numbers. "B4" is red on Landsat 8 and near infrared
on Landsat 5: such names need `CloudSettings.band_roles`."""

_VISIBLE: Final = (BandRole.BLUE, BandRole.GREEN, BandRole.RED)
_CLIPPED_FROM: Final = 0.35
"""Reflectance below which no sensor clips: a band whose brightest pixels are darker is merely even."""
_CLIPPED_SHARE: Final = 0.01
"""A band is clipped where this share of its pixels is all at its largest number."""


class CloudSettings(BaseModel):
    """Limits of the cloud tests. Reflectances are fractions of 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reflectance_gain: float = Field(default=1e-4, gt=0)
    """Reflectance per digital number of a uint16 scene."""
    reflectance_offset: float = 0.0
    """Reflectance of digital number 0."""
    band_roles: dict[str, BandRole] = Field(default_factory=dict)
    """Role by band name, for names that do not tell it; comes before what the name tells."""
    min_brightness: float = 0.185
    """Cloud is at least this bright, as the mean reflectance of the visible bands."""
    max_colour: float = 0.40
    """Cloud is white: the spread of the visible bands over their mean is at most this."""
    min_blue_over_red: float = 0.75
    """Cloud is bluish: blue over red is at least this, unlike sand, soil and tiles."""
    min_haze: float = 0.10
    """Cloud is bluish: blue - 0.5 * red is at least this (haze-optimised transform)."""
    max_nir_over_visible: float = 2.2
    """Cloud is no vegetation: NIR over the mean of the visible bands is at most this."""
    min_nir_over_visible: float = 0.85
    """Cloud is bright in NIR too, unlike foam, bright shallows and turbid water; with SWIR."""
    min_nir_over_visible_without_swir: float = 0.90
    """The same without SWIR, where it is all that tells snow from cloud."""
    min_nir_over_swir: float = 0.8
    """Cloud is darker in SWIR than in NIR, unlike rock, sand and roofs."""
    max_snow_index: float = 0.45
    """Cloud is bright in SWIR, unlike snow: (green - swir) / (green + swir) is at most this."""
    min_cirrus: float = 0.05
    """High cloud: reflectance of the cirrus band is at least this, whatever the other bands say; below it the ground shows."""
    rim_px: int = Field(default=1, ge=0, le=8)
    """Cloud grows by so many samples into a rim that passes weaker limits."""
    rim_limit: float = Field(default=0.6, gt=0, le=1)
    """In a rim, the least brightness and the least haze are this share of the limits."""
    min_white_dn: int = Field(default=200, ge=1, le=255)
    """uint8: every visible band of a cloud is at least this."""
    max_colour_dn: int = Field(default=40, ge=0, le=255)
    """uint8: the visible bands of a cloud differ by at most this."""
    min_nir_over_white: float = 0.5
    """uint8 without SWIR: NIR of a cloud over its darkest visible band is at least this; the bands' gains differ, and nobody knows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrightSurfaces:
    """What is bright in a picture, pixel by pixel; no pixel is two of these."""

    cloud: NDArray[np.bool_]
    """(height, width): cloud."""
    snow: NDArray[np.bool_]
    """(height, width): as white as cloud, but too dark in SWIR, or in NIR where there is no SWIR."""
    ground: NDArray[np.bool_]
    """(height, width): as bright as cloud, but coloured, bright in SWIR, or a speck: sand, rock, roofs."""
    tells_snow: bool
    """Whether the bands tell snow from cloud: there is SWIR."""


def band_roles(names: tuple[str, ...], settings: CloudSettings) -> dict[BandRole, int]:
    """Index of the first band that plays each role; roles nobody plays are absent."""
    roles: dict[BandRole, int] = {}
    for index, name in enumerate(names):
        role = settings.band_roles.get(name) or _ROLE_OF_NAME.get(name.strip().lower())
        if role is not None:
            roles.setdefault(role, index)
    return roles


def cloud_mask(pixels: NDArray[Any], band_names: tuple[str, ...], settings: CloudSettings) -> NDArray[np.bool_] | None:
    """Which of `pixels` (bands, height, width), uint8 or uint16, are cloud, as (height, width).

    None when the bands cannot tell: it takes blue, green and red, or green, red and NIR. Specks narrower than three
    pixels (ships, wakes, roofs) are taken out, so give pixels decimated to the scale where these are small.
    """
    surfaces = bright_surfaces(pixels, band_names, settings)
    return None if surfaces is None else surfaces.cloud


def bright_surfaces(
    pixels: NDArray[Any], band_names: tuple[str, ...], settings: CloudSettings
) -> BrightSurfaces | None:
    """Cloud, snow and bright ground among `pixels` (bands, height, width), uint8 or uint16; None as in `cloud_mask`."""
    roles = band_roles(band_names, settings)
    visible = [role for role in _VISIBLE if role in roles]
    if len(visible) < 3 and not {BandRole.GREEN, BandRole.RED, BandRole.NIR} <= roles.keys():
        return None
    if pixels.dtype == np.uint8:
        return _of_picture({role: pixels[index] for role, index in roles.items()}, visible, settings)
    bands = {
        role: pixels[index].astype(np.float32) * np.float32(settings.reflectance_gain)
        + np.float32(settings.reflectance_offset)
        for role, index in roles.items()
    }
    return _of_reflectance(_unclipped(bands, visible), visible, settings)


def _unclipped(
    bands: Mapping[BandRole, NDArray[np.float32]], visible: Sequence[BandRole]
) -> Mapping[BandRole, NDArray[np.float32]]:
    """The bands, a visible one where it is clipped as bright as the brightest of them."""
    tops = {role: bands[role].max() for role in visible}
    clipped = {role: bands[role] == tops[role] for role in visible if tops[role] >= _CLIPPED_FROM}
    clipped = {role: at for role, at in clipped.items() if np.count_nonzero(at) >= _CLIPPED_SHARE * at.size}
    if not clipped:
        return bands
    brightest = _brightest([bands[role] for role in visible])
    return {role: np.where(clipped[role], brightest, band) if role in clipped else band for role, band in bands.items()}


def _of_reflectance(
    bands: Mapping[BandRole, NDArray[np.float32]], visible: Sequence[BandRole], settings: CloudSettings
) -> BrightSurfaces:
    """The uint16 branch."""
    levels = [bands[role] for role in visible]
    brightness = sum(levels[1:], start=levels[0]) / np.float32(len(levels))
    spread = _brightest(levels) - _darkest(levels)
    snow, rock = _snow(bands, brightness, settings), _rock(bands, brightness, settings)

    def white(share: float) -> NDArray[np.bool_]:
        found = brightness >= share * settings.min_brightness
        found &= spread <= settings.max_colour * brightness
        if BandRole.BLUE in bands:
            blue, red = bands[BandRole.BLUE], bands[BandRole.RED]
            found &= blue >= settings.min_blue_over_red * red
            found &= blue - 0.5 * red >= share * settings.min_haze
        return np.asarray(found, dtype=np.bool_)

    hearts = white(1.0)
    cloud = _opened(hearts & ~snow & ~rock)
    if settings.rim_px and cloud.any():
        rim = white(settings.rim_limit) & ~snow & ~rock
        for _ in range(settings.rim_px):
            cloud |= _neighbourhood(cloud, np.logical_or, outside=False) & rim
    if BandRole.CIRRUS in bands:
        cloud |= _opened(bands[BandRole.CIRRUS] >= settings.min_cirrus)
    snow &= hearts & ~cloud
    ground = (brightness >= settings.min_brightness) & ~cloud & ~snow
    return BrightSurfaces(cloud=cloud, snow=snow, ground=ground, tells_snow=BandRole.SWIR16 in bands)


def _snow(
    bands: Mapping[BandRole, NDArray[np.float32]], brightness: NDArray[np.float32], settings: CloudSettings
) -> NDArray[np.bool_]:
    """Where a white pixel is rather snow, salt or foam: dark in SWIR, or in NIR."""
    if BandRole.SWIR16 in bands:
        green, swir = bands[BandRole.GREEN], bands[BandRole.SWIR16]
        snow = green - swir > settings.max_snow_index * (green + swir)
        least = settings.min_nir_over_visible
    else:
        snow = np.zeros(brightness.shape, dtype=np.bool_)
        least = settings.min_nir_over_visible_without_swir
    if BandRole.NIR in bands:
        snow |= bands[BandRole.NIR] < least * brightness
    return snow


def _rock(
    bands: Mapping[BandRole, NDArray[np.float32]], brightness: NDArray[np.float32], settings: CloudSettings
) -> NDArray[np.bool_]:
    """Where a white pixel is rather vegetation, rock, sand or a roof: bright in NIR, or brighter in SWIR."""
    if BandRole.NIR not in bands:
        return np.zeros(brightness.shape, dtype=np.bool_)
    nir = bands[BandRole.NIR]
    rock = nir > settings.max_nir_over_visible * brightness
    if BandRole.SWIR16 in bands:
        rock |= nir < settings.min_nir_over_swir * bands[BandRole.SWIR16]
    return np.asarray(rock, dtype=np.bool_)


def _of_picture(
    bands: Mapping[BandRole, NDArray[np.uint8]], visible: Sequence[BandRole], settings: CloudSettings
) -> BrightSurfaces:
    """The uint8 branch."""
    levels = [bands[role] for role in visible]
    darkest, brightest = _darkest(levels), _brightest(levels)
    white = (darkest >= settings.min_white_dn) & (brightest - darkest <= settings.max_colour_dn)
    snow = np.zeros(white.shape, dtype=np.bool_)
    if BandRole.SWIR16 in bands:
        green, swir = (bands[role].astype(np.float32) for role in (BandRole.GREEN, BandRole.SWIR16))
        snow |= green - swir > settings.max_snow_index * (green + swir)
    elif BandRole.NIR in bands:
        snow |= bands[BandRole.NIR] < settings.min_nir_over_white * darkest
    cloud = _opened(white & ~snow)
    snow &= white & ~cloud
    ground = (brightest >= settings.min_white_dn) & ~cloud & ~snow
    return BrightSurfaces(cloud=cloud, snow=snow, ground=ground, tells_snow=BandRole.SWIR16 in bands)


def _brightest(bands: Sequence[NDArray[Any]]) -> NDArray[Any]:
    brightest: NDArray[Any] = np.maximum.reduce(bands)
    return brightest


def _darkest(bands: Sequence[NDArray[Any]]) -> NDArray[Any]:
    darkest: NDArray[Any] = np.minimum.reduce(bands)
    return darkest


def _opened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Morphological opening with a 3 x 3 square; outside the image counts as cloud for the erosion only."""
    return _neighbourhood(_neighbourhood(mask, np.logical_and, outside=True), np.logical_or, outside=False)


def _neighbourhood(mask: NDArray[np.bool_], join: np.ufunc, *, outside: bool) -> NDArray[np.bool_]:
    """`join` over the 3 x 3 square around each pixel, rows first, then columns."""
    padded = np.pad(mask, 1, constant_values=outside)
    rows = join(join(padded[:-2], padded[1:-1]), padded[2:])
    return np.asarray(join(join(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:]), dtype=np.bool_)
