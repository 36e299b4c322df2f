"""The emulated channel as a UDP relay: datagrams go in on one side, and what is left of them comes out on the other.

The air side and the ground side each have a port of the relay. A datagram that arrives on the air port goes through the downlink and
leaves from the ground port towards the ground's peer, and the other way round: both programs take the relay for the other one.
A peer whose address is not given is the first that sends. One thread; time is kept in whole milliseconds, so a datagram
may leave up to a millisecond early or late.
"""

import heapq
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mission.channel import Channel, ChannelCounts, ChannelSettings
from mission.errors import RelayError
from mission.streams import Streams
from mission.udp_port import MAX_DATAGRAM_BYTES, Address, address_of, bound_port

MAX_HELD_BYTES = 256 << 20
READS_PER_TURN = 64
"""Datagrams read from a port before what is due is sent."""
NS_PER_MS = 1_000_000


@dataclass(slots=True, kw_only=True)
class DirectionCounts:
    """What happened to the datagrams of one direction."""

    channel: ChannelCounts = field(default_factory=ChannelCounts)
    """In the channel."""
    queue_dropped: int = 0
    """Dropped before it, because they would have waited too long or memory was full."""
    strangers: int = 0
    """Ignored, because they came from another address than the peer's."""
    delivered: int = 0
    """Handed to the peer."""
    delivered_bytes: int = 0
    """Their bytes."""
    undeliverable: int = 0
    """Arrived with no peer known yet, or refused by the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayCounts:
    """What a relay did so far."""

    seconds: float
    """Since its start."""
    in_flight: int
    """Datagrams inside."""
    down: DirectionCounts
    """Air to ground."""
    up: DirectionCounts
    """Ground to air."""

    def to_json(self) -> dict[str, Any]:
        """Plain numbers; the counts of the channel stand beside those of the relay."""
        directions = {"down": asdict(self.down), "up": asdict(self.up)}
        for counts in directions.values():
            counts |= counts.pop("channel")
        return {"seconds": round(self.seconds, 3), "in_flight": self.in_flight} | directions


@dataclass(slots=True, kw_only=True)
class _Side:
    """A port of the relay and who talks to it."""

    port: socket.socket
    peer: Address | None


@dataclass(slots=True, kw_only=True)
class _Direction:
    """A channel from one side to the other."""

    channel: Channel
    entry: _Side
    exit: _Side
    counts: DirectionCounts = field(default_factory=DirectionCounts)

    def counts_now(self) -> DirectionCounts:
        return replace(self.counts, channel=replace(self.channel.counts))


class ChannelRelay:
    """Two ports and a channel in each direction between them. Bound on construction; `run` forwards until told to stop."""

    def __init__(
        self,
        down: ChannelSettings,
        up: ChannelSettings,
        *,
        seed: int,
        air: Address,
        ground: Address,
        air_peer: Address | None = None,
        ground_peer: Address | None = None,
        queue_ms: int = 1000,
        from_first_datagram: bool = False,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Raises RelayError where a port cannot be had."""
        self._now_ns = now_ns
        self._queue_ms = queue_ms
        self._air = _Side(port=bound_port(air, name="air side"), peer=air_peer)
        try:
            self._ground = _Side(port=bound_port(ground, name="ground side"), peer=ground_peer)
        except RelayError:
            self._air.port.close()
            raise
        streams = Streams(seed)
        down_channel = Channel(down, streams.generator("relay/down"))
        up_channel = Channel(up, streams.generator("relay/up"))
        self._down = _Direction(channel=down_channel, entry=self._air, exit=self._ground)
        self._up = _Direction(channel=up_channel, entry=self._ground, exit=self._air)
        self._waker, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._air.port, selectors.EVENT_READ, self._down)
        self._selector.register(self._ground.port, selectors.EVENT_READ, self._up)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._inside: list[tuple[int, int, _Direction, bytes]] = []
        self._entered = 0
        self._held_bytes = 0
        self._stopped = False
        self._began_ns = now_ns()
        self._zero_ns: int | None = None if from_first_datagram else self._began_ns

    def __enter__(self) -> "ChannelRelay":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def air_address(self) -> Address:
        """Where the air side sends to."""
        return address_of(self._air.port)

    @property
    def ground_address(self) -> Address:
        """Where the ground side sends to."""
        return address_of(self._ground.port)

    def counts(self) -> RelayCounts:
        """What was done so far."""
        return RelayCounts(
            seconds=(self._now_ns() - self._began_ns) / 1e9,
            in_flight=len(self._inside),
            down=self._down.counts_now(),
            up=self._up.counts_now(),
        )

    def run(self, duration_s: float | None = None) -> None:
        """Forwards for that long, or until `stop`."""
        end_ns = None if duration_s is None else self._now_ns() + round(duration_s * 1e9)
        while not self._stopped:
            now_ns = self._now_ns()
            if end_ns is not None and now_ns >= end_ns:
                return
            for key, _ in self._selector.select(self._wait_s(now_ns, end_ns)):
                if key.data is not None:
                    self._take_waiting(key.data)
            self._release_due()

    def stop(self) -> None:
        """Makes `run` return. May be called from a signal handler or another thread."""
        self._stopped = True
        self._waker.send(b"\0")

    def close(self) -> None:
        """Gives the ports back; what is inside is lost."""
        self._selector.close()
        for each in (self._air.port, self._ground.port, self._waker, self._woken):
            each.close()

    def _wait_s(self, now_ns: int, end_ns: int | None) -> float | None:
        """How long nothing has to be done, None for ever."""
        waits_ns = [] if end_ns is None else [end_ns - now_ns]
        if self._inside and self._zero_ns is not None:
            waits_ns.append(self._zero_ns + self._inside[0][0] * NS_PER_MS - now_ns)
        return max(0, min(waits_ns)) / 1e9 if waits_ns else None

    def _now_ms(self) -> int:
        now_ns = self._now_ns()
        if self._zero_ns is None:
            self._zero_ns = now_ns
        return (now_ns - self._zero_ns) // NS_PER_MS

    def _take_waiting(self, direction: _Direction) -> None:
        side = direction.entry
        for _ in range(READS_PER_TURN):
            try:
                datagram, sender = side.port.recvfrom(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            if side.peer is None:
                side.peer = sender
            if sender == side.peer:
                self._send_through(direction, datagram)
            else:
                direction.counts.strangers += 1

    def _send_through(self, direction: _Direction, datagram: bytes) -> None:
        now_ms = self._now_ms()
        channel = direction.channel
        if channel.busy_until_ms - now_ms > self._queue_ms or self._held_bytes > MAX_HELD_BYTES:
            direction.counts.queue_dropped += 1
            return
        for arrival in channel.transmit(datagram, now_ms):
            self._entered += 1
            self._held_bytes += len(arrival.frame)
            heapq.heappush(self._inside, (arrival.at_ms, self._entered, direction, arrival.frame))

    def _release_due(self) -> None:
        if not self._inside:
            return
        now_ms = self._now_ms()
        while self._inside and self._inside[0][0] <= now_ms:
            _, _, direction, datagram = heapq.heappop(self._inside)
            self._held_bytes -= len(datagram)
            _deliver(direction, datagram)


def _deliver(direction: _Direction, datagram: bytes) -> None:
    receiver = direction.exit.peer
    try:
        if receiver is not None:
            direction.exit.port.sendto(datagram, receiver)
    except OSError:  # full, unreachable or forbidden: the network loses datagrams, too
        receiver = None
    if receiver is None:
        direction.counts.undeliverable += 1
    else:
        direction.counts.delivered += 1
        direction.counts.delivered_bytes += len(datagram)
