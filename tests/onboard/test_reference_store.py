"""The onboard store of references: what is offered, what goes first, what a restart, damage and a second process find."""

import subprocess
import sys

import numpy as np
import pytest

from downlink.image_encoding import encode_image
from downlink.image_layers import ImageAssembly, pixel_check
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, FIRST_CHIP, SUMMARY_PRODUCT, LayerAddress
from downlink.scene import Georeference, SceneSummary, TileOutcome, Window, encode_summary
from onboard.errors import StoreError
from onboard.reference_choice import CANVAS_MARGIN_PX
from onboard.reference_places import SAME_GRID_PX, lies_under, shift_between
from onboard.reference_store import ReferenceStore

BANDS = ("B02", "B03")
CRS = "EPSG:32617"
BLOCK_PX = 32
SCENE_PX = 64
ROOM = 1 << 30


def georeference(row=0.0, col=0.0, *, crs=CRS, size_m=10.0, turned=0.0):
    return Georeference(crs_wkt=crs, transform=(size_m, turned, 5e5 + 10 * col, turned, -size_m, 4e6 - 10 * row))


def summary(scene, **fields):
    fields = {
        "georeference": georeference(),
        "captured_ms": 1000 * scene,
        "dtype": "uint16",
        "band_names": BANDS,
    } | fields
    return SceneSummary(
        scene=scene, name=f"scene {scene}", height=SCENE_PX, width=SCENE_PX, nodata=None, peak_dn=4000, tile_px=BLOCK_PX,
        tile_outcomes=(TileOutcome.KEPT,) * 4, gsd_m=10.0, footprint_lonlat=None, model=None, classes=(), policy="test",
        **fields,
    )  # fmt: skip


