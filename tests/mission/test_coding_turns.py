"""The coder as an actor of a flight: what it codes for which contacts, when, and in which order with surveys."""

from types import SimpleNamespace

import numpy as np
import pytest

from downlink.products import FIRST_BLOCK
from downlink.scene import Georeference
from mission.flight import Flight
from mission.scenario import load_scenario
from mission.scenario_orders import PRODUCTS
from onboard.detection import Detection
from onboard.energy_prices import EnergyStep
from onboard.policy import load_policy
from onboard.processed_scene import TilePixels
from onboard.raw_store import RawStore
from onboard.sensor_frame import SensorFrame

HEADER = """
[mission]
name = "turns"
start = 2025-02-28T00:05:00Z
seed = 11
[sensor]
capture_before_first_contact_s = {before_s}
capture_interval_s = 1.0
[power]
meter = "model"
{power}
[contacts]
source = "list"
[channel]
frame_loss = 0.0
"""
CONTACT = """
[[contact]]
station = "one"
aos_s = {aos_s}
duration_s = {duration_s}
downlink_bps = {bps}
"""


class Sea:
    """A PixelSource over an array."""

    def __init__(self, pixels):
        self.pixels = pixels

    def read_bands(self, window):
        return self.pixels[(slice(None), *window.slices)]

    def read_mask(self, window):
        return None

    def close(self):
        pass


def frame_of(seed, height=512, width=1536):
    """Three tiles of four bands; the middle one is twice as rough as its neighbours, the first has a ship."""
    pixels = np.random.default_rng(seed).integers(300, 340, (4, height, width)).astype(np.uint16)
    pixels[:, :, 512:1024] += np.random.default_rng(seed + 1).integers(0, 900, (4, height, 512)).astype(np.uint16)
    pixels[3, 100, 100] = 9500
    return SensorFrame(
        name=f"sea {seed}", height=height, width=width, dtype="uint16", band_names=("B02", "B03", "B04", "B08"),
        nodata=None, georeference=Georeference(crs_wkt=None, transform=(10, 0, 5e5, 0, -10, 5e6)), gsd_m=10.0,
        footprint_lonlat=None, captured_ms=None, notes=(), source=Sea(pixels),
    )  # fmt: skip


class BrightPixels:
    """Calls bright pixels of the last band ships."""

    model = SimpleNamespace(bands=("B08",), classes=("ship",), label="bright@1", threshold=0.25)

    def detect(self, pixels, band_names):
        found = []
        for y, x in zip(*np.nonzero(pixels[3] > 9000), strict=True):
            corners = ((x - 4.0, y - 2.0), (x + 5.0, y - 2.0), (x + 5.0, y + 3.0), (x - 4.0, y + 3.0))
            found.append(Detection(class_id=0, confidence=0.75, corners_px=corners))
        return found


@pytest.fixture
def fly(tmp_path):
    """Fly scenes of sea over contacts of (AOS s, length s, bit/s)."""

    def flown(*contacts, scenes=1, before_s=200.0, power="", orders="", raw=None):
        path = tmp_path / "scenario.toml"
        text = HEADER.format(before_s=before_s, power=power)
        text += "".join(CONTACT.format(aos_s=aos, duration_s=length, bps=bps) for aos, length, bps in contacts)
        path.write_text(text + orders)
        extra = {} if raw is None else {"raw": raw}
        flight = Flight(
            scenario=load_scenario(str(path)), policy=load_policy(), detector=BrightPixels(), seed=3, **extra
        )
        return flight.fly([frame_of(10 * n) for n in range(scenes)])

    return flown


def places(record):
    return [[tile.pixels for tile in scene.tiles] for scene in record.scenes]


def told_ms(record, kind):
    """When layers of a kind were first sent, relative to the first AOS."""
    aos_ms = record.contacts[0].contact.aos_ms
    return [
        observation.at_ms - aos_ms
        for observation in record.world.observations
        if observation.what == "sent" and any(kind(address) for address in observation.addresses)
    ]


def test_with_room_for_all_everything_is_coded_and_arrives(fly):
    record = fly((300.0, 600.0, 2_000_000))
    assert places(record) == [[TilePixels.CODED] * 3]
    assert record.layer_store.addresses == record.captured.keys()
    assert record.coding.waiting.tiles == 0 and record.coding.tiles.coded.tiles == 3


