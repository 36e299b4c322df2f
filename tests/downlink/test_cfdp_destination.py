"""The CFDP destination: what it asks for, what it refuses, and how its transactions end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.cfdp_checksum import ChecksumType, file_checksum
from downlink.cfdp_decoding import decode_pdu
from downlink.cfdp_destination import CfdpDestination, PartialFile
from downlink.cfdp_destination_transaction import DestinationSettings
from downlink.cfdp_events import (
    FileCompleted,
    MetadataReceived,
    PduRefused,
    SegmentReceived,
    TransactionFailed,
    TransactionId,
)
from downlink.cfdp_header import ConditionCode, FileStatus, PduHeader, TransactionStatus
from downlink.cfdp_pdu import Ack, DirectiveCode, EndOfFile, FileData, Finished, KeepAlive, Metadata, Nak, Prompt
from downlink.errors import CfdpSnapshotError, CfdpTransactionError

SPACECRAFT, GROUND = 0x12, 0x34
CONTENT = bytes(range(1, 251))
ONE = TransactionId(SPACECRAFT, 1)


def header(seq=1, **fields):
    return PduHeader(
        **{"source_entity_id": SPACECRAFT, "destination_entity_id": GROUND, "transaction_seq": seq} | fields
    )


def metadata(seq=1, size=250, checksum_type=ChecksumType.CRC_32, closure=False, **fields):
    return Metadata(
        header=header(seq, **fields),
        file_size_bytes=size,
        source_name="s",
        destination_name="d",
        checksum_type=checksum_type,
        closure_requested=closure,
    ).encode()


def data(start, end, seq=1, **fields):
    return FileData(header=header(seq, **fields), offset=start, data=CONTENT[start:end]).encode()


def eof(seq=1, condition=ConditionCode.NO_ERROR, size=250, content=CONTENT, **fields):
    checksum = file_checksum(ChecksumType.CRC_32, content)
    return EndOfFile(
        header=header(seq, **fields), condition=condition, checksum=checksum, file_size_bytes=size
    ).encode()


def finished_ack(seq=1):
    acknowledged, status = DirectiveCode.FINISHED, TransactionStatus.ACTIVE
    return Ack(header=header(seq), acknowledged=acknowledged, condition=ConditionCode.NO_ERROR, status=status).encode()


def destination_with(**settings):
    return CfdpDestination(GROUND, {SPACECRAFT}, DestinationSettings(**settings))


def feed(destination, *pdus, now_ms=0):
    return [event for pdu in pdus for event in destination.receive(pdu, now_ms)]


def drain(destination, now_ms=0):
    pdus = []
    while (pdu := destination.next_pdu(now_ms)) is not None:
        pdus.append(decode_pdu(pdu))
    return pdus


def test_a_file_that_comes_in_order():
    destination = destination_with()
    events = feed(destination, metadata(), data(0, 100), data(100, 250), eof())
    assert events == [
        MetadataReceived(transaction=ONE, source_name="s", destination_name="d", file_size_bytes=250),
        SegmentReceived(transaction=ONE, offset=0, data=CONTENT[:100]),
        SegmentReceived(transaction=ONE, offset=100, data=CONTENT[100:]),
        events[3],
    ]
    assert isinstance(events[3], FileCompleted)
    assert (events[3].data, events[3].checksum_type) == (CONTENT, ChecksumType.CRC_32)
    ack, finished = drain(destination)
    assert (ack.acknowledged, ack.status) == (DirectiveCode.EOF, TransactionStatus.ACTIVE)
    assert finished == Finished(
        header=header(), condition=ConditionCode.NO_ERROR, complete=True, file_status=FileStatus.RETAINED
    )
    assert destination.unanswered_transactions == (ONE,)
    feed(destination, finished_ack())
    assert destination.unanswered_transactions == ()
    assert destination.next_wakeup_ms(0) is None
    assert destination.held_bytes == 0


def test_pieces_that_overlap_are_told_once():
    destination = destination_with()
    events = feed(destination, metadata(), data(50, 100), data(20, 120), data(60, 90), data(0, 250), eof())
    pieces = [(event.offset, event.data) for event in events if isinstance(event, SegmentReceived)]
    assert pieces == [
        (start, CONTENT[start:end]) for start, end in [(50, 100), (20, 50), (100, 120), (0, 20), (120, 250)]
    ]
    assert events[-1].data == CONTENT
    assert events[-1].statistics.duplicate_bytes == 50 + 30 + 100


def test_a_gap_is_asked_for_after_the_reordering_delay_and_again_after_the_time_out():
    destination = destination_with(reordering_delay_ms=100, nak_timeout_ms=1_000)
    feed(destination, metadata(), data(0, 50), data(100, 150))
    assert drain(destination, 99) == []
    assert destination.next_wakeup_ms(99) == 100
    (nak,) = drain(destination, 100)
    assert nak == Nak(header=header(), scope_start=0, scope_end=150, requests=((50, 100),))
    feed(destination, data(200, 250), now_ms=150)
    (nak,) = drain(destination, 250)
    assert nak == Nak(header=header(), scope_start=150, scope_end=250, requests=((150, 200),))
    # The first gap is asked for again; the second one waits its own time-out.
    assert [nak.requests for nak in drain(destination, 1_100)] == [((50, 100),)]
    assert [nak.requests for nak in drain(destination, 2_100)] == [((50, 100), (150, 200))]
    feed(destination, data(50, 100), data(150, 200), now_ms=2_150)
    assert drain(destination, 9_999) == []


def test_each_gap_waits_for_its_own_reordering_delay():
    destination = destination_with(reordering_delay_ms=100)
    feed(destination, metadata(), data(0, 50), data(60, 100))
    feed(destination, data(110, 150), now_ms=99)
    assert [nak.requests for nak in drain(destination, 100)] == [((50, 60),)]
    feed(destination, data(100, 110), now_ms=150)
    assert drain(destination, 5_000 - 1) == []


def test_repeats_that_are_on_their_way_are_not_asked_for_again():
    destination = destination_with(reordering_delay_ms=0, nak_timeout_ms=1_000)
    feed(destination, metadata(), data(0, 10), data(200, 250))
    assert [nak.requests for nak in drain(destination, 0)] == [((10, 200),)]
    # Of 10..200 the source has come to 90, and one segment on the way was lost again.
    feed(destination, data(10, 30), data(50, 90), now_ms=900)
    assert [nak.requests for nak in drain(destination, 1_000)] == [((30, 50),)]
    # Nothing came for a whole time-out: everything is asked for.
    assert [nak.requests for nak in drain(destination, 2_000)] == [((30, 50), (90, 200))]


def test_reordering_within_the_delay_asks_for_nothing():
    destination = destination_with(reordering_delay_ms=100)
    feed(destination, metadata(), data(0, 50), data(100, 150), now_ms=0)
    feed(destination, data(50, 100), now_ms=90)
    assert drain(destination, 5_000) == []


def test_deferred_naks_wait_for_the_end_of_file():
    destination = destination_with(immediate_nak=False, reordering_delay_ms=0)
    feed(destination, data(100, 150), data(200, 210))
    assert drain(destination, 5_000) == []
    feed(destination, eof(), now_ms=5_000)
    ack, nak = drain(destination, 5_000)
    assert ack.acknowledged is DirectiveCode.EOF
    assert nak.requests == ((0, 0), (0, 100), (150, 200), (210, 250))
    assert (nak.scope_start, nak.scope_end) == (0, 250)


@pytest.mark.parametrize("immediate_nak", [True, False])
def test_lost_metadata_is_asked_for_until_it_comes(immediate_nak):
    destination = destination_with(immediate_nak=immediate_nak, reordering_delay_ms=0, nak_timeout_ms=1_000)
    feed(destination, data(0, 250), eof())
    for now_ms in (0, 1_000, 2_000):
        assert [pdu.requests for pdu in drain(destination, now_ms) if isinstance(pdu, Nak)] == [((0, 0),)]
    events = feed(destination, metadata(), now_ms=2_500)
    assert [type(event) for event in events] == [MetadataReceived, FileCompleted]


def test_lost_metadata_is_asked_for_before_the_end_of_file():
    destination = destination_with(reordering_delay_ms=100, nak_timeout_ms=1_000)
    feed(destination, data(0, 50), data(50, 100))
    assert [pdu.requests for pdu in drain(destination, 100)] == [((0, 0),)]
    feed(destination, data(100, 150), now_ms=150)
    assert drain(destination, 999) == []
    assert [pdu.requests for pdu in drain(destination, 1_100)] == [((0, 0),)]


def test_a_long_list_is_split_to_fit_its_pdus_and_sent_in_rounds():
    destination = destination_with(
        immediate_nak=False,
        reordering_delay_ms=0,
        nak_timeout_ms=1_000,
        max_pdu_bytes=13 + 8 + 3 * 8,
        max_naks_per_round=4,
    )
    for start in range(0, 250, 10):
        feed(destination, data(start, start + 5))
    feed(destination, eof())
    gaps = [(start, start + 5) for start in range(5, 250, 10)]
    naks = [pdu for pdu in drain(destination) if isinstance(pdu, Nak)]
    assert [nak.requests for nak in naks[:2]] == [((0, 0), *gaps[:2]), tuple(gaps[2:5])]
    assert [request for nak in naks for request in nak.requests[nak is naks[0] :]] == gaps[:11]
    assert all(len(nak.encode()) <= 45 for nak in naks)
    assert [nak.scope_start for nak in naks[1:]] == [nak.scope_end for nak in naks[:-1]]
    for start, end in gaps[:11]:
        feed(destination, data(start, end))
    later = [request for nak in drain(destination, 1_000) for request in nak.requests]
    assert later == [(0, 0), *gaps[11:22]]


def test_finished_is_repeated_until_acknowledged_then_only_on_demand():
    destination = destination_with(finished_timeout_ms=100, finished_limit=3)
    feed(destination, metadata(), data(0, 250), eof())
    drain(destination)
    times = [now_ms for now_ms in range(1, 2_000) if drain(destination, now_ms)]
    assert times == [100, 300]
    assert destination.unanswered_transactions == ()
    feed(destination, eof(), now_ms=3_000)
    assert [type(pdu) for pdu in drain(destination, 3_000)] == [Ack, Finished]


def test_late_pdus_of_a_delivered_file_are_answered_and_deliver_nothing():
    destination = destination_with()
    feed(destination, metadata(), data(0, 250), eof())
    drain(destination)
    feed(destination, finished_ack())
    assert (
        feed(destination, metadata(), data(0, 100), finished_ack(), Prompt(header=header(), keep_alive=True).encode())
        == []
    )
    assert drain(destination) == []
    assert feed(destination, eof()) == []
    ack, finished = drain(destination)
    assert ack.status is TransactionStatus.TERMINATED
    assert finished.complete
    assert destination.open_transactions == ()


def test_memory_of_delivered_files_is_bounded():
    destination = destination_with(remembered_transactions=10)
    for seq in range(30):
        feed(destination, metadata(seq), data(0, 250, seq), eof(seq))
    assert len(destination.unanswered_transactions) == 10
    assert feed(destination, data(0, 10, 29)) == []
    assert len(destination.snapshot(0)) < 10_000


def test_what_is_stored_already_is_answered_but_not_received():
    destination = destination_with()
    feed(destination, data(0, 100))
    destination.remember_completed(ONE, file_size_bytes=250, checksum=file_checksum(ChecksumType.CRC_32, CONTENT))
    assert destination.open_transactions == ()
    assert drain(destination) == []
    assert feed(destination, data(100, 250), eof()) == []
    ack, finished = drain(destination)
    assert (ack.header, finished.header) == (header(), header())
    assert finished.complete


OTHER = CONTENT[::-1]


def restarted(destination, how):
    """The destination as it is, or as it comes back from a snapshot or from its user's store."""
    if how == "from a snapshot":
        return CfdpDestination.restore(destination.snapshot(0), now_ms=0)
    if how == "from the store":
        destination = destination_with()
        destination.remember_completed(ONE, file_size_bytes=250, checksum=file_checksum(ChecksumType.CRC_32, CONTENT))
    return destination


