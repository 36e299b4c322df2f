"""Housekeeping on its way down: when it leaves, what it costs, and that nothing changes where none is taken."""

from dataclasses import replace
from itertools import pairwise

import pytest

from downlink.contact import Contact
from downlink.frame_reader import FrameReader
from downlink.frame_security import SecurityAssociation
from downlink.housekeeping import Housekeeping
from downlink.journal import MemoryJournal
from downlink.link_events import ContactEnded, ContactStarted, TransmitFrame, TransmitterReady, WakeAt
from downlink.link_profile import Apid, LinkProfile
from downlink.products import FIRST_BLOCK, SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from downlink.record import OVERHEAD_BYTES
from downlink.transfer_frame import decode_transfer_frame
from onboard.command_gate import CommandGate
from onboard.computer import OnboardComputer
from onboard.housekeeping_turn import FRAMES_BETWEEN, HOUSEKEEPING_MS
from onboard.link_events import HousekeepingTaken, LayersCaptured
from onboard.store import ProductStore
from onboard.valuation import ValuedLayer

PROFILE = LinkProfile()
KEYS = (SecurityAssociation(spi=7, key=bytes(range(32))), SecurityAssociation(spi=9, key=bytes(range(5, 37))))
NOW_MS = 1_750_000_000_123
REPORT = Housekeeping(at_ms=NOW_MS - 7, boot=3, uptime_s=41, captured_layers=5, delivered_digest=bytes(range(1, 9)))


def contact(rate_bps=1_000_000, uplink_bps=64_000):
    return Contact(
        contact_id=0, station="Awarua", aos_ms=NOW_MS, los_ms=NOW_MS + 600_000, downlink_bps=rate_bps, uplink_bps=uplink_bps,
        one_way_delay_ms=20, frame_loss=0.02,
    )  # fmt: skip


def layers(count, product=FIRST_BLOCK, size_bytes=900):
    found = []
    for number in range(count):
        address = LayerAddress(scene=7, product=product + number, step=0)
        layer = Layer(
            address=address, rung=Rung.PREVIEW, size_bytes=size_bytes, value=float(size_bytes), half_life_s=1e9, captured_ms=NOW_MS
        )  # fmt: skip
        found.append(ValuedLayer(layer=layer, payload=bytes([number & 0xFF]) * (size_bytes - OVERHEAD_BYTES)))
    return found


class Bench:
    """A computer whose radio is the test."""

    def __init__(self, store=None):
        self.now_ms = NOW_MS
        self.store = store or ProductStore(MemoryJournal())
        gate = CommandGate(PROFILE, KEYS, MemoryJournal())
        self.computer = OnboardComputer(self.store, gate, PROFILE, capacity_bytes=1 << 30)
        self.reader = FrameReader(PROFILE.spacecraft_id, frame_bytes=PROFILE.frame_bytes)
        self.said = []
        self.frames = []

    def tell(self, event):
        return self.computer.handle(event, self.now_ms)

    def take(self, report):
        assert self.tell(HousekeepingTaken(report=report)) == []

    def offer(self):
        """One turn of the transmitter: what was answered."""
        answer = self.tell(TransmitterReady())
        for action in answer:
            if isinstance(action, TransmitFrame):
                self.frames.append(action)
                for packet in self.reader.feed(action.frame).packets:
                    if packet.apid == Apid.HOUSEKEEPING:
                        self.said.append(Housekeeping.decode(packet.data, KEYS))
        return answer

    def drain(self):
        while any(isinstance(action, TransmitFrame) for action in self.offer()):
            self.now_ms += 9


@pytest.mark.parametrize("uplink_bps", [64_000, 0])
def test_it_leaves_at_the_beginning_of_each_contact_robustly_and_only_the_latest_does(uplink_bps):
    bench = Bench()
    latest = replace(REPORT, uptime_s=46)
    bench.take(REPORT)
    bench.take(latest)
    assert bench.offer() == [WakeAt(at_ms=None)]
    for told in (1, 2):
        bench.tell(ContactStarted(contact=contact(uplink_bps=uplink_bps)))
        bench.drain()
        bench.now_ms += 60_000
        bench.drain()
        assert bench.said == [latest] * told
        bench.tell(ContactEnded())
    on_express = [one for one in bench.frames if decode_transfer_frame(one.frame).vc_id == 0]
    assert len(on_express) == 2 and all(one.robust for one in on_express)


@pytest.mark.parametrize("uplink_bps", [64_000, 0])
def test_news_waits_ten_seconds_and_the_radio_is_told_when(uplink_bps):
    bench = Bench()
    bench.tell(ContactStarted(contact=contact(uplink_bps=uplink_bps)))
    bench.take(REPORT)
    bench.drain()
    bench.now_ms = NOW_MS + 5_000
    latest = replace(REPORT, uptime_s=46)
    bench.take(latest)
    assert bench.offer() == [WakeAt(at_ms=NOW_MS + HOUSEKEEPING_MS)]
    bench.now_ms = NOW_MS + HOUSEKEEPING_MS
    bench.drain()
    assert bench.said == [REPORT, latest]
    assert bench.offer() == [WakeAt(at_ms=None)]


def test_it_travels_in_the_frame_of_a_summary_that_is_due():
    bench = Bench()
    bench.tell(LayersCaptured(layers=layers(1, SUMMARY_PRODUCT, size_bytes=200)))
    bench.take(REPORT)
    bench.tell(ContactStarted(contact=contact()))
    bench.offer()
    reader = FrameReader(PROFILE.spacecraft_id, frame_bytes=PROFILE.frame_bytes)
    apids = [packet.apid for packet in reader.feed(bench.frames[0].frame).packets if not packet.is_idle]
    assert apids == [Apid.HOUSEKEEPING, Apid.EXPRESS]


@pytest.mark.parametrize("uplink_bps", [64_000, 0])
@pytest.mark.parametrize(("rate_bps", "said"), [(1_000_000, 9), (9_600, 2)])
def test_it_starves_no_layer_on_a_fast_link_or_a_slow_one(uplink_bps, rate_bps, said):
    bench = Bench()
    frame_ms = -(-8000 * PROFILE.frame_bytes // rate_bps)
    bench.tell(LayersCaptured(layers=layers(150)))
    bench.tell(ContactStarted(contact=contact(rate_bps, uplink_bps)))
    while bench.now_ms < NOW_MS + 90_000:
        bench.take(replace(REPORT, at_ms=bench.now_ms))
        bench.offer()
        bench.now_ms += max(frame_ms, 100)
    times = [one.at_ms for one in bench.said]
    shortest = max(HOUSEKEEPING_MS, FRAMES_BETWEEN * frame_ms)
    assert len(times) == said
    assert all(shortest <= later - earlier + 100 <= shortest + 2 * frame_ms + 200 for earlier, later in pairwise(times))


def test_where_none_is_taken_nothing_is_said_and_after_a_reboot_it_has_to_be_taken_again():
    before = Bench()
    before.take(REPORT)
    after = Bench(before.store)
    after.tell(LayersCaptured(layers=layers(3)))
    never = Bench()
    never.tell(LayersCaptured(layers=layers(3)))
    for bench in (after, never):
        bench.tell(ContactStarted(contact=contact()))
        bench.drain()
    assert after.said == never.said == []
    assert [one.frame for one in after.frames] == [one.frame for one in never.frames]
