"""The ground's radio over its state folder: acknowledged is kept, a full disk is waited out, a restart goes on where it was."""

import io
import json
import os
import subprocess
import sys
from collections import deque

import pytest

from downlink.errors import JournalError
from downlink.housekeeping import Housekeeping
from downlink.journal import FileJournal
from downlink.link_events import ContactEnded, ContactStarted, FrameHeard, TransmitFrame, TransmitterReady
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from downlink.record import OVERHEAD_BYTES
from ground.link_events import OrderGiven
from ground.store import LayerStore
from mission.contacts import PlannedContact, repeating_contact
from mission.link_setup import link_keys, link_profile
from mission.live import ground_radio
from mission.live.frame_port import PortCounts
from mission.live.ground_radio import LAYERS_FILE, SNAPSHOT_FILE, GroundRadio
from mission.live.structured_log import StructuredLog
from mission.onboard_end import onboard_computer
from mission.scenario import load_scenario
from onboard.link_events import HousekeepingTaken, LayersCaptured
from onboard.valuation import ValuedLayer

SCENARIO = """
[contacts]
source = "repeating"
period_s = 1000.0
duration_s = 900.0
downlink_bps = 2_000_000
[link]
frame_bytes = 1115
"""
AOS_MS = 1_750_000_000_000


class Port:
    """Frames through the test's hands."""

    def __init__(self):
        self.counts = PortCounts()
        self.problem = ""
        self.inbox, self.outbox = deque(), []

    def send(self, frame):
        self.outbox.append(frame)
        return True

    def receive(self):
        heard = list(self.inbox)
        self.inbox.clear()
        return heard

    def fileno(self):
        return -1

    def close(self):
        pass


class Clock:
    def __init__(self):
        self.ms = AOS_MS + 1_000
        self.step_ms = 0

    def now_ms(self):
        return self.ms

    def check(self):
        step_ms, self.step_ms = self.step_ms, 0
        self.ms += min(0, step_ms)
        return step_ms


class Windows:
    def __init__(self, planned: PlannedContact):
        self.planned = planned

    def at(self, now_ms):
        contact = self.planned.contact
        return self.planned if contact.aos_ms <= now_ms < contact.los_ms else None

    def next_after(self, now_ms):
        return None


def valued(product, step=0, size_bytes=3000):
    address = LayerAddress(scene=7, product=product, step=step)
    layer = Layer(
        address=address, rung=Rung.REFINEMENT, size_bytes=size_bytes, value=1000.0 - product % 999, half_life_s=1e9, captured_ms=AOS_MS
    )  # fmt: skip
    payload = bytes((7 * product + n) & 0xFF for n in range(size_bytes - OVERHEAD_BYTES))
    return ValuedLayer(layer=layer, payload=payload)


