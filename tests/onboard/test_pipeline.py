"""The pipeline over frames in memory: what becomes of each tile, what is sent of it, and what bad scenes get."""

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from downlink.alerts import decode_alerts
from downlink.image_layers import ImageAssembly
from downlink.products import ALERTS_PRODUCT, BLOCKS_LIMIT, FIRST_BLOCK, FIRST_CHIP, SUMMARY_PRODUCT
from downlink.scene import Georeference, TileOutcome, Window, decode_summary
from onboard.detection import Detection
from onboard.energy_prices import EnergyStep
from onboard.errors import SceneTooLargeError, TileReadError
from onboard.governor import Decision, Effort
from onboard.pipeline import DETECTIONS_LIMIT, PipelineSettings, ScenePipeline, TilePixels
from onboard.policy import AreaInterest, AuditRules, load_policy
from onboard.screening import ScreeningSettings
from onboard.sensor_frame import SensorFrame

POLICY = load_policy().model_copy(update={"audit": AuditRules()})
"""Without the audit, which has tests of its own: test_discard_audit.py."""
CAPTURED_MS = 1_750_000_000_123
TILE_PX, HALO_PX = 128, 32
SHIP_DN = 60_000


class Memory:
    """A PixelSource over an array; windows that touch `damaged` cannot be read."""

    def __init__(self, pixels, damaged=None):
        self.pixels, self.damaged = pixels, damaged

    def read_bands(self, window):
        if self.damaged is not None and self.damaged.intersection(window):
            raise TileReadError(f"cannot read {window}", scene="memory", window=window)
        return self.pixels[(slice(None), *window.slices)]

    def read_mask(self, window):
        return None

    def close(self):
        pass


def frame_of(pixels, *, damaged=None, **fields):
    bands, height, width = pixels.shape
    known = {
        "name": "memory", "height": height, "width": width, "dtype": pixels.dtype.name,
        "band_names": tuple(f"B{n:02}" for n in range(2, 2 + bands)), "nodata": None,
        "georeference": Georeference(crs_wkt=None, transform=(10, 0, 5e5, 0, -10, 5e6)), "gsd_m": None,
        "footprint_lonlat": None, "captured_ms": None, "notes": (), "source": Memory(pixels, damaged),
    }  # fmt: skip
    return SensorFrame(**known | fields)


def sea(height=256, width=256, bands=4, dtype="uint16", seed=7):
    chance = np.random.default_rng(seed)
    low, high = (40, 90) if dtype == "uint8" else (300, 700)
    return chance.integers(low, high, (bands, height, width)).astype(dtype)


def paint_ship(pixels, x, y, dn=SHIP_DN):
    """A bright pixel at column x, row y for the fake detector to see."""
    pixels[0, y, x] = dn


class BrightPixelDetector:
    """Calls every pixel of its first band above 50 000 a ship of 13 x 5 px, and remembers what it was shown."""

    def __init__(self, bands=("B02",), confidence=0.75):
        self.model = SimpleNamespace(bands=bands, classes=("ship",), label="bright@0x1234", threshold=0.25)
        self.confidence, self.shown = confidence, []

    def detect(self, pixels, band_names):
        self.shown.append(pixels.shape)
        found = []
        for y, x in zip(*np.nonzero(pixels[0] > 50_000), strict=True):
            left, top, right, bottom = x - 6.0, y - 2.0, x + 7.0, y + 3.0
            corners = ((left, top), (right, top), (right, bottom), (left, bottom))
            found.append(Detection(class_id=0, confidence=self.confidence, corners_px=corners))
        return found


class Allowing:
    """An energy port that grants efforts in turn, the last one for ever, so many codings, and notes what is charged."""

    def __init__(self, *efforts, codings=1_000_000):
        self.efforts, self.charged, self.codings = list(efforts or (Effort.DETECT,)), [], codings

    def decide(self, mpix):
        effort = self.efforts.pop(0) if len(self.efforts) > 1 else self.efforts[0]
        return Decision(effort=effort, reason=f"{effort.name} for {mpix:.4f} Mpix")

    def may_spend(self, step, mpix):
        assert step is EnergyStep.ENCODE
        effort = Effort.SCREEN_ONLY if self.codings else Effort.SKIP
        self.codings -= bool(self.codings)
        return Decision(effort=effort, reason=f"{self.codings} left")

    @contextmanager
    def charge(self, step, mpix):
        self.charged.append((step, round(mpix, 6)))
        yield


