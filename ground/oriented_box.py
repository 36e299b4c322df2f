"""Length, width and heading of a box on the ground, from its corners in longitude and latitude (pure).

Measured on the ellipsoid and not in map units: web mercator stretches lengths by 1 / cos(latitude).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WGS84_SEMI_MAJOR_M: Final = 6_378_137.0
WGS84_ECCENTRICITY_SQUARED: Final = 6.694_379_990_14e-3

LonLat = tuple[float, float]
"""Longitude, latitude in degrees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrientedBox:
    """A rectangle on the ground."""

    centre: LonLat
    """Mean of the corners; longitude within -180 to 180."""
    length_m: float
    """Longer side."""
    width_m: float
    """Shorter side."""
    heading_deg: float
    """Direction of the longer side, clockwise from true north, 0 to below 180: a box does not tell bow from stern."""


def measure_box(corners: Sequence[LonLat]) -> OrientedBox:
    """Measure a box of a few kilometres at most, given by four corners in order around it."""
    lon0, lat0 = corners[0]
    east_north = [_east_north_m(corners[0], corner) for corner in corners]
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = east_north
    first = ((x1 - x0 + x2 - x3) / 2, (y1 - y0 + y2 - y3) / 2)
    second = ((x2 - x1 + x3 - x0) / 2, (y2 - y1 + y3 - y0) / 2)
    longer, shorter = (first, second) if math.hypot(*first) >= math.hypot(*second) else (second, first)
    lon = lon0 + sum(_longitude_step(lon0, corner[0]) for corner in corners) / 4
    lat = lat0 + sum(corner[1] - lat0 for corner in corners) / 4
    return OrientedBox(
        centre=(wrapped_longitude(lon), lat),
        length_m=math.hypot(*longer),
        width_m=math.hypot(*shorter),
        heading_deg=math.degrees(math.atan2(longer[0], longer[1])) % 180,
    )


def wrapped_longitude(lon: float) -> float:
    """The same meridian within -180 (included) to 180 (excluded); 180 itself stays."""
    return lon if lon == 180 else (lon + 180) % 360 - 180


def _longitude_step(start: float, end: float) -> float:
    """Degrees east from one meridian to another, the short way."""
    return (end - start + 180) % 360 - 180


def _east_north_m(origin: LonLat, point: LonLat) -> tuple[float, float]:
    """Metres east and north of a nearby origin, by the radii of curvature at the mean latitude.

    Snyder 1987, USGS PP 1395, eq. 4-18 to 4-21.
    """
    latitude = math.radians((origin[1] + point[1]) / 2)
    squash = 1 - WGS84_ECCENTRICITY_SQUARED * math.sin(latitude) ** 2
    meridional_m = WGS84_SEMI_MAJOR_M * (1 - WGS84_ECCENTRICITY_SQUARED) / squash**1.5
    transverse_m = WGS84_SEMI_MAJOR_M / math.sqrt(squash)
    east = math.radians(_longitude_step(origin[0], point[0])) * transverse_m * math.cos(latitude)
    return east, math.radians(point[1] - origin[1]) * meridional_m
