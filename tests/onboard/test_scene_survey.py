"""The survey: what it keeps raw, what it emits and when, and what it does not do twice."""

import threading

import numpy as np
import pytest

from downlink.products import ALERTS_PRODUCT, FIRST_CHIP, SUMMARY_PRODUCT
from downlink.scene import TileOutcome, Window, decode_summary
from onboard.energy_prices import EnergyStep
from onboard.errors import DetectorInputError, StoreError
from onboard.governor import Effort
from onboard.processed_scene import PipelineSettings, TilePixels
from onboard.raw_codec import decode_raw
from onboard.raw_store import RawStore
from onboard.scene_survey import SceneSurvey
from onboard.screening import ScreeningSettings
from onboard.uncoded_tiles import UncodedTiles
from tests.onboard.test_pipeline import (
    CAPTURED_MS,
    HALO_PX,
    POLICY,
    TILE_PX,
    Allowing,
    BrightPixelDetector,
    frame_of,
    paint_ship,
    sea,
)

BANDS = ("B02", "B03", "B04", "B08")


class Survey:
    """A survey into a raw store, with all it says."""

    def __init__(self, raw=None, *, kept=frozenset(), energy=None, detector=None, ahead=0, **settings):
        self.raw = raw or RawStore(None, capacity_bytes=1 << 40)
        self.tiles = UncodedTiles(self.raw)
        self.batches, self.energy, self.reports = [], energy or Allowing(), []
        self.detector = detector or BrightPixelDetector()
        self.survey = SceneSurvey(
            policy=POLICY,
            settings=PipelineSettings(
                screening=ScreeningSettings(), peak_dn=10_000, tile_px=TILE_PX, halo_px=HALO_PX, edge_px=8, **settings
            ),
            detector=self.detector,
            energy=self.energy,
            tiles=self.tiles,
            emit=self.batches.append,
            on_tile=self.reports.append,
            ahead=ahead,
            is_kept=kept.__contains__,
        )

    def of(self, frame, scene=5):
        return self.survey.survey(frame, scene=scene, captured_ms=CAPTURED_MS)

    @property
    def products(self):
        return [[one.layer.address.product for one in batch] for batch in self.batches]


def harbour():
    pixels = sea(200, 300)
    for x, y in ((30, 40), (150, 60)):
        paint_ship(pixels, x, y)
    return pixels


def test_alerts_wait_for_no_image_and_every_raw_tile_is_exact():
    pixels = harbour()
    survey = Survey()
    scene = survey.of(frame_of(pixels))
    assert survey.products[0] == [SUMMARY_PRODUCT, ALERTS_PRODUCT]
    assert [sorted(set(batch)) for batch in survey.products[1:]] == [[FIRST_CHIP], [FIRST_CHIP + 1]]
    steps = [step for step, _ in survey.energy.charged]
    assert (
        steps
        == [EnergyStep.INGEST, EnergyStep.SCREEN, EnergyStep.DETECT, EnergyStep.STORE] * 6 + [EnergyStep.ENCODE] * 2
    )
    assert survey.raw.tiles(5) == tuple(range(6))
    for report in scene.tiles:
        core, valid = decode_raw(survey.raw.get(5, report.tile.index))
        assert np.array_equal(core, pixels[(slice(None), *report.tile.core.slices)]) and valid.all()
        assert report.pixels is TilePixels.RAW


def test_raw_tiles_and_note_are_durable_before_anything_is_said():
    survey = Survey()
    at_first = []
    survey.survey.emit = lambda layers: at_first.append(survey.tiles.is_sealed(5))
    survey.of(frame_of(harbour()))
    assert at_first == [True] * 3


def test_tiles_with_detections_promise_more():
    survey = Survey()
    survey.of(frame_of(harbour()))
    note = survey.tiles.note(5)
    per_pixel = POLICY.blocks.value / 1e6
    with_ship, with_another, empty = (note.tiles[tile].forecast.points for tile in (0, 1, 3))
    assert min(with_ship, with_another) > 128 * 128 * per_pixel * 1.05
    assert empty == pytest.approx(72 * 128 * per_pixel)
    assert note.detections[0].detection().confidence == 0.75


def quiet_sea(height=128, width=256):
    """Water as the gate knows it: dark in near infrared, even, with nothing above it."""
    levels = np.array([600, 500, 300, 150], np.int64)[:, None, None]
    return (levels + np.random.default_rng(0xA11).integers(-20, 21, (4, height, width))).astype(np.uint16)


def test_open_sea_is_kept_and_not_shown_to_the_network():
    pixels = quiet_sea()
    pixels[3, 60, 190] = 1500  # something that is no water
    survey = Survey()
    scene = survey.of(frame_of(pixels, band_names=BANDS))
    empty, occupied = scene.tiles
    assert (empty.outcome, empty.is_gated, empty.pixels) == (TileOutcome.KEPT, True, TilePixels.RAW)
    assert "nothing to search for: open sea" in empty.reason
    assert (occupied.outcome, occupied.is_gated) == (TileOutcome.KEPT, False)
    assert len(survey.detector.shown) == 1
    assert [step for step, _ in survey.energy.charged].count(EnergyStep.DETECT) == 1
    assert any("gates found nothing to search for in 1 of 2 tiles" in note for note in scene.notes)


