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

CHECKED_IN_VAIN_LIMIT: Final = 8
"""Check values that disagree are computed over so many times the length of the data and one longest payload. Noise that is full of
the headers of long records would otherwise cost the square of its length."""
ALWAYS_CHECKED_BYTES: Final = 4096
"""Records up to this length are looked for even beyond that limit."""


class RecordKind(IntEnum):
    """What the payload is."""

    LAYER = 1
    """The bytes of a layer."""
    DELIVERED = 2
    """A mark: the ground has acknowledged this layer. The payload is its size, 8 bytes."""
    EVICTED = 3
    """A mark: this layer was given up to make room. The payload is its size, 8 bytes."""
    NOTE = 4
    """A store's own note as JSON; never travels."""
    FILE = 5
    """A store's own note on the file delivery transaction whose number stands in the scene field; never travels. On board:
    the addresses of the layers in an open file, nothing once it is over. On the ground: an empty payload, once it is complete."""
    ERASURE_STATE = 6
    """A store's own note: the state of the erasure sender between passes; never travels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One layer, mark or note."""

    kind: RecordKind
    """What the payload is."""
    address: LayerAddress
    """The layer it speaks of."""
    payload: bytes = b""
    """Its bytes."""

    @property
    def size_bytes(self) -> int:
        return OVERHEAD_BYTES + len(self.payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordScan:
    """What a reader found in a stretch of bytes."""

    records: tuple[Record, ...]
    """Every whole record that checks, in order."""
    offsets: tuple[int, ...]
    """Where each of them begins in the data."""
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


def scan_records(data: bytes, start: int = 0, *, final: bool = False) -> RecordScan:
    """Find records in `data` from `start`. Incomplete bytes at the end are left for a later call.

    `final` says that no more bytes will come: what looks like the beginning of a longer record is then looked behind, so that
    a damaged length hides none of the records after it, and everything is consumed.
    """
    records: list[Record] = []
    offsets: list[int] = []
    at, skipped, view = start, 0, memoryview(data)
    patience_bytes = CHECKED_IN_VAIN_LIMIT * len(data) + PAYLOAD_LIMIT_BYTES
    while (found := data.find(MARKER, at)) >= 0:
        skipped += found - at
        at = found
        size_bytes = _declared_bytes(data, at)
        if size_bytes is not None and at + size_bytes > len(data) and not final:
            return RecordScan(
                records=tuple(records), offsets=tuple(offsets), skipped_bytes=skipped, consumed=at - start
            )
        record = None
        if size_bytes is not None and (size_bytes <= ALWAYS_CHECKED_BYTES or patience_bytes > 0):
            record = _checked_record(view[at : at + size_bytes])
        if record is None:
            at, skipped = at + 1, skipped + 1
            patience_bytes -= min(size_bytes or 0, len(data) - at)
        else:
            records.append(record)
            offsets.append(at)
            at += record.size_bytes
    # The last byte may be the first of a marker.
    end = len(data) - (not final and data.endswith(MARKER[:1], at))
    return RecordScan(
        records=tuple(records), offsets=tuple(offsets), skipped_bytes=skipped + end - at, consumed=end - start
    )


def bytes_after_header(header: bytes) -> int:
    """How many bytes of a record follow its header; none where `header` is none."""
    size_bytes = _declared_bytes(header, 0) if header.startswith(MARKER) else None
    return 0 if size_bytes is None else size_bytes - HEADER.size


def record_at(data: bytes) -> Record | None:
    """The record that begins with the first byte of `data`, None where there is none or it is cut or damaged."""
    size_bytes = _declared_bytes(data, 0) if data.startswith(MARKER) else None
    return None if size_bytes is None else _checked_record(memoryview(data)[:size_bytes])


def _declared_bytes(data: bytes, at: int) -> int | None:
    """How long the record at `at` says it is, at least one header; None where no record can say that."""
    if at + HEADER.size > len(data):
        return OVERHEAD_BYTES
    _, kind, _, length = HEADER.unpack_from(data, at)
    plausible = length <= PAYLOAD_LIMIT_BYTES and kind in RecordKind.__members__.values()
    return OVERHEAD_BYTES + length if plausible else None


def _checked_record(data: memoryview) -> Record | None:
    """The record that `data` is, None where it is cut or its checksum disagrees."""
    body, check = data[:-CHECK_BYTES], data[-CHECK_BYTES:]
    if len(data) < OVERHEAD_BYTES or binascii.crc32(body) != int.from_bytes(check, "big"):
        return None
    _, kind, address, length = HEADER.unpack_from(body)
    if len(data) != OVERHEAD_BYTES + length:
        return None
    return Record(kind=RecordKind(kind), address=LayerAddress.unpack(address), payload=bytes(body[HEADER.size :]))
