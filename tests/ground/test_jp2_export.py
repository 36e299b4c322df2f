"""A rebuilt scene as .jp2, and codestreams as they came: exact in GDAL and in another reader, georeferenced, refused where wrong."""

import imagecodecs
import numpy as np
import pytest
import rasterio
from rasterio.enums import MaskFlags

from downlink.image_encoding import encode_image
from downlink.image_header import unpack_header
from downlink.image_layers import ImageAssembly
from downlink.journal import FileJournal
from downlink.jpeg2000 import decode_layers
from downlink.products import LayerAddress
from downlink.record import Record, RecordKind, encode_record
from downlink.scene import Window
from ground.errors import CatalogueError
from ground.journal_snapshot import JournalSnapshot
from ground.jp2_export import stored_codestream, write_jp2
from ground.reconstruction import reconstruct, tile_windows

HEIGHT, WIDTH = 150, 173


def scene_pixels(bands=4, dtype="uint16", peak=4000, seed=11):
    """Bands that look alike, with noise; asymmetric in every axis."""
    noise = np.random.default_rng(seed)
    rows, cols = np.mgrid[0:HEIGHT, 0:WIDTH]
    common = 3 * rows + 5 * cols + 300 * np.sin(cols / 9) + noise.normal(0, 20, (HEIGHT, WIDTH))
    planes = [300 + 60 * band + (1 + 0.1 * band) * common + noise.normal(0, 4, common.shape) for band in range(bands)]
    return (np.stack(planes) * peak / 4000).clip(1, np.iinfo(dtype).max).astype(dtype)


def coded(pixels, window, valid=None):
    return encode_image(
        pixels[:, *window.slices],
        window,
        valid=np.ones((window.height, window.width), bool) if valid is None else valid[window.slices],
        quality_percent=(1.0, 5.0, 100.0),
        levels=3,
        nodata=0,
    )


def arrived(image, steps):
    assembly = ImageAssembly(nodata=0)
    for step, payload in enumerate(image.payloads[:steps]):
        assembly.add(step, payload)
    return assembly.decode()


@pytest.mark.parametrize(("bands", "dtype", "peak"), [(4, "uint16", 4000), (3, "uint8", 200), (1, "uint16", 60_000)])
def test_a_whole_scene_comes_back_exactly_in_gdal_and_in_another_reader(
    tmp_path, make_summary, make_image, bands, dtype, peak
):
    pixels = scene_pixels(bands, dtype, peak)
    names = ("B02", "B03", "B04", "B08")[:bands]
    summary = make_summary(height=HEIGHT, width=WIDTH, tile_px=64, dtype=dtype, band_names=names)
    images = [make_image(pixels, window, lossless=True) for window in tile_windows(summary)]
    exported = write_jp2(tmp_path / "scene.jp2", summary, reconstruct(summary, images).windows())
    assert exported.mask is None and exported.nodata == 0
    assert exported.statistics.byte_exact_fraction == 1
    with rasterio.open(exported.path) as dataset:
        np.testing.assert_array_equal(dataset.read(), pixels)
        assert dataset.driver == "JP2OpenJPEG"
        assert dataset.crs.to_epsg() == 32617
        assert tuple(dataset.transform)[:6] == (10, 0, 500_000, 0, -10, 4_000_000)
        assert dataset.nodata == 0
        assert dataset.descriptions == names
    decoded = imagecodecs.jpeg2k_decode(exported.path.read_bytes(), planar=True)
    np.testing.assert_array_equal(np.asarray(decoded).reshape(pixels.shape), pixels)