RESTARTS = pytest.mark.parametrize("how", ["as it is", "from a snapshot", "from the store"])


def file_pdus(content):
    first = FileData(header=header(), offset=0, data=content[:100]).encode()
    second = FileData(header=header(), offset=100, data=content[100:]).encode()
    return [metadata(size=len(content)), first, second, eof(size=len(content), content=content)]


@RESTARTS
@pytest.mark.parametrize("content", [OTHER[:200], OTHER + OTHER], ids=["shorter", "longer"])
@pytest.mark.parametrize("lost", [None, 0, 1, 2, 3])
def test_a_number_that_comes_back_with_a_file_of_another_length_is_received(content, lost, how):
    destination = destination_with()
    feed(destination, metadata(), data(0, 250), eof(), finished_ack())
    destination = restarted(destination, how)
    drain(destination)
    pdus = file_pdus(content)
    heard = [pdu for number, pdu in enumerate(pdus) if number != lost]
    events = feed(destination, *heard, *pdus, now_ms=1)
    (completed,) = [event for event in events if isinstance(event, FileCompleted)]
    assert completed.data == content
    finished = [pdu for pdu in drain(destination, 1) if isinstance(pdu, Finished)]
    assert [pdu.complete for pdu in finished] == [True]


@RESTARTS
def test_a_number_that_comes_back_with_a_file_of_the_same_length_is_received_after_its_end(how):
    destination = destination_with()
    feed(destination, metadata(), data(0, 250), eof(), finished_ack())
    destination = restarted(destination, how)
    drain(destination)
    pdus = file_pdus(OTHER)
    assert feed(destination, *pdus) == []
    asked = drain(destination, 200)
    assert not any(isinstance(pdu, Finished) for pdu in asked)
    assert [pdu.requests for pdu in asked if isinstance(pdu, Nak)] == [((0, 0), (0, 250))]
    (completed,) = [event for event in feed(destination, *pdus, now_ms=300) if isinstance(event, FileCompleted)]
    assert completed.data == OTHER
    assert feed(destination, *pdus, now_ms=400) == []