def test_the_gate_needs_no_energy_for_the_detector():
    survey = Survey(energy=Allowing(Effort.SCREEN_ONLY))
    scene = survey.of(frame_of(quiet_sea(), band_names=BANDS))
    assert [tile.outcome for tile in scene.tiles] == [TileOutcome.KEPT] * 2
    assert survey.detector.shown == []


def test_a_sealed_scene_is_not_looked_at_again_and_the_rest_of_it_is_said():
    first = Survey()
    frame = frame_of(harbour())
    whole = first.of(frame)
    for done in range(len(first.batches) + 1):
        kept = frozenset(product for batch in first.products[:done] for product in batch)
        again = Survey(first.raw, kept=kept)
        scene = again.of(frame)
        said = [[(one.layer, one.payload) for one in batch] for batch in again.batches]
        assert said == [[(one.layer, one.payload) for one in batch] for batch in first.batches[done:]]
        assert (scene.summary, scene.chips, scene.detections) == (whole.summary, whole.chips, whole.detections)
        assert [tile.pixels for tile in scene.tiles] == [TilePixels.RAW] * 6
        assert again.detector.shown == [] and EnergyStep.INGEST not in dict(again.energy.charged)


def test_a_scene_whose_note_is_damaged_is_looked_at_again():
    survey = Survey()
    survey.raw.put(5, 0, b"\x12\x34")
    survey.raw.seal(5, b"{")
    scene = survey.of(frame_of(harbour()))
    assert survey.raw.tiles(5) == tuple(range(6))
    assert decode_summary(survey.batches[0][0].payload) == scene.summary
    assert survey.tiles.account.damaged.tiles == 1


def test_a_disk_that_refuses_leaves_nothing_of_the_scene_and_a_later_attempt_all(monkeypatch):
    survey = Survey()
    put, calls = survey.raw.put, []

    def once_full(scene, tile, data):
        calls.append(tile)
        if len(calls) == 4:
            raise StoreError("no room on the disk; free some")
        put(scene, tile, data)

    monkeypatch.setattr(survey.raw, "put", once_full)
    with pytest.raises(StoreError, match="no room"):
        survey.of(frame_of(harbour()))
    assert (survey.raw.scenes, survey.raw.tiles(5), len(survey.tiles), survey.batches) == ((), (), 0, [])
    survey.of(frame_of(harbour()))
    assert survey.raw.tiles(5) == tuple(range(6))


def test_a_raw_store_too_small_keeps_what_promises_most():
    room = Survey()
    room.of(frame_of(harbour()))
    sizes = {tile: room.raw.size_bytes(5, tile) for tile in range(6)}
    small = Survey(RawStore(None, capacity_bytes=sum(sizes.values()) // 2))
    small.of(frame_of(harbour()))
    left = small.raw.tiles(5)
    assert 0 < len(left) < 6
    account = small.tiles.account
    assert (account.kept.tiles, account.discarded.tiles) == (6, 6 - len(left))
    assert small.raw.used_bytes <= small.raw.capacity_bytes


@pytest.mark.parametrize("ahead", [1, 2, 9])
def test_reading_ahead_changes_nothing_but_the_order_of_work(ahead):
    pixels = harbour()
    damaged = Window(row=130, col=140, height=9, width=9)
    efforts = [Effort.DETECT, Effort.SKIP, Effort.DETECT, Effort.SCREEN_ONLY, Effort.DETECT, Effort.DETECT]
    in_turn, in_advance = (Survey(energy=Allowing(*efforts), ahead=n) for n in (0, ahead))
    scenes = [survey.of(frame_of(pixels, damaged=damaged)) for survey in (in_turn, in_advance)]
    assert scenes[0] == scenes[1]
    assert TileOutcome.UNREADABLE in [tile.outcome for tile in scenes[0].tiles]
    assert in_turn.batches == in_advance.batches
    assert in_turn.raw.note(5) == in_advance.raw.note(5)
    # The same is paid, sooner; waiting for what the network was begun on before is paid as it passes.
    paid = [one for one in in_advance.energy.charged if one != (EnergyStep.DETECT, 0.0)]
    assert sorted(paid) == sorted(in_turn.energy.charged)


def test_a_detector_that_fails_ends_the_thread_and_leaves_nothing_of_the_scene():
    class Broken(BrightPixelDetector):
        def detect(self, pixels, band_names):
            raise DetectorInputError("no such bands", present=(), needed=())

    survey = Survey(detector=Broken(), ahead=2)
    before = threading.active_count()
    with pytest.raises(DetectorInputError):
        survey.of(frame_of(harbour()))
    assert threading.active_count() == before
    assert survey.raw.tiles(5) == () and len(survey.tiles) == 0
