"""The onboard computer by its events and actions alone: what leaves, in which order, and what it makes of what it hears."""

from itertools import pairwise

import pytest

from downlink.cfdp_decoding import decode_pdu
from downlink.cfdp_header import ConditionCode, FileStatus, PduHeader
from downlink.cfdp_pdu import EndOfFile, FileData, Finished, Nak
from downlink.command import Command, ReportLink, encode_command
from downlink.contact import Contact
from downlink.erasure_packet import decode_symbol_packet
from downlink.express import encode_receipts
from downlink.frame_assembler import FrameAssembler
from downlink.frame_reader import FrameReader
from downlink.frame_security import SECURITY_BYTES, FrameProtector, SecurityAssociation
from downlink.journal import MemoryJournal
from downlink.link_events import ContactEnded, ContactStarted, FrameHeard, TransmitFrame, TransmitterReady, WakeAt
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, FIRST_CHIP, SUMMARY_PRODUCT, Layer, LayerAddress, Rung
from downlink.record import OVERHEAD_BYTES, scan_records
from downlink.space_packet import SpacePacket
from downlink.transfer_frame import NO_PACKET_STARTS, decode_transfer_frame
from onboard.command_gate import CommandGate
from onboard.computer import OnboardComputer
from onboard.link_events import LayersCaptured, LayersDelivered, LayersEvicted, LayersSent
from onboard.store import ProductStore
from onboard.valuation import ValuedLayer

PROFILE = LinkProfile(express_repeat_ms=100, ack_timeout_ms=5000, bundle_bytes=16_384)
KEYS = (SecurityAssociation(spi=7, key=bytes(range(32))),)
NOW_MS = 1_750_000_000_123
FRAME_MS = 9


def address(product, step=0):
    return LayerAddress(scene=0x01020304, product=product, step=step)


def valued(product, step=0, *, size_bytes=400, density=1.0):
    payload = bytes((product * 31 + step * 7 + index) & 0xFF for index in range(size_bytes - OVERHEAD_BYTES))
    layer = Layer(
        address=address(product, step), rung=Rung.REFINEMENT, size_bytes=size_bytes, value=density * size_bytes,
        half_life_s=1e9, captured_ms=NOW_MS,
    )  # fmt: skip
    return ValuedLayer(layer=layer, payload=payload)


def contact(uplink_bps=64_000, *, frame_loss=0.02):
    return Contact(
        contact_id=0, station="Awarua", aos_ms=NOW_MS, los_ms=NOW_MS + 600_000, downlink_bps=1_000_000,
        uplink_bps=uplink_bps, one_way_delay_ms=20, frame_loss=frame_loss,
    )  # fmt: skip