class Bench:
    """A ground radio over a folder, and the satellite it hears, both in the test's time."""

    def __init__(self, tmp_path):
        (tmp_path / "link.toml").write_text(SCENARIO)
        self.scenario = load_scenario(tmp_path / "link.toml")
        self.state = tmp_path / "state"
        self.state.mkdir()
        self.planned = repeating_contact(self.scenario, AOS_MS // 1_000_000)
        assert self.planned.contact.aos_ms == AOS_MS
        self.clock, self.monotonic_s = Clock(), 0.0
        self.log = io.StringIO()
        self.computer = onboard_computer(
            link_profile(self.scenario), capacity_bytes=1 << 30, keys=link_keys(self.scenario, seed=0)
        )
        self.computer.handle(ContactStarted(contact=self.planned.contact), self.clock.ms)
        self.start()

    def start(self):
        """As after a kill: from the folder alone."""
        self.port = Port()
        self.arrived = []
        self.radio = GroundRadio(
            self.scenario,
            self.state,
            self.port,
            StructuredLog("ground", stream=self.log),
            windows=Windows(self.planned),
            clock=self.clock,
            on_arrival=lambda addresses, now_ms: self.arrived.extend(addresses),
            monotonic_s=lambda: self.monotonic_s,
        )

    def capture(self, *layers):
        self.computer.handle(LayersCaptured(layers=layers), self.clock.ms)

    def down(self, frames=1_000_000):
        """The satellite sends until it has nothing to say, or so many frames."""
        for _ in range(frames):
            answer = self.computer.handle(TransmitterReady(), self.clock.ms)
            sent = [one.frame for one in answer if isinstance(one, TransmitFrame)]
            if not sent:
                break
            self.port.inbox.extend(sent)

    def turn(self, times=1):
        for _ in range(times):
            self.clock.ms += 40
            self.monotonic_s += 0.04
            self.radio.turn()

    def up(self):
        """What the ground has said reaches the satellite."""
        for frame in self.port.outbox:
            self.computer.handle(FrameHeard(frame=frame), self.clock.ms)
        self.port.outbox.clear()

    def exchange(self, rounds=80):
        for _ in range(rounds):
            self.down()
            self.turn()
            self.up()
            self.clock.ms += 300
            self.monotonic_s += 0.3

    @property
    def events(self):
        return [json.loads(line)["event"] for line in self.log.getvalue().splitlines()]

    def held_on_disk(self):
        with FileJournal(self.state / LAYERS_FILE) as journal:
            return LayerStore(journal).addresses


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_everything_comes_down_and_what_is_acknowledged_is_on_the_disk(bench):
    layers = [
        valued(SUMMARY_PRODUCT, size_bytes=200),
        valued(ALERTS_PRODUCT, size_bytes=90),
        *(valued(FIRST_BLOCK + n) for n in range(40)),
    ]
    bench.capture(*layers)
    for _ in range(40):
        bench.exchange(1)
        assert bench.computer.store.delivered <= bench.held_on_disk()
    assert bench.computer.store.delivered == {one.layer.address for one in layers}
    assert set(bench.arrived) == bench.computer.store.delivered and len(bench.arrived) == len(layers)
    assert bench.radio.station.store.digest != bytes(8)
    assert "contact started" in bench.events


def test_killed_in_mid_file_nothing_acknowledged_is_lost_and_little_is_sent_twice(bench):
    bench.capture(*(valued(FIRST_BLOCK + n) for n in range(60)))
    for _ in range(3):
        bench.down(20)
        bench.turn()
        bench.radio.save()
        bench.up()
        acknowledged, repeated = bench.computer.store.delivered, bench.computer.repeated_bytes
        bench.down(7)
        bench.turn()  # heard, in memory alone
        bench.start()
        assert bench.radio.station.store.addresses >= acknowledged
        assert bench.radio.station.open_files > 0
        assert bench.computer.repeated_bytes - repeated < 30_000
    bench.exchange()
    assert len(bench.computer.store.delivered) == 60 == len(bench.held_on_disk())


@pytest.mark.parametrize("damage", [b"", b"CFDS", b"\xff" * 300, None])
def test_a_damaged_snapshot_costs_repeats_and_nothing_else(bench, damage):
    bench.capture(*(valued(FIRST_BLOCK + n) for n in range(60)))
    bench.down(30)
    bench.turn()
    bench.radio.save()
    snapshot = bench.state / SNAPSHOT_FILE
    if damage is None:
        broken = bytearray(snapshot.read_bytes())
        broken[len(broken) // 2] ^= 0x10
        damage = bytes(broken)
    snapshot.write_bytes(damage)
    bench.start()
    assert bench.radio.station is not None and bench.radio.station.open_files == 0
    assert "unfinished files forgotten" in bench.events
    bench.exchange(200)
    assert len(bench.computer.store.delivered) == 60


def test_a_full_disk_is_waited_out_and_acknowledges_nothing(bench, monkeypatch):
    append = FileJournal.append
    full = True

    def refusing(journal, records):
        if full:
            raise JournalError("cannot append: No space left on device")
        return append(journal, records)

    monkeypatch.setattr(FileJournal, "append", refusing)
    bench.capture(valued(SUMMARY_PRODUCT, size_bytes=200), *(valued(FIRST_BLOCK + n) for n in range(30)))
    bench.exchange(60)
    assert bench.computer.store.delivered == frozenset() == bench.held_on_disk()
    assert bench.radio.station is None or bench.radio.problem == ""
    restarts = bench.events.count("core given up")
    assert 3 <= restarts <= 8  # after 1, 2, 4, ... seconds, in 20
    full = False
    bench.exchange(200)
    assert bench.radio.problem == "" and bench.radio.station is not None
    assert len(bench.computer.store.delivered) == 31 == len(bench.held_on_disk())


def test_a_whole_file_that_the_disk_refuses_is_not_acknowledged(bench, monkeypatch):
    complete = LayerStore.complete_file
    refusals = [JournalError("cannot append: No space left on device")]

    def refusing(store, number, records):
        if refusals:
            raise refusals.pop()
        return complete(store, number, records)

    monkeypatch.setattr(LayerStore, "complete_file", refusing)
    bench.capture(*(valued(FIRST_BLOCK + n) for n in range(10)))
    for _ in range(80):
        bench.exchange(1)
        assert bench.computer.store.delivered <= bench.held_on_disk()
    assert bench.events.count("core given up") == 1 and bench.radio.restarts == 1
    assert len(bench.computer.store.delivered) == 10


def test_a_snapshot_that_cannot_be_written_is_told_and_tried_again(bench, monkeypatch):
    def refusing(path, data, *, durable=True):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ground_radio, "replace_small_file", refusing)
        bench.radio.save()
        assert "No space left on device" in bench.radio.unsaved
    bench.radio.save()
    assert bench.radio.unsaved == "" and (bench.state / SNAPSHOT_FILE).exists()


def test_a_clock_that_goes_back_brings_a_new_core_that_goes_on(bench):
    bench.capture(*(valued(FIRST_BLOCK + n) for n in range(60)))
    bench.down(30)
    bench.turn()
    before = bench.radio.station
    bench.clock.step_ms = -500
    bench.radio.check_clock()
    assert bench.radio.station is not before and bench.radio.station.open_files > 0
    assert (bench.radio.clock_steps, bench.radio.clock_restarts) == (1, 1)
    bench.clock.step_ms = 300
    bench.radio.check_clock()
    assert (bench.radio.clock_steps, bench.radio.clock_restarts) == (2, 1)
    bench.exchange()
    assert len(bench.computer.store.delivered) == 60


def test_housekeeping_outlives_the_core_and_the_process(bench):
    report = Housekeeping(at_ms=AOS_MS, boot=2, uptime_s=5, delivered_digest=bytes(range(8)))
    bench.computer.handle(HousekeepingTaken(report=report), bench.clock.ms)
    bench.down()
    bench.turn()
    heard = bench.radio.station.housekeeping
    assert heard is not None and heard[0] == report
    bench.radio.save()
    bench.clock.step_ms = -500
    bench.radio.check_clock()
    assert bench.radio.station.housekeeping == heard
    bench.start()
    assert bench.radio.station.housekeeping == heard
    (bench.state / "housekeeping").write_bytes(os.urandom(108))
    bench.start()
    assert bench.radio.station.housekeeping is None


def test_an_order_is_durable_once_it_is_given(bench):
    from downlink.command import DropScene

    assert bench.radio.give(OrderGiven(order=DropScene(scene=9)))
    bench.start()
    assert [one.order for one in bench.radio.station.desk.outstanding] == [DropScene(scene=9)]
    bench.exchange(20)
    assert bench.radio.station.desk.outstanding == ()


def test_loss_of_signal_ends_the_contact(bench):
    bench.turn()
    assert bench.radio.contact is not None
    bench.computer.handle(ContactEnded(), bench.clock.ms)
    bench.clock.ms = bench.planned.contact.los_ms + 1
    bench.radio.turn()
    assert bench.radio.contact is None and "contact ended" in bench.events


def test_the_receiver_imports_nothing_that_touches_pixels():
    code = (
        "import sys, mission.live.ground_service, mission.live.cli_ground, mission.event_log;"
        "print([name for name in ('rasterio', 'openvino', 'torch', 'onnxruntime', 'scipy') if name in sys.modules])"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert seen.stdout.strip() == "[]"
