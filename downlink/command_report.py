"""The command report: what the satellite has executed, and what it has heard and refused since it started.

One in each packet of `Apid.COMMAND_REPORT`, 39 bytes: version 1 | last number 6 | eight counters of 4 bytes. Counters stay at
their largest value instead of wrapping.
"""

import struct
from dataclasses import astuple, dataclass
from typing import Final, Self

from downlink.command import MAX_NUMBER
from downlink.errors import CommandError

VERSION: Final = 1
MAX_COUNT: Final = (1 << 32) - 1
_COUNTS: Final = struct.Struct(">8I")
_NUMBER_BYTES: Final = 6
REPORT_BYTES: Final = 1 + _NUMBER_BYTES + _COUNTS.size


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkCounts:
    """Uplink frames by what became of them, then refused packets; since the satellite's computer started."""

    accepted: int = 0
    """Frames that were authentic and new."""
    damaged: int = 0
    """Frames truncated, oversized, or with a wrong check value."""
    foreign: int = 0
    """Intact frames of another spacecraft, virtual channel or format."""
    unknown_key: int = 0
    """Intact frames under a key index that is not good here."""
    forged: int = 0
    """Intact frames whose tag disagrees."""
    replayed: int = 0
    """Authentic frames whose number has been used, or is too old to tell."""
    unsaved: int = 0
    """Authentic frames and commands that could not be made durable."""
    malformed: int = 0
    """Packets of authentic frames that say nothing this satellite knows."""

    @property
    def refused(self) -> int:
        """Everything but the accepted."""
        return sum(astuple(self)) - self.accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandReport:
    """What one packet tells."""

    last_number: int
    """Every numbered command of the ground up to this one has been executed or stands behind a later one; 0: none yet."""
    counts: UplinkCounts
    """Of the uplink."""

    def encode(self) -> bytes:
        """39 bytes. Raises CommandError where the number does not fit."""
        if not 0 <= self.last_number <= MAX_NUMBER:
            raise CommandError(f"command number {self.last_number} does not fit 48 bits")
        counts = (min(count, MAX_COUNT) for count in astuple(self.counts))
        return bytes([VERSION]) + self.last_number.to_bytes(_NUMBER_BYTES, "big") + _COUNTS.pack(*counts)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Inverse of `encode`. Raises CommandError for anything else."""
        if len(data) != REPORT_BYTES or data[0] != VERSION:
            raise CommandError(
                f"{len(data)} bytes starting {data[:1].hex()} are no command report of version {VERSION}"
            )
        accepted, damaged, foreign, unknown_key, forged, replayed, unsaved, malformed = _COUNTS.unpack_from(
            data, 1 + _NUMBER_BYTES
        )
        counts = UplinkCounts(
            accepted=accepted,
            damaged=damaged,
            foreign=foreign,
            unknown_key=unknown_key,
            forged=forged,
            replayed=replayed,
            unsaved=unsaved,
            malformed=malformed,
        )
        return cls(last_number=int.from_bytes(data[1 : 1 + _NUMBER_BYTES], "big"), counts=counts)