class Bench:
    """A computer on a bench: the test is radio and ground."""

    def __init__(self, *layers, capacity_bytes=1 << 30, store=None, in_contact=True):
        self.now_ms = NOW_MS
        self.computer = OnboardComputer(
            store or ProductStore(MemoryJournal()),
            CommandGate(PROFILE, KEYS, MemoryJournal()),
            PROFILE,
            capacity_bytes=capacity_bytes,
        )
        self.protector = FrameProtector(KEYS[0])
        self.reader = FrameReader(PROFILE.spacecraft_id, frame_bytes=PROFILE.frame_bytes)
        self.frames, self.packets, self.actions = [], [], []
        self.uplink_packets = PacketSender()
        self.uplink = FrameAssembler(
            PROFILE.spacecraft_id, VirtualChannel.COMMANDS, frame_bytes=PROFILE.uplink_frame_bytes - SECURITY_BYTES
        )
        if layers:
            self.tell(LayersCaptured(layers=layers))
        if in_contact:
            self.tell(ContactStarted(contact=contact()))

    def tell(self, event):
        answer = self.computer.handle(event, self.now_ms)
        self.actions += answer
        return answer

    def send(self, frames=1_000_000):
        """Let the radio pull frames until there are none, or so many; returns the last answer."""
        answer = []
        for _ in range(frames):
            answer = self.tell(TransmitterReady())
            sent = [action for action in answer if isinstance(action, TransmitFrame)]
            if not sent:
                break
            self.frames += [action.frame for action in sent]
            self.packets += [packet for action in sent for packet in self.reader.feed(action.frame).packets]
            self.now_ms += FRAME_MS
        return answer

    def hear(self, apid, data):
        self.uplink.push(self.uplink_packets.packet(apid, data))
        return self.tell(FrameHeard(frame=self.protector.protect(self.uplink.next_frame(flush=True), self.now_ms)))

    def receipt(self, *addresses):
        (payload,) = encode_receipts(addresses)
        return self.hear(Apid.EXPRESS_RECEIPT, payload)

    def finished(self, transaction, **fields):
        good = {"condition": ConditionCode.NO_ERROR, "complete": True, "file_status": FileStatus.RETAINED}
        header = PduHeader(
            source_entity_id=1,
            destination_entity_id=2,
            transaction_seq=transaction,
            entity_id_bytes=1,
            transaction_seq_bytes=3,
        )
        return self.hear(Apid.FILES_UP, Finished(header=header, **good | fields).encode())

    def express_sent(self):
        """Addresses of express records, in the order in which they left."""
        data = b"".join(packet.data for packet in self.packets if packet.apid == Apid.EXPRESS)
        return [record.address for record in scan_records(data).records]

    def pdus(self):
        return [decode_pdu(packet.data) for packet in self.packets if packet.apid == Apid.FILES_DOWN]

    def file(self, transaction):
        """Addresses of the records of a file, from its segments."""
        pieces = {
            pdu.offset: pdu.data for pdu in self.pdus() if isinstance(pdu, FileData) and number(pdu) == transaction
        }
        return [record.address for record in scan_records(b"".join(pieces[at] for at in sorted(pieces))).records]

    def told(self, kind):
        return [each for action in self.actions if isinstance(action, kind) for each in action.addresses]


def number(pdu):
    return pdu.header.transaction_seq


SUMMARY, ALERT = valued(SUMMARY_PRODUCT), valued(ALERTS_PRODUCT, density=50.0)


def test_outside_a_contact_nothing_leaves():
    bench = Bench(SUMMARY, valued(FIRST_BLOCK), in_contact=False)
    assert bench.send() == [WakeAt(at_ms=None)]
    bench.tell(ContactStarted(contact=contact()))
    bench.send(1)
    bench.tell(ContactEnded())
    assert bench.send() == [WakeAt(at_ms=None)]


def test_alerts_go_first_because_they_are_worth_more_and_only_as_long_as_they_are():
    bench = Bench(valued(FIRST_BLOCK, size_bytes=17_000, density=0.5), valued(FIRST_CHIP, density=2e6), SUMMARY, ALERT)
    bench.send()
    told = bench.told(LayersSent)
    assert told[0] == address(FIRST_CHIP) and told.index(ALERT.layer.address) < told.index(SUMMARY.layer.address)
    kinds = [packet.apid for packet in bench.packets]
    # The rest of the frame that the chip began is filled by the block; then the alert is worth more than that.
    assert kinds.index(Apid.FILES_DOWN) < kinds.index(Apid.EXPRESS) <= 6 < kinds.count(Apid.FILES_DOWN)


def test_express_goes_before_files_and_the_best_before_the_rest():
    bench = Bench(valued(FIRST_BLOCK, density=0.5), valued(FIRST_CHIP, density=0.9), SUMMARY, ALERT)
    bench.send()
    order = [ALERT.layer.address, SUMMARY.layer.address, address(FIRST_CHIP), address(FIRST_BLOCK)]
    assert bench.told(LayersSent) == order
    assert bench.express_sent() == order[:2]
    assert bench.file(0) == order[2:]
    first_file = next(index for index, packet in enumerate(bench.packets) if packet.apid == Apid.FILES_DOWN)
    assert all(packet.apid == Apid.FILES_DOWN for packet in bench.packets[first_file:])


def test_bundles_are_about_as_long_as_the_profile_says_and_in_order_of_value():
    layers = [valued(FIRST_BLOCK + n, size_bytes=3000, density=100.0 - n) for n in range(12)]
    bench = Bench(*reversed(layers))
    bench.send()
    sent = [each for transaction in (0, 1, 2) for each in bench.file(transaction)]
    assert sent == [one.layer.address for one in layers]
    assert [len(bench.file(transaction)) for transaction in (0, 1, 2)] == [5, 5, 2]


