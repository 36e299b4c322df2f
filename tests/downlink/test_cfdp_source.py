"""The CFDP source: what it sends, in which order, and how its transactions end."""

import itertools

import pytest

from downlink.cfdp_checksum import ChecksumType, file_checksum
from downlink.cfdp_decoding import decode_pdu
from downlink.cfdp_events import PduRefused, TransactionFinished, TransactionId
from downlink.cfdp_header import ConditionCode, FileStatus, PduHeader, TransactionStatus
from downlink.cfdp_pdu import Ack, DirectiveCode, EndOfFile, FileData, Finished, KeepAlive, Metadata, Nak
from downlink.cfdp_source import CfdpSource
from downlink.cfdp_source_transaction import SourceSettings
from downlink.errors import CfdpPduError, CfdpSnapshotError, CfdpTransactionError

SPACECRAFT, GROUND = 0x12, 0x34
SEGMENT = 100
CONTENT = bytes(range(1, 251))


def source_with(*seqs, content=CONTENT, **settings):
    source = CfdpSource(SPACECRAFT, GROUND, SourceSettings(max_pdu_bytes=SEGMENT + 16, **settings))
    for seq in seqs:
        source.put(transaction_seq=seq, source_name=f"s{seq}", destination_name=f"d{seq}", file_bytes=content)
    return source


def header(seq=1, **fields):
    return PduHeader(source_entity_id=SPACECRAFT, destination_entity_id=GROUND, transaction_seq=seq, **fields)


def drain(source, now_ms=0):
    pdus = []
    while (pdu := source.next_pdu(now_ms)) is not None:
        pdus.append(decode_pdu(pdu))
    return pdus


def shape(pdus):
    return [
        (pdu.header.transaction_seq, type(pdu).__name__, *([pdu.offset] if isinstance(pdu, FileData) else []))
        for pdu in pdus
    ]


def nak(seq, *requests):
    return Nak(header=header(seq), scope_start=0, scope_end=len(CONTENT), requests=requests).encode()


def eof_ack(seq=1, condition=ConditionCode.NO_ERROR):
    acknowledged = DirectiveCode.EOF
    ack = Ack(header=header(seq), acknowledged=acknowledged, condition=condition, status=TransactionStatus.ACTIVE)
    return ack.encode()


def finished(seq=1, condition=ConditionCode.NO_ERROR, complete=True, **fields):
    status = FileStatus.RETAINED if complete else FileStatus.DISCARDED
    return Finished(header=header(seq, **fields), condition=condition, complete=complete, file_status=status).encode()


def test_files_go_out_in_the_order_they_were_put():
    pdus = drain(source_with(1, 2))
    assert shape(pdus) == [
        (seq, *what)
        for seq in (1, 2)
        for what in (("Metadata",), ("FileData", 0), ("FileData", 100), ("FileData", 200), ("EndOfFile",))
    ]
    assert b"".join(pdu.data for pdu in pdus[1:4]) == CONTENT
    assert pdus[0] == Metadata(
        header=header(), file_size_bytes=250, source_name="s1", destination_name="d1", checksum_type=3
    )
    assert pdus[4] == EndOfFile(
        header=header(),
        condition=ConditionCode.NO_ERROR,
        checksum=file_checksum(ChecksumType.CRC_32, CONTENT),
        file_size_bytes=250,
    )


def test_an_empty_file_is_metadata_and_end_of_file():
    assert shape(drain(source_with(9, content=b""))) == [(9, "Metadata"), (9, "EndOfFile")]


def test_answers_then_repeats_by_priority_then_new_data():
    source = source_with(1, 2, ack_timeout_ms=50)
    source.put(transaction_seq=3, source_name="s", destination_name="d", file_bytes=CONTENT, priority=5)
    assert len(drain(source)) == 15
    source.put(transaction_seq=4, source_name="s", destination_name="d", file_bytes=b"new")
    # Hearing of 1 and 3 restarts their timers, so only the EndOfFile of 2 is overdue at 60.
    source.receive(nak(1, (0, 0), (120, 130)), 30)
    source.receive(nak(3, (0, 100)), 30)
    source.receive(finished(77), 30)
    assert shape(drain(source, 60)) == [
        (77, "Ack"),
        (2, "EndOfFile"),
        (3, "FileData", 0),
        (1, "Metadata"),
        (1, "FileData", 120),
        (4, "Metadata"),
        (4, "FileData", 0),
        (4, "EndOfFile"),
    ]
    assert source.statistics(1).retransmitted_bytes == 10
    assert source.statistics(1).naks_received == 1


