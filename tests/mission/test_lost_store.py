"""A satellite that lost its store numbers its files from 0 again; the ground remembers files of those numbers. No layer gets lost."""

from dataclasses import replace

import pytest

from downlink.contact import Contact
from downlink.journal import MemoryJournal
from downlink.link_profile import LinkProfile
from downlink.products import FIRST_BLOCK, Layer, LayerAddress, Rung
from downlink.record import OVERHEAD_BYTES
from mission.channel import ChannelSettings, GilbertElliott
from mission.contacts import PlannedContact
from mission.link_ends import EndJournals, ground_station, onboard_computer
from mission.simulation import World
from mission.streams import Streams
from onboard.link_events import LayersCaptured
from onboard.valuation import ValuedLayer

PROFILE = LinkProfile(bundle_bytes=4096)
GAP_MS = 5_000_000


def layers_of(scene, *, size_bytes=3000, count=12):
    """Blocks of a scene, one to a file, with bytes that no other scene has."""
    layers = []
    for number in range(count):
        address = LayerAddress(scene=scene, product=FIRST_BLOCK + number, step=0)
        payload = bytes(
            (scene * 101 + number * 31 + n * (1 + scene)) & 0xFF for n in range(size_bytes - OVERHEAD_BYTES)
        )
        layer = Layer(
            address=address, rung=Rung.REFINEMENT, size_bytes=size_bytes, value=1000.0 - number, half_life_s=1e9, captured_ms=0,
        )  # fmt: skip
        layers.append(ValuedLayer(layer=layer, payload=payload))
    return layers


def planned(number, aos_ms, duration_ms=20_000, *, frame_loss=0.0):
    contact = Contact(
        contact_id=number, station="Svalbard", aos_ms=aos_ms, los_ms=aos_ms + duration_ms, downlink_bps=200_000,
        uplink_bps=64_000, one_way_delay_ms=25, frame_loss=max(0.02, frame_loss),
    )  # fmt: skip
    loss = GilbertElliott.independent(frame_loss)
    down = ChannelSettings(rate_bps=200_000, delay_ms=25, loss=loss)
    return PlannedContact(contact=contact, downlink=down, uplink=replace(down, rate_bps=64_000))


class Mission:
    """Contacts of which the satellite goes into each but the first with an empty store and a scene of its own."""

    def __init__(self, *contacts, ground_restarts=False):
        self.ground_journals = EndJournals(layers=MemoryJournal(), commands=MemoryJournal())
        self.world = World(
            onboard_computer(PROFILE, capacity_bytes=1 << 30),
            ground_station(PROFILE, journals=self.ground_journals),
            contacts,
            Streams(0x5EED),
        )
        self.ground_restarts = ground_restarts
        self.captured = {}

    def capture(self, at_ms, layers):
        self.world.schedule(at_ms, lambda: self.world.tell_computer(LayersCaptured(layers=tuple(layers))))
        self.captured |= {valued.layer.address: valued.payload for valued in layers}

    def lose_store(self, at_ms):
        self.world.schedule(at_ms, self._lose_store)

    def _lose_store(self):
        self.world.replace_computer(onboard_computer(PROFILE, capacity_bytes=1 << 30))
        if self.ground_restarts:
            now_ms = self.world.now_ms
            self.world.replace_station(ground_station(PROFILE, journals=self.ground_journals, now_ms=now_ms))

    def check(self):
        told = {address for seen in self.world.observations if seen.what == "delivered" for address in seen.addresses}
        held = {one: self.world.station.store.payload(one) for one in self.world.station.store.addresses}
        assert told <= held.keys(), f"{len(told - held.keys())} layers are called delivered that the ground has not"
        assert held == self.captured
        assert self.world.computer.store.backlog() == ()


@pytest.mark.parametrize("ground_restarts", [False, True])
@pytest.mark.parametrize("size_bytes", [3000, 2345, 3900], ids=["of the same length", "shorter", "longer"])
def test_new_files_under_numbers_of_old_ones_are_received(size_bytes, ground_restarts):
    mission = Mission(planned(0, 1000), planned(1, GAP_MS), ground_restarts=ground_restarts)
    mission.capture(0, layers_of(1))
    mission.lose_store(GAP_MS // 2)
    mission.capture(GAP_MS // 2 + 1, layers_of(2, size_bytes=size_bytes))
    mission.world.run()
    mission.check()


def test_with_losses_both_ways_store_after_store():
    contacts = [planned(n, 1000 + n * GAP_MS, 60_000, frame_loss=0.2) for n in range(5)]
    mission = Mission(*contacts, ground_restarts=True)
    mission.capture(0, layers_of(1))
    for scene in (2, 3, 4, 5):
        mission.lose_store((scene - 1) * GAP_MS)
        mission.capture(
            (scene - 1) * GAP_MS + 1, layers_of(scene, size_bytes=3000 + 500 * (scene % 3), count=8 + scene)
        )
    mission.world.run()
    mission.check()


def test_a_store_lost_in_mid_contact_with_files_on_their_way():
    mission = Mission(planned(0, 1000, 60_000, frame_loss=0.1), planned(1, GAP_MS, 60_000))
    first, second = layers_of(1), layers_of(2)
    mission.capture(0, first)
    mission.lose_store(1900)
    mission.capture(1901, second)
    mission.world.run()
    lost = {valued.layer.address for valued in first} - mission.world.station.store.addresses
    for address in lost:
        del mission.captured[address]
    assert 0 < len(lost) < len(first), "the store was lost while its files were under way"
    mission.check()