def test_a_layer_longer_than_a_bundle_is_a_file_of_its_own():
    bench = Bench(valued(FIRST_BLOCK, size_bytes=40_000, density=9.0), valued(FIRST_CHIP))
    bench.send()
    assert (bench.file(0), bench.file(1)) == ([address(FIRST_BLOCK)], [address(FIRST_CHIP)])


def test_express_is_repeated_with_growing_waits_until_the_receipt():
    bench = Bench(ALERT)
    waits, last_ms = [], bench.now_ms
    bench.send(1)
    for _ in range(4):
        (wake,) = bench.send()
        waits.append(wake.at_ms - last_ms)
        last_ms = bench.now_ms = wake.at_ms
        bench.send(1)
    assert waits == [100, 200, 400, 800]
    assert bench.express_sent() == [ALERT.layer.address] * 5
    assert bench.told(LayersSent) == [ALERT.layer.address]
    assert bench.computer.repeated_bytes == 4 * ALERT.layer.size_bytes
    assert bench.receipt(ALERT.layer.address) == [LayersDelivered(addresses=(ALERT.layer.address,))]
    assert bench.receipt(ALERT.layer.address) == []
    assert bench.send() == [WakeAt(at_ms=None)]


def test_a_new_contact_sends_unacknowledged_express_at_once():
    bench = Bench(ALERT)
    bench.send()
    bench.tell(ContactEnded())
    bench.now_ms += 5
    bench.tell(ContactStarted(contact=contact()))
    bench.send(1)
    assert bench.express_sent() == [ALERT.layer.address] * 2


def test_a_repeat_time_of_nothing_does_not_starve_files():
    bench = Bench(ALERT, valued(FIRST_BLOCK, size_bytes=3000))
    object.__setattr__(bench.computer, "profile", LinkProfile(express_repeat_ms=0))
    bench.send(25)
    assert bench.file(0) == [address(FIRST_BLOCK)]


def test_a_receipt_delivers_whatever_it_names_once_and_nothing_that_was_never_captured():
    bench = Bench(valued(FIRST_BLOCK), valued(FIRST_BLOCK + 1), ALERT)
    bench.send()
    assert bench.receipt(address(FIRST_BLOCK), address(FIRST_CHIP)) == [
        LayersDelivered(addresses=(address(FIRST_BLOCK),))
    ]
    assert bench.receipt(address(FIRST_BLOCK), ALERT.layer.address) == [
        LayersDelivered(addresses=(ALERT.layer.address,))
    ]
    (rest,) = bench.finished(0)
    assert rest == LayersDelivered(addresses=(address(FIRST_BLOCK + 1),))


def test_strangers_are_counted_and_change_nothing():
    bench = Bench(ALERT, valued(FIRST_BLOCK))
    bench.send()
    before = bench.computer.store.backlog()
    stranger = FrameAssembler(0x155, VirtualChannel.COMMANDS, frame_bytes=PROFILE.uplink_frame_bytes)
    stranger.push(PacketSender().packet(Apid.EXPRESS_RECEIPT, encode_receipts([ALERT.layer.address])[0]))
    assert bench.tell(FrameHeard(frame=stranger.next_frame(flush=True))) == []
    assert bench.tell(FrameHeard(frame=b"\x12\x34" * 128)) == []
    forged = bench.uplink
    forged.push(PacketSender().packet(Apid.EXPRESS_RECEIPT, encode_receipts([ALERT.layer.address])[0]))
    thief = FrameProtector(SecurityAssociation(spi=KEYS[0].spi, key=bytes(32)))
    assert bench.tell(FrameHeard(frame=thief.protect(forged.next_frame(flush=True), bench.now_ms))) == []
    counts = bench.computer.gate.counts
    assert (counts.foreign, counts.damaged, counts.forged, counts.accepted) == (1, 1, 1, 0)
    assert bench.computer.refused_packets == 0
    for apid, data in (
        (Apid.EXPRESS_RECEIPT, b"\x7f nonsense"),
        (Apid.FILES_UP, b"\x12\x34\x56\x78"),
    ):
        assert bench.hear(apid, data) == []
    header = PduHeader(source_entity_id=9, destination_entity_id=2, transaction_seq=0)
    foreign = Finished(header=header, condition=ConditionCode.NO_ERROR, complete=True, file_status=FileStatus.RETAINED)
    assert bench.hear(Apid.FILES_UP, foreign.encode()) == []
    assert bench.computer.refused_packets == 3
    assert bench.hear(Apid.EXPRESS, b"down, not up") == []
    bench.uplink.push(SpacePacket(apid=0x7F0, sequence_count=3, data=b"\x99").encode())
    unknown = bench.protector.protect(bench.uplink.next_frame(flush=True), bench.now_ms)
    assert bench.tell(FrameHeard(frame=unknown)) == []
    assert bench.computer.gate.counts.malformed == 2
    assert bench.computer.store.backlog() == before