def test_a_range_asked_for_twice_before_it_leaves_is_sent_once():
    source = source_with(1)
    drain(source)
    source.receive(nak(1, (0, 150), (140, 200)), 0)
    source.receive(nak(1, (100, 180)), 0)
    assert source.asked_again_bytes == 200
    assert shape(drain(source)) == [(1, "FileData", 0), (1, "FileData", 100)]
    assert source.asked_again_bytes == 0


def test_what_was_never_sent_is_not_sent_as_a_repeat():
    source = source_with(1)
    first = [decode_pdu(source.next_pdu(0)) for _ in range(2)]
    source.receive(nak(1, (50, 9_999), (80, 20), (400, 500)), 0)
    assert shape(first + drain(source)) == [
        (1, "Metadata"),
        (1, "FileData", 0),
        (1, "FileData", 50),
        (1, "FileData", 100),
        (1, "FileData", 200),
        (1, "EndOfFile"),
    ]


def test_end_of_file_is_repeated_with_growing_waits_until_the_ground_answers():
    source = source_with(1, ack_timeout_ms=100, max_ack_timeout_ms=300)
    drain(source)
    waits, now_ms = [], 0
    for _ in range(4):
        due_ms = source.next_wakeup_ms(now_ms)
        assert source.next_pdu(due_ms - 1) is None
        assert shape(drain(source, due_ms)) == [(1, "EndOfFile")]
        waits.append(due_ms - now_ms)
        now_ms = due_ms
    assert waits == [100, 200, 300, 300]
    source.receive(eof_ack(), now_ms)
    assert source.next_wakeup_ms(now_ms) == now_ms + 100


def test_finished_ends_the_transaction_and_is_acknowledged_every_time():
    source = source_with(1)
    drain(source)
    source.receive(eof_ack(), 5)
    (event,) = source.receive(finished(), 10)
    assert isinstance(event, TransactionFinished)
    assert (event.transaction, event.delivered) == (TransactionId(SPACECRAFT, 1), True)
    assert (event.file_status, event.statistics.new_bytes) == (FileStatus.RETAINED, 250)
    assert source.open_transactions == ()
    assert source.receive(finished(), 20) == []
    acks = drain(source, 20)
    assert [(ack.acknowledged, ack.status) for ack in acks] == [
        (DirectiveCode.FINISHED, TransactionStatus.ACTIVE),
        (DirectiveCode.FINISHED, TransactionStatus.UNDEFINED),
    ]
    assert source.next_wakeup_ms(20) is None


def test_a_failure_at_the_destination_is_reported():
    source = source_with(1)
    drain(source)
    (event,) = source.receive(finished(condition=ConditionCode.FILE_CHECKSUM_FAILURE, complete=False), 10)
    assert (event.delivered, event.condition) == (False, ConditionCode.FILE_CHECKSUM_FAILURE)


def test_nothing_leaves_and_no_time_passes_while_suspended():
    source = source_with(1, ack_timeout_ms=100, ack_limit=1)
    drain(source, 0)
    source.suspend(40)
    assert source.next_pdu(10**9) is None
    assert source.next_wakeup_ms(10**9) is None
    source.resume(10**9)
    assert source.next_wakeup_ms(10**9) == 10**9 + 60
    assert source.open_transactions == (TransactionId(SPACECRAFT, 1),)