def window(tile):
    return Window(row=tile // 2 * BLOCK_PX, col=tile % 2 * BLOCK_PX, height=BLOCK_PX, width=BLOCK_PX)


def layers_of(scene, tile):
    """Three steps of one block."""
    rng = np.random.default_rng(97 * scene + tile)
    pixels = rng.integers(100, 900, (len(BANDS), BLOCK_PX, BLOCK_PX)).astype(np.uint16)
    valid = np.ones(pixels.shape[1:], bool)
    image = encode_image(pixels, window(tile), valid=valid, quality_percent=(5.0, 30.0, 100.0), levels=2, nodata=None)
    return {address(scene, tile, step): payload for step, payload in enumerate(image.payloads)}


def address(scene, tile, step=0):
    return LayerAddress(scene=scene, product=FIRST_BLOCK + tile, step=step)


def take(store, scene, *tiles, steps=3, **fields):
    store.take(LayerAddress(scene=scene, product=SUMMARY_PRODUCT, step=0), encode_summary(summary(scene, **fields)))
    for tile in tiles:
        for one, payload in layers_of(scene, tile).items():
            if one.step < steps:
                store.take(one, payload)


def asked(store, at=None, *, place=None, bands=BANDS, dtype="uint16", newest=2):
    return store.candidates(place or georeference(), bands, dtype, at or window(0), newest=newest)


@pytest.fixture(params=["memory", "files"])
def folder(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "references"


def test_a_candidate_shows_what_the_ground_decodes(folder):
    store = ReferenceStore(folder, capacity_bytes=ROOM)
    take(store, 3, 0, 1, 2, 3)
    (candidate,) = asked(store, place=georeference(row=4.0, col=-2.5))
    assert (candidate.scene, candidate.captured_ms) == (3, 3000)
    assert (candidate.row_shift_px, candidate.col_shift_px) == pytest.approx((4.0, -2.5))
    assert candidate.canvas.window == Window(
        row=4 - CANVAS_MARGIN_PX,
        col=-2 - CANVAS_MARGIN_PX,
        height=32 + 2 * CANVAS_MARGIN_PX,
        width=32 + 2 * CANVAS_MARGIN_PX,
    )
    assert candidate.blocks[0].product == FIRST_BLOCK and len(candidate.blocks) == len(candidate.windows) == 4
    for block, where in zip(candidate.blocks, candidate.windows, strict=True):
        tile = block.product - FIRST_BLOCK
        assembly = ImageAssembly(nodata=None)
        for one, payload in layers_of(3, tile).items():
            assembly.add(one.step, payload)
        image = assembly.decode()
        assert (where, block.steps, block.check) == (window(tile), 3, pixel_check(image.pixels))
        shared = where.intersection(candidate.canvas.window)
        there = shared.shifted(-candidate.canvas.window.row, -candidate.canvas.window.col).slices
        here = shared.shifted(-where.row, -where.col).slices
        assert np.array_equal(candidate.canvas.pixels[:, *there], image.pixels[:, *here])
        assert candidate.canvas.valid[there].all()


def test_of_a_block_the_steps_from_the_first_without_a_gap_count(folder):
    store = ReferenceStore(folder, capacity_bytes=ROOM)
    layers = layers_of(1, 0)
    take(store, 1)
    for step, expected in ((2, None), (0, 1), (1, 3)):
        store.take(address(1, 0, step), layers[address(1, 0, step)])
        found = asked(store)
        assert [candidate.blocks[0].steps for candidate in found] == ([] if expected is None else [expected])


def test_layers_before_their_summary_serve_once_it_is_there(folder):
    store = ReferenceStore(folder, capacity_bytes=ROOM)
    for one, payload in layers_of(1, 0).items():
        store.take(one, payload)
    assert asked(store) == ()
    take(store, 1)
    assert len(asked(store)) == 1


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ({}, 1),
        ({"place": georeference(crs="EPSG:32618")}, 0),
        ({"place": georeference(crs=None)}, 0),
        ({"place": georeference(size_m=10.1)}, 0),
        ({"place": georeference(turned=0.05)}, 0),
        ({"place": georeference(size_m=10.001)}, 1),
        ({"bands": ("B02", "B04")}, 0),
        ({"bands": ("B02",)}, 0),
        ({"dtype": "uint8"}, 0),
        ({"place": georeference(row=-12.0)}, 1),
        ({"place": georeference(row=-13.0)}, 0),
        ({"place": georeference(row=4000.0)}, 0),
    ],
)
def test_which_scenes_serve(question, found):
    store = ReferenceStore(None, capacity_bytes=ROOM)
    take(store, 1, 0, 1, 2, 3)
    assert len(asked(store, **question)) == found


def test_the_newest_by_time_of_capture_come_first_and_so_many():
    store = ReferenceStore(None, capacity_bytes=ROOM)
    for scene, captured_ms in ((1, 5000), (2, 9000), (3, 1000), (4, 7000)):
        take(store, scene, 0, captured_ms=captured_ms)
    take(store, 5, 3, captured_ms=20_000)  # shows another block
    assert [one.scene for one in asked(store)] == [2, 4]
    assert [one.scene for one in asked(store, newest=9)] == [2, 4, 1, 3]


def test_a_restart_finds_what_there_was_and_a_second_process_what_there_is(tmp_path):
    writer, reader = (ReferenceStore(tmp_path / "r", capacity_bytes=ROOM) for _ in range(2))
    take(writer, 1, 0, steps=2)
    assert asked(reader)[0].blocks == asked(writer)[0].blocks != ()
    writer.take(address(1, 0, 2), layers_of(1, 0)[address(1, 0, 2)])
    assert asked(reader)[0].blocks[0].steps == 3
    again = ReferenceStore(tmp_path / "r", capacity_bytes=ROOM)
    assert asked(again)[0].blocks == asked(reader)[0].blocks
    assert (
        again.used_bytes
        == writer.used_bytes
        == sum(p.stat().st_size for p in (tmp_path / "r").rglob("*") if p.is_file())
    )
    writer.forget(1)
    assert asked(reader) == asked(again) == ()
    assert list((tmp_path / "r").iterdir()) == [] and writer.used_bytes == 0