def test_a_scene_with_gaps_has_its_mask_beside_it(tmp_path, make_summary):
    pixels = scene_pixels()
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[20:50, 90:130] = False
    pixels[:, ~valid] = 0
    summary = make_summary(height=HEIGHT, width=WIDTH, tile_px=64)
    windows = list(tile_windows(summary))
    images = [arrived(coded(pixels, window, valid), 1 + place % 3) for place, window in enumerate(windows[:-2])]
    rebuilt = reconstruct(summary, images)
    exported = write_jp2(tmp_path / "scene.jp2", summary, rebuilt.windows())
    assert exported.mask == tmp_path / "scene.jp2.msk"
    assert {file.name for file in tmp_path.iterdir()} == {"scene.jp2", "scene.jp2.msk", "scene.jp2.aux.xml"}
    with rasterio.open(exported.path) as dataset:
        np.testing.assert_array_equal(dataset.read(), rebuilt.pixels)
        assert dataset.mask_flag_enums == ([MaskFlags.per_dataset],) * 4 or dataset.nodata == 0
    with rasterio.open(exported.mask) as mask:
        np.testing.assert_array_equal(mask.read(1) > 0, rebuilt.valid)
    again = [arrived(coded(pixels, window, np.ones_like(valid)), 3) for window in windows]
    whole = write_jp2(tmp_path / "scene.jp2", summary, reconstruct(summary, again).windows())
    assert whole.mask is None
    assert {file.name for file in tmp_path.iterdir()} == {"scene.jp2", "scene.jp2.aux.xml"}


def test_windows_that_do_not_cover_the_scene_are_refused_and_the_old_file_stays(tmp_path, make_summary, make_image):
    pixels = scene_pixels()
    summary = make_summary(height=HEIGHT, width=WIDTH, tile_px=64)
    images = [make_image(pixels, window, lossless=True) for window in tile_windows(summary)]
    parts = list(reconstruct(summary, images).windows())
    path = write_jp2(tmp_path / "scene.jp2", summary, parts).path
    before = path.read_bytes()
    with pytest.raises(CatalogueError, match="windows cover"):
        write_jp2(path, summary, parts[1:])
    assert path.read_bytes() == before
    assert not [file for file in tmp_path.iterdir() if "unfinished" in file.name]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_stored_codestream_is_what_came_and_decodes_to_its_components(tmp_path, steps):
    pixels = scene_pixels()
    window = Window(row=13, col=7, height=70, width=90)
    image = coded(pixels, window)
    stored = stored_codestream(image.payloads[:steps])
    assert stored.header.transform is not None and not stored.holds_pixels
    assert (stored.steps, stored.header.steps) == (steps, 3)
    file = tmp_path / "block.j2k"
    file.write_bytes(stored.data)
    with rasterio.open(file) as dataset:
        components = dataset.read()
    decoded = np.asarray(imagecodecs.jpeg2k_decode(stored.data, planar=True))
    np.testing.assert_array_equal(decoded, components)
    np.testing.assert_array_equal(decode_layers(stored.header.shape, _layers(image)[:steps]), components)
    if steps == 3:
        forward = stored.header.transform.forward(pixels[:, *window.slices])
        np.testing.assert_array_equal(components, forward)


def test_a_codestream_of_bands_as_they_are_holds_pixels():
    noise = np.random.default_rng(3).integers(0, 4000, (2, 40, 50), np.uint16)
    window = Window(row=0, col=0, height=40, width=50)
    stored = stored_codestream(coded(noise, window).payloads)
    assert stored.holds_pixels
    decoded = np.asarray(imagecodecs.jpeg2k_decode(stored.data, planar=True))
    np.testing.assert_array_equal(decoded, noise)


def _layers(image):
    return [unpack_header(image.payloads[0])[1], *image.payloads[1:]]


def test_a_snapshot_of_a_journal_reads_it_and_never_writes(tmp_path):
    path = tmp_path / "layers.journal"
    records = [
        Record(kind=RecordKind.LAYER, address=LayerAddress(scene=1, product=1, step=step), payload=bytes([step, 7, 9]))
        for step in range(3)
    ]
    with FileJournal(path) as journal:
        journal.append(records[:2])
    with path.open("ab") as file:
        file.write(encode_record(records[2])[:-2])
    before = path.read_bytes()
    with FileJournal(JournalSnapshot(path)) as journal:
        assert list(journal.records()) == records[:2]
        assert journal.torn_bytes == len(encode_record(records[2])) - 2
        with pytest.raises(Exception, match="cannot append"):
            journal.append(records[2:])
        with pytest.raises(Exception, match="cannot rewrite"):
            journal.replace(records)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["layers.journal"]
