"""The command report: what the satellite has executed, and what it has heard and refused since it started.

One in each packet of `Apid.COMMAND_REPORT`, 39 bytes:

    version 1 | last number 6 | eight counters of 3 | tag 8

Counters stay at their largest value instead of wrapping. The tag is the first 8 bytes of HMAC-SHA-256 over all before it, under a key
derived from the uplink key, so that nobody else can make the ground believe that a command has been executed. An old report that is
heard again does no harm: what it acknowledges has been executed.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Final, Self

from downlink.command import MAX_NUMBER
from downlink.errors import CommandError
from downlink.frame_security import SecurityAssociation
from downlink.report_tag import TAG_BYTES, is_tagged, report_tag

VERSION: Final = 1
MAX_COUNT: Final = (1 << 24) - 1
REPORT_BYTES: Final = 39

_NUMBER_BYTES: Final = 6
_COUNT_BYTES: Final = 3
_PURPOSE: Final = b"tianshu command report 1"


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
        unread = self.damaged + self.foreign + self.unknown_key + self.forged + self.replayed
        return unread + self.unsaved + self.malformed


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandReport:
    """What one packet tells."""

    last_number: int
    """Number of the last command executed, and so were those that it came after; 0: none yet."""
    counts: UplinkCounts
    """Of the uplink."""

    def encode(self, association: SecurityAssociation) -> bytes:
        """39 bytes, under a key of the uplink. Raises CommandError where the number does not fit."""
        if not 0 <= self.last_number <= MAX_NUMBER:
            raise CommandError(f"command number {self.last_number} does not fit 48 bits")
        body = bytes([VERSION]) + self.last_number.to_bytes(_NUMBER_BYTES, "big")
        body += b"".join(min(count, MAX_COUNT).to_bytes(_COUNT_BYTES, "big") for count in astuple(self.counts))
        return body + report_tag(_PURPOSE, body, association)

    @classmethod
    def decode(cls, data: bytes, associations: Iterable[SecurityAssociation]) -> Self:
        """Inverse of `encode`, under any of the keys. Raises CommandError for anything else."""
        if len(data) != REPORT_BYTES or data[0] != VERSION:
            raise CommandError(
                f"{len(data)} bytes starting {data[:1].hex()} are no command report of version {VERSION}"
            )
        if not is_tagged(_PURPOSE, data, associations):
            raise CommandError("the tag of a command report disagrees: it does not come from our satellite")
        body = data[:-TAG_BYTES]
        counts = (
            int.from_bytes(body[at : at + _COUNT_BYTES], "big")
            for at in range(1 + _NUMBER_BYTES, len(body), _COUNT_BYTES)
        )
        names = UplinkCounts.__dataclass_fields__
        return cls(
            last_number=int.from_bytes(body[1 : 1 + _NUMBER_BYTES], "big"),
            counts=UplinkCounts(**dict(zip(names, counts, strict=True))),
        )