def test_a_finished_file_delivers_its_layers():
    bench = Bench(valued(FIRST_BLOCK), valued(FIRST_BLOCK, 1, density=0.5))
    bench.send()
    assert bench.computer.open_files == 1
    (delivered,) = bench.finished(0)
    assert delivered == LayersDelivered(addresses=(address(FIRST_BLOCK), address(FIRST_BLOCK, 1)))
    assert bench.computer.store.backlog() == ()
    assert bench.computer.open_files == 0


def test_a_file_of_before_a_reboot_whose_layers_were_delivered_otherwise_is_over_at_once():
    store = ProductStore(MemoryJournal())
    Bench(valued(FIRST_BLOCK), store=store).send()
    assert len(store.files) == 1
    bench = Bench(store=store)
    bench.receipt(address(FIRST_BLOCK))
    assert store.files == {} and bench.computer.open_files == 0
    bench.tell(ContactEnded())
    bench.tell(ContactStarted(contact=contact(uplink_bps=0)))
    assert store.delivered == {address(FIRST_BLOCK)}


def test_a_file_that_the_ground_gave_up_is_sent_again_as_another():
    bench = Bench(valued(FIRST_BLOCK))
    bench.send()
    condition = ConditionCode.FILE_CHECKSUM_FAILURE
    bench.finished(0, condition=condition, complete=False, file_status=FileStatus.DISCARDED)
    bench.send()
    assert bench.file(1) == [address(FIRST_BLOCK)]
    (delivered,) = bench.finished(1)
    assert delivered.addresses == (address(FIRST_BLOCK),)
    assert bench.told(LayersSent) == [address(FIRST_BLOCK)]
    assert bench.computer.repeated_bytes == valued(FIRST_BLOCK).layer.size_bytes


def test_what_is_worth_more_overtakes_a_long_file_that_has_begun():
    bench = Bench(valued(FIRST_BLOCK, size_bytes=200_000, density=1.0))
    bench.send(20)
    assert {number(pdu) for pdu in bench.pdus()} == {0}
    bench.tell(LayersCaptured(layers=(valued(FIRST_CHIP, size_bytes=2500, density=8.0),)))
    already = len(bench.packets)
    bench.send(4)
    fresh = [number(decode_pdu(packet.data)) for packet in bench.packets[already:]]
    assert {*fresh[1:5]} == {1}  # one segment of 0 may have waited in the frame being filled
    assert bench.file(1) == [address(FIRST_CHIP)]
    bench.send()
    assert bench.file(0) == [address(FIRST_BLOCK)]


def test_what_is_worth_less_waits_for_the_file_that_has_begun():
    bench = Bench(valued(FIRST_BLOCK, size_bytes=50_000, density=1.0))
    bench.send(5)
    bench.tell(LayersCaptured(layers=(valued(FIRST_CHIP, density=0.5), ALERT)))
    bench.send()
    order = list(dict.fromkeys(number(pdu) for pdu in bench.pdus()))
    assert order == [0, 1]
    kinds = [packet.apid for packet in bench.packets]
    assert kinds.index(Apid.EXPRESS) < len(kinds) - 30  # the alert did not wait


def test_steps_that_are_worth_sending_only_together_do_not_overtake_each_other():
    # A dull first step opens a bright second one: one group, more than one bundle long.
    dull, bright = (
        valued(FIRST_BLOCK, 0, size_bytes=15_000, density=0.1),
        valued(FIRST_BLOCK, 1, size_bytes=9000, density=9.0),
    )
    bench = Bench(bright, dull, valued(FIRST_CHIP, density=2.0))
    bench.send()
    assert bench.told(LayersSent) == [address(FIRST_BLOCK), address(FIRST_BLOCK, 1), address(FIRST_CHIP)]
    assert list(dict.fromkeys(number(pdu) for pdu in bench.pdus())) == [0, 1]


