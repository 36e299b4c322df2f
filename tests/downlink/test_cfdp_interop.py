"""Files between our machines and those of cfdp-py, an independent implementation, in one process.

cfdp-py handles one transaction per handler, reads the wall clock and works on files; its time-outs are set so short that nothing waits.
Metadata is never lost here: with deferred NAKs cfdp-py does not recover it.
"""

import random

import pytest
from cfdppy.defs import CfdpState
from cfdppy.exceptions import PduIgnoredForDest
from cfdppy.handler.dest import DestHandler, LostSegmentTracker
from cfdppy.handler.source import SourceHandler
from cfdppy.mib import (
    CheckTimerProvider,
    DefaultFaultHandlerBase,
    IndicationConfig,
    LocalEntityConfig,
    RemoteEntityConfig,
    RemoteEntityConfigTable,
)
from cfdppy.request import PutRequest
from cfdppy.user import CfdpUserBase
from spacepackets.cfdp import ChecksumType, ConditionCode, TransmissionMode
from spacepackets.cfdp.pdu import PduFactory
from spacepackets.countdown import Countdown
from spacepackets.seqcount import SeqCountProvider
from spacepackets.util import ByteFieldU16

from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_destination_transaction import DestinationSettings
from downlink.cfdp_events import FileCompleted, PduRefused, TransactionFinished
from downlink.cfdp_source import CfdpSource
from downlink.cfdp_source_transaction import SourceSettings

SPACECRAFT, GROUND = 0x0203, 0x0405
MAX_STEPS = 5_000


class _Faults(DefaultFaultHandlerBase):
    def __init__(self):
        super().__init__()
        self.faults = []

    def notice_of_suspension_cb(self, transaction_id, cond, progress):
        self.faults.append(cond)

    notice_of_cancellation_cb = abandoned_cb = ignore_cb = notice_of_suspension_cb


class _Timers(CheckTimerProvider):
    def provide_check_timer(self, local_entity_id, remote_entity_id, entity_type):
        return Countdown.from_seconds(30)


class _User(CfdpUserBase):
    """Notes how transactions end."""

    def __init__(self):
        super().__init__()
        self.finished = []

    def transaction_finished_indication(self, params):
        self.finished.append(params.finished_params)

    def _ignore(self, *args, **kwargs):
        """Of no interest here."""

    transaction_indication = eof_sent_indication = metadata_recv_indication = file_segment_recv_indication = _ignore
    report_indication = suspended_indication = resumed_indication = fault_indication = _ignore
    abandoned_indication = eof_recv_indication = _ignore


def peer(handler, local, remote, *, acknowledged, immediate_nak, with_crc, checksum_type, closure=False):
    """A cfdp-py handler for the entity `local` that talks to our entity `remote`."""
    user = _User()
    remote_config = RemoteEntityConfig(
        entity_id=ByteFieldU16(remote),
        max_file_segment_len=None,
        max_packet_len=256,
        closure_requested=closure,
        crc_on_transmission=with_crc,
        default_transmission_mode=(TransmissionMode.ACKNOWLEDGED if acknowledged else TransmissionMode.UNACKNOWLEDGED),
        crc_type=checksum_type,
        positive_ack_timer_interval_seconds=30,
        nak_timer_interval_seconds=0.002,
        nak_timer_expiration_limit=10_000,
        immediate_nak_mode=immediate_nak,
    )
    shared = {
        "cfg": LocalEntityConfig(ByteFieldU16(local), IndicationConfig(), _Faults()),
        "user": user,
        "remote_cfg_table": RemoteEntityConfigTable([remote_config]),
        "check_timer_provider": _Timers(),
    }
    if handler is SourceHandler:
        shared["seq_num_provider"] = SeqCountProvider(16)
    return handler(**shared), user


def is_file_data(pdu):
    return bool(pdu[0] & 0x10)


def packets_of(handler):
    """Everything the peer wants to send now."""
    packets = []
    while (holder := handler.get_next_packet()) is not None:
        packets.append(bytes(holder.pdu.pack()))
    return packets


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
    handler, user = peer(
        DestHandler,
        GROUND,
        SPACECRAFT,
        acknowledged=True,
        immediate_nak=immediate_nak,
        with_crc=with_crc,
        checksum_type=checksum_type,
    )
    handler._params.acked_params.lost_seg_tracker = LostSegmentTracker()
    events = []
    for now_ms in range(MAX_STEPS):
        pdu = source.next_pdu(now_ms)
        lost = pdu is not None and is_file_data(pdu) and chance.random() < loss
        try:
            handler.state_machine(None if pdu is None or lost else PduFactory.from_raw(pdu))
        except PduIgnoredForDest:
            assert loss, "a PDU that the peer had no use for"
        for answer in packets_of(handler):
            events += source.receive(answer, now_ms)
        if not source.open_transactions and handler.state is CfdpState.IDLE:
            break
    assert target.read_bytes() == content
    (event,) = events
    assert isinstance(event, TransactionFinished)
    assert event.delivered
    assert [params.condition_code for params in user.finished] == [ConditionCode.NO_ERROR]
    assert (event.statistics.retransmitted_bytes > 0) == (loss > 0)


