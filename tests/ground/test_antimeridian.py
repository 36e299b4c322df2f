import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import affinity

from ground.antimeridian import polygon_bbox, polygon_geometry


def test_a_polygon_is_closed_counter_clockwise_and_rounded() -> None:
    clockwise = [(10.0, 50.0), (10.0, 50.2), (10.123456789, 50.2), (10.123456789, 50.0)]
    assert polygon_geometry(clockwise) == {
        "type": "Polygon",
        "coordinates": [[[10.0, 50.0], [10.1234568, 50.0], [10.1234568, 50.2], [10.0, 50.2], [10.0, 50.0]]],
    }
    assert polygon_geometry(clockwise) == polygon_geometry([clockwise[0], *clockwise[:0:-1]])
    assert polygon_bbox(clockwise) == [10.0, 50.0, 10.1234568, 50.2]


def test_a_polygon_across_the_antimeridian_is_cut_in_two() -> None:
    corners = [(179.5, -17.0), (-179.0, -17.0), (-179.0, -16.0), (179.5, -16.0)]
    assert polygon_geometry(corners) == {
        "type": "MultiPolygon",
        "coordinates": [
            [[[179.5, -17.0], [180.0, -17.0], [180.0, -16.0], [179.5, -16.0], [179.5, -17.0]]],
            [[[-180.0, -17.0], [-179.0, -17.0], [-179.0, -16.0], [-180.0, -16.0], [-180.0, -17.0]]],
        ],
    }
    assert polygon_bbox(corners) == [179.5, -17.0, -179.0, -16.0]


@pytest.mark.parametrize("east", [180.0, -180.0])
def test_a_polygon_that_only_touches_the_antimeridian_stays_whole(east: float) -> None:
    corners = [(179.0, 0.0), (east, 0.0), (east, 1.0), (179.0, 1.0)]
    assert polygon_geometry(corners)["type"] == "Polygon"
    assert polygon_bbox(corners) == [179.0, 0.0, 180.0, 1.0]
    west = [(east, 0.0), (-179.0, 0.0), (-179.0, 1.0), (east, 1.0)]
    assert polygon_geometry(west)["type"] == "Polygon"
    assert polygon_bbox(west) == [-180.0, 0.0, -179.0, 1.0]


@given(st.floats(-179.99, 180), st.floats(-60, 60), st.floats(0.01, 5), st.floats(0.01, 5), st.floats(0, 360))
def test_any_box_keeps_its_area_inside_the_globe(
    lon: float, lat: float, width: float, height: float, turn: float
) -> None:
    """Oracle: shapely."""
    box = affinity.rotate(shapely.box(lon - width, lat - height, lon + width, lat + height), turn)
    corners = [((x + 180) % 360 - 180, y) for x, y in box.exterior.coords[:-1]]
    found = shapely.geometry.shape(polygon_geometry(corners))
    assert found.is_valid
    assert found.area == pytest.approx(box.area, rel=1e-3)
    west, south, east, north = found.bounds
    assert west >= -180 and east <= 180
    for part in shapely.get_parts(found):
        assert part.exterior.is_ccw
    bbox = polygon_bbox(corners)
    assert bbox[1::2] == pytest.approx([south, north])
    assert (bbox[2] - bbox[0]) % 360 == pytest.approx(box.bounds[2] - box.bounds[0], abs=1e-6)
