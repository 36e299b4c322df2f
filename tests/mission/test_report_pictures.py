"""Pictures of the report: one stretch for both sides, absent pixels transparent, quality in steps."""

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from downlink.scene import Window
from mission.errors import ReportError
from mission.report_pictures import (
    QUALITY_COLOURS,
    detail_limits,
    encoded,
    picture_pair,
    picture_shape,
    quality_picture,
    rgb_bands,
    stretch_limits,
    stretched,
)
from mission.report_rows import RunReport, SceneView

MakeRun = Callable[..., RunReport]


def decoded(uri: str) -> NDArray[np.uint8]:
    """(bands, height, width) of a data URI, read by GDAL."""
    with MemoryFile(base64.b64decode(uri.partition(",")[2])) as memory, memory.open() as dataset:
        pixels: NDArray[np.uint8] = dataset.read()
    return pixels


def view_of(make_run: MakeRun, **fields: object) -> SceneView:
    view = make_run().scenes[0]
    kept = {name: getattr(view, name) for name in SceneView.__dataclass_fields__}
    return SceneView(**{**kept, **fields})  # type: ignore[arg-type]


def test_pixels_that_never_came_are_transparent_and_others_look_alike(make_run: MakeRun) -> None:
    pair = picture_pair(view_of(make_run), longest_px=96, limit_bytes=10**6)
    assert pair.after_uri is not None
    before, after = decoded(pair.before_uri), decoded(pair.after_uri)
    assert before.shape == (3, 64, 96) and after.shape == (4, 64, 96)
    assert (after[3, :, :64] == 255).all() and (after[3, :, 64:] == 0).all()
    difference = np.abs(before[:, :, :60].astype(int) - after[:3, :, :60].astype(int))
    assert difference.mean() < 6, "WebP on white noise differs by about 4; unrelated noise by 80"


def test_pixels_without_data_in_the_original_are_plain_in_both(make_run: MakeRun, tmp_path: Path) -> None:
    view = view_of(make_run)
    with rasterio.open(view.original_path) as source:
        pixels, descriptions = source.read(), source.descriptions
    pixels[:, :, 80:] = 0
    path = tmp_path / "with_nodata.tif"
    with rasterio.open(path, "w", driver="GTiff", count=4, height=64, width=96, dtype="uint16", nodata=0) as target:
        target.write(pixels)
        target.descriptions = descriptions
    pair = picture_pair(view_of(make_run, original_path=path), longest_px=96, limit_bytes=10**6)
    assert pair.after_uri is not None
    after = decoded(pair.after_uri)
    assert (after[3, :, 80:] == 255).all() and (after[3, :, 64:80] == 0).all()
    for picture in (decoded(pair.before_uri), after[:3]):
        assert abs(float(picture[:3, :, 84:].mean()) - 128) < 6


def test_a_window_of_the_scene_is_shown_at_its_own_place(make_run: MakeRun) -> None:
    window = Window(row=16, col=40, height=32, width=48)
    pair = picture_pair(view_of(make_run), window=window, longest_px=48, limit_bytes=10**6)
    assert (pair.width_px, pair.height_px) == (48, 32) and pair.after_uri is not None
    assert (decoded(pair.after_uri)[3] == np.where(np.arange(48) < 24, 255, 0)).all()


def test_a_large_scene_is_read_in_few_pixels(tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, height=900, width=1800, dtype="uint8") as target:
        target.write(np.tile(np.arange(1800) // 8, (900, 1)).astype(np.uint8), 1)
    view = SceneView(scene=1, name="large", original_path=path, rebuilt_path=None, tile_px=512, tile_outcomes=())
    pair = picture_pair(view, longest_px=200, limit_bytes=10**6)
    assert (pair.width_px, pair.height_px, pair.after_uri) == (200, 100, None)
    ramp = decoded(pair.before_uri)[0].mean(axis=0)
    assert (np.diff(ramp[5:-5]) > -1).all() and ramp[-1] - ramp[0] > 200


def test_the_quality_map_counts_its_steps(make_run: MakeRun) -> None:
    quality = quality_picture(view_of(make_run), longest_px=96)
    assert quality is not None
    shares = dict(enumerate(quality.shares))
    assert shares == pytest.approx({0: 0, 1: 0, 2: 1 / 3, 3: 0, 4: 0, 5: 0, 6: 1 / 3})
    rgba = decoded(quality.uri)
    assert tuple(rgba[:3, 10, 10]) == QUALITY_COLOURS[6] and tuple(rgba[:3, 10, 40]) == QUALITY_COLOURS[2]
    assert rgba[3, 10, 80] == 0


def test_the_stretch_comes_from_valid_pixels_alone() -> None:
    samples = np.full((3, 20, 20), 500, dtype=np.float32) + np.arange(400, dtype=np.float32).reshape(20, 20)
    valid = np.ones((20, 20), dtype=bool)
    valid[:2] = False
    samples[:, :2] = 60_000
    limits = stretch_limits(samples, valid)
    assert (limits[:, 1] < 1000).all() and (limits[:, 0] > 539).all()
    shown = stretched(samples, limits)
    assert shown[:, 19, 19].min() == 255 and shown[:, 2, 0].max() == 0


def test_a_detail_of_open_water_is_not_stretched_to_its_noise() -> None:
    scene = np.array([[100, 3100], [100, 3100], [100, 3100]], dtype=np.float32)
    water = np.array([[200, 212], [220, 230], [300, 308]], dtype=np.float32)
    limits = detail_limits(water, scene)
    assert (limits[:, 0] == water[:, 0]).all()
    assert (limits[:, 1] - limits[:, 0]).tolist() == pytest.approx([1000, 1000, 1000])


@pytest.mark.parametrize(
    ("names", "count", "expected"),
    [
        (("B02", "B03", "B04", "B08"), 4, (3, 2, 1)),
        (("B03", "B04", "B05", "B08"), 4, (3, 2, 1)),
        (("B05", "B06", "B07", "B08"), 4, (1, 2, 3)),
        (("Blue", "Green", "Red"), 3, (3, 2, 1)),
        ((None, None), 2, (1, 1, 1)),
    ],
)
def test_bands_are_chosen_by_name(names: tuple[str | None, ...], count: int, expected: tuple[int, int, int]) -> None:
    assert rgb_bands(names, count) == expected


def test_a_picture_becomes_coarser_to_fit() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (3, 128, 128), dtype=np.uint8)
    assert len(encoded(noise, None, limit_bytes=12_000)) < len(encoded(noise, None, limit_bytes=10**6))


def test_a_picture_never_has_more_pixels_than_its_window() -> None:
    assert picture_shape(Window(row=0, col=0, height=30, width=20), 1000) == (30, 20)
    assert picture_shape(Window(row=0, col=0, height=1, width=5000), 100) == (1, 100)


def test_files_that_cannot_be_shown_are_named(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"gone\.tif"):
        picture_pair(view_of(make_run, original_path=tmp_path / "gone.tif"), longest_px=96, limit_bytes=10**6)
    with pytest.raises(ReportError, match="set rgb_bands"):
        picture_pair(view_of(make_run, rgb_bands=(9, 2, 1)), longest_px=96, limit_bytes=10**6)
    with pytest.raises(ReportError, match="no band named 'quality'"):
        quality_picture(view_of(make_run, rebuilt_path=view_of(make_run).original_path), longest_px=96)
