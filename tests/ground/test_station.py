"""The ground station by its events and actions: what it stores, what it acknowledges, and what it ignores."""

import itertools
from contextlib import suppress
from dataclasses import replace

import pytest

from downlink.cfdp_decoding import decode_pdu
from downlink.cfdp_pdu import Ack, Finished, Nak
from downlink.cfdp_source import CfdpSource
from downlink.command import MAX_LINK_COUNT, ReportLink, decode_command
from downlink.contact import Contact
from downlink.errors import JournalError
from downlink.express import decode_receipt
from downlink.frame_assembler import FrameAssembler
from downlink.frame_reader import FrameReader, FrameVerdict
from downlink.frame_security import SECURITY_BYTES, FrameProtector, FrameVerifier, SecurityAssociation
from downlink.housekeeping import Housekeeping
from downlink.journal import MemoryJournal
from downlink.link_events import ContactEnded, ContactStarted, FrameHeard, TransmitFrame, TransmitterReady, WakeAt
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.products import ALERTS_PRODUCT, FIRST_BLOCK, SUMMARY_PRODUCT, LayerAddress
from downlink.record import Record, RecordKind, encode_record
from downlink.transfer_frame import FRAME_COUNT_MODULUS
from ground.command_desk import CommandDesk
from ground.errors import UnkeptFileError
from ground.link_events import LayersArrived
from ground.station import LINK_REPORT_MS, GroundStation
from ground.store import LayerStore

PROFILE = LinkProfile(nak_timeout_ms=50)
KEYS = (SecurityAssociation(spi=7, key=bytes(range(32))),)
NOW_MS = 1_750_000_000_123
CONTACT = Contact(
    contact_id=0, station="Inuvik", aos_ms=NOW_MS, los_ms=NOW_MS + 600_000, downlink_bps=1_000_000, uplink_bps=64_000,
    one_way_delay_ms=20, frame_loss=0.0,
)  # fmt: skip


def record(product, step=0, kind=RecordKind.LAYER, size_bytes=50):
    payload = b"" if kind is not RecordKind.LAYER else bytes((product + 3 * step + n) & 0xFF for n in range(size_bytes))
    return Record(kind=kind, address=LayerAddress(scene=0x0A0B0C0D, product=product, step=step), payload=payload)


class Bench:
    """A station on a bench: the test is the satellite."""

    def __init__(self, journal=None, *, in_contact=True):
        self.now_ms = NOW_MS
        self.station = GroundStation(
            LayerStore(journal or MemoryJournal()),
            CommandDesk(KEYS, MemoryJournal()),
            FrameProtector(KEYS[0]),
            PROFILE,
        )
        self.verifier = FrameVerifier(
            KEYS,
            spacecraft_id=PROFILE.spacecraft_id,
            frame_bytes=PROFILE.uplink_frame_bytes,
            vc_ids=(VirtualChannel.COMMANDS,),
        )
        self.source = CfdpSource(PROFILE.onboard_entity, PROFILE.ground_entity, PROFILE.source_settings)
        self.packets = PacketSender()
        self.channels = {
            vc_id: FrameAssembler(PROFILE.spacecraft_id, vc_id, frame_bytes=PROFILE.frame_bytes)
            for vc_id in (VirtualChannel.EXPRESS, VirtualChannel.FILES)
        }
        self.uplink = FrameReader(PROFILE.spacecraft_id, frame_bytes=PROFILE.uplink_frame_bytes - SECURITY_BYTES)
        if in_contact:
            self.tell(ContactStarted(contact=CONTACT))

    def tell(self, event):
        return self.station.handle(event, self.now_ms)

    def frame(self, apid, data, vc_id=VirtualChannel.EXPRESS):
        self.channels[vc_id].push(self.packets.packet(apid, data))
        return self.channels[vc_id].next_frame(flush=True)

    def hear_express(self, *records):
        return self.tell(FrameHeard(frame=self.frame(Apid.EXPRESS, b"".join(map(encode_record, records)))))

    def file_frames(self, *records, transaction=7):
        """One frame per PDU of a file of these records."""
        self.source.put(
            transaction_seq=transaction, source_name="", destination_name="",
            file_bytes=b"".join(map(encode_record, records)),
        )  # fmt: skip
        pdus = iter(lambda: self.source.next_pdu(self.now_ms, PROFILE.pdu_bytes), None)
        return [self.frame(Apid.FILES_DOWN, pdu, VirtualChannel.FILES) for pdu in pdus]

    def answers(self):
        """(process, payload) of every packet that the station sends now."""
        packets = []
        while frames := [one.frame for one in self.tell(TransmitterReady()) if isinstance(one, TransmitFrame)]:
            for frame in frames:
                packets += self.uplink.feed(self.verifier.verify(frame).open_frame).packets
        return [(Apid(packet.apid), packet.data) for packet in packets]

    def pdus(self):
        return [decode_pdu(data) for apid, data in self.answers() if apid is Apid.FILES_UP]

    def receipts(self):
        return [one for apid, data in self.answers() if apid is Apid.EXPRESS_RECEIPT for one in decode_receipt(data)]


