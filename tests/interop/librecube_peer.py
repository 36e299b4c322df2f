"""LibreCube's `cfdp` as an entity on a UDP port, with the transport and the threads that it brings itself.

Its event thread ends for good at the first exception; `complaints` holds it.
"""

import functools
import threading
from collections.abc import Callable

import cfdp
import cfdp.core
from cfdp.constants import DeliveryCode, TransmissionMode
from cfdp.filestore import NativeFileStore
from cfdp.transport.udp import UdpTransport

ACK_S, NAK_S = 0.1, 0.05
LIMIT = 1000


class _Entity(cfdp.CfdpEntity):
    """Notes how transactions end."""

    def __init__(self, *arguments, **options):
        self.finished = []
        super().__init__(*arguments, **options)

    def transaction_finished_indication(self, transaction_id, condition_code, file_status, delivery_code, *rest):
        self.finished.append((int(condition_code), delivery_code == DeliveryCode.DATA_COMPLETE))


class _WatchedUdp(UdpTransport):
    """Notes what is sent."""

    def __init__(self):
        super().__init__(routing={})
        self.sent = []
        self.withhold = lambda pdu: False

    def request(self, pdu):
        if not self.withhold(pdu):
            self.sent.append(pdu)
            super().request(pdu)


class LibreCubePeer:
    """One entity with its files in the working directory."""

    def __init__(self, local_id: int, remote_id: int, *, segment_bytes: int = 490):
        self.complaints: list[BaseException] = []
        self._remote_id = remote_id
        self._excepthook = threading.excepthook
        threading.excepthook = lambda hooked: self.complaints.append(hooked.exc_value)
        # There is no setting for the length of segments (4096): its transactions are made with another default.
        self._transaction_class = cfdp.core.Transaction
        cfdp.core.Transaction = functools.partial(cfdp.core.Transaction, maximum_file_segment_length=segment_bytes)
        self._transport = _WatchedUdp()
        self._transport.bind("127.0.0.1", 0)
        self._transport._addr = self._transport._socket.getsockname()  # it wakes its thread by a datagram to itself
        self._entity = _Entity(
            entity_id=local_id,
            filestore=NativeFileStore("."),
            transport=self._transport,
            transaction_finished_indication_required=True,
            transaction_inactivity_limit=60,
            positive_ack_timer_interval=ACK_S,
            positive_ack_timer_expiration_limit=LIMIT,
            nak_timer_interval=NAK_S,
            nak_timer_expiration_limit=LIMIT,
        )

    @property
    def address(self) -> tuple[str, int]:
        return self._transport._addr

    @property
    def relay(self) -> tuple[str, int]:
        return self._transport.routing["*"][0]

    @relay.setter
    def relay(self, address: tuple[str, int]) -> None:
        self._transport.routing = {"*": [address]}

    @property
    def withhold(self) -> Callable[[bytes], bool]:
        """PDUs that it makes and that never leave."""
        return self._transport.withhold

    @withhold.setter
    def withhold(self, is_withheld: Callable[[bytes], bool]) -> None:
        self._transport.withhold = is_withheld

    @property
    def sent(self) -> list[bytes]:
        return self._transport.sent

    @property
    def finished(self) -> list[tuple[int, bool]]:
        """How transactions ended: condition, and whether the file is said to be complete."""
        return self._entity.finished

    def put(self, source: str, destination: str, *, acknowledged: bool) -> None:
        """Sends a file at once."""
        mode = TransmissionMode.ACKNOWLEDGED if acknowledged else TransmissionMode.UNACKNOWLEDGED
        self._entity.put(self._remote_id, source, destination, transmission_mode=mode)

    def __enter__(self) -> "LibreCubePeer":
        return self

    def __exit__(self, *exception: object) -> None:
        self._transport.unbind()
        self._entity.shutdown()
        self._entity._event_thread.join(5)
        self._entity._message_thread.join(5)
        for machine in self._entity.machines.values():  # its shutdown leaves timers running
            for name in ("inactivity_timer", "ack_timer", "nak_timer"):
                if hasattr(machine, name):
                    getattr(machine, name).cancel()
        cfdp.core.Transaction = self._transaction_class
        threading.excepthook = self._excepthook
