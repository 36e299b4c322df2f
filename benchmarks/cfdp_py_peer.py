"""The same transfers with cfdp-py (package `cfdppy`, an independent implementation of CFDP), for comparison.

Its handlers take one transaction each, work on files and read the wall clock; `pack` and `PduFactory.from_raw` are counted, because
ours end and begin with bytes too. Positive acknowledgement timers are so long that they never fire, unless set.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from spacepackets.countdown import Countdown
from spacepackets.seqcount import SeqCountProvider
from spacepackets.util import ByteFieldU16

SOURCE_ENTITY, DESTINATION_ENTITY = 1, 2


class _User(CfdpUserBase):  # type: ignore[misc]
    """Notes that a transaction has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.finished: list[Any] = []

    def transaction_finished_indication(self, params: Any) -> None:
        self.finished.append(params.finished_params)

    def _ignore(self, *args: Any, **kwargs: Any) -> None:
        """Of no interest here."""

    transaction_indication = eof_sent_indication = metadata_recv_indication = file_segment_recv_indication = _ignore
    report_indication = suspended_indication = resumed_indication = fault_indication = _ignore
    abandoned_indication = eof_recv_indication = _ignore


class _Faults(DefaultFaultHandlerBase):  # type: ignore[misc]
    def _ignore(self, *args: Any, **kwargs: Any) -> None:
        """Of no interest here."""

    notice_of_suspension_cb = notice_of_cancellation_cb = abandoned_cb = ignore_cb = _ignore


class _Timers(CheckTimerProvider):  # type: ignore[misc]
    def provide_check_timer(self, *args: Any, **kwargs: Any) -> Any:
        return Countdown.from_seconds(3_600)


class Peer:
    """One cfdp-py handler, class 2, CRC-32, PDUs without CRC."""

    def __init__(
        self,
        handler: type,
        local: int,
        remote: int,
        *,
        pdu_bytes: int,
        ack_s: float = 3_600,
        nak_s: float = 0.05,
        immediate_nak: bool = True,
    ) -> None:
        self.user = _User()
        remote_config = RemoteEntityConfig(
            entity_id=ByteFieldU16(remote),
            max_file_segment_len=None,
            max_packet_len=pdu_bytes,
            closure_requested=False,
            crc_on_transmission=False,
            default_transmission_mode=TransmissionMode.ACKNOWLEDGED,
            crc_type=ChecksumType.CRC_32,
            positive_ack_timer_interval_seconds=ack_s,
            positive_ack_timer_expiration_limit=1_000_000,
            nak_timer_interval_seconds=nak_s,
            nak_timer_expiration_limit=1_000_000,
            immediate_nak_mode=immediate_nak,
        )
        shared = {
            "cfg": LocalEntityConfig(ByteFieldU16(local), IndicationConfig(), _Faults()),
            "user": self.user,
            "remote_cfg_table": RemoteEntityConfigTable([remote_config]),
            "check_timer_provider": _Timers(),
        }
        if handler is SourceHandler:
            shared["seq_num_provider"] = SeqCountProvider(16)
        self.handler = handler(**shared)
        if handler is DestHandler:
            # All receivers of a process share one tracker of lost segments; a handler begins every transaction with it.
            _AckedModeParams().lost_seg_tracker.reset()

    def step(self, pdu: bytes | None) -> list[bytes]:
        """Hands over a PDU, or only time, and fetches what there is to send."""
        self.handler.state_machine(None if pdu is None else PduFactory.from_raw(pdu))
        return self.packets()

    def packets(self) -> list[bytes]:
        """What there is to send."""
        packets = []
        while (holder := self.handler.get_next_packet()) is not None:
            packets.append(bytes(holder.pdu.pack()))
        return packets

    @property
    def idle(self) -> bool:
        """Whether no transaction is under way."""
        return bool(self.handler.state is CfdpState.IDLE)


def source_of(file: Path, arrived: Path, *, pdu_bytes: int) -> Peer:
    """A source that has been asked to send `file`."""
    peer = Peer(SourceHandler, SOURCE_ENTITY, DESTINATION_ENTITY, pdu_bytes=pdu_bytes)
    request = PutRequest(
        destination_id=ByteFieldU16(DESTINATION_ENTITY),
        source_file=file,
        dest_file=arrived,
        trans_mode=TransmissionMode.ACKNOWLEDGED,
        closure_requested=False,
    )
    peer.handler.put_request(request)
    return peer


def destination(*, pdu_bytes: int) -> Peer:
    """A destination for one file."""
    return Peer(DestHandler, DESTINATION_ENTITY, SOURCE_ENTITY, pdu_bytes=pdu_bytes)


def send_all(peer: Peer) -> list[bytes]:
    """All PDUs of a file up to its EndOfFile, which waits for its acknowledgement."""
    pdus: list[bytes] = []
    while packets := peer.step(None):
        pdus += packets
    return pdus


def transfer(file: Path, arrived: Path, *, pdu_bytes: int, is_lost: Callable[[bytes], bool]) -> None:
    """Both ends in one process, until both are idle."""
    source, target = source_of(file, arrived, pdu_bytes=pdu_bytes), destination(pdu_bytes=pdu_bytes)
    answers: list[bytes] = []
    while not (source.idle and target.idle and target.user.finished):
        sent = source.step(answers.pop(0) if answers else None)
        arriving: list[bytes | None] = list(sent) or [None]
        for pdu in arriving:
            answers += target.step(None if pdu is None or is_lost(pdu) else pdu)
