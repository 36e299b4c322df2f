"""The committed scenes: what every other part of the project relies on when it opens them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform as transform_coordinates

import sample_data
from sample_data.generate import HEIGHT_PX, SEED, WIDTH_PX, generate_scene
from sample_data.geotiff import scene_stem

FOLDER = Path(sample_data.__file__).parent
DATES = (0, 1)
BYTES_ALLOWED = 8_000_000


def scene_path(date: int) -> Path:
    return FOLDER / f"{scene_stem(date)}.tif"


def read_truth(date: int) -> list[dict[str, Any]]:
    collection = json.loads(scene_path(date).with_suffix(".geojson").read_text())
    assert collection["type"] == "FeatureCollection"
    features: list[dict[str, Any]] = collection["features"]
    return features


def read_image(date: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    with rasterio.open(scene_path(date)) as dataset:
        image: np.ndarray[Any, np.dtype[np.uint16]] = dataset.read()
    return image


@pytest.mark.parametrize("date", DATES)
def test_file_is_a_georeferenced_four_band_tiled_geotiff(date: int) -> None:
    with rasterio.open(scene_path(date)) as dataset:
        assert dataset.descriptions == ("B02", "B03", "B04", "B08")
        assert dataset.dtypes == ("uint16",) * 4
        assert (dataset.height, dataset.width) == (HEIGHT_PX, WIDTH_PX)
        assert dataset.crs.to_epsg() == 32630
        assert dataset.res == (10.0, 10.0)
        assert dataset.transform.e < 0, "north up"
        assert dataset.nodata == 0
        assert dataset.profile["tiled"] and dataset.compression.name == "deflate"
        assert dataset.tags()["SYNTHETIC"].startswith("yes")


def test_both_dates_share_one_grid() -> None:
    with rasterio.open(scene_path(0)) as first, rasterio.open(scene_path(1)) as second:
        assert first.transform == second.transform and first.crs == second.crs
        assert first.tags()["ACQUISITION_DATETIME"] < second.tags()["ACQUISITION_DATETIME"]


def test_only_the_second_date_has_nodata_and_it_is_one_corner_in_all_bands() -> None:
    assert (read_image(0) > 0).all()
    missing = read_image(1) == 0
    assert (missing == missing[0]).all()
    share = missing[0].mean()
    assert 0.01 < share < 0.10
    corners = [bool(missing[0, row, column]) for row in (0, -1) for column in (0, -1)]
    assert corners.count(True) == 1


@pytest.mark.parametrize("date", DATES)
def test_truth_lies_inside_the_scene_and_agrees_in_pixels_and_degrees(date: int) -> None:
    features = read_truth(date)
    image = read_image(date)
    assert len(features) >= 25
    with rasterio.open(scene_path(date)) as dataset:
        for feature in features:
            (ring,) = feature["geometry"]["coordinates"]
            assert len(ring) == 5 and ring[0] == ring[-1]
            corners = np.array(feature["properties"]["px"])
            assert (corners > 0).all() and (corners < (WIDTH_PX, HEIGHT_PX)).all()
            columns, rows = corners.astype(int).T
            assert (image[:, rows, columns] > 0).all(), "a ship of the truth lies outside the swath"
            easting, northing = transform_coordinates("OGC:CRS84", dataset.crs, *zip(*ring[:-1], strict=True))
            grid = dataset.transform
            column = (np.array(easting) - grid.c) / grid.a
            row = (np.array(northing) - grid.f) / grid.e
            np.testing.assert_allclose(np.stack([column, row], axis=1), corners, atol=2e-3)


@pytest.mark.parametrize("date", DATES)
def test_truth_rings_turn_counterclockwise_and_match_length_width_and_heading(date: int) -> None:
    for feature in read_truth(date):
        properties = feature["properties"]
        x, y = np.array(properties["px"]).T
        signed_area = 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
        assert signed_area < 0, "counterclockwise on a north-up map is clockwise with rows counted downwards"
        across = np.hypot(x[1] - x[0], y[1] - y[0])
        along = np.hypot(x[2] - x[1], y[2] - y[1])
        # The outline is 1.4 px larger than the hull on every side; pixels are 10 m.
        assert along == pytest.approx(properties["length_m"] / 10 + 2.8, abs=0.02)
        assert across == pytest.approx(properties["width_m"] / 10 + 2.8, abs=0.02)
        bow_x, bow_y = (x[0] + x[1] - x[2] - x[3]) / 2, (y[0] + y[1] - y[2] - y[3]) / 2
        heading_deg = np.rad2deg(np.arctan2(bow_x, -bow_y)) % 360
        off_deg = (heading_deg - properties["heading_deg"] + 180) % 360 - 180
        assert abs(off_deg) < 0.1


@pytest.mark.parametrize("date", DATES)
def test_truth_has_the_properties_and_the_variety_that_is_promised(date: int) -> None:
    properties = [feature["properties"] for feature in read_truth(date)]
    assert {p["class"] for p in properties} == {"ship"}
    assert {p["moored"] for p in properties} == {True, False}
    assert any(p["speed_mps"] > 0 for p in properties) and any(p["speed_mps"] == 0 for p in properties)
    assert min(p["length_m"] for p in properties) < 50 and max(p["length_m"] for p in properties) > 200
    for p in properties:
        assert p["obscured"] == (p["cloud_opacity"] >= 0.3)
        assert not (p["moored"] and p["speed_mps"] > 0)


def test_the_fleet_changes_between_the_dates_and_part_of_it_stays() -> None:
    centres = [
        np.array([np.mean(f["properties"]["px"], axis=0) for f in read_truth(date) if f["properties"]["moored"]])
        for date in DATES
    ]
    nearest_px = np.min(np.hypot(*np.moveaxis(centres[1][:, None] - centres[0][None], -1, 0)), axis=1)
    stayed = int((nearest_px < 1.0).sum())
    assert 0 < stayed < len(nearest_px)


@pytest.mark.parametrize("date", DATES)
def test_ships_of_the_truth_are_where_the_picture_shows_them(date: int) -> None:
    near_infrared = read_image(date)[3].astype(float)
    offsets_px, brighter = [], []
    for feature in read_truth(date):
        properties = feature["properties"]
        if properties["moored"] or properties["cloud_opacity"] > 0.01 or properties["length_m"] < 60:
            continue
        corners = np.array(properties["px"])
        x0, y0 = np.floor(corners.min(axis=0)).astype(int)
        x1, y1 = np.ceil(corners.max(axis=0)).astype(int)
        part = near_infrared[y0:y1, x0:x1]
        excess = np.maximum(part - np.percentile(part, 30), 0.0)
        brighter.append(excess.max() > 250.0)
        rows, columns = np.mgrid[y0:y1, x0:x1] + 0.5
        centre = np.array([(columns * excess).sum(), (rows * excess).sum()]) / excess.sum()
        # White superstructures draw the centre of brightness aft: look across the hull.
        across = (corners[1] - corners[0]) / np.hypot(*(corners[1] - corners[0]))
        offsets_px.append(abs(float((centre - corners.mean(axis=0)) @ across)))
    assert len(brighter) >= 8
    assert np.mean(brighter) > 0.9
    assert np.median(offsets_px) < 0.25


@pytest.mark.parametrize("date", DATES)
def test_committed_files_are_what_the_generator_paints(date: int) -> None:
    scene = generate_scene(SEED, date=date, height_px=HEIGHT_PX, width_px=WIDTH_PX)
    np.testing.assert_array_equal(scene.image, read_image(date))
    truth = read_truth(date)
    assert len(truth) == len(scene.ships)
    for feature, ship in zip(truth, scene.ships, strict=True):
        np.testing.assert_allclose(feature["properties"]["px"], ship.corners_px, atol=5e-4)


def test_the_folder_stays_small() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) <= BYTES_ALLOWED
    pictures = [path for path in files if path.suffix in (".png", ".jpg")]
    assert pictures and sum(path.stat().st_size for path in pictures) < 600_000
