"""Frame ports over TCP: one that connects, again and again, and one that is connected to.

A peer that vanishes without a word is noticed after about ten seconds, by keep-alive questions or by data that nobody acknowledges.
"""

import errno
import os
import selectors
import socket
from typing import Final

from mission.errors import PortError
from mission.live.address_resolver import AddressResolver
from mission.live.frame_port import PortCounts, PortSettings
from mission.live.stream_frame_port import Retry, StreamFramePort
from mission.udp_port import Address, address_of

CONNECT_TIMEOUT_S: Final = 10.0
BUFFER_BYTES: Final = 1 << 18
"""Of a connection, each way: frames that cannot leave are lost rather than late."""
_KEEP_ALIVE: Final = (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 10_000))


def tcp_client_port(settings: PortSettings, peer: Address, *, randomize: bool = True) -> StreamFramePort:
    """A port that connects to a peer."""
    return StreamFramePort(settings, TcpDialer(settings, peer), randomize=randomize)


def tcp_listening_port(
    settings: PortSettings, here: Address, *, peer_host: str | None = None, randomize: bool = True
) -> StreamFramePort:
    """A port that is connected to. Raises PortError where it cannot listen there."""
    return StreamFramePort(settings, TcpListener(settings, here, peer_host), randomize=randomize)


class TcpDialer:
    """Connects to a peer; when the connection has broken, again."""

    def __init__(self, settings: PortSettings, peer: Address) -> None:
        self._now_s = settings.monotonic_s
        self._resolver = AddressResolver(*peer)
        self._retry = Retry(settings)
        self._connecting: socket.socket | None = None
        self._give_up_s = 0.0
        self._selector: selectors.BaseSelector | None = None
        self._peer = f"{peer[0]}:{peer[1]}"
        self._failure = f"not connected to {self._peer} yet"

    @property
    def problem(self) -> str:
        """Why there is no connection, as last tried."""
        return self._resolver.problem or self._failure

    def begin(self, selector: selectors.BaseSelector, counts: PortCounts) -> None:
        """Remembers where a connection that has been made shall wake the port."""
        self._selector = selector

    def poll(self, *, connected: bool) -> int | None:
        """A connection that has been made; begins one where it is due."""
        if connected:
            return None
        if self._connecting is not None:
            return self._finish(self._connecting)
        addresses = self._resolver.addresses
        if addresses and self._retry.is_due:
            self._begin(addresses[0])
        return None

    def broke(self) -> None:
        """Tries again, not at once."""
        self._failed("the connection broke")

    def close(self) -> None:
        """Gives up."""
        self._drop()
        self._resolver.close()

    def _begin(self, address: Address) -> None:
        connecting = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connecting.setblocking(False)
        _make_attentive(connecting)
        code = connecting.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            connecting.close()
            self._failed(os.strerror(code))
            return
        self._connecting = connecting
        self._give_up_s = self._now_s() + CONNECT_TIMEOUT_S
        if self._selector is not None:
            self._selector.register(connecting, selectors.EVENT_WRITE)

    def _finish(self, connecting: socket.socket) -> int | None:
        code = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        too_late = self._now_s() >= self._give_up_s
        if code or too_late:
            self._drop()
            self._failed(os.strerror(code) if code else f"no answer within {CONNECT_TIMEOUT_S:g} s")
            return None
        if not _is_connected(connecting):
            return None
        if self._selector is not None:
            self._selector.unregister(connecting)
        self._connecting = None
        self._retry.succeeded()
        return connecting.detach()

    def _failed(self, reason: str) -> None:
        self._failure = f"{self._peer}: {reason}"
        self._retry.failed()

    def _drop(self) -> None:
        if self._connecting is not None:
            if self._selector is not None:
                self._selector.unregister(self._connecting)
            self._connecting.close()
            self._connecting = None


class TcpListener:
    """Is connected to, by one peer at a time.

    A new connection from the same host takes the place of the old one: that host has started again. Other hosts are strangers,
    all but the one that was named, or without a name all but the first as long as its connection lives.
    """

    def __init__(self, settings: PortSettings, here: Address, peer_host: str | None = None) -> None:
        self._listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listening.bind(here)
            self._listening.listen(4)
            self._listening.setblocking(False)
        except OSError as error:
            self._listening.close()
            raise PortError(
                f"frame port {settings.address} cannot listen at {here[0]}:{here[1]} ({error.strerror or error}); choose "
                "another address, or port 0 for any free port"
            ) from error
        self._resolver = None if peer_host is None else AddressResolver(peer_host, 0)
        self._current_host: str | None = None
        self._counts = PortCounts()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return address_of(self._listening)

    @property
    def problem(self) -> str:
        """Why there is no connection."""
        unknown = "" if self._resolver is None else self._resolver.problem
        return unknown or "nobody is connected"

    def begin(self, selector: selectors.BaseSelector, counts: PortCounts) -> None:
        """Whoever knocks shall wake the port."""
        selector.register(self._listening, selectors.EVENT_READ)
        self._counts = counts

    def poll(self, *, connected: bool) -> int | None:
        """The connection that was made last."""
        newest: socket.socket | None = None
        while (accepted := self._accept()) is not None:
            connection, host = accepted
            if not self._is_peer(host, connected or newest is not None):
                self._counts.strangers += 1
                connection.close()
                continue
            if newest is not None:
                newest.close()
            newest, self._current_host = connection, host
        if newest is None:
            return None
        newest.setblocking(False)
        _make_attentive(newest)
        return newest.detach()

    def broke(self) -> None:
        """Waits for the next."""
        self._current_host = None

    def close(self) -> None:
        """Listens no more."""
        if self._resolver is not None:
            self._resolver.close()
        self._listening.close()

    def _accept(self) -> tuple[socket.socket, str] | None:
        try:
            connection, sender = self._listening.accept()
        except OSError:  # nobody is there (any more), or there are too many open files
            return None
        return connection, str(sender[0])

    def _is_peer(self, host: str, connected: bool) -> bool:
        if self._resolver is not None:
            return host in {known for known, _ in self._resolver.addresses}
        return not connected or host == self._current_host


def _is_connected(connecting: socket.socket) -> bool:
    try:
        connecting.getpeername()
    except OSError:  # not yet
        return False
    return True


def _make_attentive(connection: socket.socket) -> None:
    """Short buffers, nothing held back, and questions to a peer that says nothing."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE:
        if hasattr(socket, name):  # not every system has all of them
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
