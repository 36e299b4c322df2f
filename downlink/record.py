"""The record: one layer (or one mark) as bytes, on the link and in the stores of both ends alike.

    offset  bytes  field
    0       2      marker 0xEB 0x71
    2       1      kind (RecordKind)
    3       7      layer address: scene (4), product (2), step (1)
    10      4      payload length n
    14      n      payload
    14 + n  4      CRC-32 (IEEE 802.3) of everything before it

All numbers are big-endian. A reader that meets noise looks for the next marker whose record checks; it reports what
it passed over and never raises.
"""

import binascii
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from downlink.errors import RecordError
from downlink.products import LayerAddress

MARKER: Final = b"\xeb\x71"
HEADER: Final = struct.Struct(">2sB7sI")
CHECK_BYTES: Final = 4
OVERHEAD_BYTES: Final = HEADER.size + CHECK_BYTES
PAYLOAD_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""Longest payload written or read, so that a damaged length cannot make a reader wait for ever."""


class RecordKind(IntEnum):
    """What the payload is."""

    LAYER = 1
    """The bytes of a layer."""
    DELIVERED = 2
    """A mark without payload: the ground has acknowledged this layer."""
    EVICTED = 3
    """A mark without payload: this layer was given up to make room."""
    NOTE = 4
    """A store's own note as JSON; never travels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One layer, mark or note."""

    kind: RecordKind
    """What the payload is."""
    address: LayerAddress
    """The layer it speaks of."""
    payload: bytes = b""
    """Its bytes; empty for marks."""

    @property
    def size_bytes(self) -> int:
        return OVERHEAD_BYTES + len(self.payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordScan:
    """What a reader found in a stretch of bytes."""

    records: tuple[Record, ...]
    """Every whole record that checks, in order."""
    skipped_bytes: int
    """Noise passed over before `consumed`."""
    consumed: int
    """Bytes dealt with; the rest may be the beginning of a record that is still to come."""


def encode_record(record: Record) -> bytes:
    """The bytes of a record. Raises RecordError when the payload is too long."""
    if len(record.payload) > PAYLOAD_LIMIT_BYTES:
        raise RecordError(
            f"payload of {record.address} has {len(record.payload)} bytes, the limit is {PAYLOAD_LIMIT_BYTES}: code smaller blocks"
        )
    body = HEADER.pack(MARKER, record.kind, record.address.pack(), len(record.payload)) + record.payload
    return body + binascii.crc32(body).to_bytes(CHECK_BYTES, "big")


def scan_records(data: bytes, start: int = 0) -> RecordScan:
    """Find records in `data` from `start`. Incomplete bytes at the end are left for a later call."""
    records: list[Record] = []
    at, skipped = start, 0
    while True:
        found = data.find(MARKER, at)
        if found < 0:
            tail = 1 if data[at:].endswith(MARKER[:1]) else 0
            skipped += len(data) - tail - at
            at = len(data) - tail
            break
        skipped += found - at
        at = found
        if at + HEADER.size > len(data):
            break
        _, kind, address, length = HEADER.unpack_from(data, at)
        end = at + OVERHEAD_BYTES + length
        plausible = length <= PAYLOAD_LIMIT_BYTES and kind in RecordKind.__members__.values()
        if plausible and end > len(data):
            break
        body_end = end - CHECK_BYTES
        if plausible and binascii.crc32(data[at:body_end]) == int.from_bytes(data[body_end:end], "big"):
            payload = bytes(data[at + HEADER.size : body_end])
            records.append(Record(kind=RecordKind(kind), address=LayerAddress.unpack(address), payload=payload))
            at = end
        else:
            at += 1
            skipped += 1
    return RecordScan(records=tuple(records), skipped_bytes=skipped, consumed=at - start)
