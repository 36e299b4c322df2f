"""What happens to the real files of the shared data: each one opens, or is refused with a reason."""

from pathlib import Path

import numpy as np
import pytest

from downlink.scene import SceneSummary, TileOutcome
from onboard.errors import IngestError, SceneFormatError, SceneGeoreferenceError, TileReadError
from onboard.ingest import IngestSettings, open_scene
from onboard.tiles import tile_grid

OPENS = {
    "rasterio_tests/RGB.byte.tif": (("red", "green", "blue"), 0.6746),
    "rasterio_tests/RGBA.uint16.tif": (("blue", "green", "red"), 0.4886),
    "rasterio_tests/all-nodata.tif": (("blue", "green", "red", "nir"), 0.0),
    "rio_tiler_fixtures/cog_dateline.tif": (("B1",), 1.0),
    "rio_tiler_fixtures/cog_gcps.tif": (("B1",), 1.0),
    "rio_tiler_fixtures/cog_nodata.tif": (("B1",), 0.5183),
    "rio_tiler_fixtures/cog_rgb_mask.tif": (("red", "green", "blue"), 0.9692),
    "naip_va_1m_bands/NAIP-VA-b1.tiff": (("B1",), 1.0),
    "s2_l1c_jp2_19UDP_clouds/B02.jp2": (("B1",), 1.0),
    "s2_l2a_cog_29RKH/B02.tif": (("B1",), 1.0),
    "spacenet_worldview/pan1.tif": (("B1",), 1.0),
}
"""Band names and share of valid pixels."""

REFUSED = {
    "rasterio_tests/float_nan.tif": "float32",
    "rio_tiler_fixtures/cog_int16.tif": "int16",
    "rio_tiler_fixtures/cog_nodata_nan.tif": "float32",
    "rio_tiler_fixtures/cog_scale.tif": "int16",
    "rio_tiler_fixtures/cog_tags.tif": "int16",
    "spacenet_worldview/ms1.tif": "float64",
}


@pytest.mark.parametrize("name", OPENS)
def test_readable_samples_open(shared_data: Path, name: str) -> None:
    names, valid_share = OPENS[name]
    with open_scene(shared_data / "georef_samples" / name) as frame:
        valid = sum(int(frame.valid(tile.core).sum()) for tile in tile_grid(frame.height, frame.width))
        assert frame.band_names == names
        assert valid / (frame.height * frame.width) == pytest.approx(valid_share, abs=1e-3)
        assert frame.gsd_m is not None and frame.footprint_lonlat is not None


@pytest.mark.parametrize("name", REFUSED)
def test_other_samples_are_refused_for_their_type(shared_data: Path, name: str) -> None:
    with pytest.raises(SceneFormatError, match=f"samples of type {REFUSED[name]}"):
        open_scene(shared_data / "georef_samples" / name)


def test_a_corrupt_block_costs_one_tile(shared_data: Path) -> None:
    outcomes = []
    with open_scene(shared_data / "georef_samples" / "rasterio_tests" / "corrupt.tif") as frame:
        for tile in tile_grid(frame.height, frame.width):
            try:
                frame.read(tile.core, halo_px=64)
                outcomes.append("read")
            except TileReadError as error:
                assert "row 512, col 512" in str(error)
                outcomes.append("lost")
    assert outcomes == ["read", "read", "read", "lost"]


def test_ground_control_points_of_sentinel_1_fit_within_two_pixels(shared_data: Path) -> None:
    with open_scene(shared_data / "georef_samples" / "rio_tiler_fixtures" / "cog_gcps.tif") as frame:
        assert frame.notes == ("affine fitted to 210 ground control points: RMS 1.41 px, 2.79 at most",)
        assert frame.captured_ms == 1_531_721_183_000
    with pytest.raises(SceneGeoreferenceError):
        open_scene(
            shared_data / "georef_samples" / "rio_tiler_fixtures" / "cog_gcps.tif", IngestSettings(gcp_limit_px=1)
        )


def test_a_footprint_may_cross_the_antimeridian(shared_data: Path) -> None:
    with open_scene(shared_data / "georef_samples" / "rio_tiler_fixtures" / "cog_dateline.tif") as frame:
        assert frame.footprint_lonlat is not None
        longitudes = [longitude for longitude, _ in frame.footprint_lonlat]
        assert min(longitudes) < -170 and max(longitudes) > 170
        assert frame.gsd_m == pytest.approx(100, rel=1e-2)


def test_every_ship_scene_opens_and_summarises(shared_data: Path) -> None:
    paths = sorted((shared_data / "s2_ships" / "images").glob("*.tif"))
    assert len(paths) == 10
    for path in paths:
        with open_scene(path) as frame:
            assert frame.dtype == "uint16" and frame.notes == () and frame.captured_ms is not None
            assert frame.band_names[-1] == "B08" and 5 < (frame.gsd_m or 0) < 10
            tiles = tile_grid(frame.height, frame.width)
            assert np.ptp(frame.read(tiles[-1].padded)) > 0
            summary = SceneSummary(
                scene=1,
                name=frame.name,
                captured_ms=frame.captured_ms,
                height=frame.height,
                width=frame.width,
                dtype=frame.dtype,
                band_names=frame.band_names,
                nodata=frame.nodata,
                georeference=frame.georeference,
                peak_dn=10_000,
                tile_outcomes=(TileOutcome.KEPT,) * len(tiles),
                gsd_m=frame.gsd_m,
                footprint_lonlat=frame.footprint_lonlat,
                model=None,
                classes=(),
                policy="test",
            )
            assert summary.tile_rows * summary.tile_cols == len(tiles)


def test_nothing_in_the_shared_data_ends_in_another_error(shared_data: Path) -> None:
    opened = refused = 0
    for path in sorted(shared_data.rglob("*")):
        if path.suffix.lower() in {".tif", ".tiff", ".jp2"}:
            try:
                open_scene(path).close()
                opened += 1
            except IngestError as error:
                assert path.name in str(error)
                refused += 1
    assert opened > 80 and refused < 20
