"""Which pixels are cloud: fixed thresholds on brightness, whiteness and, where the bands exist, NIR, SWIR and cirrus.

Two branches, by the type of a sample:

* uint16 is taken as reflectance through a gain and an offset (Sentinel-2: DN / 10000). The tests follow Fmask (Zhu and
  Woodcock 2012, doi:10.1016/j.rse.2011.10.028, section 3.1.1): whiteness eq. 2, haze-optimised transform eq. 3, the
  bright-rock ratio eq. 5, the snow index eq. 1; with stricter limits, since a lost tile costs more than a kept cloud.
* uint8 is a picture of unknown scale: only near-white counts.

Known to be taken for cloud: snow, salt and white sand where there is no SWIR band, and white roofs larger than three
samples on a side. Known to be missed: thin cloud, dark cloud, cirrus below the limit.
"""

from __future__ import annotations

from collections.abc import Mapping
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


class CloudSettings(BaseModel):
    """Limits of the cloud tests. Reflectances are fractions of 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reflectance_gain: float = Field(default=1e-4, gt=0)
    """Reflectance per digital number of a uint16 scene."""
    reflectance_offset: float = 0.0
    """Reflectance of digital number 0."""
    band_roles: dict[str, BandRole] = Field(default_factory=dict)
    """Role by band name, for names that do not tell it; comes before what the name tells."""
    min_brightness: float = 0.17
    """Cloud is at least this bright, as the mean reflectance of the visible bands."""
    max_colour: float = 0.40
    """Cloud is white: the spread of the visible bands over their mean is at most this."""
    min_haze: float = 0.08
    """Cloud is bluish: blue - 0.5 * red is at least this (haze-optimised transform)."""
    max_nir_over_red: float = 2.2
    """Cloud is no vegetation: NIR over red is at most this."""
    min_nir_over_visible: float = 0.85
    """Cloud is bright in NIR too, unlike foam, bright shallows and turbid water."""
    min_nir_over_swir: float = 0.75
    """Cloud is darker in SWIR than in NIR, unlike rock, sand and roofs."""
    max_snow_index: float = 0.55
    """Cloud is bright in SWIR, unlike snow: (green - swir) / (green + swir) is at most this."""
    min_cirrus: float = 0.03
    """High cloud: reflectance of the cirrus band is at least this, whatever the other bands say."""
    min_white_dn: int = Field(default=200, ge=1, le=255)
    """uint8: every visible band of a cloud is at least this."""
    max_colour_dn: int = Field(default=40, ge=0, le=255)
    """uint8: the visible bands of a cloud differ by at most this."""


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
    roles = band_roles(band_names, settings)
    visible = [roles[role] for role in (BandRole.BLUE, BandRole.GREEN, BandRole.RED) if role in roles]
    if len(visible) < 3 and not {BandRole.GREEN, BandRole.RED, BandRole.NIR} <= roles.keys():
        return None
    if pixels.dtype == np.uint8:
        return _opened(_white(pixels, visible, roles, settings))
    bands = {
        role: pixels[index].astype(np.float32) * np.float32(settings.reflectance_gain)
        + np.float32(settings.reflectance_offset)
        for role, index in roles.items()
    }
    return _opened(_reflective_cloud(bands, settings))


def _reflective_cloud(bands: Mapping[BandRole, NDArray[np.float32]], settings: CloudSettings) -> NDArray[np.bool_]:
    """The uint16 branch: every test whose bands exist must pass, or cirrus alone."""
    green, red = bands[BandRole.GREEN], bands[BandRole.RED]
    visible = np.stack([bands[role] for role in (BandRole.BLUE, BandRole.GREEN, BandRole.RED) if role in bands])
    brightness = visible.mean(axis=0)
    cloud = brightness >= settings.min_brightness
    cloud &= visible.max(axis=0) - visible.min(axis=0) <= settings.max_colour * brightness
    if BandRole.BLUE in bands:
        cloud &= bands[BandRole.BLUE] - 0.5 * red >= settings.min_haze
    if BandRole.NIR in bands:
        nir = bands[BandRole.NIR]
        cloud &= nir <= settings.max_nir_over_red * red
        cloud &= nir >= settings.min_nir_over_visible * brightness
        if BandRole.SWIR16 in bands:
            cloud &= nir >= settings.min_nir_over_swir * bands[BandRole.SWIR16]
    if BandRole.SWIR16 in bands:
        swir = bands[BandRole.SWIR16]
        cloud &= green - swir <= settings.max_snow_index * (green + swir)
    if BandRole.CIRRUS in bands:
        cloud |= bands[BandRole.CIRRUS] >= settings.min_cirrus
    return np.asarray(cloud, dtype=np.bool_)


def _white(
    pixels: NDArray[Any], visible: list[int], roles: Mapping[BandRole, int], settings: CloudSettings
) -> NDArray[np.bool_]:
    """The uint8 branch."""
    darkest, brightest = pixels[visible].min(axis=0), pixels[visible].max(axis=0)
    white = (darkest >= settings.min_white_dn) & (brightest - darkest <= settings.max_colour_dn)
    if BandRole.NIR in roles:
        white &= pixels[roles[BandRole.NIR]] >= settings.min_nir_over_visible * darkest
    return np.asarray(white, dtype=np.bool_)


def _opened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Morphological opening with a 3 x 3 square; outside the image counts as cloud for the erosion only."""
    return _neighbourhood(_neighbourhood(mask, np.logical_and, outside=True), np.logical_or, outside=False)


def _neighbourhood(mask: NDArray[np.bool_], join: np.ufunc, *, outside: bool) -> NDArray[np.bool_]:
    """`join` over the 3 x 3 square around each pixel, rows first, then columns."""
    padded = np.pad(mask, 1, constant_values=outside)
    rows = join(join(padded[:-2], padded[1:-1]), padded[2:])
    return np.asarray(join(join(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:]), dtype=np.bool_)
