import json

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="opencv comes with the train extra", exc_type=ImportError)

from onboard.rotated_boxes import corners_of, overlaps  # noqa: E402
from onboard.training import chip_sampler  # noqa: E402
from onboard.training.augmentation import is_calm, vary_radiometry  # noqa: E402
from onboard.training.chip_sampler import ChipSampler, boxes_of_corners, coast_points  # noqa: E402
from onboard.training.crossval import FOLDS  # noqa: E402
from onboard.training.labelled_scene import LabelledScene, read_generated_scene, read_labelled_scenes  # noqa: E402
from onboard.training.ship_cutouts import paste_ship  # noqa: E402

BANDS = ("B08", "B04", "B03")
SHIPS = np.array([[60, 70, 24, 8, 0.4], [200, 90, 30, 8, 1.7], [150, 240, 14, 6, -0.5]])


def scene(ships=SHIPS, size=300):
    """Calm dark water with bright ships exactly where the labels are."""
    pixels = np.full((size, size, 3), (130, 260, 480), np.float64)
    pixels += np.random.default_rng(1).normal(0, 8, pixels.shape)
    corners = corners_of(ships)
    for box in corners:
        inside = np.zeros((size, size), np.uint8)
        cv2.fillConvexPoly(inside, np.round((box - 0.5) * 256).astype(np.int32), 1, shift=8)
        pixels[inside == 1] = (2500, 2400, 2300)
    return LabelledScene(name="nowhere_2000-01-01", pixels=pixels.astype(np.uint16), ships_px=corners)


def test_boxes_of_corners_inverts_corners_of():
    rows = np.array([[50, 60, 20, 6, 0.3], [10, 20, 9, 8, 2.2], [5, 5, 30, 7, -0.78]])
    assert boxes_of_corners(corners_of(rows)) == pytest.approx(rows, abs=1e-4)
    assert boxes_of_corners(corners_of(rows)[:, ::-1]) == pytest.approx(rows, abs=1e-4)
    turned = boxes_of_corners(corners_of(np.array([[50, 60, 6, 20, 0.3]])))
    assert turned[0] == pytest.approx([50, 60, 20, 6, 0.3 + np.pi / 2], abs=1e-4)


def test_labels_follow_the_pixels_through_turns_zooms_flips_and_pastes():
    sampler = ChipSampler([scene()], bands=BANDS, chip_px=160, seed=5)
    inside_levels, outside_levels, seen = [], [], 0
    for _ in range(40):
        pixels, corners, _ = sampler.chip()
        near_infrared = pixels[0] ** 2
        mask, halo = (np.zeros(near_infrared.shape, np.uint8) for _ in range(2))
        for box in corners:
            centre = box.mean(axis=0)
            cv2.fillConvexPoly(mask, np.round(centre + (box - centre) * 0.6 - 0.5).astype(np.int32), 1)
            cv2.fillConvexPoly(halo, np.round(centre + (box - centre) * 1.6 - 0.5).astype(np.int32), 1)
        seen += len(corners)
        if mask.any():
            inside_levels.append(np.median(near_infrared[mask == 1]) / np.median(near_infrared[halo == 0]))
            outside_levels.append(np.percentile(near_infrared[halo == 0], 99) / np.median(near_infrared[halo == 0]))
    assert seen > 40
    assert np.percentile(inside_levels, 5) > 1.5
    assert np.median(inside_levels) > 3 * np.median(outside_levels)


def test_a_batch_is_what_the_network_takes():
    batch = ChipSampler([scene()], bands=BANDS, chip_px=96, seed=2).batch(5)
    assert batch.images.shape == (5, 3, 96, 96) and batch.images.dtype == np.float32
    assert batch.images.min() >= 0 and batch.images.max() <= 1
    assert batch.boxes.shape == (len(batch.chip_index), 5)
    assert (batch.boxes[:, 2] >= batch.boxes[:, 3]).all()
    assert (batch.boxes[:, 4] >= -np.pi / 4 - 1e-6).all() and (batch.boxes[:, 4] < 3 * np.pi / 4 + 1e-6).all()


def test_the_same_seed_draws_the_same_chips():
    first, second, other = (ChipSampler([scene()], bands=BANDS, chip_px=96, seed=s).batch(3) for s in (4, 4, 5))
    assert np.array_equal(first.images, second.images) and np.array_equal(first.boxes, second.boxes)
    assert not np.array_equal(first.images, other.images)


def test_a_scene_without_ships_gives_chips_without_boxes():
    empty = LabelledScene(name="sea", pixels=np.full((200, 200, 3), 300, np.uint16), ships_px=np.empty((0, 4, 2)))
    batch = ChipSampler([empty], bands=BANDS, chip_px=96, seed=0).batch(3)
    assert len(batch.boxes) == 0


