"""The fixed header of every CFDP PDU (727.0-B-5, 5.1), and the codes that PDUs carry."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from downlink.errors import CfdpPduError

_FIXED = struct.Struct(">BHB")
_VERSION = 1


class Direction(IntEnum):
    """Which machine a PDU is for."""

    TOWARDS_RECEIVER = 0
    TOWARDS_SENDER = 1


class ConditionCode(IntEnum):
    """Why a transaction ended, or what is wrong with it (727.0-B-5, table 5-5)."""

    NO_ERROR = 0
    POSITIVE_ACK_LIMIT_REACHED = 1
    KEEP_ALIVE_LIMIT_REACHED = 2
    INVALID_TRANSMISSION_MODE = 3
    FILESTORE_REJECTION = 4
    FILE_CHECKSUM_FAILURE = 5
    FILE_SIZE_ERROR = 6
    NAK_LIMIT_REACHED = 7
    INACTIVITY_DETECTED = 8
    INVALID_FILE_STRUCTURE = 9
    CHECK_LIMIT_REACHED = 10
    UNSUPPORTED_CHECKSUM_TYPE = 11
    SUSPEND_REQUEST_RECEIVED = 14
    CANCEL_REQUEST_RECEIVED = 15


class FileStatus(IntEnum):
    """What became of the file at the destination (727.0-B-5, table 5-7)."""

    DISCARDED = 0
    REJECTED_BY_FILESTORE = 1
    RETAINED = 2
    UNREPORTED = 3


class TransactionStatus(IntEnum):
    """What the sender of an ACK knows of the transaction (727.0-B-5, table 5-8)."""

    UNDEFINED = 0
    ACTIVE = 1
    TERMINATED = 2
    UNRECOGNIZED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PduHeader:
    """What all PDUs of one transaction share. The direction and the length follow from the PDU that is encoded."""

    source_entity_id: int
    """entity that sends the file"""
    destination_entity_id: int
    """entity that receives it"""
    transaction_seq: int
    """number of the transaction at its source"""
    entity_id_bytes: int = 2
    """length of each entity id, 1..8"""
    transaction_seq_bytes: int = 4
    """length of the sequence number, 1..8"""
    unacknowledged: bool = False
    """class 1 (no acknowledgement) instead of class 2"""
    with_crc: bool = False
    """whether each PDU ends in a CRC-16"""
    large_file: bool = False
    """offsets and sizes of 64 bits instead of 32"""

    def __post_init__(self) -> None:
        if not 1 <= self.entity_id_bytes <= 8 or not 1 <= self.transaction_seq_bytes <= 8:
            raise CfdpPduError(
                f"entity ids of {self.entity_id_bytes} and sequence numbers of {self.transaction_seq_bytes} bytes; use 1..8"
            )
        entity_limit = 1 << 8 * self.entity_id_bytes
        if not 0 <= self.source_entity_id < entity_limit or not 0 <= self.destination_entity_id < entity_limit:
            raise CfdpPduError(
                f"entity ids {self.source_entity_id} and {self.destination_entity_id} do not fit {self.entity_id_bytes} bytes"
            )
        if not 0 <= self.transaction_seq < 1 << 8 * self.transaction_seq_bytes:
            raise CfdpPduError(
                f"sequence number {self.transaction_seq} does not fit {self.transaction_seq_bytes} bytes"
            )

    @property
    def encoded_bytes(self) -> int:
        """Length of the header on the link."""
        return _FIXED.size + 2 * self.entity_id_bytes + self.transaction_seq_bytes

    @property
    def offset_bytes(self) -> int:
        """Length of an offset or a file size on the link."""
        return 8 if self.large_file else 4

    @property
    def crc_bytes(self) -> int:
        """Length of the check value at the end of each PDU."""
        return 2 if self.with_crc else 0

    @property
    def identity(self) -> bytes:
        """Source id, sequence number and destination id, as they stand in the header."""
        return (
            self.source_entity_id.to_bytes(self.entity_id_bytes)
            + self.transaction_seq.to_bytes(self.transaction_seq_bytes)
            + self.destination_entity_id.to_bytes(self.entity_id_bytes)
        )

    def encode(
        self, direction: Direction, data_field_bytes: int, *, file_data: bool, segment_metadata: bool = False
    ) -> bytes:
        """The header of a PDU whose data field (with the CRC, if any) is `data_field_bytes` long, at most 65535."""
        if data_field_bytes > 0xFFFF:
            raise CfdpPduError(f"PDU data field of {data_field_bytes} bytes; at most 65535 fit, send shorter segments")
        first = (
            _VERSION << 5
            | file_data << 4
            | direction << 3
            | self.unacknowledged << 2
            | self.with_crc << 1
            | self.large_file
        )
        lengths = (self.entity_id_bytes - 1) << 4 | segment_metadata << 3 | (self.transaction_seq_bytes - 1)
        return _FIXED.pack(first, data_field_bytes, lengths) + self.identity


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedHeader:
    """A header as read from bytes."""

    header: PduHeader
    """what all PDUs of the transaction share"""
    direction: Direction
    """which machine the PDU is for"""
    file_data: bool
    """a segment of the file, not a directive"""
    segment_metadata: bool
    """whether a file data PDU carries segment metadata"""
    data_field_bytes: int
    """announced length of what follows, CRC included"""


def decode_header(data: bytes) -> ReceivedHeader:
    """The header that `data` begins with. Raises CfdpPduError when it cannot be one."""
    if len(data) < _FIXED.size:
        raise CfdpPduError(f"{len(data)} bytes are too few for a PDU header")
    first, data_field_bytes, lengths = _FIXED.unpack_from(data)
    if first >> 5 != _VERSION:
        raise CfdpPduError(f"PDU version {first >> 5} is not {_VERSION} (727.0-B-5)")
    entity_bytes, seq_bytes = (lengths >> 4 & 7) + 1, (lengths & 7) + 1
    end = _FIXED.size + 2 * entity_bytes + seq_bytes
    if len(data) < end:
        raise CfdpPduError(f"{len(data)} bytes are too few for a PDU header of {end}")
    return ReceivedHeader(
        header=_shared_header(first & 7, entity_bytes, seq_bytes, bytes(data[_FIXED.size : end])),
        direction=Direction(first >> 3 & 1),
        file_data=bool(first & 0x10),
        segment_metadata=bool(lengths & 8),
        data_field_bytes=data_field_bytes,
    )


# All PDUs of a transaction have the same header but for direction and length, so few are made anew.
@lru_cache(maxsize=1024)
def _shared_header(flags: int, entity_bytes: int, seq_bytes: int, identity: bytes) -> PduHeader:
    destination_start = entity_bytes + seq_bytes
    return PduHeader(
        source_entity_id=int.from_bytes(identity[:entity_bytes]),
        destination_entity_id=int.from_bytes(identity[destination_start:]),
        transaction_seq=int.from_bytes(identity[entity_bytes:destination_start]),
        entity_id_bytes=entity_bytes,
        transaction_seq_bytes=seq_bytes,
        unacknowledged=bool(flags & 4),
        with_crc=bool(flags & 2),
        large_file=bool(flags & 1),
    )
