"""cfdp-py as an entity on a UDP port: its two handlers, driven by a thread, one PDU in each datagram.

Whatever its handlers raise is kept in `complaints`; the thread goes on, as a program that uses the library would have to.
"""

import socket
import threading
from collections.abc import Callable

from spacepackets.cfdp import ChecksumType

from tests.interop.cfdp_py_handler import CfdpPyHandler, CfdpPySettings, cfdp_py_destination, cfdp_py_source


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
        settings = CfdpPySettings(checksum=checksum, max_pdu_bytes=max_pdu_bytes, immediate_nak=immediate_nak)
        self._source = cfdp_py_source(local_id, remote_id, settings)
        self._destination = cfdp_py_destination(local_id, remote_id, settings)
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
        return [*self._source.finished, *self._destination.finished]

    def put(self, source: str, destination: str, *, acknowledged: bool) -> None:
        """Sends a file, as soon as it runs."""
        self._source.put(source, destination, acknowledged=acknowledged)

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
            self._port.settimeout(0.0002 if self._source.has_file_data_to_send else 0.002)
            try:
                pdu = self._port.recv(65_535)
            except TimeoutError:
                pdu = None
            for handler in (self._source, self._destination):
                mine = pdu is not None and bool(pdu[0] & 0x08) == (handler is self._source)
                self._advance(handler, pdu if mine else None)

    def _advance(self, handler: CfdpPyHandler, pdu: bytes | None) -> None:
        try:
            handler.hear(pdu)
        except Exception as complaint:
            self.complaints.append(complaint)
        for packed in handler.packets():
            if not self.withhold(packed):
                self.sent.append(packed)
                self._port.sendto(packed, self.relay)
