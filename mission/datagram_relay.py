"""Two ports and a channel in each direction between them: datagrams go in on one side, and what is left of them comes out on the other.

The air side and the ground side each have a port. A datagram that arrives on the air port goes through the downlink and leaves
from the ground port towards the ground's peer, and the other way round: both programs take the relay for the other one.
Who waits and who keeps the time is somebody else (`mission.channel_relay`, `mission.live.channel_service`).
"""

import heapq
import socket
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from mission.channel import Arrival, ChannelCounts
from mission.errors import RelayError
from mission.udp_port import MAX_DATAGRAM_BYTES, Address, address_of, bound_port

MAX_HELD_BYTES = 256 << 20
READS_PER_TURN = 64
"""Datagrams read from a port before what is due is sent."""
END_OF_TIME_MS = 1 << 62


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


class Medium(Protocol):
    """What a direction goes through: `mission.channel.Channel`, or one that changes from contact to contact."""

    @property
    def counts(self) -> ChannelCounts:
        """What it did so far."""

    @property
    def busy_until_ms(self) -> int:
        """When its transmitter falls idle."""

    def transmit(self, frame: bytes, now_ms: int) -> list[Arrival]:
        """What comes out, and when."""


class Peer(Protocol):
    """Who talks to a side of the relay."""

    @property
    def address(self) -> Address | None:
        """Where datagrams for it go; None while nobody knows."""

    def hears(self, sender: Address, now_ms: int) -> bool:
        """Whether a datagram from there is the peer's."""

    def close(self) -> None:
        """Gives back what it needed to find out."""


class FirstSender:
    """The peer is a given address, or else whoever sends first.

    Where it was found by its sending and has been silent for `silence_ms`, another that sends takes its place: a program that started
    again has another port. Without `silence_ms` it stays.
    """

    def __init__(self, address: Address | None = None, *, silence_ms: int | None = None) -> None:
        self.address = address
        self._silence_ms = None if address is not None else silence_ms
        self._heard_ms = 0

    def hears(self, sender: Address, now_ms: int) -> bool:
        """Whether a datagram from there is the peer's."""
        silent = self._silence_ms is not None and now_ms - self._heard_ms >= self._silence_ms
        if self.address is None or silent:
            self.address = sender
        if sender != self.address:
            return False
        self._heard_ms = now_ms
        return True

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(slots=True, kw_only=True)
class RelaySide:
    """A port of the relay and who talks to it."""

    port: socket.socket
    """Bound, never blocks."""
    peer: Peer
    """Who talks to it."""
    stranger: Address | None = None
    """The latest other who talked to it."""

    @property
    def address(self) -> Address:
        """Where the side sends to."""
        return address_of(self.port)


@dataclass(slots=True, kw_only=True)
class _Direction:
    """From one side to the other."""

    medium: Medium
    entry: RelaySide
    exit: RelaySide
    counts: DirectionCounts = field(default_factory=DirectionCounts)

    def counts_now(self) -> DirectionCounts:
        return replace(self.counts, channel=replace(self.medium.counts))


class DatagramRelay:
    """Two sides and what is on its way between them. Time is an argument, on any clock that does not go back."""

    def __init__(self, air: RelaySide, ground: RelaySide, *, down: Medium, up: Medium, queue_ms: int) -> None:
        """A datagram that would wait for its turn longer than `queue_ms` is dropped."""
        self.air = air
        self.ground = ground
        self._queue_ms = queue_ms
        self._down = _Direction(medium=down, entry=air, exit=ground)
        self._up = _Direction(medium=up, entry=ground, exit=air)
        self._inside: list[tuple[int, int, _Direction, bytes]] = []
        self._entered = 0
        self._held_bytes = 0

    @property
    def next_due_ms(self) -> int | None:
        """When the next datagram comes out, None where nothing is inside."""
        return self._inside[0][0] if self._inside else None

    def counts(self, *, seconds: float) -> RelayCounts:
        """What was done so far."""
        return RelayCounts(
            seconds=seconds,
            in_flight=len(self._inside),
            down=self._down.counts_now(),
            up=self._up.counts_now(),
        )

    def read(self, side: RelaySide, now_ms: int) -> None:
        """Takes the datagrams that wait at a side, at most `READS_PER_TURN`."""
        direction = self._down if side is self.air else self._up
        for _ in range(READS_PER_TURN):
            try:
                datagram, sender = side.port.recvfrom(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError:  # the network's answer to an earlier datagram: nobody listens there
                continue
            if side.peer.hears(sender, now_ms):
                self._send_through(direction, datagram, now_ms)
            else:
                side.stranger = sender
                direction.counts.strangers += 1

    def release_due(self, now_ms: int) -> None:
        """Hands over what has arrived by now."""
        while self._inside and self._inside[0][0] <= now_ms:
            _, _, direction, datagram = heapq.heappop(self._inside)
            self._held_bytes -= len(datagram)
            _deliver(direction, datagram)

    def close(self) -> None:
        """Gives the ports back; what is inside is lost."""
        for side in (self.air, self.ground):
            side.peer.close()
            side.port.close()

    def _send_through(self, direction: _Direction, datagram: bytes, now_ms: int) -> None:
        medium = direction.medium
        if medium.busy_until_ms - now_ms > self._queue_ms or self._held_bytes > MAX_HELD_BYTES:
            direction.counts.queue_dropped += 1
            return
        for arrival in medium.transmit(datagram, now_ms):
            self._entered += 1
            self._held_bytes += len(arrival.frame)
            heapq.heappush(self._inside, (arrival.at_ms, self._entered, direction, arrival.frame))


def relay_sides(air: Address, ground: Address, *, air_peer: Peer, ground_peer: Peer) -> tuple[RelaySide, RelaySide]:
    """Both sides, their ports bound. Raises RelayError where one cannot be had."""
    air_port = bound_port(air, name="air side")
    try:
        ground_port = bound_port(ground, name="ground side")
    except RelayError:
        air_port.close()
        raise
    return RelaySide(port=air_port, peer=air_peer), RelaySide(port=ground_port, peer=ground_peer)


def _deliver(direction: _Direction, datagram: bytes) -> None:
    receiver = direction.exit.peer.address
    try:
        if receiver is not None:
            direction.exit.port.sendto(datagram, receiver)
    except OSError:  # full, unreachable, forbidden or too long: the network loses datagrams, too
        receiver = None
    if receiver is None:
        direction.counts.undeliverable += 1
    else:
        direction.counts.delivered += 1
        direction.counts.delivered_bytes += len(datagram)
