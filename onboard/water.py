"""Which pixels are water, and how far from land each pixel is: near infrared against green, and patches of land by their size.

Water takes up near infrared and reflects green (McFeeters 1996, doi:10.1080/01431169608948714: NDWI = (green - NIR) / (green + NIR),
water above 0). Two limits differ from that: glint, foam and haze add as much near infrared as green, so water may be a little
brighter in near infrared than in green; and bright roofs and cloud, which are as white, are kept out by a limit on near infrared
itself. Eight bits have no known scale, and only the ratio counts.

Known to be taken for water: shadow, fresh asphalt and dark roofs, in patches of a few pixels. Known to be missed: water under
thick haze, strong glint, foam, and floating plants.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from onboard.blobs import first_runs
from onboard.cloud import BandRole, CloudSettings, band_roles
from onboard.errors import WaterBandsError

MIN_LAND_PX: Final = 1000
"""Patches of fewer pixels are ships, not land: 400 m by 60 m is 240 pixels of 10 m, and files in web mercator have up to three times
as many."""
FARTHEST_PX: Final = 64
"""Distances are not told apart beyond this."""


class WaterSettings(BaseModel):
    """Limits of the water test. Reflectances are fractions of 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reflectance_gain: float = Field(default=1e-4, gt=0)
    """Reflectance per digital number of a uint16 scene."""
    reflectance_offset: float = 0.0
    """Reflectance of digital number 0."""
    band_roles: dict[str, BandRole] = Field(default_factory=dict)
    """Role by band name, for names that do not tell it; comes before what the name tells."""
    max_nir_over_green: float = Field(default=1.1, gt=0)
    """Water is at most this bright in near infrared, as a multiple of green."""
    max_nir: float = Field(default=0.16, gt=0)
    """Water is no brighter than this in near infrared, hazy or not; uint16 only."""
    margin: float = Field(default=0.002, ge=0)
    """Noise of near infrared over water so dark that ratios say nothing; uint16 only."""


def tells_water(band_names: tuple[str, ...], settings: WaterSettings | None = None) -> bool:
    """Whether these bands tell water from land: it takes green and near infrared."""
    roles = _roles(band_names, settings or WaterSettings())
    return BandRole.GREEN in roles and BandRole.NIR in roles


def water_mask(
    pixels: NDArray[Any], band_names: tuple[str, ...], settings: WaterSettings | None = None
) -> NDArray[np.bool_]:
    """Which of `pixels` (bands, height, width), uint8 or uint16, are water, as (height, width).

    Pixels without data, 0 in every band, count as water: nothing that floats is cut off from it, and no land begins there. Raises
    WaterBandsError where the bands cannot tell: colours alone show a green lawn as they show green water.
    """
    limits = settings or WaterSettings()
    roles = _roles(band_names, limits)
    if BandRole.GREEN not in roles or BandRole.NIR not in roles:
        raise WaterBandsError(
            f"bands {', '.join(band_names)} do not tell water from land: it takes green and near infrared "
            "(B03 and B08, or WaterSettings.band_roles for other names)",
            present=band_names,
        )
    green, nir = pixels[roles[BandRole.GREEN]], pixels[roles[BandRole.NIR]]
    ratio = np.float32(limits.max_nir_over_green)
    if pixels.dtype == np.uint8:
        return np.asarray(nir <= green * ratio, dtype=np.bool_)
    # Reflectance is gain * DN + offset on both sides of "nir <= ratio * green + margin": solved for the digital numbers.
    slack = (limits.margin + (limits.max_nir_over_green - 1) * limits.reflectance_offset) / limits.reflectance_gain
    water = nir <= green * ratio + np.float32(slack)
    water &= nir <= (limits.max_nir - limits.reflectance_offset) / limits.reflectance_gain
    return np.asarray(water, dtype=np.bool_)


def land_distance_px(
    water: NDArray[np.bool_], *, min_land_px: int = MIN_LAND_PX, farthest_px: int = FARTHEST_PX
) -> NDArray[np.float32]:
    """Distance of each pixel of `water` (height, width) to the nearest land, in pixels from centre to centre, (height, width).

    Land is what is not water in patches of at least `min_land_px` pixels that touch along edges; it is 0 from itself. Distances
    above `farthest_px`, and all of them where there is no land, are infinite. Exact otherwise.
    """
    land = patches_of(~water, min_px=min_land_px)
    squared = _column_distance(land, farthest_px) ** 2
    nearest = squared.copy()
    for step in range(1, min(farthest_px, water.shape[1] - 1) + 1):
        if step * step >= nearest.max(initial=0):
            break
        np.minimum(nearest[:, step:], squared[:, :-step] + step * step, out=nearest[:, step:])
        np.minimum(nearest[:, :-step], squared[:, step:] + step * step, out=nearest[:, :-step])
    nearest[nearest > farthest_px * farthest_px] = np.inf
    return np.sqrt(nearest, out=nearest)


def patches_of(mask: NDArray[np.bool_], *, min_px: int) -> NDArray[np.bool_]:
    """`mask` (height, width) without its patches of fewer than `min_px` pixels; pixels that touch along edges are one patch."""
    height, width = mask.shape
    stride = width + 1  # one False column ends every row's last run
    flat = np.zeros(height * stride + 1, dtype=np.int8)
    flat[1:].reshape(height, stride)[:, :width] = mask
    edges = np.diff(flat, append=np.int8(0))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    patch = first_runs(starts, ends, stride, diagonal=False)
    sizes = np.bincount(patch, weights=ends - starts, minlength=len(starts))
    small = sizes[patch] < min_px
    edges[starts[small]] = 0
    edges[ends[small]] = 0
    kept: NDArray[np.bool_] = np.cumsum(edges[:-1], dtype=np.int8).reshape(height, stride)[:, :width] > 0
    return kept


def _column_distance(land: NDArray[np.bool_], farthest_px: int) -> NDArray[np.float32]:
    """Distance of each pixel to the nearest land above or below it; more than `farthest_px` where there is none so near."""
    height = land.shape[0]
    rows = np.arange(height, dtype=np.float32)[:, np.newaxis]
    none = np.float32(height + farthest_px + 1)
    above = np.maximum.accumulate(np.where(land, rows, -none), axis=0)
    below = np.minimum.accumulate(np.where(land, rows, height + none)[::-1], axis=0)[::-1]
    distance: NDArray[np.float32] = np.minimum(np.minimum(rows - above, below - rows), np.float32(farthest_px + 1))
    return distance


def _roles(band_names: tuple[str, ...], settings: WaterSettings) -> Mapping[BandRole, int]:
    return band_roles(band_names, CloudSettings(band_roles=settings.band_roles))
