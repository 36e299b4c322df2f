"""Truth in longitude and latitude lands on the pixels it was made from, and labels name the same boxes."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.warp import transform as warp_points

from downlink.scene import Georeference
from mission.truth import matched, read_truth

TRANSFORM = (10.0, 0.0, 500_120.0, 0.0, -10.0, 4_999_880.0)
FRAME = SimpleNamespace(
    height=400,
    width=800,
    georeference=Georeference(crs_wkt=CRS.from_epsg(32630).to_wkt(), transform=TRANSFORM),
)
BOXES = np.array(
    [
        [(100.5, 50.25), (130.0, 60.0), (126.0, 72.0), (96.5, 62.25)],
        [(700.0, 380.0), (712.0, 380.0), (712.0, 384.0), (700.0, 384.0)],
    ]
)


def geojson(tmp_path, closed):
    features = []
    for number, box in enumerate(BOXES):
        eastings, northings = TRANSFORM[2] + 10 * box[:, 0], TRANSFORM[5] - 10 * box[:, 1]
        lons, lats = warp_points("EPSG:32630", "EPSG:4326", eastings, northings)
        ring = [list(point) for point in zip(lons, lats, strict=True)]
        properties = {"class": ("tanker", "tug")[number]}
        geometry = {"type": "Polygon", "coordinates": [ring + ring[:1] if closed else ring]}
        features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    path = tmp_path / "truth.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.mark.parametrize("closed", [True, False])
def test_polygons_in_degrees_come_back_to_the_pixels_they_were_drawn_on(tmp_path, closed):
    truth = read_truth(geojson(tmp_path, closed), FRAME, ("ship",))
    assert truth.class_names == ("tanker", "tug")
    assert np.allclose(truth.corners_px, BOXES, atol=1e-3)


def test_labels_are_shares_of_width_and_height(tmp_path):
    path = tmp_path / "truth.txt"
    path.write_text("".join(f"{n} {' '.join(map(str, (box / (800, 400)).ravel()))}\n" for n, box in enumerate(BOXES)))
    truth = read_truth(path, FRAME, ("ship",))
    assert truth.class_names == ("ship", "class 1")
    assert np.allclose(truth.corners_px, BOXES, atol=1e-9)


def test_an_empty_file_says_that_nothing_was_there(tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "empty.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    for name in ("empty.txt", "empty.geojson"):
        truth = read_truth(tmp_path / name, FRAME, ("ship",))
        assert (truth.corners_px.shape, truth.class_names) == ((0, 4, 2), ())
        hits, found = matched(BOXES, np.array([0.9, 0.8]), truth)
        assert (hits.tolist(), found.tolist()) == ([False, False], [])


def test_of_two_detections_of_one_object_the_more_certain_is_the_hit(tmp_path):
    truth = read_truth(geojson(tmp_path, True), FRAME, ())
    detections = np.concatenate([BOXES[:1] + 1, BOXES[:1], BOXES[:1] + 200])
    hits, found = matched(detections, np.array([0.6, 0.9, 0.99]), truth)
    assert (hits.tolist(), found.tolist()) == ([False, True, False], [True, False])