SUMMARY, ALERT = record(SUMMARY_PRODUCT), record(ALERTS_PRODUCT, 3)


def test_express_records_are_stored_told_and_acknowledged():
    bench = Bench()
    assert bench.hear_express(SUMMARY, ALERT) == [LayersArrived(addresses=(SUMMARY.address, ALERT.address))]
    assert bench.receipts() == [SUMMARY.address, ALERT.address]
    assert bench.station.store.payload(ALERT.address) == ALERT.payload
    assert bench.tell(TransmitterReady()) == [WakeAt(at_ms=NOW_MS + LINK_REPORT_MS)]


def test_a_repeat_is_news_to_nobody_and_acknowledged_again():
    bench = Bench()
    bench.hear_express(ALERT)
    bench.receipts()
    assert bench.hear_express(ALERT) == []
    assert bench.receipts() == [ALERT.address]


def test_what_is_not_held_is_not_acknowledged():
    bench = Bench()
    assert bench.hear_express(record(ALERTS_PRODUCT, 3, RecordKind.DELIVERED)) == []
    assert bench.hear_express(record(FIRST_BLOCK)) == []
    assert bench.tell(FrameHeard(frame=bench.frame(Apid.EXPRESS, b"\x12\x34\x56\x78"))) == []
    assert bench.receipts() == []
    assert bench.station.refused_packets == 3
    assert bench.station.store.addresses == frozenset()


def test_nothing_is_acknowledged_that_could_not_be_stored(monkeypatch):
    journal = MemoryJournal()
    bench = Bench(journal)

    def full(records):
        raise JournalError("cannot append: No space left on device")

    monkeypatch.setattr(journal, "append", full)
    with pytest.raises(JournalError):
        bench.hear_express(ALERT)
    assert bench.receipts() == []
    assert not bench.station.store.holds(ALERT.address)


def test_a_file_that_could_not_be_stored_is_never_acknowledged(monkeypatch):
    journal = MemoryJournal()
    bench = Bench(journal)

    def full(records):
        raise JournalError("cannot append: No space left on device")

    monkeypatch.setattr(journal, "append", full)
    *beginning, end = bench.file_frames(record(FIRST_BLOCK, size_bytes=1500))
    for frame in beginning:
        with suppress(JournalError):
            bench.tell(FrameHeard(frame=frame))
    with pytest.raises(JournalError):
        bench.tell(FrameHeard(frame=end))
    monkeypatch.undo()  # too late: the file would have to come again
    assert not bench.station.store.holds(record(FIRST_BLOCK).address)
    for speak in (bench.answers, lambda: bench.station.snapshot(NOW_MS)):
        with pytest.raises(UnkeptFileError, match="file 7"):
            speak()


def test_layers_of_a_file_are_taken_as_its_beginning_grows_and_told_once():
    bench = Bench()
    records = [record(FIRST_BLOCK, step, size_bytes=1500) for step in range(3)]
    arrived = [bench.tell(FrameHeard(frame=frame)) for frame in bench.file_frames(*records)]
    told = [action.addresses for actions in arrived for action in actions]
    assert told == [(one.address,) for one in records]
    assert arrived[-1] == []  # the end of the file brings nothing new
    assert bench.station.held_bytes == 0
    kinds = {type(pdu) for pdu in bench.pdus()}
    assert kinds == {Ack, Finished}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_segments_in_any_order_bring_every_layer_once(order):
    bench = Bench()
    records = [record(FIRST_BLOCK, step, size_bytes=900) for step in range(3)]
    frames = bench.file_frames(*records)
    metadata, data, end = frames[0], frames[1:-1], frames[-1]
    assert len(data) == 3
    told = []
    for frame in [metadata, *(data[index] for index in order), end]:
        told += [each for action in bench.tell(FrameHeard(frame=frame)) for each in action.addresses]
    assert sorted(told) == [one.address for one in records]


def test_a_whole_file_is_unanswered_until_the_satellite_knows():
    bench = Bench()
    for frame in bench.file_frames(record(FIRST_BLOCK)):
        bench.tell(FrameHeard(frame=frame))
    assert (bench.station.open_files, bench.station.unanswered_files) == (0, 1)
    for pdu in bench.pdus():
        bench.source.receive(pdu.encode(), bench.now_ms)
    for pdu in iter(lambda: bench.source.next_pdu(bench.now_ms, PROFILE.pdu_bytes), None):
        bench.tell(FrameHeard(frame=bench.frame(Apid.FILES_DOWN, pdu, VirtualChannel.FILES)))
    assert bench.station.unanswered_files == 0


