"""Windows of a search: they cover what the gates leave, cost no more than the whole tile, and lose and double nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.scene import Window
from onboard.detection import Detection
from onboard.land_gate import LandGate, inland_blocks
from onboard.sea_gate import BLOCK_PX, SeaGate
from onboard.seam_merge import merge_seams
from onboard.search_windows import RUN_COST_PX, begin_search, cover, plan_search, windows_for, work_share

HALO_PX = 32
TILE_PX = 512
SIDE_PX = TILE_PX + 2 * HALO_PX
CORE = Window(row=HALO_PX, col=HALO_PX, height=TILE_PX, width=TILE_PX)
BANDS = ("B02", "B03", "B04", "B08")


def box(x: float, y: float, confidence: float = 0.5) -> Detection:
    corners = ((x - 6, y - 2), (x + 6, y - 2), (x + 6, y + 2), (x - 6, y + 2))
    return Detection(class_id=0, confidence=confidence, corners_px=corners)


class BrightDots:
    """Finds every pixel above 50 000 of band 0 in each of its windows; notes what it is shown."""

    def __init__(self, *, input_multiple_px: int | None = 32) -> None:
        self.model = SimpleNamespace(input_multiple_px=input_multiple_px, classes=("ship",))
        self.shown: list[Window] = []

    def detect(self, pixels: np.ndarray, band_names: tuple[str, ...]) -> list[Detection]:
        return [box(x + 0.5, y + 0.5) for y, x in zip(*np.nonzero(pixels[0] > 50_000), strict=True)]

    def begin(self, pixels, band_names, windows):
        self.shown += windows
        found = [
            [one.shifted(window.col, window.row) for one in self.detect(pixels[:, *window.slices], band_names)]
            for window in windows
        ]
        return lambda: found


class OneTileAtATime(BrightDots):
    begin = None  # type: ignore[assignment]


def blocks_of(places: list[tuple[int, int]]) -> np.ndarray:
    blocks = np.zeros((SIDE_PX // BLOCK_PX, SIDE_PX // BLOCK_PX), bool)
    for row, col in places:
        blocks[row, col] = True
    return blocks


block_places = st.lists(st.tuples(st.integers(0, 35), st.integers(0, 35)), max_size=40)


@settings(max_examples=80, deadline=None)
@given(block_places)
def test_every_block_of_the_core_lies_in_a_core_and_no_window_leaves_the_tile(places: list[tuple[int, int]]) -> None:
    blocks = blocks_of(places)
    windows = cover(blocks, CORE, halo_px=HALO_PX)
    covered = np.zeros((SIDE_PX, SIDE_PX), bool)
    for window in windows:
        covered[window.core.slices] = True
        padded = window.padded
        assert padded.height == padded.width in (128, 192, 320, 576)
        assert padded.row >= 0 and padded.col >= 0 and padded.row_stop <= SIDE_PX and padded.col_stop <= SIDE_PX
        assert (window.core.row - padded.row, padded.col_stop - window.core.col_stop) == (HALO_PX, HALO_PX)
    inner = np.kron(blocks, np.ones((BLOCK_PX, BLOCK_PX), bool))[CORE.slices]
    assert covered[CORE.slices][inner].all()
    assert work_share(windows, (SIDE_PX, SIDE_PX)) <= 1
    assert bool(windows) == bool(inner.any())


def plain_cost(blocks: np.ndarray, row: int, col: int, side: int) -> int:
    """Of the cheapest cover of one square of the quadtree: one square window of 64 to 512 px with what is set, or its quarters' covers."""
    set_rows, set_cols = np.nonzero(blocks[row // 16 : (row + side) // 16, col // 16 : (col + side) // 16])
    if not len(set_rows):
        return 0
    extent = 16 * (1 + max(int(np.ptp(set_rows)), int(np.ptp(set_cols))))
    core = next(one for one in (64, 128, 256, 512) if one >= extent)
    whole = (core + 2 * HALO_PX) ** 2 + RUN_COST_PX
    half = side // 2
    if side == 64:
        return whole
    corners = [(row + down, col + right) for down in (0, half) for right in (0, half)]
    return min(whole, sum(plain_cost(blocks, *corner, half) for corner in corners))


@settings(max_examples=60, deadline=None)
@given(places=block_places, filled=st.tuples(*[st.integers(0, 36)] * 4))
def test_no_cover_of_the_quadtree_is_cheaper(places: list[tuple[int, int]], filled: tuple[int, int, int, int]) -> None:
    blocks = blocks_of(places)
    blocks[filled[0] : filled[1], filled[2] : filled[3]] = True
    windows = cover(blocks, CORE, halo_px=HALO_PX)
    spent = sum(one.padded.height * one.padded.width + RUN_COST_PX for one in windows)
    assert spent == plain_cost(blocks, HALO_PX, HALO_PX, TILE_PX)


def test_one_ship_takes_one_small_window_and_a_full_tile_takes_one_large_one() -> None:
    assert [one.padded.height for one in cover(blocks_of([(17, 18), (18, 18)]), CORE, halo_px=HALO_PX)] == [128]
    assert [one.padded.height for one in cover(np.ones((36, 36), bool), CORE, halo_px=HALO_PX)] == [SIDE_PX]
    corners = cover(blocks_of([(2, 2), (2, 33), (33, 2), (33, 33)]), CORE, halo_px=HALO_PX)
    assert [one.padded.height for one in corners] == [128] * 4


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(32, 543), st.integers(32, 543)), max_size=12, unique=True), block_places)
def test_what_lies_in_a_covered_block_is_found_once(dots: list[tuple[int, int]], places: list[tuple[int, int]]) -> None:
    pixels = np.full((4, SIDE_PX, SIDE_PX), 300, np.uint16)
    for row, col in dots:
        pixels[0, row, col] = 60_000
    blocks = blocks_of(places)
    windows = cover(blocks, CORE, halo_px=HALO_PX)
    found = merge_seams(begin_search(BrightDots(), pixels, BANDS, windows, slack_px=8)())
    wanted = merge_seams([box(col + 0.5, row + 0.5) for row, col in dots if blocks[row // BLOCK_PX, col // BLOCK_PX]])
    assert len({one.center_px for one in found}) == len(found)
    for one in wanted:
        assert any(np.hypot(*np.subtract(one.center_px, other.center_px)) < 8 for other in found)


@pytest.mark.parametrize("x", [96.0 + offset for offset in (-9, -8, -0.1, 0, 7.9, 8, 9)])
def test_a_detection_belongs_to_the_windows_near_whose_core_it_is(x: float) -> None:
    class Fixed(BrightDots):
        def begin(self, pixels, band_names, windows):
            return lambda: [[box(x, 60.0)] for _ in windows]

    left = cover(blocks_of([(2, 2), (5, 5)]), CORE, halo_px=HALO_PX)[0]
    assert (left.core.col, left.core.col_stop) == (32, 96)
    right = cover(blocks_of([(2, 6), (5, 9)]), CORE, halo_px=HALO_PX)[0]
    assert right.core.col == 96
    pixels = np.zeros((4, SIDE_PX, SIDE_PX), np.uint16)
    owners = [len(begin_search(Fixed(), pixels, BANDS, [one], slack_px=8)()) for one in (left, right)]
    assert owners == [int(x < 104), int(x >= 88)]


def test_a_detector_without_windows_or_of_one_size_sees_the_whole_tile() -> None:
    pixels = np.full((4, SIDE_PX, SIDE_PX), 300, np.uint16)
    pixels[0, 300, 200] = 60_000
    plan = plan_search(
        pixels, np.ones((TILE_PX, TILE_PX), bool), BANDS, halo_px=HALO_PX, sea_gate=SeaGate(), land_gate=LandGate()
    )
    for detector in (BrightDots(input_multiple_px=None), OneTileAtATime()):
        windows = windows_for(detector, plan, (SIDE_PX, SIDE_PX), halo_px=HALO_PX)  # type: ignore[arg-type]
        assert [one.padded for one in windows] == [Window(row=0, col=0, height=SIDE_PX, width=SIDE_PX)]
        assert work_share(windows, (SIDE_PX, SIDE_PX)) == 1
    (found,) = begin_search(OneTileAtATime(), pixels, BANDS, windows, slack_px=8)()  # type: ignore[arg-type]
    assert found.center_px == (200.5, 300.5)


def coast(seed: int = 3) -> np.ndarray:
    """(4, 576, 576): water with one ship at column 60, row 380; fields from column 210 on."""
    rng = np.random.default_rng(seed)
    pixels = np.array([700, 550, 330, 180])[:, None, None] + rng.normal(0, 8, (4, SIDE_PX, SIDE_PX))
    pixels[:, :, 210:] = np.array([500, 700, 600, 2800])[:, None, None] + rng.normal(0, 90, (4, SIDE_PX, 366))
    pixels[:, 377:383, 50:70] += 1500
    return np.clip(pixels, 1, 65_535).astype(np.uint16)


def test_a_coast_is_searched_where_it_may_hold_something() -> None:
    valid = np.ones((TILE_PX, TILE_PX), bool)
    plan = plan_search(coast(), valid, BANDS, halo_px=HALO_PX, sea_gate=SeaGate(), land_gate=LandGate())
    searched = np.zeros((SIDE_PX, SIDE_PX), bool)
    for window in plan.windows:
        searched[window.core.slices] = True
    assert plan.passes and plan.gate is None
    assert searched[380, 60] and searched[HALO_PX:-HALO_PX, 195:240].all()
    assert not searched[:, 450:].any()
    assert work_share(plan.windows, (SIDE_PX, SIDE_PX)) < 0.8


def test_fields_alone_are_stopped_and_not_where_more_than_ships_is_looked_for() -> None:
    inland = np.concatenate([coast()[:, :, 210:]] * 2, axis=2)[:, :, :SIDE_PX]
    valid = np.ones((TILE_PX, TILE_PX), bool)
    stopped = plan_search(inland, valid, BANDS, halo_px=HALO_PX, sea_gate=SeaGate(), land_gate=LandGate())
    assert (stopped.passes, stopped.gate) == (False, "land")
    everywhere = LandGate(enabled=False)
    assert plan_search(inland, valid, BANDS, halo_px=HALO_PX, sea_gate=SeaGate(), land_gate=everywhere).passes


def test_the_core_of_a_tile_at_the_scenes_edge_is_all_that_is_searched() -> None:
    pixels = coast()
    pixels[:, :, 40:] = pixels[:, :, 39:40]
    pixels[3, 200, 36] = 4000
    valid = np.ones((TILE_PX, 8), bool)
    plan = plan_search(pixels, valid, BANDS, halo_px=HALO_PX, sea_gate=SeaGate(), land_gate=LandGate())
    assert [one.padded.height for one in plan.windows] == [128]
    assert plan.windows[0].core.row <= 200 < plan.windows[0].core.row_stop


def test_a_field_in_quiet_sea_is_searched_since_asking_the_land_gate_costs_as_much() -> None:
    rng = np.random.default_rng(8)
    pixels = np.array([700, 550, 330, 180])[:, None, None] + rng.normal(0, 8, (4, SIDE_PX, SIDE_PX))
    pixels[:, 160:256, 160:256] = np.array([500, 700, 600, 2800])[:, None, None]  # 36 of 1,296 blocks
    seen, known = np.clip(pixels, 1, 65_535).astype(np.uint16), np.ones((SIDE_PX, SIDE_PX), bool)
    inland = inland_blocks(seen, known, BANDS, LandGate())
    assert inland is not None and inland[12, 12]
    plan = plan_search(seen, known[CORE.slices], BANDS, halo_px=HALO_PX, sea_gate=SeaGate(), land_gate=LandGate())
    assert any(
        one.core.row <= 200 < one.core.row_stop and one.core.col <= 200 < one.core.col_stop for one in plan.windows
    )
    assert work_share(plan.windows, (SIDE_PX, SIDE_PX)) < 0.35
