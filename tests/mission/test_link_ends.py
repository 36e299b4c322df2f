"""Computer and station on a pretend link: contacts that break off, that only listen, and news in the middle of a file."""

from dataclasses import replace

import pytest

from downlink.command import DropScene, ForgetReferences, RequestLayers
from downlink.contact import Contact
from downlink.link_events import ContactStarted
from downlink.link_profile import LinkProfile
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, FIRST_CHIP, SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from downlink.record import OVERHEAD_BYTES
from downlink.requests import LayerRequest
from ground.link_events import OrderGiven
from mission.channel import ChannelSettings, GilbertElliott
from mission.contacts import PlannedContact
from mission.link_ends import EndJournals, ground_station, onboard_computer
from mission.simulation import World
from mission.streams import Streams
from onboard.errors import StoreError
from onboard.link_events import LayersCaptured
from onboard.valuation import ValuedLayer

RATE_BPS = 200_000  # 25 bytes a millisecond
PROFILE = LinkProfile()
ALL_LOST = GilbertElliott.independent(1.0)


def valued(product, step=0, *, size_bytes=400, density=1.0):
    payload = bytes((product * 31 + step * 7 + n) & 0xFF for n in range(size_bytes - OVERHEAD_BYTES))
    layer = Layer(
        address=LayerAddress(scene=9, product=product, step=step), rung=Rung.REFINEMENT, size_bytes=size_bytes,
        value=density * size_bytes, half_life_s=1e9, captured_ms=0,
    )  # fmt: skip
    return ValuedLayer(layer=layer, payload=payload)


def planned(number, aos_ms, duration_ms, *, uplink=True, frame_loss=0.0):
    contact = Contact(
        contact_id=number, station="Svalbard", aos_ms=aos_ms, los_ms=aos_ms + duration_ms, downlink_bps=RATE_BPS,
        uplink_bps=64_000 if uplink else 0, one_way_delay_ms=25, frame_loss=max(frame_loss, 0.02 if uplink else 0.0),
    )  # fmt: skip
    loss = GilbertElliott.independent(frame_loss)
    down = ChannelSettings(rate_bps=RATE_BPS, delay_ms=25, loss=loss)
    up = ChannelSettings(rate_bps=64_000, delay_ms=25) if uplink else None
    return PlannedContact(contact=contact, downlink=down, uplink=up)


def world_of(*contacts, seed=0x5EED, profile=PROFILE):
    return World(onboard_computer(profile, capacity_bytes=1 << 30), ground_station(profile), contacts, Streams(seed))


def capture(world, at_ms, *layers):
    world.schedule(at_ms, lambda: world.tell_computer(LayersCaptured(layers=layers)))


def first_told(world, what):
    return {one: seen.at_ms for seen in world.observations if seen.what == what for one in seen.addresses}


def check_everything_arrived(world, *layers):
    assert world.computer.store.backlog() == ()
    for one in layers:
        assert world.station.store.payload(one.layer.address) == one.payload


def test_news_in_the_middle_of_a_long_file_arrives_long_before_it():
    long, news = valued(FIRST_BLOCK, size_bytes=300_000), valued(FIRST_CHIP, size_bytes=3000, density=5.0)
    world = world_of(planned(0, 1000, 60_000))
    capture(world, 0, long)
    capture(world, 3000, news)  # a quarter of the way through
    world.run()
    check_everything_arrived(world, long, news)
    arrived = first_told(world, "arrived")
    assert arrived[news.layer.address] < 3000 + 300
    assert arrived[long.layer.address] > 12_000


def test_a_file_cut_by_loss_of_signal_goes_on_at_the_next_contact_without_a_byte_sent_twice():
    long = valued(FIRST_BLOCK, size_bytes=100_000)
    world = world_of(planned(0, 1000, 2000), planned(1, 5_000_000, 10_000))
    capture(world, 0, long)
    world.run()
    check_everything_arrived(world, long)
    # At most the frame at the very end of the contact was not heard out.
    assert sum(log.repeated_bytes for log in world.contact_logs) <= PROFILE.frame_bytes
    assert sum(log.sent_bytes for log in world.contact_logs) < 1.05 * 100_000


