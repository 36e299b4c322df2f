"""Files over CFDP over UDP, one PDU in each datagram: the way NASA CF, ION and others speak it on a network.

This file owns the socket and the clock; what is said is up to a source, a destination, or both, towards one other address.
"""

import selectors
import time
from collections.abc import Callable
from contextlib import suppress

from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_events import DestinationEvent, SourceEvent
from downlink.cfdp_source import CfdpSource
from mission.udp_port import MAX_DATAGRAM_BYTES, Address, address_of, bound_port

_TOWARDS_SENDER_BIT = 0x08
_CATCH_UP_NS = 5_000_000
"""How far the pace may lag behind the clock before what was missed is given up."""
_READS_PER_TURN = 64


class UdpFileDelivery:
    """One UDP port that sends what a source and a destination have to say, and gives them what comes in."""

    def __init__(
        self,
        *,
        listen: Address,
        peer: Address | None,
        source: CfdpSource | None = None,
        destination: CfdpDestination | None = None,
        rate_bps: int | None = None,
        on_event: Callable[[SourceEvent | DestinationEvent], None] = lambda event: None,
    ) -> None:
        """Without a `peer` the first that sends is the peer; `rate_bps` paces what is sent, headers of UDP and IP not counted.

        Raises RelayError where the port cannot be had.
        """
        self.source = source
        self.destination = destination
        self.peer = peer
        self.sent_pdus = 0
        self.sent_bytes = 0
        self.largest_pdu_bytes = 0
        self.ignored_datagrams = 0
        self._rate_bps = rate_bps
        self._on_event = on_event
        self._port = bound_port(listen, name="file delivery")
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._port, selectors.EVENT_READ)
        self._free_ns = 0
        """When the pace allows the next PDU."""

    def __enter__(self) -> "UdpFileDelivery":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def address(self) -> Address:
        """Where the other entity sends to."""
        return address_of(self._port)

    def close(self) -> None:
        """Gives the port back."""
        self._selector.close()
        self._port.close()

    def run(self, *, until: Callable[[], bool], timeout_s: float) -> bool:
        """Exchanges PDUs until `until` is true and nothing that came in waits for its answer, then says True.

        False where that took longer than `timeout_s`.
        """
        end_ns = time.monotonic_ns() + round(timeout_s * 1e9)
        while (owed := self.source is not None and self.source.owes_answers) or not until():
            now_ns = time.monotonic_ns()
            if now_ns >= end_ns:
                return not owed and until()
            if self._send_due(now_ns) or self._selector.select(self._wait_s(now_ns, end_ns)):
                self._take_waiting()
        return True

    def _send_due(self, now_ns: int) -> bool:
        """Sends one PDU, if one is due and the pace and a known peer allow it; says whether anything happened."""
        if self.peer is None or now_ns < self._free_ns:
            return False
        now_ms = now_ns // 1_000_000
        pdu = None if self.destination is None else self.destination.next_pdu(now_ms)
        if pdu is None and self.source is not None:
            pdu = self.source.next_pdu(now_ms)
        told = self._tell()
        if pdu is None:
            return told
        with suppress(BlockingIOError):  # a full buffer loses a PDU as any network may; it is asked for again
            self._port.sendto(pdu, self.peer)
        self.sent_pdus += 1
        self.sent_bytes += len(pdu)
        self.largest_pdu_bytes = max(self.largest_pdu_bytes, len(pdu))
        if self._rate_bps is not None:
            self._free_ns = max(self._free_ns, now_ns - _CATCH_UP_NS) + len(pdu) * 8_000_000_000 // self._rate_bps
        return True

    def _take_waiting(self) -> None:
        for _ in range(_READS_PER_TURN):
            try:
                datagram, sender = self._port.recvfrom(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            if self.peer is None:
                self.peer = sender
            self._take(datagram)

    def _take(self, datagram: bytes) -> None:
        """The direction bit of the header says who a PDU is for."""
        now_ms = time.monotonic_ns() // 1_000_000
        to_source = bool(datagram) and bool(datagram[0] & _TOWARDS_SENDER_BIT)
        machine = self.source if to_source else self.destination
        if machine is None or not datagram:
            self.ignored_datagrams += 1
            return
        for event in machine.receive(datagram, now_ms):
            self._on_event(event)

    def _tell(self) -> bool:
        machines = [machine for machine in (self.source, self.destination) if machine is not None]
        events = [event for machine in machines for event in machine.take_events()]
        for event in events:
            self._on_event(event)
        return bool(events)

    def _wait_s(self, now_ns: int, end_ns: int) -> float:
        """Until somebody has something to say, the pace allows it, and no longer than the end."""
        now_ms = now_ns // 1_000_000
        machines = [machine for machine in (self.source, self.destination) if machine is not None]
        wakeups_ms = [machine.next_wakeup_ms(now_ms) for machine in machines] if self.peer is not None else []
        due_ns = min((at_ms * 1_000_000 for at_ms in wakeups_ms if at_ms is not None), default=end_ns)
        return max(0, min(end_ns, max(due_ns, self._free_ns)) - now_ns) / 1e9