class Flown:
    """A processed scene with everything that was emitted on the way."""

    def __init__(self, frame, *, detector="bright", energy=None, policy=POLICY, **settings):
        self.layers, self.reports, self.energy = [], [], energy or Allowing()
        self.detector = BrightPixelDetector() if detector == "bright" else detector
        pipeline = ScenePipeline(
            policy=policy,
            settings=PipelineSettings(
                screening=ScreeningSettings(), peak_dn=10_000, tile_px=TILE_PX, halo_px=HALO_PX, edge_px=8, **settings
            ),
            detector=self.detector,
            energy=self.energy,
            emit=self.layers.extend,
            on_tile=self.reports.append,
        )
        self.scene = pipeline.process(frame, scene=5, captured_ms=CAPTURED_MS)

    def steps(self, product):
        return [one for one in self.layers if one.layer.address.product == product]

    def image(self, product, nodata=None):
        assembly = ImageAssembly(nodata=nodata)
        for one in self.steps(product):
            assembly.add(one.layer.address.step, one.payload)
        return assembly.decode()

    def outcomes(self):
        return [tile.outcome for tile in self.scene.tiles]


def test_every_tile_is_kept_coded_exactly_and_told_in_the_summary():
    pixels = sea(200, 300)
    flown = Flown(frame_of(pixels))
    assert flown.outcomes() == [TileOutcome.KEPT] * 6
    for index, (row, col) in enumerate((row, col) for row in (0, 128) for col in (0, 128, 256)):
        image = flown.image(FIRST_BLOCK + index)
        assert (image.window.row, image.window.col, image.lossless) == (row, col, True)
        assert np.array_equal(image.pixels, pixels[(slice(None), *image.window.slices)])
        sent = sum(one.layer.size_bytes for one in flown.steps(FIRST_BLOCK + index))
        assert flown.scene.tiles[index].coded_bytes == sent
    (summary,) = flown.steps(SUMMARY_PRODUCT)
    assert decode_summary(summary.payload) == flown.scene.summary
    assert flown.scene.summary.tile_outcomes == tuple(flown.outcomes())
    assert (flown.scene.summary.scene, flown.scene.summary.captured_ms) == (5, CAPTURED_MS)
    assert flown.scene.summary.model == "bright@0x1234"
    assert [(one.tile, one.outcome, one.pixels) for one in flown.reports] == [
        (one.tile, one.outcome, TilePixels.RAW) for one in flown.scene.tiles
    ]
    assert {one.pixels for one in flown.scene.tiles} == {TilePixels.CODED}
    assert flown.detector.shown == [(4, TILE_PX + 2 * HALO_PX, TILE_PX + 2 * HALO_PX)] * 6


def test_each_tile_gets_what_it_deserves_with_the_reason():
    pixels = sea(128, 128 * 4)
    pixels[:, :, :128] = 65_535
    pixels[:, :, 128:256] = 512
    pixels[:, :, 256:384] = 0
    flown = Flown(frame_of(pixels, nodata=0.0))
    assert flown.outcomes() == [TileOutcome.SATURATED, TileOutcome.BLANK, TileOutcome.NODATA, TileOutcome.KEPT]
    for report in flown.scene.tiles:
        assert report.reason.startswith(report.outcome.value)
        assert bool(report.coded_bytes) == (report.outcome is TileOutcome.KEPT)
    assert flown.detector.shown == [(4, 192, 192)]
    blocks = {one.layer.address.product for one in flown.layers if one.layer.address.is_block}
    assert blocks == {FIRST_BLOCK + 3}


def test_a_cloudy_tile_is_not_searched():
    pixels = sea(128, 256)
    # Bright, white and smooth: reflectance 0.6 in every band with a little texture.
    pixels[:, :, :128] = 6000 + sea(128, 128) // 4
    flown = Flown(frame_of(pixels, band_names=("B02", "B03", "B04", "B08")))
    assert flown.outcomes() == [TileOutcome.CLOUD, TileOutcome.KEPT]
    assert flown.scene.tiles[0].cloud_fraction > 0.9
    assert len(flown.detector.shown) == 1


