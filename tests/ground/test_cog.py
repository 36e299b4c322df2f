from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rasterio.enums import ColorInterp, MaskFlags
from rio_cogeo import cog_validate

from downlink.image_layers import DecodedImage
from downlink.scene import Georeference, SceneSummary, Window
from ground.cog import write_cog
from ground.errors import CatalogueError
from ground.overviews import halved
from ground.reconstruction import reconstruct, tile_windows
from ground.working_raster import tagged_nodata

MakeSummary = Callable[..., SceneSummary]
MakeImage = Callable[..., DecodedImage]


def smooth_scene(bands: int, height: int, width: int, dtype: str) -> np.ndarray:
    """Asymmetric in every axis, full range of the type."""
    rows, cols = np.mgrid[0:height, 0:width]
    peak = np.iinfo(dtype).max
    return np.stack([(rows * (3 + band) + cols * 7 + 11 * band + 1) % peak for band in range(bands)]).astype(dtype)


def test_a_partly_received_scene_larger_than_a_block(
    tmp_path: Path, make_summary: MakeSummary, make_image: MakeImage
) -> None:
    summary = make_summary(height=1100, width=1300, tile_px=512)
    original = smooth_scene(4, 1100, 1300, "uint16") + np.uint16(1)
    valid = np.ones((1100, 1300), bool)
    valid[:, 100:300] = False
    original[:, ~valid] = 0
    blocks = list(tile_windows(summary))
    images = [make_image(original, window, valid=valid, lossless=True) for window in blocks[:4]]
    images.append(make_image(original, blocks[4], valid=valid, mse=400.0, off_by=20))
    rebuilt = reconstruct(summary, images)
    path = tmp_path / "scene.tif"
    statistics = write_cog(path, summary, rebuilt.windows())

    correct, errors, warnings = cog_validate(path, strict=True)
    assert correct, (errors, warnings)
    assert [entry.name for entry in tmp_path.iterdir()] == ["scene.tif"]
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read([1, 2, 3, 4]), rebuilt.pixels)
        np.testing.assert_array_equal(dataset.read(5), rebuilt.quality)
        for band in range(1, 6):
            assert dataset.mask_flag_enums[band - 1] == [MaskFlags.per_dataset]
            np.testing.assert_array_equal(dataset.read_masks(band) > 0, rebuilt.valid)
        assert dataset.descriptions == ("B02", "B03", "B04", "B08", "quality")
        assert dataset.dtypes == ("uint16",) * 5
        assert dataset.nodata == 0
        assert dataset.scales == (1, 1, 1, 1, 0.5) and dataset.units[4] == "dB"
        assert ColorInterp.alpha not in dataset.colorinterp
        assert dataset.crs.to_epsg() == 32617
        assert tuple(dataset.transform)[:6] == summary.georeference.transform
        assert dataset.compression.name == "deflate" and dataset.overviews(1) == [2, 4]
        assert dataset.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
        assert dataset.tags()["TIANSHU_SCENE"] == str(0x12345678)
        assert dataset.tags()["TIANSHU_CAPTURED"] == "2023-11-14T22:13:20.123Z"
        assert dataset.tags()["TIFFTAG_DATETIME"] == "2023:11:14 22:13:20"
        assert (dataset.tags()["TIANSHU_MODEL"], dataset.tags()["TIANSHU_POLICY"]) == ("ships@1", "ports")
        assert "255 = byte-exact" in dataset.tags(5)["MEANING"]
    assert statistics.missing_px == 1100 * 1300 - sum(block.height * block.width for block in blocks[:5])
    assert statistics.pixels == 1100 * 1300

    pixels, mask, quality = rebuilt.pixels, rebuilt.valid, rebuilt.quality
    for level in (0, 1):
        pixels, mask, quality = halved(pixels, mask, quality, fill=0, nodata=0)
        with rasterio.open(path, overview_level=level) as overview:
            np.testing.assert_array_equal(overview.read([1, 2, 3, 4]), pixels)
            np.testing.assert_array_equal(overview.read(5), quality)
            np.testing.assert_array_equal(overview.read_masks(1) > 0, mask)


@pytest.mark.parametrize("bands", [1, 3, 4, 13])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_all_lossless_is_the_original_array(
    tmp_path: Path, make_summary: MakeSummary, make_image: MakeImage, bands: int, dtype: str
) -> None:
    """Three 8-bit bands and the quality must not become red, green, blue and alpha."""
    names = tuple(f"band {number}" for number in range(bands))
    summary = make_summary(height=37, width=53, dtype=dtype, band_names=names, nodata=None)
    original = smooth_scene(bands, 37, 53, dtype)
    images = [make_image(original, window, lossless=True) for window in tile_windows(summary)]
    path = tmp_path / "scene.tif"
    statistics = write_cog(path, summary, reconstruct(summary, images).windows())
    assert statistics.byte_exact_fraction == 1
    assert cog_validate(path, strict=True)[0]
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read()[:-1], original)
        assert (dataset.read(dataset.count) == 255).all()
        assert dataset.dtypes == (dtype,) * (bands + 1)
        assert dataset.nodata is None
        assert ColorInterp.alpha not in dataset.colorinterp
        assert (dataset.read_masks(1) == 255).all()


