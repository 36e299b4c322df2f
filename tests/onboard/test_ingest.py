"""Scene files of every kind that opens or is refused, written here."""

import json
import re
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.shutil import copy as copy_raster
from rasterio.transform import Affine

from downlink.scene import Georeference, Window
from onboard.errors import SceneFileError, SceneFormatError, SceneGeoreferenceError, TileReadError
from onboard.ingest import SELF_CONTAINED_DRIVERS, IngestSettings, open_scene
from onboard.sensor_frame import SensorFrame
from onboard.tiles import tile_grid

UTM_31 = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def texture(bands: int, height: int, width: int, dtype: str = "uint16") -> NDArray[Any]:
    return np.random.default_rng(7).integers(1, 250, (bands, height, width)).astype(dtype)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes pixels (bands, height, width) to a file with whatever the test wants about it."""

    def write_file(
        pixels: NDArray[Any],
        *,
        name: str = "scene.tif",
        crs: str | None = "EPSG:32631",
        transform: Affine | None = UTM_31,
        descriptions: tuple[str | None, ...] = (),
        colours: tuple[ColorInterp, ...] = (),
        mask: NDArray[np.bool_] | None = None,
        tags: dict[str, str] | None = None,
        **profile: Any,
    ) -> Path:
        path = tmp_path / name
        bands, height, width = pixels.shape
        profile = {"driver": "GTiff", "transform": transform, **profile}
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(
                path, "w", width=width, height=height, count=bands, dtype=pixels.dtype, crs=crs, **profile
            ) as dataset,
        ):
            if colours:
                dataset.colorinterp = colours
            dataset.write(pixels)
            if descriptions:
                dataset.descriptions = descriptions
            if mask is not None:
                dataset.write_mask(mask)
            if tags:
                dataset.update_tags(**tags)
        return path

    return write_file


Write = Callable[..., Path]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("bands", [1, 3, 13])
def test_windows_put_together_are_the_file(write: Write, bands: int, dtype: str) -> None:
    pixels = texture(bands, 150, 170, dtype)
    with open_scene(write(pixels, tiled=True, blockxsize=64, blockysize=64)) as frame:
        assert (frame.name, frame.height, frame.width, frame.dtype) == ("scene", 150, 170, dtype)
        assert frame.notes == ()
        together = np.zeros_like(pixels)
        for tile in tile_grid(frame.height, frame.width, tile_px=100, halo_px=10):
            read = frame.read(tile.core, halo_px=10)
            assert read.shape == (bands, tile.core.height + 20, tile.core.width + 20)
            assert np.array_equal(read[:, 10:-10, 10:-10], frame.read(tile.core))
            together[(slice(None), *tile.core.slices)] = read[:, 10:-10, 10:-10]
            assert frame.valid(tile.core).all()
    assert np.array_equal(together, pixels)


def test_a_utm_scene_knows_where_it_lies(write: Write) -> None:
    with open_scene(write(texture(1, 100, 200), tags={"TIFFTAG_DATETIME": "2022:01:17 10:43:43"})) as frame:
        assert frame.georeference.transform == (10, 0, 500_000, 0, -10, 5_000_000)
        assert rasterio.crs.CRS.from_wkt(frame.georeference.crs_wkt).to_epsg() == 32631
        assert frame.gsd_m == pytest.approx(10 / 0.9996, rel=1e-4)  # UTM's scale on its central meridian
        assert frame.captured_ms == 1_642_416_223_000
        assert frame.footprint_lonlat is not None
        upper_left, upper_right, lower_right, lower_left = frame.footprint_lonlat
    assert upper_left == pytest.approx((3.0, 45.153478), abs=1e-5)
    assert upper_right[0] > upper_left[0] and lower_right[1] < upper_right[1] and lower_left[0] < lower_right[0]


@pytest.mark.parametrize(
    ("crs", "transform", "gsd_m"),
    [
        ("EPSG:4326", Affine(1e-4, 0, 5.0, 0, -1e-4, 60.005), (111_412.0 * 55_800.0) ** 0.5 * 1e-4),
        ("EPSG:3857", Affine(10, 0, 0, 0, -10, 8_399_738 + 500), 5.0),
        ("EPSG:4326", Affine(1e-4, 0, 179.995, 0, -1e-4, 0.005), (110_574.0 * 111_320.0) ** 0.5 * 1e-4),
    ],
    ids=["degrees at 60 N", "web mercator at 60 N", "across the antimeridian"],
)
def test_the_sampling_distance_is_measured_on_the_ground(
    write: Write, crs: str, transform: Affine, gsd_m: float
) -> None:
    with open_scene(write(texture(1, 100, 100), crs=crs, transform=transform)) as frame:
        assert frame.gsd_m == pytest.approx(gsd_m, rel=5e-3)


def control_points(affine: Affine, bend_px: float = 0.0) -> list[GroundControlPoint]:
    points = []
    for row in (0, 60, 120):
        for col in (0, 80, 160):
            bent = col + (bend_px if (row + col) % 3 else -bend_px)
            x, y = affine.a * bent + affine.b * row + affine.c, affine.d * bent + affine.e * row + affine.f
            points.append(GroundControlPoint(row=row, col=col, x=x, y=y))
    return points


def test_ground_control_points_become_an_affine(write: Write) -> None:
    affine = Affine(9, 2, 400_000, 1, -11, 4_900_000)
    path = write(texture(1, 121, 161), transform=None, gcps=control_points(affine, bend_px=0.5))
    with open_scene(path) as frame:
        assert frame.georeference.transform == pytest.approx(tuple(affine)[:6], rel=1e-2)
        (note,) = frame.notes
    assert re.search(r"9 ground control points: RMS 0\.\d\d px", note)


def test_ground_control_points_that_fit_no_affine_are_refused(write: Write) -> None:
    affine = Affine(9, 2, 400_000, 1, -11, 4_900_000)
    path = write(texture(1, 121, 161), transform=None, gcps=control_points(affine, bend_px=30))
    with pytest.raises(SceneGeoreferenceError, match="gdalwarp -tps") as caught:
        open_scene(path)
    assert caught.value.residual_px is not None and 5 < caught.value.residual_px < 31
    with open_scene(path, IngestSettings(gcp_limit_px=40)) as frame:
        assert frame.gsd_m is not None


def test_a_scene_without_crs_is_refused_unless_allowed(write: Write) -> None:
    path = write(texture(1, 20, 20), crs=None, transform=None)
    with pytest.raises(SceneGeoreferenceError, match=r"scene\.tif has no coordinate reference system.*gdal_edit"):
        open_scene(path)
    with open_scene(path, IngestSettings(allow_no_crs=True)) as frame:
        assert frame.georeference == Georeference(crs_wkt=None, transform=(1, 0, 0, 0, 1, 0))
        assert (frame.gsd_m, frame.footprint_lonlat) == (None, None)
        assert any("no coordinate reference system" in note for note in frame.notes)


@pytest.mark.parametrize(
    ("profile", "settings", "expected"),
    [
        ({"descriptions": ("B02", "B03", "B8A")}, IngestSettings(), ("B02", "B03", "B8A")),
        ({"descriptions": (None, "haze", None)}, IngestSettings(), ("B1", "haze", "B3")),
        ({"descriptions": ("x", "x", "y")}, IngestSettings(), ("B1", "B2", "B3")),
        ({"photometric": "RGB"}, IngestSettings(), ("red", "green", "blue")),
        ({}, IngestSettings(), ("B1", "B2", "B3")),
        ({"descriptions": ("a", "b", "c")}, IngestSettings(band_names=("blue", "green", "nir")), None),
    ],
)
def test_bands_have_names(
    write: Write, profile: dict[str, Any], settings: IngestSettings, expected: tuple[str, ...] | None
) -> None:
    with open_scene(write(texture(3, 20, 20), **{"photometric": "MINISBLACK", **profile}), settings) as frame:
        assert frame.band_names == (expected or settings.band_names)


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "a")])
def test_names_that_do_not_fit_the_bands_are_refused(write: Write, names: tuple[str, ...]) -> None:
    with pytest.raises(SceneFormatError, match=f"{len(names)} names.*3 bands"):
        open_scene(write(texture(3, 20, 20)), IngestSettings(band_names=names))


def test_alpha_is_validity_and_no_band(write: Write) -> None:
    pixels = texture(4, 30, 40)
    pixels[3] = 0
    pixels[3, 5:, 3:] = 65_535
    path = write(pixels, colours=(ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha))
    with open_scene(path) as frame:
        assert frame.band_names == ("red", "green", "blue")
        window = Window(row=2, col=1, height=10, width=20)
        assert np.array_equal(frame.read(window), pixels[:3, 2:12, 1:21])
        assert np.array_equal(frame.valid(window), pixels[3, 2:12, 1:21] > 0)


def test_an_internal_mask_is_validity(write: Write) -> None:
    mask = np.random.default_rng(3).random((30, 40)) > 0.3
    with open_scene(write(texture(2, 30, 40), mask=mask)) as frame:
        assert np.array_equal(frame.valid(Window(row=0, col=0, height=30, width=40)), mask)


def test_validity_from_nodata_is_that_of_gdal(write: Write) -> None:
    pixels = np.random.default_rng(5).integers(0, 3, (2, 30, 40)).astype("uint16")
    path = write(pixels, nodata=2)
    with open_scene(path) as frame, rasterio.open(path) as dataset:
        assert frame.nodata == 2
        valid = frame.valid(Window(row=0, col=0, height=30, width=40))
        assert np.array_equal(valid, dataset.dataset_mask() != 0)
        assert 0.5 < valid.mean() < 1


def write_vrt(path: Path, source: Path, sizes: tuple[int, int], bands: list[dict[str, str]]) -> Path:
    """A VRT over band 1 of `source`, once per entry of `bands` (dtype and nodata)."""
    height, width = sizes
    body = "".join(
        f'<VRTRasterBand dataType="{band["dtype"]}" band="{index}">'
        + (f"<NoDataValue>{band['nodata']}</NoDataValue>" if "nodata" in band else "")
        + f'<SimpleSource><SourceFilename relativeToVRT="1">{source.name}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for index, band in enumerate(bands, start=1)
    )
    transform = ", ".join(str(value) for value in UTM_31.to_gdal())
    path.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>EPSG:32631</SRS>'
        f"<GeoTransform>{transform}</GeoTransform>{body}</VRTDataset>"
    )
    return path


def test_bands_in_separate_files_come_stacked_by_a_vrt(write: Write, tmp_path: Path) -> None:
    pixels = texture(1, 30, 40)
    source = write(pixels)
    vrt = write_vrt(tmp_path / "stack.vrt", source, (30, 40), [{"dtype": "UInt16"}] * 2)
    with open_scene(vrt) as frame:
        assert np.array_equal(frame.read(Window(row=0, col=0, height=30, width=40)), np.concatenate([pixels] * 2))
    with pytest.raises(SceneFileError, match="gdalbuildvrt -separate"):
        open_scene(tmp_path)


def test_a_vrt_whose_bands_are_gone_is_refused(write: Write, tmp_path: Path) -> None:
    vrt = write_vrt(tmp_path / "stack.vrt", tmp_path / "gone.tif", (30, 40), [{"dtype": "UInt16"}])
    with pytest.raises(SceneFileError, match="no pixel of it reads"):
        open_scene(vrt)


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ([{"dtype": "Byte"}, {"dtype": "UInt16"}], "mixes sample types uint16, uint8"),
        ([{"dtype": "UInt16", "nodata": "0"}, {"dtype": "UInt16", "nodata": "9"}], "different nodata.*0.0, 9.0"),
        ([{"dtype": "UInt16", "nodata": "0"}, {"dtype": "UInt16"}], "different nodata.*0.0, None"),
    ],
)
def test_bands_that_disagree_are_refused(
    write: Write, tmp_path: Path, bands: list[dict[str, str]], message: str
) -> None:
    source = write(texture(1, 30, 40))
    with pytest.raises(SceneFormatError, match=message):
        open_scene(write_vrt(tmp_path / "mixed.vrt", source, (30, 40), bands))


@pytest.mark.parametrize(
    ("nodata", "notes"),
    [("0.5", ("nodata value 0.5 cannot occur in uint16 samples and is ignored",)), ("nan", ()), ("-9999", ())],
)
def test_nodata_that_no_sample_can_hold_is_dropped(
    write: Write, tmp_path: Path, nodata: str, notes: tuple[str, ...]
) -> None:
    source = write(texture(1, 30, 40))
    vrt = write_vrt(tmp_path / "odd.vrt", source, (30, 40), [{"dtype": "UInt16", "nodata": nodata}])
    with open_scene(vrt) as frame:
        assert frame.nodata is None
        assert frame.notes == notes  # NaN and values out of range GDAL drops by itself
        assert frame.valid(Window(row=0, col=0, height=30, width=40)).all()


@pytest.mark.parametrize("dtype", ["int16", "uint32", "int32", "float32", "float64", "complex64"])
def test_other_sample_types_are_refused_with_the_conversion(write: Write, dtype: str) -> None:
    with pytest.raises(SceneFormatError, match=f"type {dtype}.*gdal_translate -ot UInt16 -scale") as caught:
        open_scene(write(texture(1, 20, 20).astype(dtype)))
    assert (caught.value.found, caught.value.accepted) == (dtype, "uint8 or uint16")


def test_nan_nodata_of_a_float_file_is_refused_for_its_type(write: Write) -> None:
    with pytest.raises(SceneFormatError, match="type float32"):
        open_scene(write(np.full((1, 20, 20), np.nan, dtype="float32"), nodata=float("nan")))


def test_fourteen_bands_are_refused(write: Write) -> None:
    with pytest.raises(SceneFormatError, match=r"14 bands, at most 13.*gdal_translate -b"):
        open_scene(write(texture(14, 20, 20)))


def test_a_scene_of_nothing_but_nodata_opens(write: Write) -> None:
    with open_scene(write(np.zeros((2, 30, 40), dtype="uint16"), nodata=0)) as frame:
        assert not frame.valid(Window(row=0, col=0, height=30, width=40)).any()


def test_what_is_no_raster_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneFileError, match=r"no scene file at .*missing\.tif"):
        open_scene(tmp_path / "missing.tif")
    for name, content in (("empty.tif", b""), ("text.tif", b"hello"), ("half.json", json.dumps({"a": 1}).encode())):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SceneFileError, match=f"{len(content)} bytes"):
            open_scene(tmp_path / name)


@pytest.mark.parametrize("compress", ["none", "deflate", "jpeg"])
def test_a_truncated_file_gives_what_it_still_holds(write: Write, compress: str) -> None:
    pixels = texture(1, 512, 512, "uint8")
    path = write(pixels, tiled=True, blockxsize=128, blockysize=128, compress=compress)
    with open_scene(path) as frame:
        whole = frame.read(Window(row=0, col=0, height=512, width=512))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.6)])
    read, lost = [], []
    with open_scene(path) as frame:
        for tile in tile_grid(512, 512, tile_px=128, halo_px=8):
            try:
                assert np.array_equal(frame.read(tile.core, halo_px=8)[:, 8:-8, 8:-8], whole[:, *tile.core.slices])
                read.append(tile)
            except TileReadError as error:
                assert error.window == tile.core and error.scene == "scene"
                assert f"row {tile.core.row}, col {tile.core.col}" in str(error)
                lost.append(tile)
    assert len(read) >= 8 and len(lost) >= 5


def test_a_file_cut_in_its_header_or_before_its_pixels_is_refused(write: Write) -> None:
    path = write(texture(1, 256, 256), compress="deflate")
    data = path.read_bytes()
    for length in (6, 300, 600):
        path.write_bytes(data[:length])
        with pytest.raises(SceneFileError, match=r"scene\.tif"):
            open_scene(path)


def test_jpeg_2000_opens(write: Write) -> None:
    pixels = texture(3, 96, 80)
    path = write(pixels, name="scene.jp2", driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    with open_scene(path) as frame:
        assert np.array_equal(frame.read(Window(row=0, col=0, height=96, width=80)), pixels)


def test_a_scene_larger_than_memory_opens_and_reads_a_window(tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    size = 100_000
    profile = {"driver": "GTiff", "crs": "EPSG:32631", "transform": UTM_31, "dtype": "uint16", "count": 4}
    tiling = {"tiled": True, "blockxsize": 512, "blockysize": 512, "SPARSE_OK": True, "BIGTIFF": "YES"}
    with rasterio.open(path, "w", width=size, height=size, **profile, **tiling) as dataset:
        dataset.write(texture(4, 512, 512), window=((51_200, 51_712), (1_024, 1_536)))
    tracemalloc.start()
    with open_scene(path) as frame:
        read = frame.read(Window(row=51_200, col=1_024, height=512, width=512), halo_px=64)
        valid = frame.valid(Window(row=99_900, col=99_900, height=512, width=512))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(read[:, 64:-64, 64:-64], texture(4, 512, 512)) and valid.sum() == 100 * 100
    assert peak_bytes < 20 * 1024 * 1024  # the scene has 80 GB of samples


# ---- files that hold everything themselves

SELF_CONTAINED = IngestSettings(drivers=SELF_CONTAINED_DRIVERS)
VRT = """<VRTDataset rasterXSize="40" rasterYSize="32"><SRS>EPSG:32631</SRS><GeoTransform>5e5, 10, 0, 5e6, 0, -10</GeoTransform>
<VRTRasterBand dataType="UInt16" band="1"><SimpleSource><SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand>
</SimpleSource></VRTRasterBand></VRTDataset>"""


def test_a_vrt_under_another_name_opens_no_other_file(write: Callable[..., Path], tmp_path: Path) -> None:
    write(texture(1, 32, 40), name="secret.tif")
    disguised = tmp_path / "scene.tif"
    disguised.write_text(VRT.format(source=tmp_path / "secret.tif"))
    with open_scene(disguised) as frame:
        assert frame.read(Window(row=0, col=0, height=32, width=40)).any()
    with pytest.raises(SceneFileError, match=r"only GTiff and JP2OpenJPEG are taken here"):
        open_scene(disguised, SELF_CONTAINED)


@pytest.mark.parametrize(
    ("name", "driver"), [("scene.tif", "GTiff"), ("scene.tif", "COG"), ("scene.jp2", "JP2OpenJPEG")]
)
def test_files_that_hold_their_pixels_are_taken(write: Callable[..., Path], name: str, driver: str) -> None:
    pixels = texture(3, 32, 40)
    options = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    path = write(pixels, name=f"from_{name}")
    converted = path.with_name(name)
    with rasterio.open(path) as source:
        copy_raster(source, converted, driver=driver, **options)
    with open_scene(converted, SELF_CONTAINED) as frame:
        assert (frame.read(Window(row=0, col=0, height=32, width=40)) == pixels).all()


def test_what_lies_beside_such_a_file_stays_unread(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(texture(1, 32, 40), descriptions=("blue",))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.zeros((32, 40), dtype=bool))
    (tmp_path / "scene.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><Description>beside</Description></PAMRasterBand></PAMDataset>'
    )

    def read_mask(frame: SensorFrame) -> Any:
        return frame.source.read_mask(Window(row=0, col=0, height=32, width=40))

    with open_scene(path) as frame:
        assert frame.band_names == ("beside",) and not read_mask(frame).any()
    with open_scene(path, SELF_CONTAINED) as frame:
        assert frame.band_names == ("blue",) and read_mask(frame) is None


def read_by_threads(frame: SensorFrame, threads: int) -> list[NDArray[Any]]:
    """Every tile, all threads starting together."""
    grid = tile_grid(frame.height, frame.width, tile_px=64, halo_px=16)
    together = Barrier(threads)

    def work(part: int) -> list[tuple[int, NDArray[Any]]]:
        together.wait(timeout=30)
        mine = grid[part::threads]
        return [(tile.index, frame.read_around(tile.core, tile.padded)) for tile in mine]

    with ThreadPoolExecutor(max_workers=threads) as pool:
        read = [one for part in pool.map(work, range(threads)) for one in part]
    return [pixels for _, pixels in sorted(read, key=lambda one: one[0])]


@pytest.mark.parametrize(
    "profile",
    [
        {"tiled": True, "blockxsize": 64, "blockysize": 64},
        {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"},
        {"compress": "deflate", "blockysize": 5},
    ],
)
def test_threads_read_what_one_reads(write, profile):
    path = write(texture(3, 300, 400), **profile)
    with open_scene(path) as alone, open_scene(path) as shared:
        expected, seen = read_by_threads(alone, 1), read_by_threads(shared, 4)
    assert len(seen) == len(expected) == 35
    assert all(np.array_equal(one, other) for one, other in zip(seen, expected, strict=True))


def test_only_files_in_small_blocks_are_opened_by_every_thread(write):
    def opened_by_two(path: Path) -> int:
        with open_scene(path) as frame:
            waiting = Thread(target=lambda: frame.read(Window(row=0, col=0, height=8, width=8)))
            with frame.source._dataset():
                waiting.start()
                waiting.join(timeout=0.5)
                was_served, opened_now = not waiting.is_alive(), len(frame.source._all)
            waiting.join(timeout=30)
        assert was_served == (opened_now == 2)
        return opened_now

    assert opened_by_two(write(texture(1, 128, 128), tiled=True, blockxsize=64, blockysize=64)) == 2
    assert opened_by_two(write(texture(1, 40, 2000), name="strips.tif", blockysize=5)) == 1


def test_a_file_replaced_meanwhile_is_a_damaged_tile_and_not_another_scene(write):
    path = write(texture(1, 128, 128), tiled=True, blockxsize=64, blockysize=64)
    with open_scene(path) as frame, frame.source._dataset():
        path.unlink()
        write(texture(1, 64, 128), tiled=True, blockxsize=64, blockysize=64)
        with pytest.raises(TileReadError, match="replaced"):
            frame.read(Window(row=0, col=0, height=8, width=8))