def test_waits_that_grew_before_a_gap_do_not_cost_the_next_pass():
    source = source_with(1, ack_timeout_ms=100, max_ack_timeout_ms=100_000)
    drain(source)
    now_ms = 0
    for _ in range(6):
        now_ms = source.next_wakeup_ms(now_ms)
        drain(source, now_ms)
    assert source.next_wakeup_ms(now_ms) == now_ms + 6_400
    source.suspend(now_ms)
    source.resume(10**9)
    assert source.next_wakeup_ms(10**9) == 10**9 + 100


def test_the_ack_limit_cancels_where_it_is_set():
    source = source_with(1, ack_timeout_ms=100, ack_limit=2)
    drain(source)
    pdus = [pdu for now_ms in range(0, 3_000, 50) for pdu in drain(source, now_ms)]
    conditions = [pdu.condition for pdu in pdus]
    assert conditions == [ConditionCode.NO_ERROR] + [ConditionCode.POSITIVE_ACK_LIMIT_REACHED] * 2
    (event,) = source.take_events()
    assert (event.delivered, event.condition) == (False, ConditionCode.POSITIVE_ACK_LIMIT_REACHED)


def test_any_sign_of_life_counts_against_the_ack_limit():
    source = source_with(1, ack_timeout_ms=100, max_ack_timeout_ms=100, ack_limit=2)
    drain(source)
    alive = KeepAlive(header=header(), progress=0).encode()
    for now_ms in range(100, 3_000, 100):
        assert all(pdu.condition is ConditionCode.NO_ERROR for pdu in drain(source, now_ms))
        source.receive(alive, now_ms)
        assert all(pdu.condition is ConditionCode.NO_ERROR for pdu in drain(source, now_ms + 99))


def test_cancel_tells_the_ground_what_was_sent():
    source = source_with(1, 2)
    for _ in range(3):
        source.next_pdu(0)
    source.cancel(1)
    source.cancel(1)
    eof, *rest = drain(source)
    assert eof == EndOfFile(
        header=header(),
        condition=ConditionCode.CANCEL_REQUEST_RECEIVED,
        checksum=file_checksum(ChecksumType.CRC_32, CONTENT[:200]),
        file_size_bytes=200,
        fault_entity_id=SPACECRAFT,
    )
    assert {pdu.header.transaction_seq for pdu in rest} == {2}
    (event,) = source.receive(finished(condition=ConditionCode.CANCEL_REQUEST_RECEIVED, complete=False), 0)
    assert (event.delivered, event.condition) == (False, ConditionCode.CANCEL_REQUEST_RECEIVED)


def test_cancel_before_anything_was_sent_needs_no_link():
    source = source_with(1)
    source.cancel(1)
    (event,) = source.take_events()
    assert event.condition is ConditionCode.CANCEL_REQUEST_RECEIVED
    assert drain(source) == []
    with pytest.raises(CfdpTransactionError, match="transaction 1 is not open"):
        source.cancel(1)


def test_class_1_ends_with_its_end_of_file():
    source = source_with()
    source.put(transaction_seq=5, source_name="s", destination_name="d", file_bytes=CONTENT, acknowledged=False)
    pdus = drain(source)
    assert all(pdu.header.unacknowledged for pdu in pdus)
    (event,) = source.take_events()
    assert (event.delivered, event.condition) == (None, ConditionCode.NO_ERROR)
    assert source.open_transactions == ()


def test_class_1_with_closure_waits_once_for_finished():
    source = source_with(closure_requested=True, max_ack_timeout_ms=500, ack_timeout_ms=500)
    for seq in (5, 6):
        source.put(transaction_seq=seq, source_name="s", destination_name="d", file_bytes=b"x", acknowledged=False)
    assert drain(source)[0].closure_requested
    (event,) = source.receive(finished(5, unacknowledged=True), 100)
    assert event.delivered
    assert drain(source, 501) == []
    (event,) = source.take_events()
    assert (event.delivered, event.condition) == (None, ConditionCode.CHECK_LIMIT_REACHED)


