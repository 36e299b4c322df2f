"""`tianshu export`: the rebuilt scene in ordinary formats, one image's codestream, and what is refused."""

import imagecodecs
import numpy as np
import pytest
import rasterio

from downlink.image_encoding import encode_image
from downlink.journal import FileJournal
from downlink.products import FIRST_BLOCK, FIRST_CHIP, LayerAddress
from downlink.record import Record, RecordKind
from downlink.scene import Georeference, SceneSummary, TileOutcome, Window, encode_summary
from ground.reconstruction import reconstruct
from ground.scene_layers import SceneLayers
from ground.store import LayerStore
from mission import cli

HEIGHT, WIDTH, TILE_PX = 90, 121, 64
SUMMARY = SceneSummary(
    scene=7,
    name="harbour",
    captured_ms=1_700_000_000_123,
    acquired_ms=None,
    height=HEIGHT,
    width=WIDTH,
    dtype="uint16",
    band_names=("B02", "B03", "B04"),
    nodata=None,
    georeference=Georeference(
        crs_wkt=rasterio.crs.CRS.from_epsg(32617).to_wkt(), transform=(10, 0, 500_000, 0, -10, 4_000_000)
    ),
    peak_dn=10_000,
    tile_px=TILE_PX,
    tile_outcomes=(TileOutcome.KEPT,) * 4,
    gsd_m=10.0,
    footprint_lonlat=None,
    model=None,
    classes=("ship",),
    policy="ports",
)


def scene_pixels():
    noise = np.random.default_rng(2)
    rows, cols = np.mgrid[0:HEIGHT, 0:WIDTH]
    common = 9 * rows + 4 * cols + noise.normal(0, 30, (HEIGHT, WIDTH))
    return np.stack([200 + 90 * band + common + noise.normal(0, 4, common.shape) for band in range(3)]).astype(
        np.uint16
    )


def layer(product, step, payload):
    return Record(kind=RecordKind.LAYER, address=LayerAddress(scene=7, product=product, step=step), payload=payload)


@pytest.fixture
def folder(tmp_path):
    """A run's folder whose ground has: the summary, two blocks of four, one whole and one of one step, and a chip."""
    pixels = scene_pixels()
    windows = {
        FIRST_BLOCK: Window(row=0, col=0, height=64, width=64),
        FIRST_BLOCK + 3: Window(row=64, col=64, height=HEIGHT - 64, width=WIDTH - 64),
        FIRST_CHIP: Window(row=20, col=70, height=30, width=25),
    }
    records = [layer(0, 0, encode_summary(SUMMARY))]
    for (product, window), steps in zip(windows.items(), (3, 1, 2), strict=True):
        image = encode_image(
            pixels[:, *window.slices],
            window,
            valid=np.ones((window.height, window.width), bool),
            quality_percent=(2.0, 8.0, 100.0),
            levels=3,
            nodata=None,
        )
        records += [layer(product, step, payload) for step, payload in enumerate(image.payloads[:steps])]
    (tmp_path / "ground").mkdir()
    with FileJournal(tmp_path / "ground" / "layers.journal") as journal:
        LayerStore(journal).add(records)
    return tmp_path


def rebuilt(folder):
    with FileJournal(folder / "ground" / "layers.journal") as journal:
        layers = SceneLayers.of(LayerStore(journal), 7)
        return reconstruct(SUMMARY, [image.decode() for image in layers.images(SUMMARY)])


@pytest.fixture
def tianshu(folder, capsys):
    """Run `tianshu export`; gives (exit code, lines of standard output, standard error)."""

    def command(*options, folder=folder):
        code = cli.main(["export", str(folder), *options])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return command


