"""Polygons on a globe as GeoJSON wants them (pure): counter-clockwise, rounded, cut where they cross the antimeridian.

A polygon that crosses longitude 180 becomes a MultiPolygon of one part on each side (RFC 7946, 3.1.9); its bounding
box then has its west edge at a greater longitude than its east edge (RFC 7946, 5.2). Neighbouring corners are taken to
be less than half a turn apart. Polygons around a pole are not handled: none of ours is larger than a scene.
"""

from collections.abc import Sequence
from typing import Any, Final

DECIMALS: Final = 7
"""Of a degree: about 1 cm."""

Position = tuple[float, float]
"""Longitude, latitude in degrees."""


def polygon_geometry(corners: Sequence[Position]) -> dict[str, Any]:
    """GeoJSON Polygon or MultiPolygon around corners given in order, in either sense, not closed."""
    parts = [_closed_ring(part) for part in _parts(corners)]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": [parts[0]]}
    return {"type": "MultiPolygon", "coordinates": [[part] for part in parts]}


def polygon_bbox(corners: Sequence[Position]) -> list[float]:
    """[west, south, east, north] in degrees; west > east where the polygon crosses the antimeridian."""
    parts = _parts(corners)
    west, east = min(lon for lon, _ in parts[0]), max(lon for lon, _ in parts[-1])
    latitudes = [lat for _, lat in corners]
    return [round(value, DECIMALS) for value in (west, min(latitudes), east, max(latitudes))]


def _parts(corners: Sequence[Position]) -> list[list[Position]]:
    """The polygon with all longitudes in -180 to 180: one part, or the western and the eastern side of the cut."""
    unrolled = _unrolled(corners)
    longest_east = max(lon for lon, _ in unrolled)
    if longest_east <= 180:
        return [unrolled]
    if min(lon for lon, _ in unrolled) >= 180:
        return [[(lon - 360, lat) for lon, lat in unrolled]]
    west = _clipped(unrolled, keep_west=True)
    east = [(lon - 360, lat) for lon, lat in _clipped(unrolled, keep_west=False)]
    return [west, east]


def _unrolled(corners: Sequence[Position]) -> list[Position]:
    """Corners with continuous longitudes, the westernmost within -180 to below 180."""
    lon, lat = corners[0]
    unrolled = [(lon, lat)]
    for next_lon, next_lat in corners[1:]:
        lon += (next_lon - lon + 180) % 360 - 180
        unrolled.append((lon, next_lat))
    westernmost = min(lon for lon, _ in unrolled)
    turn = (westernmost + 180) // 360 * 360
    return [(lon - turn, lat) for lon, lat in unrolled]


def _clipped(corners: Sequence[Position], *, keep_west: bool) -> list[Position]:
    """The side of a polygon west or east of longitude 180 (Sutherland and Hodgman 1974, one edge)."""
    kept: list[Position] = []
    for (lon0, lat0), (lon1, lat1) in zip([corners[-1], *corners[:-1]], corners, strict=True):
        if (lon0 - 180) * (lon1 - 180) < 0:
            kept.append((180.0, lat0 + (lat1 - lat0) * (180 - lon0) / (lon1 - lon0)))
        if lon1 <= 180 if keep_west else lon1 >= 180:
            kept.append((lon1, lat1))
    return kept


def _closed_ring(corners: Sequence[Position]) -> list[list[float]]:
    """Rounded, counter-clockwise (RFC 7946, 3.1.6), the first position repeated at the end."""
    lon0, lat0 = corners[0]
    neighbours = zip(corners, [*corners[1:], corners[0]], strict=True)
    doubled_area = sum((x0 - lon0) * (y1 - lat0) - (x1 - lon0) * (y0 - lat0) for (x0, y0), (x1, y1) in neighbours)
    ordered = list(corners) if doubled_area >= 0 else [corners[0], *reversed(corners[1:])]
    return [[round(lon, DECIMALS), round(lat, DECIMALS)] for lon, lat in [*ordered, ordered[0]]]