@pytest.mark.parametrize(
    ("pdu", "reason"),
    [
        (b"\x00garbage", "version 0"),
        (FileData(header=header(), offset=0, data=b"x").encode(), "is for a destination"),
        (
            KeepAlive(
                header=PduHeader(source_entity_id=9, destination_entity_id=GROUND, transaction_seq=1), progress=1
            ).encode(),
            "is not of this source",
        ),
        (
            KeepAlive(
                header=PduHeader(source_entity_id=SPACECRAFT, destination_entity_id=9, transaction_seq=1), progress=1
            ).encode(),
            "is not of this source",
        ),
    ],
)
def test_what_is_not_for_it_is_refused_with_an_event(pdu, reason):
    (event,) = source_with(1).receive(pdu, 0)
    assert isinstance(event, PduRefused)
    assert reason in event.reason


def test_memory_for_answers_is_bounded():
    source = source_with()
    for seq in range(3_000):
        source.receive(finished(seq), 0)
    assert len(drain(source)) == 1024


def test_what_cannot_be_sent_is_refused_at_once():
    source = source_with(1)
    fields = {"source_name": "s", "destination_name": "d", "file_bytes": b"x"}
    with pytest.raises(CfdpTransactionError, match="transaction 1 is still open"):
        source.put(transaction_seq=1, **fields)
    with pytest.raises(CfdpPduError, match="at most 255"):
        source.put(transaction_seq=2, **fields | {"source_name": "n" * 300})
    with pytest.raises(CfdpPduError, match="at most 63 bytes"):
        CfdpSource(1, 2, SourceSettings.nasa_cf()).put(transaction_seq=2, **fields | {"source_name": "n" * 64})
    with pytest.raises(CfdpPduError, match="sequence number"):
        source.put(transaction_seq=1 << 32, **fields)
    with pytest.raises(CfdpPduError, match="no room for file data"):
        CfdpSource(1, 2, SourceSettings(max_pdu_bytes=10)).put(transaction_seq=1, **fields)
    with pytest.raises(CfdpTransactionError, match="transaction 2 is not open"):
        source.statistics(2)
    assert source.open_transactions == (TransactionId(SPACECRAFT, 1),)
    assert source.unsent_bytes == 250


def test_a_file_that_changed_during_a_reboot_is_given_up():
    source = source_with(1, 2)
    source.next_pdu(0)
    restored = CfdpSource.restore(source.snapshot(0), now_ms=0, file_bytes_of=lambda *_: CONTENT[:-1] + b"?")
    # Of 1 the ground knows the name, so it is told; of 2 it knows nothing.
    (event,) = restored.take_events()
    assert (event.transaction.transaction_seq, event.condition) == (2, ConditionCode.FILESTORE_REJECTION)
    (eof,) = drain(restored)
    assert (eof.header.transaction_seq, eof.condition) == (1, ConditionCode.FILESTORE_REJECTION)


@pytest.mark.parametrize(
    "damage", [lambda s: s[:5], lambda s: s[:-1], lambda s: s[:40] + b"?" + s[41:], lambda s: b"XXXX" + s[4:]]
)
def test_a_damaged_snapshot_is_refused(damage):
    with pytest.raises(CfdpSnapshotError):
        CfdpSource.restore(damage(source_with(1).snapshot(0)), now_ms=0, file_bytes_of=lambda *_: CONTENT)


def put(source, seq, priority, content=CONTENT):
    source.put(transaction_seq=seq, source_name="", destination_name="", file_bytes=content, priority=priority)


def test_new_files_go_by_priority_then_in_the_order_they_were_put():
    source = source_with()
    for seq, priority in ((5, 1), (6, 9), (7, 9), (8, 0)):
        put(source, seq, priority, content=b"\x12\x34")
    assert [seq for seq, *what in shape(drain(source)) if what == ["EndOfFile"]] == [6, 7, 5, 8]


def test_a_more_urgent_file_interrupts_one_that_is_half_sent():
    source = source_with()
    put(source, 1, 3)
    first = [decode_pdu(source.next_pdu(0)) for _ in range(2)]
    assert source.unsent_priority == 3
    put(source, 2, 8, content=b"urgent")
    assert (source.unsent_priority, source.unsent_bytes) == (8, 150 + 6)
    assert shape(first + drain(source)) == [
        (1, "Metadata"),
        (1, "FileData", 0),
        (2, "Metadata"),
        (2, "FileData", 0),
        (2, "EndOfFile"),
        (1, "FileData", 100),
        (1, "FileData", 200),
        (1, "EndOfFile"),
    ]
    assert (source.unsent_priority, source.unsent_bytes) == (None, 0)