def test_coast_is_where_water_meets_land():
    pixels = np.zeros((120, 240, 3), np.uint16)
    pixels[..., 0] = np.where(np.arange(240) < 120, 100, 3000)
    pixels[..., 2] = 900
    points = coast_points(pixels)
    assert len(points) and (np.abs(points[:, 0] - 120) < 16).all()


def test_a_ship_is_pasted_on_water_and_not_on_land():
    ship, mask = np.full((6, 10, 3), 800, np.float32), np.ones((6, 10), np.float32)
    water = np.full((40, 40, 3), (100, 200, 400), np.float32)
    assert is_calm(water) and paste_ship(water, ship, mask, 7, 9)
    assert water[7, 9].tolist() == [900, 1000, 1200] and water[6, 9].tolist() == [100, 200, 400]
    land = np.full((40, 40, 3), (3000, 900, 800), np.float32)
    before = land.copy()
    assert not paste_ship(land, ship, mask, 7, 9) and np.array_equal(land, before)


def test_radiometry_changes_levels_but_not_what_lies_above_the_dark_level_by_much():
    chip = scene().pixels.astype(np.float32)
    dark = np.array([120, 250, 470], np.float32)
    rng = np.random.default_rng(0)
    varied = [vary_radiometry(chip, dark, BANDS, rng=rng) for _ in range(12)]
    assert all(seen.shape == chip.shape and left.shape == (3,) for seen, left in varied)
    assert len({round(float(seen.mean()), 3) for seen, _ in varied}) == 12
    ship = chip[..., 0] > 2000
    contrast = [np.median((seen - left)[ship][:, 0]) - np.median((seen - left)[~ship][:, 0]) for seen, left in varied]
    assert min(contrast) > 500 and max(contrast) < 2 * (2500 - 130)


def test_haze_that_adds_to_everything_changes_no_chip(monkeypatch):
    monkeypatch.setattr(chip_sampler, "_MOORED_SHARE", 0.0)  # under so much haze no water is told, and no berth
    clear, hazy = scene(), scene()
    hazy = LabelledScene(name=hazy.name, pixels=hazy.pixels + np.uint16(700), ships_px=hazy.ships_px)
    first, second = (ChipSampler([one], bands=BANDS, chip_px=96, seed=3).batch(4) for one in (clear, hazy))
    assert np.abs(first.images - second.images).max() < 2e-3


def test_real_labels_lie_on_bright_pixels(shared_data):
    scenes = read_labelled_scenes(shared_data / "s2_ships", BANDS)
    assert len(scenes) == 10 and sum(len(s.ships_px) for s in scenes) == 257
    assert {s.port for s in scenes} == {port for fold in FOLDS for port in fold}
    santos = next(s for s in scenes if s.port == "santos")
    contrast = []
    for box in santos.ships_px:
        mask = np.zeros(santos.pixels.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, np.round(box - 0.5).astype(np.int32), 1)
        x, y = box.mean(axis=0).astype(int)
        around = santos.pixels[max(y - 40, 0) : y + 40, max(x - 40, 0) : x + 40, 0]
        contrast.append(np.median(santos.pixels[..., 0][mask == 1]) > np.percentile(around, 40))
    assert np.mean(contrast) > 0.9


def test_a_generated_scene_and_its_truth_are_read_in_one_frame(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    from rasterio.transform import from_origin
    from rasterio.warp import transform

    affine = from_origin(600_000, 4_200_000, 10, 10)
    pixels = np.arange(4 * 50 * 60, dtype=np.uint16).reshape(4, 50, 60)
    with rasterio.open(tmp_path / "made.tif", "w", driver="GTiff", width=60, height=50, count=4, dtype="uint16",
                       crs="EPSG:32630", transform=affine) as target:  # fmt: skip
        target.write(pixels)
        target.descriptions = ("B02", "B03", "B04", "B08")
    corners = corners_of(np.array([[30.5, 20.25, 18, 6, 0.6]]))[0]
    east, north = affine.c + affine.a * corners[:, 0], affine.f + affine.e * corners[:, 1]
    ring = [list(pair) for pair in zip(*transform("EPSG:32630", "EPSG:4326", east, north), strict=True)]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}}
    hidden = {**feature, "properties": {"obscured": True}}
    (tmp_path / "made.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [hidden, feature]}))
    read = read_generated_scene(tmp_path / "made.tif", tmp_path / "made.geojson", BANDS)
    assert np.array_equal(read.pixels.transpose(2, 0, 1), pixels[[3, 2, 1]])
    assert len(read.ships_px) == 1
    assert overlaps(read.ships_px, corners[None])[0][0] > 0.999