def test_power_decides_before_a_tile_is_even_read():
    energy = Allowing(Effort.SKIP, Effort.SCREEN_ONLY, Effort.DETECT)
    pixels = sea(128, 384)
    for column in (60, 190, 320):
        paint_ship(pixels, column, 60)
    flown = Flown(frame_of(pixels), energy=energy)
    assert flown.outcomes() == [TileOutcome.POWER, TileOutcome.SCREENED, TileOutcome.KEPT]
    power, screened, kept = flown.scene.tiles
    assert power.reason == "SKIP for 0.0164 Mpix"
    assert screened.reason.endswith("not searched: SCREEN_ONLY for 0.0164 Mpix")
    assert "not searched" not in kept.reason
    mpix = round(128 * 128 / 1e6, 6)
    tiles = [EnergyStep.INGEST, EnergyStep.SCREEN, EnergyStep.STORE]
    tiles += [EnergyStep.INGEST, EnergyStep.SCREEN, EnergyStep.DETECT, EnergyStep.STORE]
    assert energy.charged[:7] == [(step, mpix) for step in tiles]
    (chip,) = flown.scene.chips
    chip_mpix = round(chip.window.height * chip.window.width / 1e6, 6)
    assert energy.charged[7:] == [(EnergyStep.ENCODE, chip_mpix), *[(EnergyStep.ENCODE, mpix)] * 2]
    assert not flown.steps(FIRST_BLOCK)
    assert flown.image(FIRST_BLOCK + 1).lossless
    assert [round(one.center_px[0]) for one in flown.scene.detections] == [320]


@pytest.mark.parametrize(
    ("detector", "told"),
    [(None, "no detector"), (BrightPixelDetector(bands=("B08", "B99")), "needs B08, B99, the scene has B02, B03")],
)
def test_without_a_detector_that_reads_these_bands_nothing_claims_to_have_been_searched(detector, told):
    pixels = sea(128, 128, bands=2)
    paint_ship(pixels, 60, 60)
    flown = Flown(frame_of(pixels), detector=detector)
    assert flown.outcomes() == [TileOutcome.SCREENED]
    assert flown.scene.tiles[0].reason.endswith("not searched: no detector for this scene")
    assert any(told in note for note in flown.scene.notes)
    assert (flown.scene.summary.model, flown.scene.summary.classes) == (None, ())
    assert flown.scene.detections == ()
    assert flown.image(FIRST_BLOCK).lossless


def test_an_unreadable_tile_costs_itself_alone():
    pixels = sea(128, 384)
    flown = Flown(frame_of(pixels, damaged=Window(row=40, col=150, height=9, width=9)))
    assert flown.outcomes() == [TileOutcome.KEPT, TileOutcome.UNREADABLE, TileOutcome.KEPT]
    assert "cannot read" in flown.scene.tiles[1].reason
    assert any("1 of 3 tiles" in note for note in flown.scene.notes)
    assert np.array_equal(flown.image(FIRST_BLOCK + 2).pixels, pixels[:, :, 256:])


def test_a_chip_that_reaches_into_damage_is_noted_and_the_others_come():
    pixels = sea(128, 384)
    for column in (124, 300):
        paint_ship(pixels, column, 60)
    flown = Flown(frame_of(pixels, damaged=Window(row=50, col=133, height=20, width=9)))
    assert flown.outcomes()[0] is TileOutcome.KEPT
    assert len(flown.scene.detections) == 2
    assert [chip.window.contains(300, 60) for chip in flown.scene.chips] == [True]
    assert flown.image(FIRST_CHIP).window == flown.scene.chips[0].window
    assert any(note.startswith("no chip around 1 detections: cannot read") for note in flown.scene.notes)


def test_objects_on_seams_are_told_once_and_cut_out_once():
    pixels = sea()
    ships = [(128, 128), (127, 40), (40, 130), (200, 200)]
    for x, y in ships:
        paint_ship(pixels, x, y)
    flown = Flown(frame_of(pixels))
    assert sum(tile.detections for tile in flown.scene.tiles) > len(ships)
    assert sorted(one.center_px for one in flown.scene.detections) == sorted((x + 0.5, y + 0.5) for x, y in ships)
    (batch,) = flown.steps(ALERTS_PRODUCT)
    assert len(decode_alerts(batch.payload)) == len(ships)
    assert sorted(member for chip in flown.scene.chips for member in chip.members) == [0, 1, 2, 3]
    for number, chip in enumerate(flown.scene.chips):
        image = flown.image(FIRST_CHIP + number)
        assert image.window == chip.window
        assert np.array_equal(image.pixels, pixels[(slice(None), *chip.window.slices)])
        for member in chip.members:
            assert chip.window.contains(*flown.scene.detections[member].center_px)