def test_a_file_cut_by_loss_of_signal_goes_on_where_it_stopped():
    bench = Bench(valued(FIRST_BLOCK, size_bytes=30_000))
    bench.send(9)
    bench.tell(ContactEnded())
    bench.now_ms += 5_400_000
    bench.tell(ContactStarted(contact=contact()))
    bench.send()
    segments = [pdu for pdu in bench.pdus() if isinstance(pdu, FileData)]
    ends = [0]
    for pdu in segments:
        assert pdu.offset == ends[-1]
        ends.append(pdu.offset + len(pdu.data))
    assert bench.file(0) == [address(FIRST_BLOCK)]
    assert bench.computer.repeated_bytes == 0


def test_pdus_are_as_long_as_the_expected_loss_lets_them_be():
    lengths = {}
    for frame_loss in (0.0, 0.001, 0.02):
        bench = Bench(valued(FIRST_BLOCK, size_bytes=300_000), in_contact=False)
        bench.tell(ContactStarted(contact=contact(frame_loss=frame_loss)))
        bench.send(60)
        packets = [packet for packet in bench.packets if packet.apid == Apid.FILES_DOWN]
        lengths[frame_loss] = max(len(packet.data) for packet in packets) / PROFILE.pdu_bytes
    assert [round(length) for length in lengths.values()] == [8, 4, 1]


def test_the_length_of_a_pdu_weighs_headers_against_losses_and_the_end_of_the_contact():
    plenty = 1 << 30
    assert [PROFILE.frames_per_pdu(loss, plenty) for loss in (0.0, 0.0005, 0.005, 0.3)] == [8, 6, 2, 1]
    assert PROFILE.frames_per_pdu(0.0, 100 * PROFILE.frame_bytes) == 1
    assert PROFILE.frames_per_pdu(0.0, 200 * PROFILE.frame_bytes) == 3
    assert PROFILE.frames_per_pdu(0.0, -5) == 1


def test_segments_end_with_frames():
    bench = Bench(*(valued(FIRST_BLOCK + n, size_bytes=5000 + 37 * n) for n in range(12)))
    bench.send()
    frames = [decode_transfer_frame(frame) for frame in bench.frames]
    files = [frame for frame in frames if frame.vc_id == VirtualChannel.FILES]
    begins_with_a_packet = [frame.first_header_pointer == 0 for frame in files]
    assert sum(begins_with_a_packet) >= 0.85 * len(files)
    assert not any(frame.first_header_pointer == NO_PACKET_STARTS for frame in files)


def test_a_full_store_gives_up_the_least_valuable_and_never_what_is_on_its_way():
    on_its_way = valued(FIRST_BLOCK, size_bytes=4000, density=0.01)
    bench = Bench(on_its_way, capacity_bytes=10_000)
    bench.send(2)
    answer = bench.tell(
        LayersCaptured(
            layers=(
                valued(FIRST_CHIP, 0, size_bytes=3000, density=5.0),
                valued(FIRST_CHIP, 1, size_bytes=3000, density=3.0),
                valued(FIRST_CHIP, 2, size_bytes=3000, density=1.0),
            )
        )
    )
    assert answer == [LayersEvicted(addresses=(address(FIRST_CHIP, 2),))]
    assert bench.computer.store.queued_bytes == 10_000
    assert bench.computer.store.account().balanced
    bench.send()
    assert bench.file(0) == [address(FIRST_BLOCK)]
    assert bench.file(1) == [address(FIRST_CHIP), address(FIRST_CHIP, 1)]


def test_a_start_with_more_than_there_is_room_for_gives_up_the_excess_at_once():
    """A mark of eviction that has rotted brings its layer back."""
    store = ProductStore(MemoryJournal())
    store.add([valued(FIRST_BLOCK, size_bytes=600, density=9.0), valued(FIRST_BLOCK + 1, size_bytes=600, density=1.0)])
    bench = Bench(capacity_bytes=1000, store=store)
    assert [layer.address for layer in store.backlog()] == [address(FIRST_BLOCK)]
    assert store.evicted == {address(FIRST_BLOCK + 1)}
    assert bench.computer.handle(ContactEnded(), bench.now_ms) == []