@RESTARTS
def test_what_could_be_of_the_file_that_arrived_is_answered_for_it(how):
    destination = destination_with()
    feed(destination, metadata(), data(0, 250), eof(), finished_ack())
    destination = restarted(destination, how)
    drain(destination)
    cancelled = eof(condition=ConditionCode.CANCEL_REQUEST_RECEIVED, size=30, content=CONTENT[:30])
    assert feed(destination, metadata(), metadata(size=0), data(10, 250), eof(), cancelled) == []
    assert destination.open_transactions == ()
    assert all(pdu.complete for pdu in drain(destination) if isinstance(pdu, Finished))


def test_a_number_that_comes_back_after_a_failure_fails_again():
    destination = destination_with()
    feed(destination, metadata(), data(0, 250), eof(content=OTHER))
    drain(destination)
    assert feed(destination, *file_pdus(OTHER + OTHER)) == []
    assert [pdu.complete for pdu in drain(destination) if isinstance(pdu, Finished)] == [False]


def test_partial_file_for_those_who_cannot_wait():
    destination = destination_with()
    assert destination.open_transactions == ()
    feed(destination, data(0, 60), data(60, 90), data(150, 160), data(200, 210), data(160, 170))
    partial = PartialFile(
        source_name=None,
        destination_name=None,
        file_size_bytes=None,
        prefix=CONTENT[:90],
        segments=((150, CONTENT[150:170]), (200, CONTENT[200:210])),
    )
    assert destination.partial(ONE) == partial
    assert destination.prefix(ONE, 85) == CONTENT[85:90]
    assert (destination.prefix_end(ONE), destination.prefix_end(TransactionId(SPACECRAFT, 2))) == (90, None)
    feed(destination, metadata())
    assert destination.partial(ONE).destination_name == "d"
    assert destination.partial(ONE).file_size_bytes == 250
    with pytest.raises(CfdpTransactionError, match=r"transaction_seq=2.* is not open"):
        destination.partial(TransactionId(SPACECRAFT, 2))