def test_a_file_of_which_only_the_end_is_due_has_no_unsent_priority():
    source = source_with()
    put(source, 1, 3, content=b"\x12")
    assert [type(decode_pdu(source.next_pdu(0))).__name__ for _ in range(2)] == ["Metadata", "FileData"]
    assert source.unsent_priority is None
    assert shape(drain(source)) == [(1, "EndOfFile")]


def test_after_a_reboot_the_order_of_unsent_files_is_the_same():
    source = source_with()
    for seq, priority in ((1, 3), (2, 8), (3, 8)):
        put(source, seq, priority)
    source.next_pdu(0), source.next_pdu(0)
    put(source, 4, 9)
    restored = CfdpSource.restore(
        source.snapshot(0), now_ms=0, file_bytes_of=lambda *_: CONTENT, settings=source.settings, up_to_date=True
    )
    assert restored.unsent_priority == 9
    assert shape(drain(restored)) == shape(drain(source))


def test_a_source_restored_from_an_older_snapshot_sends_only_what_it_is_asked_for():
    source = source_with(ack_timeout_ms=100)
    for seq in (1, 2):
        put(source, seq, 0)
    source.next_pdu(0)
    restored = CfdpSource.restore(
        source.snapshot(0), now_ms=0, file_bytes_of=lambda *_: CONTENT, settings=source.settings
    )
    assert shape(drain(restored)) == [(1, "EndOfFile"), (2, "EndOfFile")]
    restored.receive(nak(1, (200, 250)), 10)
    restored.receive(nak(2, (0, 0), (0, 250)), 10)
    assert shape(drain(restored, 10)) == [
        (1, "FileData", 200),
        (2, "Metadata"),
        (2, "FileData", 0),
        (2, "FileData", 100),
        (2, "FileData", 200),
    ]
    # Both are new as far as this source knows; what is asked for once more is a repeat.
    assert (restored.statistics(2).new_bytes, restored.statistics(2).retransmitted_bytes) == (250, 0)
    restored.receive(nak(2, (200, 250)), 20)
    assert shape(drain(restored, 20)) == [(2, "FileData", 200)]
    assert (restored.statistics(2).new_bytes, restored.statistics(2).retransmitted_bytes) == (250, 50)


def test_a_file_put_again_after_a_reboot_sends_only_what_it_is_asked_for():
    source = source_with(ack_timeout_ms=100)
    source.put(transaction_seq=9, source_name="", destination_name="", file_bytes=CONTENT, sent_before=True)
    assert source.unsent_priority == 0
    assert shape(drain(source)) == [(9, "EndOfFile")]
    assert shape(drain(source, 100)) == [(9, "EndOfFile")]
    (event,) = source.receive(finished(9), 110)
    assert event.delivered
    assert event.statistics.new_bytes == 0


def test_a_repeat_of_a_poor_file_does_not_go_before_a_new_file_of_worth():
    source = source_with()
    put(source, 1, 1)
    drain(source)
    put(source, 2, 5)
    put(source, 3, 1)
    source.receive(nak(1, (100, 200)), 0)
    order = [seq for seq, *_ in shape(drain(source))]
    assert order == [2] * 5 + [1] + [3] * 5


class Disk:
    """A file that may be cut behind the source's back."""

    def __init__(self, content):
        self.content, self.size_bytes = content, len(content)

    def read(self, start, end):
        return self.content[start:end]


def test_a_file_may_be_read_piece_by_piece():
    source = source_with(content=Disk(CONTENT))
    put(source, 1, 0, content=Disk(CONTENT))
    pdus = drain(source)
    assert b"".join(pdu.data for pdu in pdus if isinstance(pdu, FileData)) == CONTENT
    assert pdus[-1].checksum == file_checksum(ChecksumType.CRC_32, CONTENT)


