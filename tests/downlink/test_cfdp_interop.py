"""Files between our machines and those of cfdp-py, an independent implementation, in one process.

cfdp-py handles one transaction per handler, reads the wall clock and works on files; its time-outs are set so short that nothing waits.
Metadata is never lost here: with deferred NAKs cfdp-py does not recover it.
"""

import random
from dataclasses import replace

import pytest
from cfdppy.exceptions import PduIgnoredForDest
from spacepackets.cfdp import ChecksumType, ConditionCode

from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_destination_transaction import DestinationSettings
from downlink.cfdp_events import FileCompleted, PduRefused, TransactionFinished
from downlink.cfdp_source import CfdpSource
from downlink.cfdp_source_transaction import SourceSettings
from tests.interop.cfdp_py_handler import CfdpPySettings, cfdp_py_destination, cfdp_py_source

SPACECRAFT, GROUND = 0x0203, 0x0405
MAX_STEPS = 5_000
PEER = CfdpPySettings(max_pdu_bytes=256, ack_s=30, nak_s=0.002, check_s=30)
COMPLETE = (ConditionCode.NO_ERROR, True)


def is_file_data(pdu):
    return bool(pdu[0] & 0x10)


CLASS_2 = [
    pytest.param(
        loss, immediate, crc, kind, id=f"loss{loss}-{'immediate' if immediate else 'deferred'}-crc{crc}-{kind.name}"
    )
    for loss, immediate, crc, kind in (
        (0.0, True, False, ChecksumType.CRC_32),
        (0.0, False, True, ChecksumType.MODULAR),
        (0.1, True, True, ChecksumType.CRC_32),
        (0.1, False, False, ChecksumType.CRC_32C),
    )
]


@pytest.mark.parametrize(("loss", "immediate_nak", "with_crc", "checksum_type"), CLASS_2)
def test_class_2_from_ours_to_cfdp_py(tmp_path, loss, immediate_nak, with_crc, checksum_type):
    chance = random.Random(12)
    content = chance.randbytes(20_000)
    settings = SourceSettings(
        max_pdu_bytes=256, with_crc=with_crc, checksum_type=int(checksum_type), transaction_seq_bytes=2
    )
    source = CfdpSource(SPACECRAFT, GROUND, settings)
    target = tmp_path / "arrived.bin"
    source.put(transaction_seq=0x1234, source_name="a.bin", destination_name=str(target), file_bytes=content)
    theirs = replace(PEER, immediate_nak=immediate_nak, with_crc=with_crc, checksum=checksum_type)
    handler = cfdp_py_destination(GROUND, SPACECRAFT, theirs)
    events = []
    for now_ms in range(MAX_STEPS):
        pdu = source.next_pdu(now_ms)
        lost = pdu is not None and is_file_data(pdu) and chance.random() < loss
        try:
            handler.hear(None if lost else pdu)
        except PduIgnoredForDest:
            assert loss, "a PDU that the peer had no use for"
        for answer in handler.packets():
            events += source.receive(answer, now_ms)
        if not source.open_transactions and handler.idle:
            break
    assert target.read_bytes() == content
    (event,) = events
    assert isinstance(event, TransactionFinished)
    assert event.delivered
    assert handler.finished == [COMPLETE]
    assert (event.statistics.retransmitted_bytes > 0) == (loss > 0)


@pytest.mark.parametrize(("loss", "immediate_nak", "with_crc", "checksum_type"), CLASS_2)
def test_class_2_from_cfdp_py_to_ours(tmp_path, loss, immediate_nak, with_crc, checksum_type):
    chance = random.Random(13)
    content = chance.randbytes(20_000)
    (tmp_path / "leaving.bin").write_bytes(content)
    theirs = replace(PEER, immediate_nak=immediate_nak, with_crc=with_crc, checksum=checksum_type)
    handler = cfdp_py_source(SPACECRAFT, GROUND, theirs)
    handler.put(str(tmp_path / "leaving.bin"), "arrived.bin")
    destination = CfdpDestination(
        GROUND,
        {SPACECRAFT},
        DestinationSettings(immediate_nak=immediate_nak, reordering_delay_ms=5, nak_timeout_ms=40, max_pdu_bytes=100),
    )
    events = _receive_from(handler, destination, lambda pdu: is_file_data(pdu) and chance.random() < loss)
    (completed,) = [event for event in events if isinstance(event, FileCompleted)]
    assert not [event for event in events if isinstance(event, PduRefused)]
    assert (completed.data, completed.destination_name) == (content, "arrived.bin")
    assert handler.finished == [COMPLETE]
    assert destination.open_transactions == destination.unanswered_transactions == ()
    assert (completed.statistics.naks > 0) == (loss > 0)


@pytest.mark.parametrize("closure", [False, True])
def test_class_1_from_ours_to_cfdp_py(tmp_path, closure):
    content = random.Random(14).randbytes(5_000)
    source = CfdpSource(SPACECRAFT, GROUND, SourceSettings(max_pdu_bytes=256, closure_requested=closure))
    target = tmp_path / "arrived.bin"
    source.put(transaction_seq=5, source_name="a", destination_name=str(target), file_bytes=content, acknowledged=False)
    handler = cfdp_py_destination(
        GROUND, SPACECRAFT, replace(PEER, acknowledged=False, immediate_nak=True, closure=closure)
    )
    events = []
    for now_ms in range(MAX_STEPS):
        pdu = source.next_pdu(now_ms)
        handler.hear(pdu)
        for answer in handler.packets():
            events += source.receive(answer, now_ms)
        if not source.open_transactions:
            break
    events += source.take_events()
    assert target.read_bytes() == content
    assert [event.delivered for event in events] == [True if closure else None]
    assert handler.finished == [COMPLETE]


@pytest.mark.parametrize("closure", [False, True])
def test_class_1_from_cfdp_py_to_ours(tmp_path, closure):
    content = random.Random(15).randbytes(5_000)
    (tmp_path / "leaving.bin").write_bytes(content)
    handler = cfdp_py_source(SPACECRAFT, GROUND, replace(PEER, acknowledged=False, immediate_nak=True, closure=closure))
    handler.put(str(tmp_path / "leaving.bin"), "arrived.bin", acknowledged=False, closure=closure)
    events = _receive_from(handler, CfdpDestination(GROUND, {SPACECRAFT}), lambda pdu: False)
    (completed,) = [event for event in events if isinstance(event, FileCompleted)]
    assert completed.data == content
    assert handler.finished == [COMPLETE]


def _receive_from(handler, destination, is_lost):
    """Runs a cfdp-py source against our destination until it falls idle. Returns our events."""
    events = []
    for now_ms in range(0, 10 * MAX_STEPS, 10):
        # The peer takes one PDU at a time, and only when everything it had to send has been fetched.
        answer = destination.next_pdu(now_ms)
        handler.hear(answer)
        for pdu in handler.packets():
            if not is_lost(pdu):
                events += destination.receive(pdu, now_ms)
        if handler.idle and destination.next_wakeup_ms(now_ms) != now_ms:
            break
    return events