def test_prompts_are_answered_at_once():
    destination = destination_with()
    feed(destination, metadata(), data(0, 100), Prompt(header=header(), keep_alive=True).encode())
    feed(destination, Prompt(header=header(), keep_alive=False).encode())
    assert drain(destination) == [
        KeepAlive(header=header(), progress=100),
        Nak(header=header(), scope_start=0, scope_end=100, requests=()),
    ]


def test_a_wrong_checksum_fails_and_hands_over_what_came():
    destination = destination_with()
    (*_, event) = feed(destination, metadata(), data(0, 250), eof(content=b"other"))
    assert event == TransactionFailed(
        transaction=ONE,
        condition=ConditionCode.FILE_CHECKSUM_FAILURE,
        source_name="s",
        destination_name="d",
        segments=((0, CONTENT),),
    )
    finished = drain(destination)[-1]
    assert (finished.condition, finished.complete) == (ConditionCode.FILE_CHECKSUM_FAILURE, False)


def test_a_file_without_checksum_is_taken_as_it_is():
    destination = destination_with()
    (*_, event) = feed(destination, metadata(checksum_type=15), data(0, 250), eof(content=b"whatever"))
    assert (event.data, event.checksum_type) == (CONTENT, 15)


@pytest.mark.parametrize(
    ("pdus", "condition"),
    [
        ([metadata(checksum_type=1)], ConditionCode.UNSUPPORTED_CHECKSUM_TYPE),
        ([metadata(size=5_000)], ConditionCode.FILE_SIZE_ERROR),
        ([eof(size=5_000)], ConditionCode.FILE_SIZE_ERROR),
        ([metadata(size=240), eof()], ConditionCode.FILE_SIZE_ERROR),
        ([eof(), metadata(size=240)], ConditionCode.FILE_SIZE_ERROR),
        ([data(100, 200), eof(size=150)], ConditionCode.FILE_SIZE_ERROR),
        ([data(100, 200), metadata(size=150)], ConditionCode.FILE_SIZE_ERROR),
        ([data(0, 50), eof(condition=ConditionCode.CANCEL_REQUEST_RECEIVED)], ConditionCode.CANCEL_REQUEST_RECEIVED),
    ],
)
def test_what_cannot_become_a_file_fails_and_the_source_is_told(pdus, condition):
    destination = destination_with(max_file_bytes=1_000)
    event = feed(destination, *pdus)[-1]
    assert isinstance(event, TransactionFailed)
    assert event.condition is condition
    finished = drain(destination)[-1]
    assert (finished.condition, finished.complete) == (condition, False)
    assert destination.open_transactions == ()
    assert destination.held_bytes == 0