@pytest.mark.parametrize(
    ("nodata", "dtype", "tagged"),
    [
        (0.0, "uint8", 0),
        (255.0, "uint8", None),
        (70.0, "uint16", None),
        (65_535.0, "uint16", 65_535),
        (-9999.0, "uint16", None),
        (None, "uint8", None),
    ],
)
def test_the_nodata_tag_never_strikes_out_quality_and_never_contradicts_the_mask(
    tmp_path: Path,
    make_summary: MakeSummary,
    make_image: MakeImage,
    nodata: float | None,
    dtype: str,
    tagged: int | None,
) -> None:
    summary = make_summary(height=33, width=20, dtype=dtype, nodata=nodata)
    assert tagged_nodata(summary) == tagged
    original = smooth_scene(4, 33, 20, dtype)
    window = Window(row=0, col=0, height=16, width=16)
    path = tmp_path / "scene.tif"
    write_cog(path, summary, reconstruct(summary, [make_image(original, window, mse=4.0)]).windows())
    with rasterio.open(path) as dataset:
        assert dataset.nodata == tagged
        valid = dataset.read_masks(1) > 0
        assert valid[:16, :16].all() and valid.sum() == 256
        if tagged is not None:
            np.testing.assert_array_equal((dataset.read(1) != tagged), valid)
        assert dataset.tags().get("TIANSHU_NODATA") == (None if nodata in (None, -9999.0) else str(int(nodata)))


@pytest.mark.parametrize("transform", [(1, 0, 0, 0, 1, 0), (3.0, 0.5, 7, -0.25, -2.0, 11)])
def test_a_scene_without_reference_system_keeps_its_grid(
    tmp_path: Path, make_summary: MakeSummary, transform: tuple[float, ...]
) -> None:
    summary = make_summary(
        height=600, width=20, tile_px=512, georeference=Georeference(crs_wkt=None, transform=transform)
    )
    path = tmp_path / "scene.tif"
    write_cog(path, summary, reconstruct(summary, []).windows())
    with rasterio.open(path) as dataset:
        assert dataset.crs is None
        assert tuple(dataset.transform)[:6] == transform
        assert not dataset.read_masks(1).any()
    assert cog_validate(path, strict=True)[0]


def test_writing_again_replaces_and_failing_keeps_the_old_file(
    tmp_path: Path, make_summary: MakeSummary, make_image: MakeImage
) -> None:
    summary = make_summary()
    original = smooth_scene(4, 40, 56, "uint16")
    path = tmp_path / "scene.tif"
    write_cog(path, summary, reconstruct(summary, []).windows())
    exact = reconstruct(summary, [make_image(original, window, lossless=True) for window in tile_windows(summary)])
    write_cog(path, summary, exact.windows())
    first = path.read_bytes()
    with pytest.raises(CatalogueError, match=r"1984 px.*2240") as refusal:
        write_cog(path, summary, list(exact.windows())[1:])
    assert refusal.value.path == path
    assert path.read_bytes() == first
    write_cog(path, summary, exact.windows())
    assert path.read_bytes() == first
    assert [entry.name for entry in tmp_path.iterdir()] == ["scene.tif"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, make_summary: MakeSummary) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CatalogueError, match="file"):
        write_cog(tmp_path / "file" / "scene.tif", make_summary(), reconstruct(make_summary(), []).windows())


@st.composite
def windows_to_halve(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = (draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    pixels = draw(arrays.arrays(np.uint16, (2, *shape)))
    quality = draw(arrays.arrays(np.uint8, shape, elements=st.sampled_from([0, 60, 90, 255])))
    valid = draw(arrays.arrays(np.bool_, shape)) & (quality > 0)
    return np.where(valid, pixels, 0).astype(np.uint16), valid, np.where(valid | (quality == 0), quality, 255)


@given(windows_to_halve())
def test_an_overview_pixel_is_the_mean_of_valid_pixels_and_no_better_than_the_worst(
    window: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    pixels, valid, quality = window
    reduced, reduced_valid, reduced_quality = halved(pixels, valid, quality.astype(np.uint8), fill=0, nodata=0)
    for row in range(reduced_valid.shape[0]):
        for col in range(reduced_valid.shape[1]):
            block = slice(2 * row, 2 * row + 2), slice(2 * col, 2 * col + 2)
            inside = valid[block]
            assert reduced_valid[row, col] == inside.any()
            if inside.any():
                mean = pixels[:, *block][:, inside].astype(np.float64).mean(axis=1)
                expected = np.maximum(np.floor(mean + 0.5), 1)  # 0 is nodata
                np.testing.assert_array_equal(reduced[:, row, col], expected)
                assert reduced_quality[row, col] == quality[block][inside].min()
            else:
                assert not reduced[:, row, col].any()
                assert reduced_quality[row, col] == quality[block].max()
