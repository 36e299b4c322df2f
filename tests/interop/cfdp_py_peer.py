"""cfdp-py as an entity on a UDP port: its two handlers, driven by a thread, one PDU in each datagram.

Whatever its handlers raise is kept in `complaints`; the thread goes on, as a program that uses the library would have to.
"""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

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

ACK_S, NAK_S, CHECK_S = 0.1, 0.05, 0.1
LIMIT = 1000
"""Time-outs before it gives up: never, within a test."""


class _Faults(DefaultFaultHandlerBase):
    def __init__(self):
        super().__init__()
        self.faults = []

    def notice_of_suspension_cb(self, transaction_id, cond, progress):
        self.faults.append(cond)

    notice_of_cancellation_cb = abandoned_cb = ignore_cb = notice_of_suspension_cb


class _Timers(CheckTimerProvider):
    def provide_check_timer(self, local_entity_id, remote_entity_id, entity_type):
        return Countdown.from_seconds(CHECK_S)


class _User(CfdpUserBase):
    """Notes how transactions end."""

    def __init__(self):
        super().__init__()
        self.finished = []

    def transaction_finished_indication(self, params):
        self.finished.append(params.finished_params)

    def _ignore(self, *args, **kwargs):
        """Of no interest here."""

    transaction_indication = eof_sent_indication = file_segment_recv_indication = metadata_recv_indication = _ignore
    report_indication = suspended_indication = resumed_indication = fault_indication = _ignore
    abandoned_indication = eof_recv_indication = _ignore


class CfdpPyPeer:
    """One entity: a source and a destination handler towards the entity `remote_id`, with files in the working directory."""

    def __init__(
        self,
        local_id: int,
        remote_id: int,
        *,
        checksum: ChecksumType = ChecksumType.CRC_32,
        max_pdu_bytes: int = 512,
        immediate_nak: bool = False,
    ):
        self.relay: tuple[str, int] | None = None
        self.complaints: list[Exception] = []
        self.sent: list[bytes] = []
        self.withhold: Callable[[bytes], bool] = lambda pdu: False
        """PDUs that it makes and that never leave."""
        self._user, self._faults = _User(), _Faults()
        self._remote_id = remote_id
        config = RemoteEntityConfig(
            entity_id=ByteFieldU16(remote_id),
            max_file_segment_len=None,
            max_packet_len=max_pdu_bytes,
            closure_requested=False,
            crc_on_transmission=False,
            default_transmission_mode=TransmissionMode.ACKNOWLEDGED,
            crc_type=checksum,
            check_limit=3,
            positive_ack_timer_interval_seconds=ACK_S,
            positive_ack_timer_expiration_limit=LIMIT,
            nak_timer_interval_seconds=NAK_S,
            nak_timer_expiration_limit=LIMIT,
            immediate_nak_mode=immediate_nak,
        )
        shared = {
            "cfg": LocalEntityConfig(ByteFieldU16(local_id), IndicationConfig(), self._faults),
            "user": self._user,
            "remote_cfg_table": RemoteEntityConfigTable([config]),
            "check_timer_provider": _Timers(),
        }
        # All receivers of a process share one tracker of lost segments, the default of a dataclass, and what one leaves in it
        # the next one asks for: it is emptied here.
        _AckedModeParams().lost_seg_tracker.reset()
        self.destination = DestHandler(**shared)
        self.source = SourceHandler(**shared, seq_num_provider=SeqCountProvider(16))
        self._port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._port.bind(("127.0.0.1", 0))
        self._port.settimeout(0.002)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def address(self) -> tuple[str, int]:
        return self._port.getsockname()

    @property
    def finished(self) -> list[tuple[int, bool]]:
        """How transactions ended: condition, and whether the file is said to be complete."""
        return [
            (int(end.condition_code), end.delivery_code == DeliveryCode.DATA_COMPLETE) for end in self._user.finished
        ]

    def put(self, source: str, destination: str, *, acknowledged: bool) -> None:
        """Sends a file, as soon as it runs."""
        mode = TransmissionMode.ACKNOWLEDGED if acknowledged else TransmissionMode.UNACKNOWLEDGED
        self.source.put_request(
            PutRequest(
                destination_id=ByteFieldU16(self._remote_id),
                source_file=Path(source),
                dest_file=Path(destination),
                trans_mode=mode,
                closure_requested=False,
            )
        )

    def __enter__(self) -> "CfdpPyPeer":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        self._thread.join(5)
        self._port.close()
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopped.is_set():
            has_file_to_send = self.source.state is CfdpState.BUSY and self.source.progress != self.source.file_size
            self._port.settimeout(0.0002 if has_file_to_send else 0.002)
            try:
                pdu = self._port.recv(65_535)
            except TimeoutError:
                pdu = None
            for handler in (self.source, self.destination):
                mine = pdu is not None and bool(pdu[0] & 0x08) == (handler is self.source)
                self._advance(handler, pdu if mine else None)

    def _advance(self, handler, pdu: bytes | None) -> None:
        try:
            handler.state_machine(None if pdu is None else PduFactory.from_raw(pdu))
        except Exception as complaint:
            self.complaints.append(complaint)
        while (holder := handler.get_next_packet()) is not None:
            packed = bytes(holder.pdu.pack())
            if not self.withhold(packed):
                self.sent.append(packed)
                self._port.sendto(packed, self.relay)