def test_what_is_seen_in_repeated_edge_pixels_is_no_detection_and_boxes_end_with_the_scene():
    pixels = sea(100, 100)
    pixels[0, :, 99] = 600
    paint_ship(pixels, 99, 50)  # repeated 60 times beyond the right edge
    flown = Flown(frame_of(pixels))
    assert flown.scene.tiles[0].detections > 1
    assert flown.scene.detections
    for one in flown.scene.detections:
        assert 0 <= one.center_px[0] < 100
        assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in one.corners_px)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((1, 7, 5), "uint8"),
        ((3, 128, 129), "uint8"),
        ((13, 40, 300), "uint16"),
        ((4, 1, 200), "uint16"),
    ],
)
def test_scenes_of_every_shape_come_back_exactly(shape, dtype):
    pixels = sea(shape[1], shape[2], bands=shape[0], dtype=dtype)
    flown = Flown(frame_of(pixels, band_names=tuple(f"band {n}" for n in range(shape[0]))), detector=None)
    rebuilt = np.zeros_like(pixels)
    for index, outcome in enumerate(flown.outcomes()):
        assert outcome is TileOutcome.SCREENED
        image = flown.image(FIRST_BLOCK + index)
        rebuilt[(slice(None), *image.window.slices)] = image.pixels
    assert np.array_equal(rebuilt, pixels)


def test_a_scene_of_one_pixel_is_blank():
    assert Flown(frame_of(sea(1, 1))).outcomes() == [TileOutcome.BLANK]


def test_the_offset_of_digital_numbers_is_taken_off_for_looking_and_left_in_what_is_sent():
    pixels = sea(128, 128) + np.uint16(1000)
    paint_ship(pixels, 60, 60, dn=50_900)
    flown = Flown(frame_of(pixels), dn_offset=1000)
    assert flown.scene.detections == ()
    assert np.array_equal(flown.image(FIRST_BLOCK).pixels, pixels)
    assert len(Flown(frame_of(pixels)).scene.detections) == 1


def test_summary_and_alerts_leave_before_chips_and_are_worth_what_the_policy_says():
    pixels = sea()
    for x, y in ((60, 60), (200, 200)):
        paint_ship(pixels, x, y)
    corners = ((179.0, 11.0), (-179.0, 11.0), (-179.0, 9.0), (179.0, 9.0))
    east_half = AreaInterest(name="east", west=-180.0, south=-90.0, east=-178.0, north=90.0, weight=4.0)
    policy = POLICY.model_copy(update={"areas": (east_half,)})
    flown = Flown(frame_of(pixels, footprint_lonlat=corners), policy=policy)
    order = [one.layer.address.product for one in flown.layers if not one.layer.address.is_block]
    assert order[:2] == [SUMMARY_PRODUCT, ALERTS_PRODUCT]
    (batch,) = flown.steps(ALERTS_PRODUCT)
    # 0.75 each; the one at column 200 lies beyond the antimeridian, where everything counts four times.
    assert batch.layer.value == pytest.approx(policy.alerts.value * 0.75 * (1 + 4))
    bonus = 1 + policy.chips.lossless_bonus
    worth = {
        round(chip.window.col, -2): sum(one.layer.value for one in flown.steps(FIRST_CHIP + number))
        for number, chip in enumerate(flown.scene.chips)
    }
    assert worth == pytest.approx({0: policy.chips.value * 0.75 * bonus, 200: policy.chips.value * 3.0 * bonus})


def test_a_scene_of_more_tiles_than_can_be_named_is_refused_before_any_work():
    side = TILE_PX * 200
    frame = frame_of(sea(8, 8), height=side, width=side)
    energy = Allowing()
    with pytest.raises(SceneTooLargeError, match=r"25600 x 25600 px has 40000 tiles.*at most 32767.*cut it") as caught:
        Flown(frame, energy=energy)
    assert (caught.value.height, caught.value.width, caught.value.tiles) == (side, side, 40_000)
    assert energy.charged == []
    with pytest.raises(SceneTooLargeError, match="1048576 px on a side"):
        Flown(frame_of(sea(8, 8), height=1, width=(1 << 20) + 1))


def test_the_largest_grid_that_can_be_named_is_taken():
    frame = frame_of(sea(8, 8), height=TILE_PX * 31, width=TILE_PX * 1057)  # 31 x 1057 = 32767
    assert BLOCKS_LIMIT == 31 * 1057
    assert Flown(frame, energy=Allowing(Effort.SKIP)).outcomes() == [TileOutcome.POWER] * BLOCKS_LIMIT


def test_more_detections_than_alerts_can_name_are_cut_with_a_note(monkeypatch):
    monkeypatch.setattr("onboard.scene_survey.DETECTIONS_LIMIT", 3)
    pixels = sea(128, 384)
    for column in (30, 90, 150, 210, 270):
        paint_ship(pixels, column, 60)
    flown = Flown(frame_of(pixels))
    assert len(flown.scene.detections) == 3
    assert "5 detections: only the 3 most certain are kept" in flown.scene.notes
    assert DETECTIONS_LIMIT == 256 * 70