def test_a_lost_segment_is_asked_for_and_what_came_before_it_is_there_already():
    bench = Bench()
    records = [record(FIRST_BLOCK, step, size_bytes=1500) for step in range(3)]
    frames = bench.file_frames(*records)
    for frame in frames[:3] + frames[4:]:
        bench.tell(FrameHeard(frame=frame))
    assert bench.station.store.addresses == {records[0].address}
    bench.pdus()
    (wake,) = bench.tell(TransmitterReady())
    assert NOW_MS < wake.at_ms <= NOW_MS + 200
    bench.now_ms = wake.at_ms
    (nak,) = [pdu for pdu in bench.pdus() if isinstance(pdu, Nak)]
    segment = PROFILE.source_settings.max_pdu_bytes
    ((start, end),) = nak.requests
    assert 0 < start < 2 * segment and 0 < end - start <= segment
    bench.source.receive(nak.encode(), bench.now_ms)
    repeat = bench.source.next_pdu(bench.now_ms)
    (arrived,) = bench.tell(FrameHeard(frame=bench.frame(Apid.FILES_DOWN, repeat, VirtualChannel.FILES)))
    assert arrived.addresses == (records[1].address, records[2].address)


def test_nothing_is_sent_outside_a_contact_and_receipts_wait_for_the_next():
    bench = Bench()
    bench.hear_express(ALERT)
    bench.tell(ContactEnded())
    assert bench.tell(TransmitterReady()) == [WakeAt(at_ms=None)]
    bench.now_ms += 5_400_000
    bench.tell(ContactStarted(contact=CONTACT))
    assert bench.receipts() == [ALERT.address]


def test_strangers_and_noise_are_counted_and_change_nothing():
    bench = Bench()
    stranger = FrameAssembler(0x155, VirtualChannel.EXPRESS, frame_bytes=PROFILE.frame_bytes)
    stranger.push(PacketSender().packet(Apid.EXPRESS, encode_record(ALERT)))
    assert bench.tell(FrameHeard(frame=stranger.next_frame(flush=True))) == []
    assert bench.tell(FrameHeard(frame=b"\x5a" * 100)) == []
    damaged = bytearray(bench.frame(Apid.EXPRESS, encode_record(ALERT)))
    damaged[30] ^= 4
    assert bench.tell(FrameHeard(frame=bytes(damaged))) == []
    assert bench.station.verdicts[FrameVerdict.FOREIGN] == 1
    assert bench.station.verdicts[FrameVerdict.CORRUPT] == 2
    foreign = CfdpSource(9, PROFILE.ground_entity)
    foreign.put(transaction_seq=1, source_name="", destination_name="", file_bytes=encode_record(record(FIRST_BLOCK)))
    while (pdu := foreign.next_pdu(0)) is not None:
        assert bench.tell(FrameHeard(frame=bench.frame(Apid.FILES_DOWN, pdu, VirtualChannel.FILES))) == []
    assert bench.tell(FrameHeard(frame=bench.frame(Apid.FILES_UP, b"up, not down"))) == []
    assert bench.station.refused_packets == 4
    assert bench.station.store.addresses == frozenset()
    assert bench.station.open_files == 0


def test_a_store_takes_up_what_its_journal_holds_and_refuses_marks():
    journal = MemoryJournal()
    store = LayerStore(journal)
    mark = record(FIRST_BLOCK, 9, RecordKind.EVICTED)
    assert store.add([ALERT, ALERT, mark, SUMMARY]) == (ALERT.address, SUMMARY.address)
    assert store.add([ALERT]) == ()
    assert len(list(journal.records())) == 2
    again = LayerStore(journal)
    assert again.addresses == {ALERT.address, SUMMARY.address}
    assert (again.payload(ALERT.address), again.payload_bytes(ALERT.address)) == (ALERT.payload, 50)
    assert not again.holds(mark.address)


def test_the_first_bytes_of_a_layer_stay():
    store = LayerStore(MemoryJournal())
    other = Record(kind=RecordKind.LAYER, address=ALERT.address, payload=b"changed")
    store.add([ALERT])
    assert store.add([other]) == ()
    assert store.payload(ALERT.address) == ALERT.payload


