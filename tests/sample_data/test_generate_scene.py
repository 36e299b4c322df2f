"""The generator: determinism, and the physics that a scene must show."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sample_data import atmosphere, sensor
from sample_data.canvas import Canvas
from sample_data.generate import GeneratedScene, generate_scene
from sample_data.noise import cell_hash, fractal_noise, stream
from sample_data.shapes import Box, box_distance, coverage

HEIGHT_PX, WIDTH_PX = 200, 168
GOLDEN_SEED = 3
GOLDEN_SHA256 = "407925e056b80c60"
"""First digits for seed 3, date 0, 200 x 168 px; the same with numpy 1.26 and 2.x, with and without AVX-512 and AVX2."""


@pytest.fixture(scope="module")
def scene() -> GeneratedScene:
    return generate_scene(GOLDEN_SEED, date=0, height_px=HEIGHT_PX, width_px=WIDTH_PX)


def test_the_same_arguments_give_the_same_pixels_and_truth(scene: GeneratedScene) -> None:
    again = generate_scene(GOLDEN_SEED, date=0, height_px=HEIGHT_PX, width_px=WIDTH_PX)
    np.testing.assert_array_equal(scene.image, again.image)
    assert scene.ships == again.ships
    assert hashlib.sha256(scene.image.tobytes()).hexdigest().startswith(GOLDEN_SHA256)


def test_shapes_types_and_masks_agree(scene: GeneratedScene) -> None:
    assert scene.image.shape == (4, HEIGHT_PX, WIDTH_PX) and scene.image.dtype == np.uint16
    for mask in (scene.land, scene.cloud, scene.valid):
        assert mask.shape == (HEIGHT_PX, WIDTH_PX) and mask.dtype == np.bool_
    clear = scene.valid & ~scene.cloud
    near_infrared = scene.image[3]
    assert np.median(near_infrared[clear & scene.land]) > 3 * np.median(near_infrared[clear & ~scene.land])


def test_another_seed_is_another_place(scene: GeneratedScene) -> None:
    other = generate_scene(GOLDEN_SEED + 1, date=0, height_px=HEIGHT_PX, width_px=WIDTH_PX)
    assert (other.land != scene.land).mean() > 0.1


def test_another_date_is_the_same_place_with_changes(scene: GeneratedScene) -> None:
    later = generate_scene(GOLDEN_SEED, date=1, height_px=HEIGHT_PX, width_px=WIDTH_PX)
    assert (later.land != scene.land).mean() < 0.03
    assert not later.valid.all() and scene.valid.all()
    assert (later.image[:, ~later.valid] == 0).all() and (later.image[:, later.valid] > 0).all()
    assert later.ships != scene.ships


@pytest.mark.parametrize(("arguments", "message"), [((0, 63, 200), "64 x 64"), ((-1, 200, 200), "date -1")])
def test_impossible_scenes_are_refused(arguments: tuple[int, int, int], message: str) -> None:
    date, height_px, width_px = arguments
    with pytest.raises(ValueError, match=message):
        generate_scene(1, date=date, height_px=height_px, width_px=width_px)


def test_the_generator_needs_no_raster_library() -> None:
    code = "import sys, sample_data.generate; sys.exit('rasterio' in sys.modules or 'scipy' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def _offset_of_best_match(first: np.ndarray, second: np.ndarray) -> tuple[int, int]:
    """Rows and columns by which the second layer is the first one displaced (peak of their correlation)."""
    spectrum = np.conj(np.fft.fft2(first - first.mean())) * np.fft.fft2(second - second.mean())
    row, column = np.unravel_index(np.argmax(np.fft.ifft2(spectrum).real), first.shape)
    rows, columns = first.shape
    return (int(row) + rows // 2) % rows - rows // 2, (int(column) + columns // 2) % columns - columns // 2


def test_cloud_shadows_lie_away_from_the_sun_by_the_clouds_height() -> None:
    canvas = Canvas(height_px=500, width_px=420)
    sky = atmosphere.Sky(
        sun_azimuth_rad=float(np.deg2rad(150.0)),
        sun_zenith_rad=float(np.deg2rad(45.0)),
        sun_gain=1.0,
        haze_dn=50.0,
        cloud_cover=0.10,
        cloud_height_m=600.0,
    )
    clouds = atmosphere.build_clouds(5, 0, canvas=canvas, sky=sky)
    rows, columns = _offset_of_best_match(clouds.opacity[0], clouds.shadow)
    # 600 m high and the sun at 45 degrees: 60 px, 2 cells each, towards azimuth 330 (up and to the left).
    assert rows == pytest.approx(-120 * np.cos(np.deg2rad(30.0)), abs=3)
    assert columns == pytest.approx(-120 * np.sin(np.deg2rad(30.0)), abs=3)
    assert float((clouds.opacity[0] > 0.15).mean()) == pytest.approx(0.10, abs=0.03)


def test_the_sensor_displaces_the_picture_by_the_shift_it_reports() -> None:
    canvas = Canvas(height_px=96, width_px=80)
    camera = sensor.Sensor(
        shift_x_px=0.3, shift_y_px=-0.4, blur_px=0.6, read_noise_dn=0.0, shot_noise_dn=0.0, pattern_noise_dn=0.0
    )
    target = Box(x=41.7, y=50.2, length_px=9.0, width_px=3.0, angle_rad=0.4)
    layer = 1000.0 * coverage(box_distance(target, *canvas.grid()))
    image = sensor.expose(1, 1, canvas=canvas, sensor=camera, scene=np.broadcast_to(layer, (4, *layer.shape)))
    rows, columns = np.mgrid[:96, :80] + 0.5
    weight = image[2] / image[2].sum()
    assert (columns * weight).sum() == pytest.approx(42.0, abs=0.02)
    assert (rows * weight).sum() == pytest.approx(49.8, abs=0.02)
    # Blur moves light, it does not make or lose any: the box has 27 square pixels.
    assert image[0].sum() == pytest.approx(27_000.0, rel=0.01)


@pytest.mark.parametrize("octaves", [1, 4])
def test_noise_has_unit_variance_whatever_its_octaves(octaves: int) -> None:
    positions = np.arange(1200) / 2.0
    fields = [
        fractal_noise(stream(seed, "test"), positions, positions, spacing_px=11.0, octaves=octaves) for seed in (1, 2)
    ]
    assert np.mean([field.std() for field in fields]) == pytest.approx(1.0, abs=0.06)
    assert abs(np.mean(fields)) < 0.1


def test_cell_hash_is_uniform_and_does_not_see_the_grid() -> None:
    column, row = np.meshgrid(np.arange(-300, 300), np.arange(-200, 200))
    values = cell_hash(column, row, 9)
    assert values.min() >= 0.0 and values.max() < 1.0
    counts, _ = np.histogram(values, bins=20, range=(0.0, 1.0))
    # Twenty bins of 12000 expected, standard deviation about 107.
    assert np.abs(counts - values.size / 20).max() < 550
    assert abs(np.corrcoef(values[:, 1:].ravel(), values[:, :-1].ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(values[1:].ravel(), values[:-1].ravel())[0, 1]) < 0.01