def test_an_evicted_alert_is_not_waited_for():
    bench = Bench(valued(ALERTS_PRODUCT, density=0.001), capacity_bytes=1000)
    bench.send()
    (evicted,) = bench.tell(LayersCaptured(layers=(valued(FIRST_CHIP, size_bytes=900),)))
    assert evicted.addresses == (address(ALERTS_PRODUCT),)
    bench.send()
    bench.finished(0)
    assert bench.send() == [WakeAt(at_ms=None)]


def test_after_a_reboot_everything_unacknowledged_is_sent_again_also_around_a_gap():
    journal = MemoryJournal()
    before = Bench(
        *(valued(FIRST_BLOCK, step, density=9.0 - step) for step in range(4)), ALERT, store=ProductStore(journal)
    )
    before.computer.store.mark_delivered([address(FIRST_BLOCK, 2)])
    again = Bench(store=ProductStore(journal))
    again.send()
    assert again.express_sent() == [ALERT.layer.address]
    assert again.file(0) == [address(FIRST_BLOCK, step) for step in (0, 1, 3)]


def test_after_a_reboot_an_open_file_goes_on_with_what_the_ground_lacks_and_nothing_else():
    journal = MemoryJournal()
    before = Bench(*(valued(FIRST_BLOCK, step, density=9.0 - step) for step in range(4)), store=ProductStore(journal))
    before.send(frames=2)
    again = Bench(store=ProductStore(journal))
    again.send()
    assert [type(pdu) for pdu in again.pdus()] == [EndOfFile]
    header = again.pdus()[0].header
    nak = Nak(header=header, scope_start=0, scope_end=700, requests=((100, 300), (650, 700)))
    again.hear(Apid.FILES_UP, nak.encode())
    again.send()
    content = ProductStore(journal).file_content(0)
    assert [(pdu.offset, pdu.data) for pdu in again.pdus()[1:]] == [(100, content[100:300]), (650, content[650:700])]
    (delivered,) = again.finished(0)
    assert delivered.addresses == tuple(address(FIRST_BLOCK, step) for step in range(4))
    assert ProductStore(journal).files == {}


def test_after_a_reboot_a_file_with_a_layer_that_waits_no_more_is_given_up_and_the_rest_sent_anew():
    journal = MemoryJournal()
    before = Bench(*(valued(FIRST_BLOCK, step, density=9.0 - step) for step in range(4)), store=ProductStore(journal))
    before.send(frames=2)
    before.computer.store.mark_delivered([address(FIRST_BLOCK, 2)])
    again = Bench(store=ProductStore(journal))
    again.send()
    assert again.file(1) == [address(FIRST_BLOCK, step) for step in (0, 1, 3)]


@pytest.mark.parametrize(("bursts", "interleaved"), [(159, False), (5, True)])
def test_a_pass_without_answers_is_interleaved_where_losses_came_in_long_bursts(bursts, interleaved):
    bench = Bench(*(valued(FIRST_BLOCK, step, size_bytes=9000, density=9.0 - step / 8) for step in range(24)))
    report = ReportLink(contact_id=0, frames_heard=800, frames_lost=200, bursts=bursts)
    bench.hear(Apid.COMMAND, encode_command(Command(number=0, after=0, order=report)))
    bench.tell(ContactEnded())
    bench.tell(ContactStarted(contact=contact(uplink_bps=0)))
    bench.send(40)
    sent = [
        decode_symbol_packet(packet.data).object_number for packet in bench.packets if packet.apid == Apid.ERASURE_DOWN
    ]
    neighbours = sum(one == other for one, other in pairwise(sent)) / len(sent)
    assert len(sent) > 30
    assert neighbours < 0.1 if interleaved else neighbours > 0.5


def test_with_nothing_to_do_the_computer_has_nothing_to_say_and_no_time_to_wake():
    bench = Bench()
    bench.send(1)  # how things stand with commands
    assert [packet.apid for packet in bench.packets] == [Apid.COMMAND_REPORT]
    assert bench.tell(TransmitterReady()) == [WakeAt(at_ms=None)]
    assert bench.tell(ContactEnded()) == []
