"""What the onboard computer says a coded byte must be worth: nothing while the coming contacts have room, then what fills them."""

from dataclasses import replace

import pytest

from downlink.command import Command, RequestLayers, encode_command
from downlink.contact import Contact
from downlink.contact_plan import PlannerSettings
from downlink.errors import ScheduleError
from downlink.frame_assembler import FrameAssembler
from downlink.frame_security import SECURITY_BYTES, FrameProtector, SecurityAssociation
from downlink.journal import MemoryJournal
from downlink.link_events import ContactStarted, FrameHeard, TransmitterReady
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.products import FIRST_BLOCK, Layer, LayerAddress, Rung
from downlink.record import OVERHEAD_BYTES
from downlink.requests import LayerRequest
from onboard.command_gate import CommandGate
from onboard.computer import OnboardComputer
from onboard.link_events import ContactsExpected, LayersCaptured
from onboard.store import ProductStore
from onboard.valuation import ValuedLayer

PROFILE = LinkProfile()
KEYS = (SecurityAssociation(spi=7, key=bytes(range(32))),)
NOW_MS = 1_750_000_000_123
LAYER_BYTES = 1000
ONE_ROOM = PlannerSettings(payload_fraction=1.0, contacts_ahead=1)


def valued(product, density):
    layer = Layer(
        address=LayerAddress(scene=5, product=FIRST_BLOCK + product, step=0), rung=Rung.PREVIEW, size_bytes=LAYER_BYTES,
        value=density * LAYER_BYTES, half_life_s=1e12, captured_ms=NOW_MS,
    )  # fmt: skip
    return ValuedLayer(layer=layer, payload=bytes([product]) * (LAYER_BYTES - OVERHEAD_BYTES))


def contact(number, *, in_s=60, layers=4):
    """Room for so many layers within ten seconds."""
    aos_ms = NOW_MS + 1000 * in_s
    return Contact(
        contact_id=number, station="Awarua", aos_ms=aos_ms, los_ms=aos_ms + 10_000, downlink_bps=800 * layers,
        uplink_bps=64_000, one_way_delay_ms=20, frame_loss=0.0,
    )  # fmt: skip


def computer(*contacts, planning=ONE_ROOM, densities=range(1, 10)):
    made = OnboardComputer(
        ProductStore(MemoryJournal()), CommandGate(PROFILE, KEYS, MemoryJournal()), PROFILE,
        capacity_bytes=1 << 30, expected_contacts=contacts, planning=planning,
    )  # fmt: skip
    made.handle(LayersCaptured(layers=tuple(valued(n, float(density)) for n, density in enumerate(densities))), NOW_MS)
    return made


def test_where_no_contact_is_known_or_the_backlog_does_not_fill_it_everything_is_worth_coding():
    assert computer().coding_price(NOW_MS) == 0.0
    assert computer(contact(0, layers=9)).coding_price(NOW_MS) == 0.0
    assert computer(contact(0), densities=()).coding_price(NOW_MS) == 0.0


def test_the_price_is_that_of_the_layer_at_which_the_coming_contacts_are_full():
    assert computer(contact(0)).coding_price(NOW_MS) == pytest.approx(5.0)  # four of 9, 8, 7, 6 fit
    two = replace(ONE_ROOM, contacts_ahead=2)
    assert computer(contact(0), contact(1, in_s=600), planning=two).coding_price(NOW_MS) == pytest.approx(1.0)
    assert computer(contact(0), contact(1, in_s=600)).coding_price(NOW_MS) == pytest.approx(5.0)


def test_contacts_that_come_to_be_known_lower_it_and_time_that_passes_in_one_raises_it():
    made = computer()
    made.handle(ContactsExpected(contacts=(contact(0, layers=4),)), NOW_MS)
    assert made.coding_price(NOW_MS) == pytest.approx(5.0)
    assert made.coding_price(contact(0).aos_ms + 5000) == pytest.approx(7.0)
    assert made.coding_price(contact(0).los_ms) == 0.0


def test_what_open_files_still_owe_takes_room():
    one = contact(0, in_s=0, layers=8)
    made = computer(one, densities=range(1, 13))
    made.handle(ContactStarted(contact=one), NOW_MS)
    assert made.coding_price(NOW_MS) == pytest.approx(4.0)
    made.handle(TransmitterReady(), NOW_MS)  # eight layers go into a file, of which one frame leaves
    assert made.open_files == 1
    assert made.coding_price(NOW_MS) in (pytest.approx(3.0), pytest.approx(4.0))


def test_requests_raise_the_price_while_they_hold_and_are_told():
    made = computer(contact(0))
    request = LayerRequest(
        scene=5,
        first_product=FIRST_BLOCK,
        last_product=FIRST_BLOCK + 3,
        last_step=9,
        factor=100.0,
        until_ms=NOW_MS + 50_000,
    )
    assert made.standing_requests(NOW_MS) == ()
    packets, protector = PacketSender(), FrameProtector(KEYS[0])
    uplink = FrameAssembler(
        PROFILE.spacecraft_id, VirtualChannel.COMMANDS, frame_bytes=PROFILE.uplink_frame_bytes - SECURITY_BYTES
    )
    uplink.push(
        packets.packet(Apid.COMMAND, encode_command(Command(number=1, after=0, order=RequestLayers(request=request))))
    )
    made.handle(FrameHeard(frame=protector.protect(uplink.next_frame(flush=True), NOW_MS)), NOW_MS)
    assert made.standing_requests(NOW_MS) == (request,)
    assert made.coding_price(NOW_MS) == pytest.approx(9.0)  # densities 1 to 4 count a hundredfold and fill the contact
    assert made.standing_requests(NOW_MS + 50_000) == ()
    assert made.coding_price(NOW_MS + 50_000) == pytest.approx(5.0)


def test_a_price_for_no_contact_is_refused():
    with pytest.raises(ScheduleError, match="0 contacts ahead"):
        PlannerSettings(contacts_ahead=0)