def test_a_transaction_given_up_before_it_was_heard_of_is_only_answered():
    destination = destination_with(max_open_transactions=0)
    assert feed(destination, eof(condition=ConditionCode.CANCEL_REQUEST_RECEIVED)) == []
    ack, finished = drain(destination)
    assert (ack.status, finished.condition) == (
        TransactionStatus.UNRECOGNIZED,
        ConditionCode.CANCEL_REQUEST_RECEIVED,
    )


def test_the_user_may_cancel():
    destination = destination_with()
    feed(destination, metadata(), data(0, 50))
    destination.cancel(ONE)
    (event,) = destination.take_events()
    assert (event.condition, event.segments) == (ConditionCode.CANCEL_REQUEST_RECEIVED, ((0, CONTENT[:50]),))
    assert drain(destination)[0].condition is ConditionCode.CANCEL_REQUEST_RECEIVED
    with pytest.raises(CfdpTransactionError):
        destination.cancel(ONE)


def test_silence_during_contact_asks_once_then_fails_a_transaction_but_a_gap_between_passes_does_not():
    destination = destination_with(inactivity_timeout_ms=1_000)
    feed(destination, metadata(), data(0, 50))
    destination.suspend(500)
    assert destination.next_pdu(10**9) is None
    destination.resume(10**9)
    assert drain(destination, 10**9 + 1_400) == []
    (sign_of_life,) = drain(destination, 10**9 + 2_500)
    assert isinstance(sign_of_life, Nak) and sign_of_life.requests == ()
    assert destination.take_events() == []
    assert [type(pdu) for pdu in drain(destination, 10**9 + 3_600)] == [Finished]
    (event,) = destination.take_events()
    assert event.condition is ConditionCode.INACTIVITY_DETECTED


