"""A frame port over UDP: one datagram a frame."""

from typing import Final

from mission.errors import PortError, RelayError
from mission.live.address_resolver import AddressResolver
from mission.live.frame_port import FRAMES_PER_RECEIVE, PortCounts, PortSettings
from mission.udp_port import MAX_DATAGRAM_BYTES, Address, address_of, bound_port

_ERRORS_PER_RECEIVE: Final = 16
"""Errors of earlier datagrams that one `receive` takes off the socket."""


class UdpFramePort:
    """Bound on construction. With a `peer` no other is heard; without one the first that sends is the peer from then on."""

    def __init__(self, settings: PortSettings, here: Address, peer: Address | None = None) -> None:
        """Raises PortError where the local port cannot be had."""
        self.counts = PortCounts(opened=1)
        self._settings = settings
        try:
            self._socket = bound_port(here, name=f"frame port {settings.address}")
        except RelayError as error:
            raise PortError(str(error)) from error
        self._resolver = None if peer is None else AddressResolver(*peer)
        self._first_sender: Address | None = None

    @property
    def address(self) -> Address:
        """Where it is bound."""
        return address_of(self._socket)

    @property
    def peers(self) -> tuple[Address, ...]:
        """Who is heard, the first of them is sent to; empty while nobody is known."""
        if self._resolver is not None:
            return self._resolver.addresses
        return () if self._first_sender is None else (self._first_sender,)

    @property
    def problem(self) -> str:
        """That the peer's name does not resolve; without a named peer nothing ever is."""
        return "" if self._resolver is None else self._resolver.problem

    def fileno(self) -> int:
        """The socket."""
        return self._socket.fileno()

    def send(self, frame: bytes) -> bool:
        """A datagram to the peer."""
        self._settings.check_out(frame)
        peers = self.peers
        try:
            if peers:
                self._socket.sendto(frame, peers[0])
        except OSError:  # full, unreachable, forbidden, or the answer to an earlier datagram
            peers = ()
        if not peers:
            self.counts.refused += 1
            return False
        self.counts.sent += 1
        return True

    def receive(self) -> list[bytes]:
        """The frames that wait."""
        frames: list[bytes] = []
        errors = 0
        for _ in range(FRAMES_PER_RECEIVE):
            try:
                datagram, sender = self._socket.recvfrom(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                break
            except OSError:  # the network's answer to an earlier datagram: nobody listens there
                errors += 1
                if errors > _ERRORS_PER_RECEIVE:
                    break
                continue
            if self._is_peer(sender):
                self._take(datagram, frames)
            else:
                self.counts.strangers += 1
        return frames

    def close(self) -> None:
        """Gives the port back."""
        if self._resolver is not None:
            self._resolver.close()
        self._socket.close()

    def _is_peer(self, sender: Address) -> bool:
        if self._resolver is None and self._first_sender is None:
            self._first_sender = sender
        return sender in self.peers

    def _take(self, datagram: bytes, frames: list[bytes]) -> None:
        if len(datagram) == self._settings.frame_bytes_in:
            self.counts.received += 1
            frames.append(datagram)
        else:
            self.counts.skipped_bytes += len(datagram)
