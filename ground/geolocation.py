"""From pixels of a scene to longitude and latitude (edge: rasterio's coordinate transformation)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform

from downlink.scene import Georeference
from ground.errors import GeolocationError
from ground.raster_errors import RASTER_ERRORS
from ground.stac import Projection

LONGITUDE_LATITUDE: Final = "OGC:CRS84"
"""WGS 84 in the axis order of GeoJSON (RFC 7946, 4)."""

Points = NDArray[np.float64]
"""(n, 2) of x, y."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geolocator:
    """Places pixels of one scene on Earth."""

    crs: CRS
    """Coordinate reference system of the scene's map coordinates."""
    affine: tuple[float, float, float, float, float, float]
    """(a, b, c, d, e, f): x_map = a*col + b*row + c, y_map = d*col + e*row + f."""

    @classmethod
    def of(cls, georeference: Georeference) -> "Geolocator | None":
        """A locator, or None for a scene without a coordinate reference system.

        Raises GeolocationError for a system that cannot be read, or an affine that maps the scene to a line.
        """
        crs = read_crs(georeference)
        if crs is None:
            return None
        a, b, _, d, e, _ = georeference.transform
        if a * e - b * d == 0:
            raise GeolocationError(
                f"transform {georeference.transform} maps all pixels to one line: the scene's georeference is damaged",
                crs_wkt=georeference.crs_wkt,
            )
        return cls(crs=crs, affine=georeference.transform)

    def lonlat(self, points_px: Sequence[tuple[float, float]] | Points) -> Points:
        """Longitude and latitude in degrees, (n, 2), of points (x = column, y = row).

        Points outside the domain of the projection are NaN; so are all in a system with no way to WGS 84 (a local grid).
        """
        points = np.asarray(points_px, dtype=np.float64).reshape(-1, 2)
        a, b, c, d, e, f = self.affine
        x_map = a * points[:, 0] + b * points[:, 1] + c
        y_map = d * points[:, 0] + e * points[:, 1] + f
        if not len(points):
            return points
        try:
            placed = self._transformed(x_map, y_map)
        except RASTER_ERRORS:
            # One point outside the domain fails all.
            placed = np.vstack([self._transformed_point(x, y) for x, y in zip(x_map, y_map, strict=True)])
        placed[~np.isfinite(placed).all(axis=1)] = np.nan
        return placed

    def _transformed(self, x_map: Points, y_map: Points) -> Points:
        lon, lat = transform(self.crs, CRS.from_user_input(LONGITUDE_LATITUDE), x_map, y_map)
        return np.column_stack([lon, lat])

    def _transformed_point(self, x_map: float, y_map: float) -> Points:
        try:
            return self._transformed(np.array([x_map]), np.array([y_map]))
        except RASTER_ERRORS:
            return np.full((1, 2), np.nan)


def read_crs(georeference: Georeference) -> CRS | None:
    """The coordinate reference system of a scene, or None when it has none. Raises GeolocationError for damaged text."""
    if georeference.crs_wkt is None:
        return None
    try:
        return CRS.from_wkt(georeference.crs_wkt)
    except CRSError as error:
        raise GeolocationError(
            f"coordinate reference system {georeference.crs_wkt[:80]!r}... cannot be read: {error}; "
            "it must be well-known text (OGC 18-010)",
            crs_wkt=georeference.crs_wkt,
        ) from error


def projection_of(georeference: Georeference) -> Projection | None:
    """Authority code and WKT2 of a scene's reference system, None without one. Raises GeolocationError for damaged text."""
    crs = read_crs(georeference)
    if crs is None:
        return None
    authority = crs.to_authority()
    return Projection(code=":".join(authority) if authority else None, wkt2=crs.to_wkt(version="WKT2_2019"))