def test_nothing_is_coded_that_the_coming_contacts_cannot_carry(fly):
    record = fly((300.0, 1.0, 16_000))
    assert TilePixels.RAW in places(record)[0]
    assert record.coding.waiting.tiles >= 1
    coded = sum(block.mpix for block in record.coding.blocks)
    assert record.power.ledger.by_step[EnergyStep.ENCODE] < 6.2 * (coded + 0.01)
    account, waiting = record.coding.tiles, record.coding.waiting
    assert account.kept.tiles == 3 == account.coded.tiles + waiting.tiles
    assert account.kept.size_bytes == account.coded.size_bytes + waiting.size_bytes


def test_more_is_coded_when_the_contacts_carry_more_than_they_promised(fly):
    """What has been delivered leaves room again: the coder is woken during and after a contact."""
    record = fly((300.0, 1.0, 16_000), (6000.0, 600.0, 2_000_000))
    assert places(record) == [[TilePixels.CODED] * 3]


def test_alerts_and_chips_do_not_wait_for_blocks(fly):
    # Surveying takes under a second, coding three tiles more than another.
    record = fly((300.0, 600.0, 2_000_000), before_s=3.0)
    express = told_ms(record, lambda address: address.is_express)
    chips = told_ms(record, lambda address: address.is_chip)
    blocks = told_ms(record, lambda address: address.is_block)
    assert express[0] <= 5 and chips[0] < 1000 < blocks[-1]


def test_a_scene_that_is_captured_is_surveyed_before_the_rest_of_the_last_one_is_coded(fly):
    record = fly((300.0, 600.0, 2_000_000), scenes=2)
    at = {address: place for place, address in enumerate(record.captured)}
    last_of_first = max(place for address, place in at.items() if address.scene == 1 and address.is_block)
    summary_of_second = min(place for address, place in at.items() if address.scene == 2)
    assert summary_of_second < last_of_first, "captured a second later, while the first scene was being coded"
    assert len(record.coding.blocks) == 6


def test_energy_that_returns_wakes_the_coder(fly):
    # 5.4 J above the reserve: enough for the survey (2.4 J) and a block (1.6 J); the Sun gives another 1.6 J in nine minutes.
    dark = "battery_capacity_wh = 1.0\ninitial_charge_fraction = 0.341\nreserve_fraction = 0.3395\n"
    dark += "idle_w = 0.0\nradio_w = 0.0\npanel_w = 0.003"
    record = fly((300.0, 60.0, 2_000_000), (9000.0, 600.0, 2_000_000), power=dark)
    assert places(record) == [[TilePixels.CODED] * 3]
    coding_ms = [point.at_ms for point in record.power.history if point.step is EnergyStep.ENCODE]
    assert coding_ms[-1] - coding_ms[0] > 300_000
    lowest_j = min(point.charge_j for point in record.power.history)
    assert lowest_j >= record.scenario.power.reserve_j


def test_a_tile_that_the_ground_asks_for_is_coded_though_it_was_not_worth_it(fly, monkeypatch):
    tight = (300.0, 1.0, 16_000), (6000.0, 1.0, 16_000), (9000.0, 1.0, 16_000)
    plain = fly(*tight)
    assert plain.scenes[0].tiles[1].pixels is TilePixels.RAW, "the rough one"
    monkeypatch.setitem(PRODUCTS, "blocks", (FIRST_BLOCK + 1, FIRST_BLOCK + 1))
    asked = fly(*tight, orders='[[order]]\nat_s = 300.0\nscene = 1\nproducts = "blocks"\n')
    assert asked.scenes[0].tiles[1].pixels is TilePixels.CODED


def test_a_raw_store_too_small_gives_up_what_promises_least_and_the_books_say_so(fly):
    whole = fly((300.0, 600.0, 2_000_000))
    size = whole.coding.tiles.kept.size_bytes
    record = fly((300.0, 600.0, 2_000_000), raw=RawStore(None, capacity_bytes=size * 2 // 3))
    assert places(record)[0][1] is TilePixels.DISCARDED
    assert record.coding.tiles.discarded.tiles >= 1
    assert record.coding.tiles.kept.tiles == 3
