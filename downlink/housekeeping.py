"""Housekeeping: how the satellite is, as it says itself.

One in each packet of `Apid.HOUSEKEEPING`, 100 bytes, big-endian:

    version 1 | flags 1 | time 6 | boot 4 | uptime 4 | charge 2 | cap 4 | compute 4 | temperature 2 |
    layers captured, delivered, queued, evicted 4 each | their bytes 6 each | delivered digest 8 |
    scenes waiting 2, done 4, rejected 4 | open files 2 | refused frames 4 | tag 8

Counts stay at their largest value instead of wrapping. What a satellite cannot measure has a code of its own and is None here. The tag
(`downlink.report_tag`) is the satellite's: the downlink is not authenticated otherwise, and a false report from the future would hide
every true one.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from downlink.errors import HousekeepingError
from downlink.frame_security import SecurityAssociation
from downlink.layer_digest import DIGEST_BYTES
from downlink.report_tag import TAG_BYTES, is_tagged, report_tag

VERSION: Final = 1
HOUSEKEEPING_BYTES: Final = 100

_BODY: Final = struct.Struct(">BB6sIIHIIh4I6s6s6s6s8sHIIHI")
_PURPOSE: Final = b"tianshu housekeeping 1"
_NO_CHARGE: Final = 0xFFFF
_NO_POWER: Final = 0xFFFF_FFFF
_NO_TEMPERATURE: Final = -0x8000
_COMPUTING: Final = 1
_WAITING_FOR_POWER: Final = 2
_DISK_FULL: Final = 4
_FLAGS: Final = _COMPUTING | _WAITING_FOR_POWER | _DISK_FULL


@dataclass(frozen=True, slots=True, kw_only=True)
class Housekeeping:
    """What one packet tells."""

    at_ms: int
    """When it was taken, by the clock on board, Unix milliseconds, 48 bits."""
    boot: int
    """How often the computer has started."""
    uptime_s: int
    """Seconds since it last did."""
    charge_permille: int | None = None
    """Charge of the battery; None: not known."""
    cap_mw: int | None = None
    """Power that the computer may take; None: not known, or no limit."""
    compute_mw: int | None = None
    """Power that it takes for work on scenes; None: not measured."""
    temperature_decicelsius: int | None = None
    """Temperature of the computer in tenths of a degree; None: not measured."""
    captured_layers: int = 0
    """Ever accepted by the store."""
    captured_bytes: int = 0
    """Of those."""
    delivered_layers: int = 0
    """Acknowledged by the ground."""
    delivered_bytes: int = 0
    """Of those."""
    queued_layers: int = 0
    """Waiting."""
    queued_bytes: int = 0
    """Of those."""
    evicted_layers: int = 0
    """Given up to make room."""
    evicted_bytes: int = 0
    """Of those."""
    delivered_digest: bytes = bytes(DIGEST_BYTES)
    """`layer_digest` of the delivered layers."""
    scenes_waiting: int = 0
    """In the spool."""
    scenes_done: int = 0
    """Made into layers."""
    scenes_rejected: int = 0
    """That could not be."""
    open_files: int = 0
    """That the ground has not acknowledged."""
    refused_frames: int = 0
    """Heard since the start, and not believed."""
    computing: bool = False
    """A scene is in work."""
    waiting_for_power: bool = False
    """Work waits for power or for cooling."""
    disk_full: bool = False
    """The store cannot keep what it is given."""

    def encode(self, association: SecurityAssociation) -> bytes:
        """100 bytes, under a key of the uplink. Raises HousekeepingError for a time or a digest that does not fit."""
        if not 0 <= self.at_ms < 1 << 48 or len(self.delivered_digest) != DIGEST_BYTES:
            raise HousekeepingError(
                f"time {self.at_ms} ms and a digest of {len(self.delivered_digest)} bytes do not fit 48 bits and {DIGEST_BYTES} bytes"
            )
        flags = _COMPUTING * self.computing | _WAITING_FOR_POWER * self.waiting_for_power | _DISK_FULL * self.disk_full
        layers = (self.captured_layers, self.delivered_layers, self.queued_layers, self.evicted_layers)
        layer_bytes = (self.captured_bytes, self.delivered_bytes, self.queued_bytes, self.evicted_bytes)
        body = _BODY.pack(
            VERSION,
            flags,
            self.at_ms.to_bytes(6, "big"),
            _within(self.boot, 32),
            _within(self.uptime_s, 32),
            _NO_CHARGE if self.charge_permille is None else min(_within(self.charge_permille, 16), _NO_CHARGE - 1),
            _NO_POWER if self.cap_mw is None else min(_within(self.cap_mw, 32), _NO_POWER - 1),
            _NO_POWER if self.compute_mw is None else min(_within(self.compute_mw, 32), _NO_POWER - 1),
            _NO_TEMPERATURE
            if self.temperature_decicelsius is None
            else max(_NO_TEMPERATURE + 1, min(self.temperature_decicelsius, 0x7FFF)),
            *(_within(count, 32) for count in layers),
            *(_within(size, 48).to_bytes(6, "big") for size in layer_bytes),
            self.delivered_digest,
            _within(self.scenes_waiting, 16),
            _within(self.scenes_done, 32),
            _within(self.scenes_rejected, 32),
            _within(self.open_files, 16),
            _within(self.refused_frames, 32),
        )
        return body + report_tag(_PURPOSE, body, association)

    @classmethod
    def decode(cls, data: bytes, associations: Iterable[SecurityAssociation]) -> Self:
        """Inverse of `encode`, under any of the keys. Raises HousekeepingError for anything else."""
        if len(data) != HOUSEKEEPING_BYTES or data[0] != VERSION or data[1] & ~_FLAGS:
            raise HousekeepingError(
                f"{len(data)} bytes starting {data[:2].hex()} are no housekeeping of version {VERSION}"
            )
        if not is_tagged(_PURPOSE, data, associations):
            raise HousekeepingError("the tag of housekeeping disagrees: it does not come from our satellite")
        fields = _BODY.unpack(data[:-TAG_BYTES])
        _, flags, at, boot, uptime_s, charge, cap, compute, temperature = fields[:9]
        captured, delivered, queued, evicted, *layer_bytes = fields[9:17]
        digest, waiting, done, rejected, open_files, refused = fields[17:]
        captured_bytes, delivered_bytes, queued_bytes, evicted_bytes = (
            int.from_bytes(size, "big") for size in layer_bytes
        )
        return cls(
            at_ms=int.from_bytes(at, "big"),
            boot=boot,
            uptime_s=uptime_s,
            charge_permille=None if charge == _NO_CHARGE else charge,
            cap_mw=None if cap == _NO_POWER else cap,
            compute_mw=None if compute == _NO_POWER else compute,
            temperature_decicelsius=None if temperature == _NO_TEMPERATURE else temperature,
            captured_layers=captured,
            captured_bytes=captured_bytes,
            delivered_layers=delivered,
            delivered_bytes=delivered_bytes,
            queued_layers=queued,
            queued_bytes=queued_bytes,
            evicted_layers=evicted,
            evicted_bytes=evicted_bytes,
            delivered_digest=digest,
            scenes_waiting=waiting,
            scenes_done=done,
            scenes_rejected=rejected,
            open_files=open_files,
            refused_frames=refused,
            computing=bool(flags & _COMPUTING),
            waiting_for_power=bool(flags & _WAITING_FOR_POWER),
            disk_full=bool(flags & _DISK_FULL),
        )

    def is_newer_than(self, other: "Housekeeping") -> bool:
        """Whether it tells of a later state: by the clock, by the count of starts, or by the time since the last.

        Any of them may have gone back on board, with a clock put right or a disk replaced; a report that is heard late or
        again is ahead in none.
        """
        later_start = self.boot > other.boot
        same_start_later = self.boot == other.boot and self.uptime_s > other.uptime_s
        return self.at_ms > other.at_ms or later_start or same_start_later


def _within(count: int, bits: int) -> int:
    return max(0, min(count, (1 << bits) - 1))