def test_a_contact_without_uplink_carries_files_and_the_next_one_settles_them():
    layers = [valued(FIRST_BLOCK + n, step, size_bytes=3000) for n in range(6) for step in range(2)]
    express = [valued(SUMMARY_PRODUCT), valued(ALERTS_PRODUCT, size_bytes=900, density=9.0)]
    world = world_of(planned(0, 1000, 8000, uplink=False), planned(1, 5_000_000, 8000))
    capture(world, 0, *layers, *express)
    world.run()
    check_everything_arrived(world, *layers, *express)
    assert max(first_told(world, "arrived").values()) < 9000 + 25
    assert min(first_told(world, "delivered").values()) > 5_000_000
    # Repeats of express records back off: they take a small part of eight seconds of link.
    assert world.contact_logs[0].sent_bytes < 2 * sum(one.layer.size_bytes for one in (*layers, *express))


def test_what_a_contact_without_uplink_brought_is_not_sent_again():
    layers = [valued(FIRST_BLOCK + n, size_bytes=5000) for n in range(20)]
    world = world_of(planned(0, 1000, 8000, uplink=False, frame_loss=0.2), planned(1, 5_000_000, 20_000))
    capture(world, 0, *layers)
    world.run()
    check_everything_arrived(world, *layers)
    arrived = {seen.at_ms // 1_000_000 for seen in world.observations if seen.what == "arrived"}
    assert arrived == {0}, "all came in the first contact, through the losses"
    # The second contact begins before the receipts have come: a file or so of what may be missing leaves meanwhile.
    assert world.contact_logs[1].sent_bytes < 3 * PROFILE.bundle_bytes


def test_losses_of_a_contact_without_uplink_are_made_good_in_the_next():
    layers = [valued(FIRST_BLOCK + n, size_bytes=9000) for n in range(20)]
    world = world_of(planned(0, 1000, 8000, uplink=False, frame_loss=0.2), planned(1, 5_000_000, 20_000))
    capture(world, 0, *layers)
    world.run()
    check_everything_arrived(world, *layers)
    assert world.contact_logs[0].downlink.lost > 3
    arrived = [seen for seen in world.observations if seen.what == "arrived"]
    assert {seen.at_ms // 1_000_000 for seen in arrived} == {0, 5}


@pytest.mark.parametrize("frame_bytes", [96, 223, 512, 1115, 2048])
def test_a_contact_without_uplink_is_used_to_its_end_at_every_frame_length(frame_bytes):
    layers = [valued(FIRST_BLOCK + n, size_bytes=700 + 37 * (n % 61), density=1.0 + n % 7) for n in range(40)]
    world = world_of(planned(0, 1000, 8000, uplink=False), profile=LinkProfile(frame_bytes=frame_bytes))
    capture(world, 0, *layers)
    world.run()
    assert world.station.store.addresses == {one.layer.address for one in layers}


def test_a_layer_too_long_for_the_erasure_code_does_not_hold_up_the_others():
    profile = LinkProfile(frame_bytes=223)  # 4096 symbols of 192 bytes at most
    long, short = valued(FIRST_BLOCK, size_bytes=900_000, density=5.0), valued(FIRST_BLOCK + 1, size_bytes=2000)
    world = world_of(planned(0, 1000, 8000, uplink=False), profile=profile)
    capture(world, 0, long, short)
    world.run()
    assert world.station.store.addresses == {short.layer.address}


def test_what_an_open_file_owes_goes_down_to_stations_that_only_listen_and_not_again_afterwards():
    layers = [valued(FIRST_BLOCK + n, size_bytes=6000) for n in range(10)]
    world = world_of(planned(0, 1000, 1000), planned(1, 100_000, 8000, uplink=False), planned(2, 200_000, 8000))
    capture(world, 0, *layers)
    world.run()
    check_everything_arrived(world, *layers)
    assert max(first_told(world, "arrived").values()) < 109_000
    assert world.computer.open_files == world.station.open_files == 0
    assert world.contact_logs[2].sent_bytes < 20 * PROFILE.frame_bytes


def test_files_of_which_nothing_was_heard_go_down_again_to_a_station_that_only_listens():
    layers = [valued(FIRST_BLOCK + n, size_bytes=9000) for n in range(30)]
    deaf = planned(0, 1000, 20_000)
    loss = GilbertElliott.independent(0.3)
    deaf = replace(deaf, downlink=replace(deaf.downlink, loss=loss), uplink=replace(deaf.uplink, loss=ALL_LOST))
    world = world_of(deaf, planned(1, 100_000, 20_000, uplink=False))
    capture(world, 0, *layers)
    world.run()
    assert world.station.store.addresses == {one.layer.address for one in layers}


def test_the_link_does_not_wait_where_whole_files_of_the_order_were_delivered_meanwhile():
    old = [valued(FIRST_BLOCK + n, size_bytes=5000, density=50.0) for n in range(80)]
    new = [valued(FIRST_CHIP + n, size_bytes=5000) for n in range(40)]
    journals = EndJournals()
    world = world_of(planned(0, 1000, 18_400, uplink=False), planned(1, 5_000_000, 60_000))

    def reboot():  # what was sent in this contact is forgotten
        world.replace_computer(onboard_computer(PROFILE, capacity_bytes=1 << 30, journals=journals))

    world.schedule(0, reboot)
    capture(world, 0, *old)
    world.schedule(19_399, reboot)
    capture(world, 4_000_000, *new)
    sent_ms = []
    world.on_time = lambda now_ms: sent_ms.append((now_ms, world.contact_logs[1].sent_bytes))
    world.run()
    check_everything_arrived(world, *old, *new)
    # From AOS on every frame follows the one before, until all has been sent once.
    wanted_bytes = sum(one.layer.size_bytes for one in new)
    at_ms = next(at_ms for at_ms, sent_bytes in sent_ms if sent_bytes > wanted_bytes)
    assert (at_ms - 5_000_000) * RATE_BPS / 8000 < wanted_bytes + 2 * PROFILE.frame_bytes


def test_a_contact_that_begins_before_the_one_before_has_ended_ends_it():
    world = world_of(planned(0, 1000, 8000, uplink=False))
    capture(world, 0, valued(FIRST_BLOCK, size_bytes=6000))
    world.schedule(3000, lambda: world.tell_computer(ContactStarted(contact=planned(1, 3000, 8000).contact)))
    world.run()
    sent = first_told(world, "sent")
    assert sent == {LayerAddress(scene=9, product=FIRST_BLOCK, step=0): 3000}
    assert world.computer.store.erasure_state is not None


def test_the_journal_on_board_does_not_grow_with_what_has_been_delivered(monkeypatch):
    monkeypatch.setattr("onboard.store.COMPACT_ABOVE_BYTES", 50_000)
    journals = EndJournals()
    computer = onboard_computer(PROFILE, capacity_bytes=1 << 30, journals=journals)
    contacts = [planned(number, 1000 + 100_000 * number, 9000) for number in range(5)]
    world = World(computer, ground_station(PROFILE), contacts, Streams(1))
    for number in range(5):
        capture(world, 100_000 * number, *(valued(FIRST_BLOCK + 10 * number + n, size_bytes=9000) for n in range(10)))
    world.run()
    assert world.computer.store.backlog() == () and world.computer.store.account().balanced
    assert journals.layers.size_bytes < 2 * 10 * 9500  # of 50 layers captured, 10 waited at a time


def test_receipts_of_what_a_contact_without_uplink_brought_hold_up_no_order():
    layers = [valued(FIRST_BLOCK + n, size_bytes=60) for n in range(1500)]
    world = world_of(planned(0, 1000, 8000, uplink=False), planned(1, 5_000_000, 20_000))
    capture(world, 0, *layers)
    order(world, 4_000_000, DropScene(scene=77))
    executed_ms = []
    world.on_time = lambda now_ms: executed_ms.append(now_ms) if world.computer.gate.last_number else None
    world.run()
    check_everything_arrived(world, *layers)
    assert executed_ms[0] < 5_000_000 + 200
    assert max(first_told(world, "delivered").values()) > 5_000_000 + 1000  # so long the receipts take


def order(world, at_ms, what):
    world.schedule(at_ms, lambda: world.tell_station(OrderGiven(order=what)))


def test_a_request_from_the_ground_puts_dull_layers_first():
    dull, bright = valued(FIRST_BLOCK, size_bytes=90_000), valued(FIRST_BLOCK + 1, size_bytes=90_000, density=5.0)
    wanted = LayerRequest(
        scene=9, first_product=FIRST_BLOCK, last_product=FIRST_BLOCK, last_step=255, factor=10.0, until_ms=10_000_000
    )
    world = world_of(planned(0, 1000, 500), planned(1, 60_000, 30_000))
    order(world, 100, RequestLayers(request=wanted))
    capture(world, 30_000, dull, bright)  # the order came up in the contact before
    world.run()
    check_everything_arrived(world, dull, bright)
    arrived = first_told(world, "arrived")
    assert arrived[dull.layer.address] < arrived[bright.layer.address]
    assert world.station.desk.outstanding == ()


def test_a_scene_that_is_dropped_gives_way_but_for_what_is_on_its_way():
    kept, rest = valued(FIRST_BLOCK, size_bytes=60_000, density=2.0), valued(FIRST_BLOCK + 1, size_bytes=60_000)
    world = world_of(planned(0, 1000, 1000), planned(1, 60_000, 30_000))
    capture(world, 0, kept, rest)
    order(world, 1500, DropScene(scene=9))
    world.run()
    assert world.station.store.addresses == {kept.layer.address}
    assert world.computer.store.evicted == {rest.layer.address}
    assert world.computer.store.account().balanced and world.computer.store.backlog() == ()


def test_of_a_scene_that_is_dropped_nothing_more_is_coded():
    dropped = []
    computer = onboard_computer(PROFILE, capacity_bytes=1 << 30, discard_uncoded=dropped.append)
    world = World(computer, ground_station(PROFILE), [planned(0, 1000, 1000)], Streams(1))
    order(world, 1500, DropScene(scene=9))
    world.run()
    assert dropped == [9] and world.station.desk.outstanding == ()


class Remembered:
    """What is told to a store of references."""

    def __init__(self, *, failures=0):
        self.taken, self.forgotten, self.failures = {}, [], failures

    def take(self, address, payload):
        self.taken[address] = payload

    def forget(self, scene):
        if self.failures:
            self.failures -= 1
            raise StoreError("the disk is gone")
        self.forgotten.append(scene)


def with_references(references, *contacts, journals=None):
    computer = onboard_computer(PROFILE, capacity_bytes=1 << 30, journals=journals, references=references)
    return World(computer, ground_station(PROFILE), contacts, Streams(1))


def test_what_the_ground_has_acknowledged_is_remembered_with_its_bytes():
    references = Remembered()
    layers = [valued(FIRST_BLOCK + n, size_bytes=20_000 + n) for n in range(6)]
    world = with_references(references, planned(0, 1000, 30_000, frame_loss=0.1))
    capture(world, 0, *layers)
    world.run()
    check_everything_arrived(world, *layers)
    assert references.taken == {one.layer.address: one.payload for one in layers}


def test_references_that_the_ground_has_lost_are_forgotten_and_that_is_reported():
    references = Remembered()
    world = with_references(references, planned(0, 1000, 30_000))
    order(world, 1500, ForgetReferences(scene=9))
    order(world, 1600, ForgetReferences(scene=None))
    world.run()
    assert references.forgotten == [9, None]
    assert world.station.desk.outstanding == () and world.computer.gate.orders.references_to_forget == ()


def test_references_that_cannot_be_forgotten_are_tried_again_with_the_next_contact_and_start():
    journals, references = EndJournals(), Remembered(failures=2)
    world = with_references(references, planned(0, 1000, 10_000), planned(1, 100_000, 10_000), journals=journals)
    order(world, 1500, ForgetReferences(scene=9))
    world.run()
    assert references.forgotten == [] and world.computer.references_problem == "the disk is gone"
    assert world.station.desk.outstanding == ()  # it is durable on board
    computer = onboard_computer(PROFILE, capacity_bytes=1 << 30, journals=journals, references=references)
    assert references.forgotten == [9] and computer.references_problem == ""
    assert computer.gate.orders.references_to_forget == ()


def test_the_same_seed_gives_the_same_history_and_another_seed_another():
    def history(seed):
        world = world_of(planned(0, 1000, 20_000, frame_loss=0.1), seed=seed)
        capture(world, 0, *(valued(FIRST_BLOCK + n, size_bytes=2000) for n in range(20)))
        world.run()
        return world.log_hash

    assert history(1) == history(1) != history(2)