def test_what_is_forgotten_is_not_offered_and_counts_again_once_it_is_acknowledged_again(folder):
    store = ReferenceStore(folder, capacity_bytes=ROOM)
    take(store, 1, 0)
    take(store, 2, 0)
    assert len(asked(store)) == 2
    store.forget(2)
    store.forget(2)
    store.forget(77)
    assert [one.scene for one in asked(store)] == [1]
    take(store, 2, 0)
    assert [one.scene for one in asked(store)] == [2, 1]
    store.forget(None)
    assert asked(store) == () and store.scenes == () and store.used_bytes == 0


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "noise", "gone", "other"])
def test_damaged_files_are_left_out_without_a_word(tmp_path, damage):
    store = ReferenceStore(tmp_path, capacity_bytes=ROOM)
    take(store, 1, 0)
    take(store, 2, 0)
    path = tmp_path / "00000002" / "0001.layers"
    whole = path.read_bytes()
    flipped = bytes([*whole[:30], whole[30] ^ 0x40, *whole[31:]])
    first = layers_of(1, 0)[address(1, 0)]
    other = (tmp_path / "00000001" / "0001.layers").read_bytes()
    path.write_bytes(
        {"cut": whole[: len(first) // 2], "flip": flipped, "empty": b"", "noise": b"\xeb\x71" * 99}.get(damage, other)
    )
    if damage == "gone":
        path.unlink()
    for one in (store, ReferenceStore(tmp_path, capacity_bytes=ROOM)):
        assert [candidate.scene for candidate in asked(one)] == [1]
    if damage != "gone":
        take(store, 2, 0)
        assert asked(store)[0].scene == 2 and asked(store)[0].blocks[0].steps == 3


def test_strange_files_in_the_folder_are_let_alone(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "00000001").mkdir()
    (tmp_path / "00000001" / "readme.txt").write_text("of people")
    (tmp_path / "00000001" / "zz.layers").write_text("of people")
    store = ReferenceStore(tmp_path, capacity_bytes=ROOM)
    take(store, 1, 0)
    assert len(asked(store)) == 1 and (tmp_path / "00000001" / "readme.txt").exists()


def test_what_is_no_block_and_no_summary_is_passed_over():
    store = ReferenceStore(None, capacity_bytes=ROOM)
    for product in (FIRST_CHIP, ALERTS_PRODUCT):
        store.take(LayerAddress(scene=1, product=product, step=0), b"\x01\x02")
    assert store.used_bytes == 0 and store.scenes == ()


def size_of_one():
    store = ReferenceStore(None, capacity_bytes=ROOM)
    take(store, 1, 0)
    return store.used_bytes


def test_the_oldest_scene_under_a_newer_one_goes_first_then_the_oldest(folder):
    far = georeference(row=500.0)
    capacity_bytes = 3 * size_of_one() + size_of_one() // 2
    store = ReferenceStore(folder, capacity_bytes=capacity_bytes)
    take(store, 1, 0, georeference=far)
    take(store, 2, 0)
    take(store, 3, 0)
    assert store.scenes == (1, 2, 3)
    take(store, 4, 0, georeference=georeference(col=900.0))
    assert store.scenes == (1, 3, 4)  # 2 lay under 3, 1 is older and alone
    take(store, 5, 0, georeference=georeference(col=-900.0))
    assert store.scenes == (3, 4, 5)
    assert store.used_bytes <= capacity_bytes


def test_a_scene_with_fewer_blocks_does_not_push_out_what_it_covers():
    def filled(capacity_bytes):
        store = ReferenceStore(None, capacity_bytes=capacity_bytes)
        take(store, 1, 0, georeference=georeference(row=500.0))
        take(store, 2, 0, 1, 2)
        take(store, 3, 0)
        return store

    assert filled(filled(ROOM).used_bytes - 1).scenes == (2, 3)


def test_late_layers_of_an_old_scene_do_not_push_out_newer_ones():
    store = ReferenceStore(None, capacity_bytes=2 * size_of_one() + 10)
    take(store, 1, 0)
    take(store, 2, 0)
    used_bytes = store.used_bytes
    take(store, 1, 0, 1)
    assert store.used_bytes == used_bytes and store.scenes == (1, 2)


def test_a_scene_larger_than_the_room_is_kept_in_part():
    store = ReferenceStore(None, capacity_bytes=2 * size_of_one())
    take(store, 1, 0, 1, 2, 3)
    assert 0 < store.used_bytes <= store.capacity_bytes and len(asked(store)) == 1


def test_what_the_disk_refuses_is_told_with_a_remedy(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    store = ReferenceStore(blocked, capacity_bytes=ROOM)
    assert store.scenes == () and asked(store) == ()
    with pytest.raises(StoreError, match="coded without"):
        take(store, 1, 0)
    with pytest.raises(StoreError, match="check the folder"):
        store.forget(None)
    store = ReferenceStore(tmp_path / "r", capacity_bytes=ROOM)
    take(store, 1, 0)
    (tmp_path / "r" / "00000002").write_text("in the way")
    with pytest.raises(StoreError, match="coded without"):
        take(store, 2, 0)
    assert [one.scene for one in asked(store)] == [1]
    (tmp_path / "r" / "00000001" / "folder").mkdir()
    with pytest.raises(StoreError, match="cannot be forgotten"):
        store.forget(1)
    (tmp_path / "r" / "00000001" / "folder").rmdir()
    store.forget(1)
    assert asked(store) == ()


def test_a_shift_is_that_of_the_windows_centre():
    where = Window(row=100, col=200, height=50, width=70)
    assert shift_between(georeference(row=3.25), georeference(col=7.0), where) == pytest.approx((3.25, -7.0))
    drift = SAME_GRID_PX / 35 * 10  # metres per pixel that bring a corner of the window to the limit
    for share, same in ((0.99, True), (1.01, False)):
        shift = shift_between(georeference(size_m=10 + share * drift), georeference(), where)
        assert (shift is not None) is same
    assert shift_between(georeference(), georeference(size_m=0.0), where) is None
    assert shift_between(georeference(row=1e9), georeference(), where) is None


def test_what_lies_under_what():
    assert lies_under(summary(1), summary(2, georeference=georeference(row=32.0)), least_share=0.5)
    assert not lies_under(summary(1), summary(2, georeference=georeference(row=33.0)), least_share=0.5)
    assert not lies_under(summary(1), summary(2, band_names=("B02", "B09")), least_share=0.5)
    assert not lies_under(summary(1), summary(2, georeference=georeference(crs="EPSG:1")), least_share=0.5)


def test_a_file_that_a_crash_left_half_written_is_not_seen_and_replaced(tmp_path):
    store = ReferenceStore(tmp_path, capacity_bytes=ROOM)
    take(store, 1, 0, steps=2)
    layers = layers_of(1, 0)
    half = tmp_path / "00000001" / "0001.layers.unfinished"
    half.write_bytes(layers[address(1, 0)][:20])
    for one in (store, ReferenceStore(tmp_path, capacity_bytes=ROOM)):
        assert asked(one)[0].blocks[0].steps == 2
    assert store.used_bytes == ReferenceStore(tmp_path, capacity_bytes=ROOM).used_bytes
    store.take(address(1, 0, 2), layers[address(1, 0, 2)])
    assert asked(store)[0].blocks[0].steps == 3 and not half.exists()


def test_taking_and_forgetting_need_nothing_that_decodes_pixels(tmp_path):
    code = (
        "import sys; from pathlib import Path; from onboard.reference_store import ReferenceStore;"
        f"s = ReferenceStore(Path({str(tmp_path)!r}), capacity_bytes=99); s.forget(None);"
        "print([n for n in ('rasterio', 'scipy', 'onboard.reference_candidates') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