@pytest.mark.parametrize(
    ("pdu", "reason"),
    [
        (b"", "too few"),
        (metadata(source_entity_id=0x99), "stranger"),
        (metadata(destination_entity_id=0x99), "for entity 153"),
        (KeepAlive(header=header(), progress=1).encode(), "is for a source"),
        (data(0, 100, with_crc=True), "header differs"),
        (FileData(header=header(), offset=240, data=b"x" * 11).encode(), "passes the end of the file at 250"),
        (metadata(2), "1 transactions are open"),
    ],
)
def test_what_is_not_wanted_is_refused_and_counted(pdu, reason):
    destination = destination_with(max_open_transactions=1)
    feed(destination, metadata())
    (event,) = feed(destination, pdu)
    assert isinstance(event, PduRefused)
    assert reason in event.reason
    assert destination.refused_pdus == 1
    assert destination.open_transactions == (ONE,)


def test_memory_for_unfinished_files_is_bounded_and_what_is_refused_comes_again():
    destination = destination_with(max_held_bytes=300, reordering_delay_ms=0)
    feed(destination, data(0, 200, seq=1))
    assert "hold 200 bytes" in feed(destination, data(0, 200, seq=2))[0].reason
    (*_, completed) = feed(destination, data(200, 250, seq=1), metadata(1), eof(1))
    assert completed.data == CONTENT
    feed(destination, eof(2))
    assert ((0, 0), (0, 250)) in [pdu.requests for pdu in drain(destination) if isinstance(pdu, Nak)]


def test_tiny_scattered_pieces_count_for_what_they_take():
    destination = destination_with(max_held_bytes=10_000)
    for start in range(1, 250, 2):
        feed(destination, data(start, start + 1))
    assert destination.refused_pdus > 40


def test_class_1_completes_without_a_word():
    destination = destination_with()
    pdus = [metadata(unacknowledged=True), data(0, 250, unacknowledged=True), eof(unacknowledged=True)]
    assert isinstance(feed(destination, *pdus)[-1], FileCompleted)
    assert drain(destination, 10**6) == []
    assert feed(destination, *pdus) == []


def test_class_1_closure_is_one_finished():
    destination = destination_with()
    feed(destination, metadata(unacknowledged=True, closure=True), data(0, 250, unacknowledged=True))
    feed(destination, eof(unacknowledged=True))
    assert [type(pdu) for pdu in drain(destination, 10**6)] == [Finished]
    assert destination.unanswered_transactions == ()


def test_class_1_waits_for_stragglers_then_fails():
    for straggler, outcome in ((data(100, 150, unacknowledged=True), FileCompleted), (None, TransactionFailed)):
        destination = destination_with(check_timeout_ms=100, check_limit=3)
        feed(destination, metadata(unacknowledged=True), data(0, 100, unacknowledged=True))
        feed(destination, data(150, 250, unacknowledged=True), eof(unacknowledged=True))
        assert drain(destination, 200) == []
        if straggler:
            (*_, event) = feed(destination, straggler, now_ms=250)
        else:
            assert drain(destination, 300) == drain(destination, 400) == []
            (event,) = destination.take_events()
            assert event.condition is ConditionCode.CHECK_LIMIT_REACHED
            assert event.segments == ((0, CONTENT[:100]), (150, CONTENT[150:]))
        assert isinstance(event, outcome)


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_noise_never_raises(noises):
    destination = destination_with()
    assert all(isinstance(event, PduRefused) for event in feed(destination, *noises))
    assert destination.held_bytes == 0


@pytest.mark.parametrize(
    "damage", [lambda s: s[:5], lambda s: s[:-1], lambda s: s[:40] + b"?" + s[41:], lambda s: b"CFSR" + s[4:]]
)
def test_a_damaged_snapshot_is_refused(damage):
    destination = destination_with()
    feed(destination, metadata(), data(0, 100), data(150, 200))
    with pytest.raises(CfdpSnapshotError):
        CfdpDestination.restore(damage(destination.snapshot(0)), now_ms=0)
