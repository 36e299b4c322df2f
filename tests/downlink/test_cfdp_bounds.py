"""What file delivery holds, whatever arrives: hostile segments and NAKs, many transactions, files that do not fit memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacepackets.cfdp import ChecksumType as OracleChecksum
from spacepackets.cfdp.pdu import PduFactory
from spacepackets.cfdp.pdu.file_data import FileDataPdu

from downlink.cfdp_checksum import ChecksumType, file_checksum
from downlink.cfdp_decoding import decode_pdu
from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_destination_transaction import DestinationSettings
from downlink.cfdp_events import FileCompleted, PduRefused, SegmentReceived, TransactionFailed, TransactionId
from downlink.cfdp_file_data import FileDataFormat, identity_bytes
from downlink.cfdp_header import ConditionCode, PduHeader
from downlink.cfdp_pdu import EndOfFile, FileData, Metadata, Nak, TypeLengthValue
from downlink.cfdp_source import CfdpSource
from downlink.cfdp_source_transaction import SourceSettings
from downlink.errors import CfdpPduError

SPACECRAFT, GROUND = 0x12, 0x34

headers = st.builds(
    PduHeader,
    source_entity_id=st.integers(0, 255),
    destination_entity_id=st.integers(0, 255),
    transaction_seq=st.integers(0, 255),
    entity_id_bytes=st.integers(1, 8),
    transaction_seq_bytes=st.integers(1, 8),
    unacknowledged=st.booleans(),
    with_crc=st.booleans(),
    large_file=st.booleans(),
)


def header(seq=1, **fields):
    return PduHeader(source_entity_id=SPACECRAFT, destination_entity_id=GROUND, transaction_seq=seq, **fields)


def segment(offset, data, seq=1, **fields):
    return FileData(header=header(seq, **fields), offset=offset, data=data).encode()


def metadata(size_bytes, seq=1, **fields):
    return Metadata(
        header=header(seq), file_size_bytes=size_bytes, source_name="a", destination_name="b", checksum_type=3, **fields
    ).encode()


def eof(content, seq=1):
    checksum = file_checksum(ChecksumType.CRC_32, content)
    return EndOfFile(
        header=header(seq), condition=ConditionCode.NO_ERROR, checksum=checksum, file_size_bytes=len(content)
    ).encode()


# ---- the short way in and out says the same as the long one


@given(headers, st.integers(0, 2**32 - 1), st.binary(max_size=50))
def test_segments_are_written_and_split_as_by_the_general_decoder(shared, offset, data):
    written = FileDataFormat(shared).encode(offset, data)
    assert decode_pdu(written) == FileData(header=shared, offset=offset, data=data)
    assert FileDataFormat(shared).split(written) == (offset, data)
    assert identity_bytes(written) == FileDataFormat(shared).identity_bytes


def test_golden_segment():
    shared = PduHeader(
        source_entity_id=0x12,
        destination_entity_id=0x34,
        transaction_seq=0xABCDEF,
        entity_id_bytes=1,
        transaction_seq_bytes=3,
    )
    golden = bytes.fromhex("30 0007 02 12 abcdef 34 01020304 0a0b0c")
    assert FileDataFormat(shared).encode(0x01020304, b"\x0a\x0b\x0c") == golden


@given(headers, st.binary(max_size=40), st.randoms(use_true_random=False))
def test_what_the_short_way_takes_the_general_decoder_takes_alike(shared, data, chance):
    file_data = FileDataFormat(shared)
    pdu = bytearray(file_data.encode(chance.randrange(2**32), data))
    for _ in range(chance.randrange(3)):
        pdu[chance.randrange(len(pdu))] ^= 1 << chance.randrange(8)
    damaged = bytes(pdu[: chance.choice((len(pdu), chance.randrange(len(pdu) + 1)))])
    found = file_data.split(damaged)
    if found is not None:
        assert decode_pdu(damaged) == FileData(header=shared, offset=found[0], data=found[1])
    identity_bytes(damaged)


def test_a_segment_that_does_not_fit_its_fields_is_refused():
    for offset, data in ((1 << 32, b"x"), (-1, b"x"), (0, bytes(65_536))):
        with pytest.raises(CfdpPduError, match="does not fit"):
            FileDataFormat(header()).encode(offset, data)


# ---- hostile segments


@pytest.mark.parametrize("offset", [2**32 - 4, 2**31, 1 << 20])
def test_far_offsets_are_refused_and_take_nothing(offset):
    destination = CfdpDestination(GROUND, {SPACECRAFT}, DestinationSettings(max_file_bytes=1 << 20))
    (event,) = destination.receive(segment(offset, b"\x5a" * 4), 0)
    assert isinstance(event, PduRefused) and "passes the end" in event.reason
    assert destination.held_bytes == 0


def test_far_offsets_of_large_files_are_refused():
    destination = CfdpDestination(GROUND, {SPACECRAFT})
    for offset in (2**64 - 4, 2**64 - 1, 2**40):
        (event,) = destination.receive(segment(offset, b"\x5a" * 4, large_file=True), 0)
        assert isinstance(event, PduRefused)
    assert destination.held_bytes == 0


def test_a_huge_declared_size_costs_nothing():
    destination = CfdpDestination(GROUND, {SPACECRAFT}, DestinationSettings(max_file_bytes=2**40))
    destination.receive(metadata(2**32 - 1), 0)
    destination.receive(segment(2**32 - 9, b"\x5a" * 8), 0)
    assert destination.held_bytes < 1_000
    nak = decode_pdu(destination.next_pdu(1_000))
    assert nak.requests == ((0, 2**32 - 9),)


def test_pieces_between_gaps_are_counted_and_limited_and_the_file_still_ends_well():
    content = bytes(range(1, 201))
    destination = CfdpDestination(GROUND, {SPACECRAFT}, DestinationSettings(max_ranges_per_file=20))
    events = [e for at in range(0, 200, 2) for e in destination.receive(segment(at, content[at : at + 1]), 0)]
    refused = [event for event in events if isinstance(event, PduRefused)]
    assert len(refused) == 80 and "20 pieces" in refused[0].reason
    # What touches a piece that is there begins no new one.
    (event,) = destination.receive(segment(38, content[38:44]), 0)
    assert event == SegmentReceived(TransactionId(SPACECRAFT, 1), 39, content[39:44])
    for pdu in (metadata(200), segment(0, content), eof(content)):
        events = destination.receive(pdu, 0)
    assert isinstance(events[0], FileCompleted) and events[0].data == content


def test_options_of_metadata_are_not_held():
    destination = CfdpDestination(GROUND, {SPACECRAFT})
    options = tuple(TypeLengthValue(type=2, value=b"\x77" * 255) for _ in range(200))
    destination.receive(metadata(10, options=options), 0)
    assert len(destination.snapshot(0)) < 1_000


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30)), max_size=30))
def test_overlapping_segments_are_told_once_and_held_once(pieces):
    content = bytes(range(1, 121))
    destination = CfdpDestination(GROUND, {SPACECRAFT})
    known = {}
    for offset, length in pieces:
        for event in destination.receive(segment(offset, content[offset : offset + length]), 0):
            fresh = dict(enumerate(event.data, event.offset))
            assert not known.keys() & fresh.keys()
            known |= fresh
    assert all(content[at] == value for at, value in known.items())
    assert len(known) <= destination.held_bytes <= len(known) + 2 * 128 * len(pieces)


def test_hostile_naks_fill_no_memory_and_the_file_goes_on(monkeypatch):
    monkeypatch.setattr("downlink.cfdp_source._MAX_REQUESTED_RANGES", 50)
    source = CfdpSource(SPACECRAFT, GROUND, SourceSettings(max_pdu_bytes=1_000))
    content = bytes(index * 7 & 0xFF for index in range(10_000))
    source.put(transaction_seq=1, source_name="", destination_name="", file_bytes=content)
    while source.next_pdu(0) is not None:
        pass
    for base in range(0, 10_000, 1_000):
        requests = tuple((at, at + 1) for at in range(base, base + 1_000, 2))
        source.receive(Nak(header=header(), scope_start=0, scope_end=10_000, requests=requests).encode(), 0)
    assert source.asked_again_bytes == 50
    assert sum(1 for _ in iter(lambda: source.next_pdu(1), None)) == 50


# ---- many at once


def test_a_thousand_files_at_once_arrive_best_first():
    source, destination = CfdpSource(SPACECRAFT, GROUND), CfdpDestination(GROUND, {SPACECRAFT})
    contents = {seq: seq.to_bytes(2) * 700 for seq in range(1_000)}
    for seq, content in contents.items():
        source.put(
            transaction_seq=seq, source_name="", destination_name="", file_bytes=content, priority=seq * 7919 % 1_000
        )
    completed, sent, now_ms = {}, 0, 0
    while source.open_transactions:
        while (pdu := source.next_pdu(now_ms)) is not None:
            sent += 1
            if sent % 7:
                events = destination.receive(pdu, now_ms)
                completed |= {each.transaction: each.data for each in events if isinstance(each, FileCompleted)}
            while (answer := destination.next_pdu(now_ms)) is not None:
                source.receive(answer, now_ms)
            now_ms += 1
        due = [end.next_wakeup_ms(now_ms) for end in (source, destination)]
        now_ms = min((due_ms for due_ms in due if due_ms is not None), default=now_ms)
        while (answer := destination.next_pdu(now_ms)) is not None:
            source.receive(answer, now_ms)
    assert {one.transaction_seq: data for one, data in completed.items()} == contents
    priorities = [one.transaction_seq * 7919 % 1_000 for one in completed]
    assert sum(priorities[:500]) > 2 * sum(priorities[500:])


def test_a_snapshot_of_a_thousand_open_files_is_small():
    source = CfdpSource(SPACECRAFT, GROUND, SourceSettings(entity_id_bytes=1, transaction_seq_bytes=3))
    for seq in range(1_000):
        source.put(transaction_seq=seq, source_name="", destination_name="", file_bytes=b"\x12\x34" * 40)
    assert len(source.snapshot(0)) < 150_000


# ---- files in a sink


class Sink:
    def __init__(self, size_bytes):
        self.content = bytearray(size_bytes)
        self.full = False

    def write(self, offset, data):
        if self.full:
            raise OSError("no space left")
        self.content[offset : offset + len(data)] = data

    def read(self, start, end):
        return bytes(self.content[start:end])


CONTENT = bytes(index * 11 & 0xFF for index in range(1_000))


def with_sink(sink, **settings):
    return CfdpDestination(GROUND, {SPACECRAFT}, DestinationSettings(**settings), open_sink=lambda transaction: sink)


def test_a_file_in_a_sink_takes_no_memory():
    sink = Sink(1_000)
    destination = with_sink(sink, max_held_bytes=300)
    for start, end in ((400, 1_000), (0, 250), (250, 400)):
        (event,) = destination.receive(segment(start, CONTENT[start:end]), 0)
        assert (event.offset, event.data) == (start, CONTENT[start:end])
    assert destination.held_bytes <= 300
    assert destination.prefix(TransactionId(SPACECRAFT, 1), 990) == CONTENT[990:]
    destination.receive(metadata(1_000), 0)
    (completed,) = destination.receive(eof(CONTENT), 0)
    assert (completed.data, completed.file_size_bytes, completed.sink) == (b"", 1_000, sink)
    assert bytes(sink.content) == CONTENT


def test_bytes_that_changed_in_the_sink_are_found():
    sink = Sink(1_000)
    destination = with_sink(sink)
    for pdu in (metadata(1_000), segment(0, CONTENT)):
        destination.receive(pdu, 0)
    sink.content[500] ^= 1
    (failed,) = destination.receive(eof(CONTENT), 0)
    assert isinstance(failed, TransactionFailed)
    assert (failed.condition, failed.ranges) == (ConditionCode.FILE_CHECKSUM_FAILURE, ((0, 1_000),))


def test_what_a_full_sink_refuses_counts_as_not_received():
    sink = Sink(1_000)
    destination = with_sink(sink, reordering_delay_ms=0)
    destination.receive(metadata(1_000), 0)
    sink.full = True
    with pytest.raises(OSError, match="no space left"):
        destination.receive(segment(0, CONTENT[:600]), 0)
    sink.full = False
    destination.receive(eof(CONTENT), 0)
    destination.next_pdu(0)
    assert decode_pdu(destination.next_pdu(0)).requests == ((0, 1_000),)


# ---- headers of other lengths


def test_short_headers_save_bytes_and_are_answered_in_kind():
    settings = SourceSettings(entity_id_bytes=1, transaction_seq_bytes=3, max_pdu_bytes=500)
    source, destination = CfdpSource(1, 2, settings), CfdpDestination(2, {1})
    source.put(transaction_seq=0xABCDEF, source_name="", destination_name="", file_bytes=CONTENT)
    assert FileDataFormat(source._transactions[0xABCDEF].header).overhead_bytes == 13
    completed = []
    while source.open_transactions:
        while (pdu := source.next_pdu(0)) is not None:
            completed += [event.data for event in destination.receive(pdu, 0) if isinstance(event, FileCompleted)]
        while (answer := destination.next_pdu(0)) is not None:
            assert decode_pdu(answer).header.entity_id_bytes == 1
            source.receive(answer, 0)
    assert completed == [CONTENT]
    with pytest.raises(CfdpPduError, match="does not fit 3 bytes"):
        source.put(transaction_seq=1 << 24, source_name="", destination_name="", file_bytes=b"")


def test_nasa_cf_settings_by_an_independent_decoder():
    source = CfdpSource(0x17, 0x2A, SourceSettings.nasa_cf())
    source.put(transaction_seq=0x01020304, source_name="/ram/a", destination_name="/cf/b", file_bytes=CONTENT)
    pdus = [PduFactory.from_raw(pdu) for pdu in iter(lambda: source.next_pdu(0), None)]
    first, *segments, last = pdus
    assert all(pdu.packet_len <= 512 for pdu in pdus)
    assert all(
        (pdu.pdu_header.source_entity_id.value, pdu.pdu_header.dest_entity_id.value, pdu.pdu_header.large_file_flag_set)
        == (0x17, 0x2A, False)
        for pdu in pdus
    )
    assert (first.checksum_type, first.file_size) == (OracleChecksum.MODULAR, 1_000)
    assert (first.source_file_name, first.dest_file_name) == ("/ram/a", "/cf/b")
    assert all(isinstance(pdu, FileDataPdu) for pdu in segments)
    assert b"".join(pdu.file_data for pdu in segments) == CONTENT
    words = [int.from_bytes(CONTENT[at : at + 4]) for at in range(0, 1_000, 4)]
    assert int.from_bytes(last.file_checksum) == sum(words) % 2**32


def test_nasa_cf_naks_hold_no_more_ranges_than_it_reads():
    destination = CfdpDestination(GROUND, {SPACECRAFT}, DestinationSettings.nasa_cf())
    for at in range(0, 1_000, 4):
        destination.receive(segment(at, CONTENT[at : at + 1]), 0)
    naks = [decode_pdu(pdu) for pdu in iter(lambda: destination.next_pdu(10_000) or destination.next_pdu(10_100), None)]
    assert len(naks) > 3
    assert all(len(nak.requests) <= 58 and len(nak.encode()) <= 512 for nak in naks)