@pytest.mark.parametrize(("loss", "immediate_nak", "with_crc", "checksum_type"), CLASS_2)
def test_class_2_from_cfdp_py_to_ours(tmp_path, loss, immediate_nak, with_crc, checksum_type):
    chance = random.Random(13)
    content = chance.randbytes(20_000)
    (tmp_path / "leaving.bin").write_bytes(content)
    handler, user = peer(
        SourceHandler,
        SPACECRAFT,
        GROUND,
        acknowledged=True,
        immediate_nak=immediate_nak,
        with_crc=with_crc,
        checksum_type=checksum_type,
    )
    handler.put_request(_put(tmp_path, acknowledged=True))
    destination = CfdpDestination(
        GROUND,
        {SPACECRAFT},
        DestinationSettings(immediate_nak=immediate_nak, reordering_delay_ms=5, nak_timeout_ms=40, max_pdu_bytes=100),
    )
    events = _receive_from(handler, destination, lambda pdu: is_file_data(pdu) and chance.random() < loss)
    (completed,) = [event for event in events if isinstance(event, FileCompleted)]
    assert not [event for event in events if isinstance(event, PduRefused)]
    assert (completed.data, completed.destination_name) == (content, "arrived.bin")
    assert [params.condition_code for params in user.finished] == [ConditionCode.NO_ERROR]
    assert destination.open_transactions == destination.unanswered_transactions == ()
    assert (completed.statistics.naks > 0) == (loss > 0)


@pytest.mark.parametrize("closure", [False, True])
def test_class_1_from_ours_to_cfdp_py(tmp_path, closure):
    content = random.Random(14).randbytes(5_000)
    source = CfdpSource(SPACECRAFT, GROUND, SourceSettings(max_pdu_bytes=256, closure_requested=closure))
    target = tmp_path / "arrived.bin"
    source.put(transaction_seq=5, source_name="a", destination_name=str(target), file_bytes=content, acknowledged=False)
    handler, user = peer(
        DestHandler,
        GROUND,
        SPACECRAFT,
        acknowledged=False,
        immediate_nak=True,
        with_crc=False,
        checksum_type=ChecksumType.CRC_32,
        closure=closure,
    )
    events = []
    for now_ms in range(MAX_STEPS):
        pdu = source.next_pdu(now_ms)
        handler.state_machine(None if pdu is None else PduFactory.from_raw(pdu))
        for answer in packets_of(handler):
            events += source.receive(answer, now_ms)
        if not source.open_transactions:
            break
    events += source.take_events()
    assert target.read_bytes() == content
    assert [event.delivered for event in events] == [True if closure else None]
    assert len(user.finished) == 1


@pytest.mark.parametrize("closure", [False, True])
def test_class_1_from_cfdp_py_to_ours(tmp_path, closure):
    content = random.Random(15).randbytes(5_000)
    (tmp_path / "leaving.bin").write_bytes(content)
    handler, user = peer(
        SourceHandler,
        SPACECRAFT,
        GROUND,
        acknowledged=False,
        immediate_nak=True,
        with_crc=False,
        checksum_type=ChecksumType.CRC_32,
        closure=closure,
    )
    handler.put_request(_put(tmp_path, acknowledged=False, closure=closure))
    events = _receive_from(handler, CfdpDestination(GROUND, {SPACECRAFT}), lambda pdu: False)
    (completed,) = [event for event in events if isinstance(event, FileCompleted)]
    assert completed.data == content
    assert len(user.finished) == 1


def _put(tmp_path, *, acknowledged, closure=False):
    return PutRequest(
        destination_id=ByteFieldU16(GROUND),
        source_file=tmp_path / "leaving.bin",
        dest_file=tmp_path.__class__("arrived.bin"),
        trans_mode=TransmissionMode.ACKNOWLEDGED if acknowledged else TransmissionMode.UNACKNOWLEDGED,
        closure_requested=closure,
    )


def _receive_from(handler, destination, is_lost):
    """Runs a cfdp-py source against our destination until it falls idle. Returns our events."""
    events = []
    for now_ms in range(0, 10 * MAX_STEPS, 10):
        # The peer takes one PDU at a time, and only when everything it had to send has been fetched.
        answer = destination.next_pdu(now_ms)
        handler.state_machine(None if answer is None else PduFactory.from_raw(answer))
        for pdu in packets_of(handler):
            if not is_lost(pdu):
                events += destination.receive(pdu, now_ms)
        if handler.state is CfdpState.IDLE and destination.next_wakeup_ms(now_ms) != now_ms:
            break
    return events