def test_a_file_that_is_cut_while_it_is_sent_is_given_up():
    source, disk = source_with(), Disk(CONTENT)
    put(source, 1, 0, content=disk)
    put(source, 2, 0)
    source.next_pdu(0), source.next_pdu(0)
    disk.content = CONTENT[:150]
    pdus = drain(source)
    assert shape(pdus)[0] == (2, "Metadata")
    (given_up,) = [pdu for pdu in pdus + drain(source) if pdu.header.transaction_seq == 1]
    assert (given_up.condition, given_up.file_size_bytes) == (ConditionCode.FILESTORE_REJECTION, 100)
    with pytest.raises(CfdpTransactionError, match="shorter than its 250 bytes"):
        put(source, 3, 0, content=disk)


def test_a_cancelled_file_is_passed_over_wherever_it_waits():
    source = source_with()
    for seq, priority in ((1, 3), (2, 8), (3, 5)):
        put(source, seq, priority, content=b"\x12")
    source.cancel(3)
    source.cancel(2)
    assert source.unsent_priority == 3
    assert shape(drain(source)) == [(1, "Metadata"), (1, "FileData", 0), (1, "EndOfFile")]


FULL_PDU = 1099


def data_source(size_bytes):
    source = CfdpSource(SPACECRAFT, GROUND, SourceSettings(max_pdu_bytes=FULL_PDU))
    put(source, 1, 0, content=bytes(index * 7 & 0xFF for index in range(size_bytes)))
    source.next_pdu(0)  # Metadata
    return source


@pytest.mark.parametrize("room_bytes", [FULL_PDU, 1000, 400, 90])
def test_file_data_end_with_the_room_that_is_left(room_bytes):
    assert len(data_source(5000).next_pdu(0, room_bytes)) == room_bytes


def test_room_beyond_the_longest_pdu_changes_nothing():
    assert len(data_source(5000).next_pdu(0, 4000)) == FULL_PDU
    assert len(data_source(5000).next_pdu(0)) == FULL_PDU


@pytest.mark.parametrize("room_bytes", [70, 16, 3, 0, -6])
def test_where_too_little_room_is_left_two_segments_share_it_with_the_next_frame(room_bytes):
    source = data_source(5000)
    first = len(source.next_pdu(0, room_bytes))
    # Lengths of PDUs and room leave out the packet header, the same in both frames.
    room_in_next_frame = FULL_PDU - (first - room_bytes)
    second = len(source.next_pdu(0, room_in_next_frame))
    assert second == room_in_next_frame
    assert abs(first - second) <= 1


def test_repeats_end_with_the_room_too_and_nothing_is_lost_by_the_cuts():
    source = data_source(3000)
    rooms, sent = itertools.cycle((300, 10, 55, 1099, 64, 900)), {}
    while (pdu := source.next_pdu(0, next(rooms))) is not None:
        if isinstance(decoded := decode_pdu(pdu), FileData):
            sent[decoded.offset] = decoded.data
    assert b"".join(sent[offset] for offset in sorted(sent)) == bytes(index * 7 & 0xFF for index in range(3000))
    source.receive(Nak(header=header(1), scope_start=0, scope_end=3000, requests=((100, 1700),)).encode(), 0)
    assert len(source.next_pdu(0, 321)) == 321


def test_a_remainder_shorter_than_the_room_is_sent_as_it_is():
    source = data_source(40)
    (data,) = [pdu for pdu in drain(source) if isinstance(pdu, FileData)]
    assert len(data.data) == 40


def test_pdus_too_short_for_a_worthwhile_cut_still_carry_data():
    source = CfdpSource(SPACECRAFT, GROUND, SourceSettings(max_pdu_bytes=40))
    put(source, 1, 0)
    source.next_pdu(0)
    lengths = [len(source.next_pdu(0, room_bytes)) for room_bytes in (40, 20, -6)]
    assert lengths[0] == 40
    assert all(0 < length <= 40 for length in lengths)
