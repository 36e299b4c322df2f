import json
from collections.abc import Callable

import numpy as np
import pytest
import shapely

from downlink.alerts import AlertDetection
from downlink.scene import SceneSummary, Window
from ground.geojson import BoxQuality, DeliveredDetection, detection_collection, window_around
from ground.geolocation import Geolocator

MakeSummary = Callable[..., SceneSummary]


def delivered(x: float = 20.0, y: float = 12.0, class_id: int = 0) -> DeliveredDetection:
    """A box of 8 x 2 px along the columns: on the ground it points east."""
    return DeliveredDetection(
        detection=AlertDetection(
            class_id=class_id,
            confidence=0.123456,
            corners_px=((x, y), (x + 8, y), (x + 8, y + 2), (x, y + 2)),
        ),
        received_ms=1_700_000_060_623,
    )


def test_a_detection_as_a_feature(make_summary: MakeSummary) -> None:
    summary = make_summary()
    locator = Geolocator.of(summary.georeference)
    assert locator is not None
    collection = detection_collection(
        summary, [delivered()], locate=locator.lonlat, qualities=[BoxQuality(arrived_fraction=1.0, code=77)]
    )
    (feature,) = json.loads(json.dumps(collection, allow_nan=False))["features"]
    polygon = shapely.geometry.shape(feature["geometry"])
    assert polygon.is_valid and polygon.exterior.is_ccw
    corners = shapely.Polygon(locator.lonlat(delivered().detection.corners_px))
    assert shapely.hausdorff_distance(polygon, corners) < 1e-7
    properties = feature["properties"]
    assert properties["class"] == "ship" and properties["confidence"] == 0.1235
    assert properties["corners_px"] == [[20, 12], [28, 12], [28, 14], [20, 14]]
    assert properties["centre_px"] == [24, 13]
    # 10 m pixels of UTM on its central meridian, where the map is 0.9996 of the ground.
    assert properties["length_m"] == pytest.approx(80 / 0.9996, abs=0.05)
    assert properties["width_m"] == pytest.approx(20 / 0.9996, abs=0.05)
    assert properties["heading_deg"] == pytest.approx(90, abs=0.1)
    assert properties["centre"] == pytest.approx(locator.lonlat([(24, 13)])[0].tolist(), abs=1e-7)
    assert properties["captured"] == "2023-11-14T22:13:20.123Z"
    assert properties["received"] == "2023-11-14T22:14:20.623Z"
    assert properties["latency_s"] == 60.5
    assert (properties["scene"], properties["scene_name"], properties["model"]) == (0x12345678, "harbour", "ships@1")
    assert (properties["quality_code"], properties["psnr_db"], properties["byte_exact"]) == (77, 38.5, False)


def test_without_a_reference_system_there_is_no_geometry(make_summary: MakeSummary) -> None:
    quality = BoxQuality(arrived_fraction=1.0, code=255)
    collection = detection_collection(make_summary(), [delivered()], locate=None, qualities=[quality])
    (feature,) = collection["features"]
    assert feature["geometry"] is None
    assert feature["properties"]["centre"] is None and feature["properties"]["length_m"] is None
    assert feature["properties"]["centre_px"] == [24, 13]
    assert feature["properties"]["byte_exact"] is True and feature["properties"]["psnr_db"] is None
    nowhere = detection_collection(
        make_summary(), [delivered()], locate=lambda points: np.full((len(points), 2), np.nan), qualities=[quality]
    )
    assert nowhere["features"][0]["geometry"] is None


def test_one_quality_for_each_detection_and_classes_by_name(make_summary: MakeSummary) -> None:
    nothing = BoxQuality(arrived_fraction=0.0, code=0)
    collection = detection_collection(
        make_summary(), [delivered(class_id=3), delivered()], locate=None, qualities=[nothing, nothing]
    )
    assert [feature["properties"]["class"] for feature in collection["features"]] == ["class 3", "ship"]
    assert [feature["id"] for feature in collection["features"]] == ["305419896-0", "305419896-1"]
    with pytest.raises(ValueError):
        detection_collection(make_summary(), [delivered()], locate=None, qualities=[])


def test_the_quality_of_a_box_is_the_lowest_that_came() -> None:
    assert BoxQuality.of(np.array([[0, 90], [60, 255]], np.uint8)) == BoxQuality(arrived_fraction=0.75, code=60)
    assert BoxQuality.of(np.zeros((2, 2), np.uint8)) == BoxQuality(arrived_fraction=0.0, code=0)
    assert BoxQuality.of(np.full((3, 1), 255, np.uint8)) == BoxQuality(arrived_fraction=1.0, code=255)


def test_the_rectangle_around_a_box_is_cut_at_the_scene(make_summary: MakeSummary) -> None:
    summary = make_summary(height=40, width=56)
    assert window_around(summary, delivered(20.5, 12).detection) == Window(row=12, col=20, height=2, width=9)
    assert window_around(summary, delivered(-4, 39).detection) == Window(row=39, col=0, height=1, width=4)
    assert window_around(summary, delivered(56, 0).detection) is None
