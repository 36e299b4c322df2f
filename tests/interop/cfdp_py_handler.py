"""One handler of cfdp-py, an independent implementation of CFDP: PDUs as bytes in and out, in the thread of the test.

A handler takes one transaction at a time, reads the wall clock and works on files. It raises what it has no use for.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cfdppy.defs import CfdpState
from cfdppy.handler.dest import DestHandler, _AckedModeParams
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
from spacepackets.cfdp import ChecksumType, TransmissionMode
from spacepackets.cfdp.pdu import PduFactory
from spacepackets.cfdp.pdu.finished import DeliveryCode
from spacepackets.countdown import Countdown
from spacepackets.seqcount import SeqCountProvider
from spacepackets.util import ByteFieldU16

LIMIT: Final = 10_000
"""Time-outs before it gives up: never, within a test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CfdpPySettings:
    """How a handler behaves."""

    checksum: ChecksumType = ChecksumType.CRC_32
    max_pdu_bytes: int = 512
    acknowledged: bool = True
    """class 2"""
    closure: bool = False
    with_crc: bool = False
    immediate_nak: bool = False
    ack_s: float = 0.1
    nak_s: float = 0.05
    check_s: float = 0.1


class _Faults(DefaultFaultHandlerBase):
    def _ignore(self, transaction_id, cond, progress):
        """What it comes to, a test sees from how the transaction ends."""

    notice_of_suspension_cb = notice_of_cancellation_cb = abandoned_cb = ignore_cb = _ignore


class _Timers(CheckTimerProvider):
    def __init__(self, check_s: float):
        self._check_s = check_s

    def provide_check_timer(self, local_entity_id, remote_entity_id, entity_type):
        return Countdown.from_seconds(self._check_s)


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


class CfdpPyHandler:
    """A source or a destination of the entity `local_id` that talks to the entity `remote_id`."""

    def __init__(self, kind: type, local_id: int, remote_id: int, settings: CfdpPySettings):
        self._user = _User()
        self._remote_id, self._settings = remote_id, settings
        remote = RemoteEntityConfig(
            entity_id=ByteFieldU16(remote_id),
            max_file_segment_len=None,
            max_packet_len=settings.max_pdu_bytes,
            closure_requested=settings.closure,
            crc_on_transmission=settings.with_crc,
            default_transmission_mode=self._mode(settings.acknowledged),
            crc_type=settings.checksum,
            check_limit=3,
            positive_ack_timer_interval_seconds=settings.ack_s,
            positive_ack_timer_expiration_limit=LIMIT,
            nak_timer_interval_seconds=settings.nak_s,
            nak_timer_expiration_limit=LIMIT,
            immediate_nak_mode=settings.immediate_nak,
        )
        options = {
            "cfg": LocalEntityConfig(ByteFieldU16(local_id), IndicationConfig(), _Faults()),
            "user": self._user,
            "remote_cfg_table": RemoteEntityConfigTable([remote]),
            "check_timer_provider": _Timers(settings.check_s),
        }
        if kind is SourceHandler:
            options["seq_num_provider"] = SeqCountProvider(16)
        self._handler = kind(**options)
        if kind is DestHandler:
            # All receivers of a process share one tracker of lost segments, the default of a dataclass, and what one leaves in it
            # the next one asks for: it is emptied here.
            _AckedModeParams().lost_seg_tracker.reset()

    @property
    def idle(self) -> bool:
        """Whether no transaction is under way."""
        return self._handler.state is CfdpState.IDLE

    @property
    def has_file_data_to_send(self) -> bool:
        """Of a source: whether a part of its file has never left."""
        return not self.idle and self._handler.progress != self._handler.file_size

    @property
    def finished(self) -> list[tuple[int, bool]]:
        """How transactions ended: condition, and whether the file is said to be complete."""
        return [
            (int(end.condition_code), end.delivery_code == DeliveryCode.DATA_COMPLETE) for end in self._user.finished
        ]

    def put(self, source: str, destination: str, *, acknowledged: bool = True, closure: bool = False) -> None:
        """Of a source: sends a file."""
        self._handler.put_request(
            PutRequest(
                destination_id=ByteFieldU16(self._remote_id),
                source_file=Path(source),
                dest_file=Path(destination),
                trans_mode=self._mode(acknowledged),
                closure_requested=closure,
            )
        )

    def hear(self, pdu: bytes | None) -> None:
        """A PDU, or only time. What is to be sent is fetched with `packets`, also where this raises."""
        self._handler.state_machine(None if pdu is None else PduFactory.from_raw(pdu))

    def packets(self) -> list[bytes]:
        """Everything that is to be sent now."""
        packets = []
        while (holder := self._handler.get_next_packet()) is not None:
            packets.append(bytes(holder.pdu.pack()))
        return packets

    @staticmethod
    def _mode(acknowledged: bool) -> TransmissionMode:
        return TransmissionMode.ACKNOWLEDGED if acknowledged else TransmissionMode.UNACKNOWLEDGED


def cfdp_py_source(local_id: int, remote_id: int, settings: CfdpPySettings) -> CfdpPyHandler:
    return CfdpPyHandler(SourceHandler, local_id, remote_id, settings)


def cfdp_py_destination(local_id: int, remote_id: int, settings: CfdpPySettings) -> CfdpPyHandler:
    return CfdpPyHandler(DestHandler, local_id, remote_id, settings)
