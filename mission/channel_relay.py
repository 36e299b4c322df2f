"""A channel that does not change, as a UDP relay with a clock of its own: `tianshu channel --profile`.

One thread; time is kept in whole milliseconds, so a datagram may leave up to a millisecond early or late.
"""

import selectors
import socket
import time
from collections.abc import Callable

from mission.channel import Channel, ChannelSettings
from mission.datagram_relay import DatagramRelay, FirstSender, RelayCounts, relay_sides
from mission.streams import Streams
from mission.udp_port import Address

NS_PER_MS = 1_000_000


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
        streams = Streams(seed)
        air_side, ground_side = relay_sides(
            air, ground, air_peer=FirstSender(air_peer), ground_peer=FirstSender(ground_peer)
        )
        self._relay = DatagramRelay(
            air_side,
            ground_side,
            down=Channel(down, streams.generator("relay/down")),
            up=Channel(up, streams.generator("relay/up")),
            queue_ms=queue_ms,
        )
        self._waker, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for side in (air_side, ground_side):
            self._selector.register(side.port, selectors.EVENT_READ, side)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
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
        return self._relay.air.address

    @property
    def ground_address(self) -> Address:
        """Where the ground side sends to."""
        return self._relay.ground.address

    def counts(self) -> RelayCounts:
        """What was done so far."""
        return self._relay.counts(seconds=(self._now_ns() - self._began_ns) / 1e9)

    def run(self, duration_s: float | None = None) -> None:
        """Forwards for that long, or until `stop`."""
        end_ns = None if duration_s is None else self._now_ns() + round(duration_s * 1e9)
        while not self._stopped:
            now_ns = self._now_ns()
            if end_ns is not None and now_ns >= end_ns:
                return
            for key, _ in self._selector.select(self._wait_s(now_ns, end_ns)):
                if key.data is not None:
                    self._relay.read(key.data, self._now_ms())
            if self._relay.next_due_ms is not None:
                self._relay.release_due(self._now_ms())

    def stop(self) -> None:
        """Makes `run` return. May be called from a signal handler or another thread."""
        self._stopped = True
        self._waker.send(b"\0")

    def close(self) -> None:
        """Gives the ports back; what is inside is lost."""
        self._selector.close()
        self._relay.close()
        self._waker.close()
        self._woken.close()

    def _wait_s(self, now_ns: int, end_ns: int | None) -> float | None:
        """How long nothing has to be done, None for ever."""
        waits_ns = [] if end_ns is None else [end_ns - now_ns]
        due_ms = self._relay.next_due_ms
        if due_ms is not None and self._zero_ns is not None:
            waits_ns.append(self._zero_ns + due_ms * NS_PER_MS - now_ns)
        return max(0, min(waits_ns)) / 1e9 if waits_ns else None

    def _now_ms(self) -> int:
        now_ns = self._now_ns()
        if self._zero_ns is None:
            self._zero_ns = now_ns
        return (now_ns - self._zero_ns) // NS_PER_MS
