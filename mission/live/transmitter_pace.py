"""When a transmitter that carries a contact's rate is free, exactly: as `mission.channel.Channel` reckons it in virtual time."""

import math
from bisect import bisect_right
from typing import Literal

from downlink.contact import Contact

Direction = Literal["down", "up"]
"""`down`: the satellite's transmitter. `up`: the station's."""


class TransmitterPace:
    """One transmitter during one contact. What holds when a frame begins holds until its last bit."""

    def __init__(self, contact: Contact, direction: Direction) -> None:
        """Raises ValueError for the uplink of a contact that has none."""
        steps = contact.rates if direction == "down" else ()
        rate_bps = contact.downlink_bps if direction == "down" else contact.uplink_bps
        if rate_bps < 1:
            raise ValueError(f"contact {contact.contact_id} over {contact.station} has no uplink")
        ordinary = [rate_bps, *(step.downlink_bps for step in steps)]
        robust = [rate_bps, *(step.robust_bps or step.downlink_bps for step in steps)]
        self._starts_ms = [step.from_ms for step in steps]
        self._ticks_per_ms = math.lcm(*ordinary, *robust)
        """At this many ticks in a millisecond a byte at any of the rates takes a whole number of them."""
        self._ordinary = [8000 * (self._ticks_per_ms // each) for each in ordinary]
        self._robust = [8000 * (self._ticks_per_ms // each) for each in robust]
        self._busy_until = 0

    @property
    def busy_until_ms(self) -> int:
        """Time from which a frame waits less than a millisecond."""
        return self._busy_until // self._ticks_per_ms

    def departure_ms(self, size_bytes: int, now_ms: int, *, robust: bool = False) -> int:
        """When the last bit of a frame that is given now leaves, rounded up."""
        return -(-self._end(size_bytes, now_ms, robust) // self._ticks_per_ms)

    def occupy(self, size_bytes: int, now_ms: int, *, robust: bool = False) -> None:
        """A frame is given now."""
        self._busy_until = self._end(size_bytes, now_ms, robust)

    def _end(self, size_bytes: int, now_ms: int, robust: bool) -> int:
        start = max(self._busy_until, now_ms * self._ticks_per_ms)
        ticks_per_byte = self._robust if robust else self._ordinary
        step = bisect_right(self._starts_ms, start // self._ticks_per_ms)
        return start + size_bytes * ticks_per_byte[step]
