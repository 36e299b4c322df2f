from collections.abc import Callable

import numpy as np
import pyproj
import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.scene import Georeference, SceneSummary
from ground.errors import GeolocationError
from ground.geolocation import Geolocator, projection_of
from ground.oriented_box import measure_box

MakeSummary = Callable[..., SceneSummary]


@pytest.mark.parametrize(
    ("epsg", "transform"),
    [
        (32617, (10, 0, 500_000, 0, -10, 4_000_000)),
        (3857, (9.5, 0.25, -8_000_000, 0.5, -11, 5_000_000)),
        (4326, (1e-4, 0, 12.5, 0, -1e-4, 47.25)),
        (2056, (2, 0, 2_600_000, 0, -2, 1_200_000)),
    ],
)
def test_pixels_to_longitude_and_latitude_agree_with_pyproj(epsg: int, transform: tuple[float, ...]) -> None:
    georeference = Georeference(crs_wkt=pyproj.CRS.from_epsg(epsg).to_wkt("WKT1_GDAL"), transform=transform)
    locator = Geolocator.of(georeference)
    assert locator is not None
    points = [(0.0, 0.0), (17.5, 3.25), (1000.0, 250.0)]
    a, b, c, d, e, f = transform
    oracle = pyproj.Transformer.from_crs(epsg, "OGC:CRS84", always_xy=True)
    expected = [oracle.transform(a * x + b * y + c, d * x + e * y + f) for x, y in points]
    np.testing.assert_allclose(locator.lonlat(points), expected, atol=2e-7)


def test_no_reference_system_no_locator_and_outside_the_projection_no_place() -> None:
    assert Geolocator.of(Georeference(crs_wkt=None, transform=(10, 0, 0, 0, -10, 0))) is None
    wkt = pyproj.CRS.from_epsg(32617).to_wkt("WKT1_GDAL")
    locator = Geolocator.of(Georeference(crs_wkt=wkt, transform=(1, 0, 500_000, 0, -1, 4_000_000)))
    assert locator is not None
    placed = locator.lonlat([(0, 0), (1e9, -1e9)])
    assert np.isfinite(placed[0]).all() and np.isnan(placed[1]).all()
    assert locator.lonlat([]).shape == (0, 2)
    grid = (
        'ENGCRS["factory floor",EDATUM["corner"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
    )
    local = Geolocator.of(Georeference(crs_wkt=grid, transform=(1, 0, 0, 0, -1, 0)))
    assert local is not None and np.isnan(local.lonlat([(0, 0), (1, 1)])).all()


def test_damaged_georeferences_are_refused() -> None:
    with pytest.raises(GeolocationError, match="PROJCS"):
        Geolocator.of(Georeference(crs_wkt='PROJCS["cut', transform=(1, 0, 0, 0, 1, 0)))
    wkt = pyproj.CRS.from_epsg(32617).to_wkt("WKT1_GDAL")
    with pytest.raises(GeolocationError, match="one line"):
        Geolocator.of(Georeference(crs_wkt=wkt, transform=(1, 2, 0, 2, 4, 0)))


def test_projection_names(make_summary: MakeSummary) -> None:
    projection = projection_of(make_summary().georeference)
    assert projection is not None and projection.code == "EPSG:32617"
    assert projection.wkt2.startswith("PROJCRS[")
    own = pyproj.CRS.from_proj4("+proj=laea +lat_0=12 +lon_0=34 +units=m").to_wkt("WKT1_GDAL")
    nameless = projection_of(Georeference(crs_wkt=own, transform=(1, 0, 0, 0, 1, 0)))
    assert nameless is not None and nameless.code is None
    assert projection_of(Georeference(crs_wkt=None, transform=(1, 0, 0, 0, 1, 0))) is None


@given(
    st.floats(-180, 180),
    st.floats(-70, 70),
    st.floats(0, 179.9),
    st.floats(30, 400),
    st.floats(0.1, 0.9),
    st.integers(0, 3),
    st.booleans(),
)
def test_boxes_are_measured_as_on_the_ellipsoid(
    lon: float, lat: float, heading: float, length: float, shape: float, start: int, reverse: bool
) -> None:
    """Oracle: PROJ's geodesics lay the box out."""
    geod, width = pyproj.Geod(ellps="WGS84"), length * shape
    bow = geod.fwd(lon, lat, heading, length / 2)[:2]
    stern = geod.fwd(lon, lat, heading + 180, length / 2)[:2]
    ends = ((bow, 90), (bow, -90), (stern, -90), (stern, 90))
    corners = [geod.fwd(*end, heading + side, width / 2)[:2] for end, side in ends]
    corners = corners[start:] + corners[:start]
    box = measure_box(corners[::-1] if reverse else corners)
    assert box.length_m == pytest.approx(length, rel=1e-3)
    assert box.width_m == pytest.approx(width, rel=1e-3)
    assert abs((box.heading_deg - heading + 90) % 180 - 90) < 0.1
    assert 0 <= box.heading_deg < 180
    assert geod.inv(*box.centre, lon, lat)[2] < 0.01
    assert -180 <= box.centre[0] <= 180