def test_the_rebuilt_scene_is_written_as_jp2_and_as_geotiff(folder, tianshu):
    journal = (folder / "ground" / "layers.journal").read_bytes()
    expected = rebuilt(folder)
    code, lines, _ = tianshu("--scene", "7")
    path = folder / "export" / "scene-7.jp2"
    assert code == 0 and lines[0] == str(path)
    assert lines[1] == "58.1 % of the pixels arrived, 37.6 % are as on board to the last bit"
    assert lines[2] == "masked pixels hold 0; which they are says scene-7.jp2.msk"
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), expected.pixels)
        np.testing.assert_array_equal(dataset.dataset_mask() > 0, expected.valid)
        assert dataset.crs.to_epsg() == 32617
    decoded = imagecodecs.jpeg2k_decode(path.read_bytes(), planar=True)
    np.testing.assert_array_equal(decoded, expected.pixels)

    code, lines, _ = tianshu("--scene", "7", "--format", "cog", "--to", str(folder / "own.tif"))
    assert code == 0 and lines[0] == str(folder / "own.tif")
    with rasterio.open(folder / "own.tif") as dataset:
        np.testing.assert_array_equal(dataset.read([1, 2, 3]), expected.pixels)
        np.testing.assert_array_equal(dataset.read(4), expected.quality)
    assert (folder / "ground" / "layers.journal").read_bytes() == journal


def test_the_codestream_of_one_image_is_written_as_it_came(folder, tianshu):
    code, lines, _ = tianshu("--scene", "7", "--format", "j2k", "--block", "0")
    path = folder / "export" / "scene-7-block-0.j2k"
    assert code == 0 and lines[0] == str(path)
    assert lines[1] == "rows 0 to 63, columns 0 to 63 of the scene"
    assert lines[2].startswith("3 of 3 steps, 3 components of")
    assert "the bands were transformed: the components are not the bands; export jp2 or cog for pixels" in lines
    with rasterio.open(path) as dataset:
        assert dataset.read().shape == (3, 64, 64)
    code, lines, _ = tianshu("--scene", "7", "--format", "j2k", "--chip", "0")
    assert code == 0 and lines[0].endswith("scene-7-chip-0.j2k") and lines[2].startswith("2 of 3 steps")


def test_the_state_folder_of_a_ground_service_is_known_too(folder, tianshu):
    code, _, _ = tianshu("--scene", "7", "--to", str(folder / "a.jp2"), folder=folder / "ground")
    assert code == 0 and (folder / "a.jp2").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--scene", "8"), "holds nothing of scene 8; scenes held: 7"),
        (("--scene", "7", "--format", "j2k"), "name it with --block or --chip"),
        (("--scene", "7", "--format", "j2k", "--block", "1"), "block 1 of scene 7 has not arrived; held: block 0, block 3, chip 0"),
        (("--scene", "7", "--format", "j2k", "--block", "-1"), "there is no image -1"),
        (("--scene", "7", "--block", "1"), "--format jp2 is the whole scene"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(tianshu, options, message):
    code, lines, error = tianshu(*options)
    assert (code, lines) == (2, [])
    assert message in error


def test_a_folder_without_layers_is_refused(tmp_path, tianshu):
    code, _, error = tianshu("--scene", "7", folder=tmp_path / "export")
    assert code == 2 and "has no ground/layers.journal or layers.journal" in error


def test_a_scene_without_its_summary_is_refused_but_for_its_codestreams(tmp_path, tianshu):
    window = Window(row=0, col=0, height=20, width=30)
    pixels = scene_pixels()[:, :20, :30]
    options = {"quality_percent": (100.0,), "levels": 1, "nodata": None}
    image = encode_image(pixels, window, valid=np.ones((20, 30), bool), **options)
    bare = tmp_path / "bare"
    bare.mkdir()
    with FileJournal(bare / "layers.journal") as journal:
        LayerStore(journal).add([layer(FIRST_BLOCK, 0, image.payloads[0])])
    code, _, error = tianshu("--scene", "7", folder=bare)
    assert code == 2 and "the summary of scene 7 has not arrived" in error
    assert tianshu("--scene", "7", "--format", "j2k", "--block", "0", folder=bare)[0] == 0