def test_a_packet_that_one_station_began_is_not_continued_by_the_next():
    def uplink_frames(bench, scene):
        alerts = (record(ALERTS_PRODUCT, step, size_bytes=1) for step in range(180))
        for alert in alerts:
            bench.hear_express(replace(alert, address=replace(alert.address, scene=scene)))
        answers = iter(lambda: [one for one in bench.tell(TransmitterReady()) if isinstance(one, TransmitFrame)], [])
        return [bench.verifier.verify(one.frame).open_frame for answer in answers for one in answer]

    # Receipts of as many layers take as many frames, and the sixth crosses to the next frame at the same byte.
    before, after = Bench(), Bench(in_contact=False)
    after.now_ms += 60_000
    after.tell(ContactStarted(contact=CONTACT))
    first, second = uplink_frames(before, 0x01020304), uplink_frames(after, 0x05060708)
    satellite = FrameReader(PROFILE.spacecraft_id, frame_bytes=PROFILE.uplink_frame_bytes - SECURITY_BYTES)
    heard = [satellite.feed(frame) for frame in first[:5] + second[5:]]
    scenes = [{one.scene for one in decode_receipt(packet.data)} for one in heard for packet in one.packets]
    assert {0x01020304} in scenes and all(len(each) == 1 for each in scenes), "a receipt is half of either station"


def test_at_loss_of_signal_layers_behind_a_gap_are_taken_and_the_file_goes_on():
    bench = Bench()
    records = [record(FIRST_BLOCK, step, size_bytes=1500) for step in range(6)]
    frames = bench.file_frames(*records)
    del frames[2]
    for frame in frames:
        bench.tell(FrameHeard(frame=frame))
    assert bench.station.store.addresses == frozenset()  # the gap is in the first two
    (behind,) = bench.tell(ContactEnded())
    assert behind.addresses == tuple(one.address for one in records[2:])
    assert bench.station.open_files == 1
    bench.tell(ContactStarted(contact=CONTACT))
    assert bench.tell(ContactEnded()) == []


REPORT = Housekeeping(at_ms=NOW_MS - 700, boot=3, uptime_s=60, captured_layers=5, delivered_digest=bytes(range(1, 9)))


def link_report(bench):
    """What the station says of the downlink, five seconds into the contact."""
    bench.now_ms = NOW_MS + LINK_REPORT_MS
    (order,) = [decode_command(data).order for apid, data in bench.answers() if apid is Apid.COMMAND]
    return order


def test_losses_are_counted_in_runs_and_told():
    bench = Bench()
    frames = [bench.frame(Apid.EXPRESS, encode_record(record(ALERTS_PRODUCT, step))) for step in range(20)]
    for lost in (3, 7, 8, 9, 15, 16):
        frames[lost] = None
    for frame in frames:
        if frame is not None:
            bench.tell(FrameHeard(frame=frame))
    assert link_report(bench) == ReportLink(contact_id=0, frames_heard=14, frames_lost=6, bursts=3)


def test_forged_frame_counts_do_not_make_a_report_that_cannot_be_said():
    bench = Bench()
    for _ in range(80):
        bench.tell(FrameHeard(frame=bench.frame(Apid.EXPRESS, b"\x12\x34\x56\x78")))
        channel = bench.channels[VirtualChannel.EXPRESS]
        channel.next_frame_count = (channel.next_frame_count + FRAME_COUNT_MODULUS // 3) % FRAME_COUNT_MODULUS
    assert bench.station.frames_lost > MAX_LINK_COUNT
    assert link_report(bench) == ReportLink(contact_id=0, frames_heard=80, frames_lost=MAX_LINK_COUNT, bursts=79)


def hear_housekeeping(bench, data):
    assert bench.tell(FrameHeard(frame=bench.frame(Apid.HOUSEKEEPING, data))) == []
    return bench.station.housekeeping


def test_housekeeping_is_held_with_the_time_at_which_it_was_heard_and_never_replaced_by_an_older_one():
    bench = Bench()
    assert bench.station.housekeeping is None
    assert hear_housekeeping(bench, REPORT.encode(KEYS[0])) == (REPORT, NOW_MS)
    bench.now_ms += 9_000
    for late in (
        REPORT,
        replace(REPORT, at_ms=NOW_MS - 5_000, uptime_s=56),
        replace(REPORT, at_ms=NOW_MS - 60_000, boot=2),
    ):
        assert hear_housekeeping(bench, late.encode(KEYS[0])) == (REPORT, NOW_MS)
    newer = replace(REPORT, at_ms=NOW_MS + 9_300, uptime_s=70)
    assert hear_housekeeping(bench, newer.encode(KEYS[0])) == (newer, NOW_MS + 9_000)
    assert bench.station.refused_packets == 0


def test_housekeeping_of_a_stranger_or_of_another_version_is_refused_and_counted():
    bench = Bench()
    stranger = SecurityAssociation(spi=7, key=bytes(range(1, 33)))
    sound = REPORT.encode(KEYS[0])
    wrong = (replace(REPORT, at_ms=(1 << 48) - 1).encode(stranger), sound[:-1], sound + b"\0", b"\2" + sound[1:], b"\1")
    for refused, data in enumerate(wrong, start=1):
        assert hear_housekeeping(bench, data) is None
        assert bench.station.refused_packets == refused
