"""The coding benchmark: every codec of the port gives its pixels back, searches reach their targets, the output has its keys."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

from benchmarks import coding_lossless
from benchmarks.coding import main
from benchmarks.coding_bands import band_rows, band_sizes, without_transform
from benchmarks.coding_blocks import block_rows, block_sizes
from benchmarks.coding_detection import Counts, DetectionPoint, bytes_for_f1, sent_within
from benchmarks.coding_equal_psnr import SceneSize, equal_psnr_rows, scene_sizes
from benchmarks.coding_ground import believed, continued, searchable
from benchmarks.coding_lossless import lossless_codecs
from benchmarks.coding_lossy import lossy_codecs
from benchmarks.coding_ours import blocks_of
from benchmarks.coding_picture import main as draw_ladder
from benchmarks.coding_plot import draw_detection, draw_sizes
from benchmarks.coding_port import Absent, Codec, KnobRange, pack, unpack
from benchmarks.coding_scenes import scenes_of
from benchmarks.coding_search import Search, log_between
from benchmarks.coding_targets import targets_of
from downlink.image_header import unpack_header
from downlink.image_layers import DecodedImage
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from downlink.scene import Window
from onboard.policy import load_policy
from onboard.valuation import ValuedLayer

IMAGECODECS = ("jpeg2000", "jpegxl-e1", "jpegxl-e3", "jpegxl-e5", "htj2k", "jpegls", "ccsds121")
LOSSY = ("jpeg2000", "jpeg2000-5/3", "jpeg2000-bands", "jpeg2000-bands-5/3", "htj2k", "jpegxl", "jpeg", "avif")


def picture(dtype, bands, height=70, width=93, seed=5):
    """Bands that differ, without symmetry, with texture, noise and one bright object that saturates 8 bits."""
    noise = np.random.default_rng(seed)
    rows, cols = np.mgrid[0:height, 0:width]
    planes = [
        900 + 300 * band + (3 + band) * rows + 200 * np.sin(cols / (7 + band)) + noise.normal(0, 12, rows.shape)
        for band in range(bands)
    ]
    stack = np.stack(planes)
    stack[:, 20:29, 31:36] = 4000
    return (stack / 4000 * 255 if dtype == np.uint8 else stack).clip(0, np.iinfo(dtype).max).astype(dtype)


def found(codecs, name):
    codec = next(codec for codec in codecs if codec.name == name)
    if isinstance(codec, Absent):
        pytest.skip(codec.reason)
    return codec


def psnr_db(pixels, decoded):
    peak = 255 if pixels.dtype == np.uint8 else 4000
    mse = np.mean((pixels.astype(float) - decoded) ** 2)
    return 10 * math.log10(peak**2 / max(mse, 1e-9))


@pytest.mark.parametrize("bands", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", [codec.name for codec in lossless_codecs()])
def test_lossless_codecs_give_every_sample_back(name, dtype, bands):
    codec = found(lossless_codecs(), name)
    pixels = picture(dtype, bands)
    assert codec.lossless
    data = codec.encode(pixels, 0.0)
    decoded = codec.decode(data)
    assert decoded.dtype == pixels.dtype
    assert np.array_equal(decoded, pixels)
    assert len(data) < pixels.nbytes


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.uint8, np.uint16]),
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(1, 9),
)
@settings(max_examples=30, deadline=None)
def test_the_plane_predictor_undoes_itself_on_any_samples(seed, dtype, bands, height, width):
    codec = found(lossless_codecs(), "planes-zstd-1")
    pixels = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (bands, height, width), dtype, endpoint=True)
    assert np.array_equal(codec.decode(codec.encode(pixels, 0.0)), pixels)


@pytest.mark.parametrize("bands", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", LOSSY)
def test_lossy_codecs_come_back_better_and_larger_as_the_knob_rises(name, dtype, bands):
    codec = found(lossy_codecs(), name)
    pixels = picture(dtype, bands)
    low, high = codec.knob.low, codec.knob.high
    sizes, decibels = [], []
    for share in (0.3, 0.6, 0.9):
        data = codec.encode(pixels, low + share * (high - low))
        decoded = codec.decode(data)
        assert (decoded.shape, decoded.dtype) == (pixels.shape, pixels.dtype)
        sizes.append(len(data))
        decibels.append(psnr_db(pixels, decoded))
    assert sizes == sorted(sizes)
    assert decibels == sorted(decibels)
    assert decibels[-1] > 40
    assert sizes[0] < pixels.nbytes / 3


def test_a_codec_without_its_library_is_reported(monkeypatch):
    monkeypatch.setattr(coding_lossless, "imagecodecs", None)
    lossless, lossy = lossless_codecs(), lossy_codecs()
    absent = {codec.name: codec.reason for codec in [*lossless, *lossy] if isinstance(codec, Absent)}
    assert set(absent) == {*IMAGECODECS, *LOSSY}
    assert all("imagecodecs is not installed" in reason for reason in absent.values())
    assert [codec.name for codec in lossless if isinstance(codec, Codec)] == ["zstd-3", "planes-zstd-1"]


def test_jpeg2000_is_set_more_finely_than_whole_decibels():
    codec = found(lossy_codecs(), "jpeg2000")
    pixels = picture(np.uint16, 4, height=200, width=231)
    sizes = [len(codec.encode(pixels, 80 + tenth / 10)) for tenth in range(0, 11, 2)]
    assert sizes == sorted(set(sizes))


def test_packed_streams_come_back_in_order():
    pixels = picture(np.uint16, 3)
    packed = unpack(pack(pixels, [b"first", b"", b"\xff\x00third"], largest=4021))
    assert packed.parts == (b"first", b"", b"\xff\x00third")
    assert (packed.shape, packed.dtype, packed.largest) == (pixels.shape, np.dtype(np.uint16), 4021)


@given(st.floats(0.2, 5), st.floats(20, 60), st.floats(0.05, 2))
def test_a_search_closes_in_on_its_target(power, target, tolerance):
    knob = KnobRange(low=1.0, high=101.0, step=0.01)
    search = Search(measure=lambda setting: 70 * ((setting - 1) / 100) ** power, knob=knob)
    bracket = search.bracket(target, tolerance)
    low, high = search.tried[bracket.below], search.tried[bracket.above]
    assert low < target <= high
    assert high - low <= tolerance or bracket.above - bracket.below < 0.015
    assert len(search.tried) < 30


@given(st.floats(0, 100), st.floats(0.5, 99.5), st.floats(0.5, 30))
def test_a_search_with_a_start_finds_the_same_neighbours_and_stays_near(start, target, stride):
    knob = KnobRange(low=0.0, high=100.0, step=0.25, start=start, stride=stride)
    search = Search(measure=lambda setting: setting, knob=knob)
    bracket = search.bracket(target, 1.0)
    assert bracket.below < target <= bracket.above
    assert bracket.above - bracket.below <= 1.0
    reach = 2 * abs(start - target) + 3 * stride + 4
    assert max(search.tried) <= min(100.0, max(start, target) + reach)
    assert min(search.tried) >= max(0.0, min(start, target) - reach)


def test_a_search_with_a_start_goes_to_the_end_where_nothing_is():
    knob = KnobRange(low=0.0, high=10.0, step=1.0, start=4.0, stride=1.0)
    above = Search(measure=lambda setting: 50 + setting, knob=knob).bracket(40, 0.1)
    below = Search(measure=lambda setting: setting, knob=knob).bracket(40, 0.1)
    assert (above.below, above.above) == (None, 0.0)
    assert (below.below, below.above) == (10.0, None)


def test_a_search_says_on_which_side_nothing_is():
    knob = KnobRange(low=0.0, high=10.0, step=1.0)
    above = Search(measure=lambda setting: 50 + setting, knob=knob).bracket(40, 0.1)
    below = Search(measure=lambda setting: setting, knob=knob).bracket(40, 0.1)
    assert (above.below, above.above) == (None, 0.0)
    assert (below.below, below.above) == (10.0, None)


def test_sizes_between_two_settings_are_straight_in_the_logarithm():
    assert log_between(40.0, (30.0, 100.0), (50.0, 10_000.0)) == pytest.approx(1000.0)


def test_what_is_not_searched_continues_the_nearest_pixel_that_is():
    pixels = np.arange(2 * 5 * 7, dtype=np.uint16).reshape(2, 5, 7)
    known = np.zeros((5, 7), bool)
    known[1:3, 1:3] = True
    known[4, 6] = True
    filled = continued(pixels, known)
    assert np.array_equal(filled[:, known], pixels[:, known])
    assert np.array_equal(filled[:, 0, 0], pixels[:, 1, 1])
    assert np.array_equal(filled[:, 4, 5], pixels[:, 4, 6])
    assert np.array_equal(filled[:, 2, 4], pixels[:, 2, 2])
    assert np.array_equal(continued(pixels, np.zeros((5, 7), bool)), pixels)


def test_a_detection_is_believed_where_its_centre_was_searched():
    searched = np.zeros((20, 30), bool)
    searched[5:10, 12:18] = True
    box = ((10.0, 4.0), (20.0, 4.0), (20.0, 10.0), (10.0, 10.0))
    beside = tuple((x + 5, y) for x, y in box)
    outside = tuple((x + 100, y) for x, y in box)
    assert believed([(box, 0.5), (beside, 0.4), (outside, 0.3)], searched) == [(box, 0.5)]


def test_a_coarse_block_is_not_searched_until_it_is_good_but_a_chip_is(data):
    scene = next(scene for scene in scenes_of(data, load_policy()) if scene.name == "port")
    window = Window(row=10, col=20, height=40, width=30)
    whole = Window(row=0, col=0, height=120, width=131)

    def image(where, mse):
        rows, cols = where.slices
        return DecodedImage(
            window=where,
            pixels=scene.pixels[:, rows, cols] + np.uint16(where.row),
            valid=np.ones((where.height, where.width), bool),
            mse=mse,
            lossless=False,
        )

    coarse, good = (10_000**2 / 10 ** (decibels / 10) for decibels in (40, 50))
    pixels, searched = searchable(scene.summary, [image(whole, coarse), image(window, coarse / 2)], [window])
    assert searched.sum() == window.height * window.width and searched[window.slices].all()
    assert np.array_equal(pixels[:, 0, 20], scene.pixels[:, 10, 20] + 10)
    _, searched = searchable(scene.summary, [image(whole, good), image(window, coarse)], [window])
    assert searched.all()


def valued(product, step, size_bytes, value):
    address = LayerAddress(scene=1, product=product, step=step)
    layer = Layer(
        address=address, rung=Rung.REFINEMENT, size_bytes=size_bytes, value=value, half_life_s=1.0, captured_ms=0
    )
    return ValuedLayer(layer=layer, payload=b"")


def test_a_budget_takes_the_summary_first_and_no_step_without_the_one_before():
    layers = [
        valued(FIRST_BLOCK, 0, 50, 100.0),
        valued(FIRST_BLOCK, 1, 500, 400.0),
        valued(FIRST_BLOCK, 2, 10, 1.0),
        valued(FIRST_BLOCK + 1, 0, 60, 30.0),
        valued(SUMMARY_PRODUCT, 0, 40, 0.001),
        valued(ALERTS_PRODUCT, 0, 30, 900.0),
    ]
    sent, size_bytes = sent_within(layers, 200)
    assert [(one.layer.address.product, one.layer.address.step) for one in sent] == [
        (SUMMARY_PRODUCT, 0),
        (ALERTS_PRODUCT, 0),
        (FIRST_BLOCK, 0),
        (FIRST_BLOCK + 1, 0),
    ]
    assert size_bytes == 40 + 30 + 50 + 60


def point(share_percent, f1):
    return DetectionPoint(
        codec="x",
        share_percent=share_percent,
        bytes=round(1000 * share_percent),
        f1=f1,
        recall=f1,
        precision=f1,
        objects=100,
        recall_of_original=1.0,
        found_again=1.0,
    )


def test_bytes_for_an_f1_must_hold_at_every_larger_budget():
    def measure(share_percent):
        f1 = 0.9 if share_percent > 2.5 else 0.1
        return Counts(hits=round(1000 * f1), found=1000, objects=1000, bytes=round(1000 * share_percent))

    points = [point(1.0, 0.95), point(2.0, 0.1), point(4.0, 0.9), point(8.0, 0.9)]
    size_bytes = bytes_for_f1(points, measure, 0.8)
    assert 2500 < size_bytes <= 2500 * 2 ** (1 / 4)
    assert bytes_for_f1(points, measure, 0.93) is None
    assert bytes_for_f1(points, measure, 0.93, lasting=False) == 1000
    assert bytes_for_f1(points[2:], measure, 0.8) == 4000


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two small scenes of four bands, one with a labelled object, one of 8 bits without labels."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "images").mkdir()
    (folder / "labels_obb").mkdir()
    (folder / "labels_obb" / "port.txt").write_text("0 0.24 0.2 0.29 0.2 0.29 0.3 0.24 0.3\n", encoding="utf-8")
    for name, dtype in (("port", np.uint16), ("quiet", np.uint8)):
        pixels = picture(dtype, 4, height=120, width=131)
        profile = {"driver": "GTiff", "count": 4, "height": 120, "width": 131, "dtype": pixels.dtype.name}
        place = {"crs": "EPSG:32630", "transform": from_origin(500_000, 4_600_000, 10, 10)}
        with rasterio.open(folder / "images" / f"{name}.tif", "w", **profile, **place) as dataset:
            dataset.write(pixels)
            for band, label in enumerate(("B02", "B03", "B04", "B08"), start=1):
                dataset.set_band_description(band, label)
    return folder


def test_our_prefixes_grow_to_the_exact_pixels(data):
    scene = next(scene for scene in scenes_of(data, load_policy()) if scene.name == "port")
    layered = blocks_of(scene, load_policy().blocks)
    sizes, decibels = [], []
    for groups in range(1, len(layered.order) + 1):
        size_bytes, pixels = layered.code(groups)
        sizes.append(size_bytes)
        decibels.append(psnr_db(scene.pixels, pixels))
    assert sizes == sorted(sizes)
    assert decibels == sorted(decibels)
    assert np.array_equal(pixels, scene.pixels)


def test_sizes_at_equal_psnr_lie_between_their_settings(data):
    scene = next(scene for scene in scenes_of(data, load_policy()) if scene.name == "port")
    codecs = [found(lossy_codecs(), "jpeg2000")]
    sizes = scene_sizes(scene, codecs, load_policy(), scene_db=(50.0,), roi_db=(50.0,))
    whole = next(one for one in sizes if one.codec == "jpeg2000" and one.kind == "scene")
    assert whole.below_db < 50 <= whole.above_db <= whole.below_db + 1.6
    assert whole.bytes <= whole.above_bytes
    assert {one.codec for one in sizes if one.kind == "roi"} == {
        "jpeg2000",
        "jpeg2000, regions only",
        "ours",
        "ours, fine steps",
    }
    rows = {row.codec: row for row in equal_psnr_rows(sizes, "scene", 50.0)}
    assert rows["jpeg2000"].bytes == whole.bytes
    fine = next(one for one in sizes if one.codec == "ours, fine steps" and one.kind == "scene")
    assert rows["jpeg2000"].fine_over_this == pytest.approx(fine.bytes / whole.bytes)
    assert draw_sizes({"scene": {"50": list(rows.values())}}).startswith("<svg")


def test_the_command_prints_the_keys_of_every_part(data, tmp_path, capsys):
    chosen = ["--codec", "jpeg2000", "--codec", "zstd-3"]
    code = main(["--data", str(data), "--quick", "--json", "--plots", str(tmp_path), *chosen])
    printed = json.loads(capsys.readouterr().out)
    assert code == 0
    assert printed["scenes"] == 2
    for codec in ("ours", "zstd-3"):
        assert {"bytes", "mpix_per_s", "bits_per_sample"} <= set(printed["lossless"][codec])
    assert printed["lossless"]["zstd-3"]["bytes"] < printed["raw_bytes"]
    assert "ours" in printed["equal_psnr"]["scene"]["40"]
    assert "ours" in printed["equal_psnr"]["roi"]["40"]
    assert printed["equal_f1"]["f1"] == pytest.approx(0.98 * printed["equal_f1"]["original"]["f1"])
    assert "ours" in printed["equal_f1"]["bytes"]
    assert printed["speed"]["ours"]["mpix_per_s"] > 0
    assert printed["bands"]["tiny0"]["with_over_without"]["lossless"] > 0
    assert set(printed["blocks"]) == {"128", "256", "512", "1024"}
    assert {target["met"] for target in printed["targets"]} <= {True, False}
    assert any(target["name"].startswith("coding speed") for target in printed["targets"])
    assert {path.name for path in tmp_path.iterdir()} == {"coding_psnr.svg", "coding_detection.svg"}


def test_bands_that_look_alike_take_fewer_bytes_with_the_transform(data):
    scenes = [scene for scene in scenes_of(data, load_policy()) if scene.name == "port"]
    sizes = band_sizes(scenes[0], load_policy())
    assert sizes.bands == 4 and sizes.sample_bits == 12
    (row,) = band_rows([sizes])
    assert row.with_over_without["lossless"] == sizes.with_bytes["lossless"] / sizes.without_bytes["lossless"]
    assert row.with_over_without["lossless"] < 0.995
    with without_transform():
        assert (
            unpack_header(blocks_of(scenes[0], load_policy().blocks).images[FIRST_BLOCK].payloads[0])[0].transform
            is None
        )


def test_smaller_blocks_have_more_overhead(data):
    scene = next(scene for scene in scenes_of(data, load_policy(), crop_px=None) if scene.name == "port")
    rows = block_rows(block_sizes(scene, load_policy()))
    assert [row.tile_px for row in rows] == [128, 256, 512, 1024]
    assert rows[0].overhead_bytes > rows[1].overhead_bytes == rows[3].overhead_bytes
    assert rows[0].lossless_bytes > rows[1].lossless_bytes
    assert rows[1].bytes_at == rows[3].bytes_at != {}


def size(codec, scene, size_bytes, bands=4):
    return SceneSize(
        scene=scene,
        collection="c",
        codec=codec,
        kind="scene",
        pixels=100,
        bands=bands,
        target_db=40.0,
        bytes=size_bytes,
        below_db=39.9,
        above_db=40.1,
        above_bytes=size_bytes,
    )


def test_targets_compare_with_the_better_kernel_and_with_scenes_of_four_bands_alone():
    sizes = [
        size("ours", "a", 700),
        size("jpeg2000-bands", "a", 1000),
        size("jpeg2000-bands-5/3", "a", 1300),
        size("ours", "b", 103),
        size("jpeg2000-bands", "b", 120),
        size("jpeg2000-bands-5/3", "b", 100),
        size("ours", "c", 5000, bands=13),
        size("jpeg2000-bands", "c", 100, bands=13),
    ]
    together, worst = targets_of({"equal_psnr": sizes})
    assert together.figure == pytest.approx(803 / 1100) and together.met
    assert worst.figure == pytest.approx(1.03) and not worst.met


def test_the_picture_of_the_ladder_shows_every_step(tmp_path, capsys):
    out = tmp_path / "images" / "ladder.svg"
    assert draw_ladder(["--out", str(out)]) == 0
    svg = out.read_text(encoding="utf-8")
    policy = load_policy()
    assert svg.count("<image") == len(policy.blocks.quality_percent) + len(policy.chips.quality_percent)
    decibels = [float(one) for one in re.findall(r"step \d: ([0-9.]+) dB", svg)]
    blocks = len(policy.blocks.quality_percent) - 1
    assert decibels[:blocks] == sorted(decibels[:blocks]) and decibels[blocks:] == sorted(decibels[blocks:])
    assert svg.count(": exact<") == 2


def test_a_sparse_cut_is_mostly_water_and_has_few_objects(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels_obb").mkdir()
    height, width = 700, 1400
    pixels = picture(np.uint16, 4, height=height, width=width)
    pixels[3, :, 600:] = 150  # water
    pixels[3, :, 600:800] = 900
    ships = [(1300, 300), (100, 300), (200, 300)]
    lines = [
        "0 "
        + " ".join(f"{(x + dx) / width:.6f} {(y + dy) / height:.6f}" for dx, dy in ((0, 0), (20, 0), (20, 8), (0, 8)))
        for x, y in ships
    ]
    (tmp_path / "labels_obb" / "bay.txt").write_text("\n".join(lines), encoding="utf-8")
    profile = {"driver": "GTiff", "count": 4, "height": height, "width": width, "dtype": "uint16"}
    place = {"crs": "EPSG:32630", "transform": from_origin(500_000, 4_600_000, 10, 10)}
    with rasterio.open(tmp_path / "images" / "bay.tif", "w", **profile, **place) as dataset:
        dataset.write(pixels)
        for band, label in enumerate(("B02", "B03", "B04", "B08"), start=1):
            dataset.set_band_description(band, label)
    (scene,) = scenes_of(tmp_path, load_policy(), sparse=True)
    assert scene.pixels.shape == (4, 640, 640)
    left = next(
        col for col in range(width - 640 + 1) if np.array_equal(scene.pixels[:, 0], pixels[:, 0, col : col + 640])
    )
    assert left >= 700
    assert len(scene.truth.corners_px) == 1
    assert scene.truth.corners_px[0].mean(axis=0) == pytest.approx((1310 - left, 304), abs=0.1)


def test_a_budget_for_all_scenes_goes_where_the_value_is():
    rich, poor = valued(FIRST_BLOCK, 0, 60, 100.0), valued(FIRST_BLOCK, 0, 60, 1.0)
    elsewhere = ValuedLayer(
        layer=replace(poor.layer, address=replace(poor.layer.address, scene=2)), payload=poor.payload
    )
    sent, size_bytes = sent_within([rich, elsewhere], 100)
    assert [one.layer.address.scene for one in sent] == [1] and size_bytes == 60


def test_a_folder_without_images_is_refused(tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 2
    assert "no images under" in capsys.readouterr().err


def test_a_plot_has_a_line_for_every_codec():
    svg = draw_detection(
        {"ours": [point(1.0, 0.5), point(2.0, 0.6)], "jpeg": [point(1.5, 0.2)]}, point(100.0, 0.7), 100_000
    )
    assert svg.count("<polyline") == 4
    assert "F1 on the ground" in svg
