"""How many metres of ground one pixel covers."""

from __future__ import annotations

import math
from typing import Final

WGS84_SEMI_MAJOR_M: Final = 6_378_137.0
WGS84_ECCENTRICITY_SQUARED: Final = 6.694_379_990_14e-3


def ground_distance_m(start: tuple[float, float], end: tuple[float, float]) -> float:
    """Metres between two near points (longitude, latitude in degrees) on the WGS 84 ellipsoid.

    Uses the meridional and transverse radii of curvature at the mean latitude (Snyder 1987, USGS PP 1395, eq. 4-18 to
    4-21): exact to about 1e-6 within a kilometre, and right across the antimeridian.
    """
    latitude = math.radians((start[1] + end[1]) / 2)
    east = math.radians((end[0] - start[0] + 180) % 360 - 180)
    north = math.radians(end[1] - start[1])
    squash = 1 - WGS84_ECCENTRICITY_SQUARED * math.sin(latitude) ** 2
    meridional_m = WGS84_SEMI_MAJOR_M * (1 - WGS84_ECCENTRICITY_SQUARED) / squash**1.5
    transverse_m = WGS84_SEMI_MAJOR_M / math.sqrt(squash)
    return math.hypot(east * transverse_m * math.cos(latitude), north * meridional_m)


def ground_sampling_distance_m(
    centre: tuple[float, float], right: tuple[float, float], below: tuple[float, float]
) -> float | None:
    """Geometric mean of the pixel's two edges on the ground, in metres.

    Takes (longitude, latitude) of the scene's centre, of the point one pixel right of it and of the one below it.
    Measured on the ground and not in map units: web mercator and geographic systems stretch with latitude. None when
    the three do not span an area (a scene without a usable georeference).
    """
    if not all(math.isfinite(value) for point in (centre, right, below) for value in point):
        return None
    area_m2 = ground_distance_m(centre, right) * ground_distance_m(centre, below)
    return math.sqrt(area_m2) if area_m2 > 0 else None
