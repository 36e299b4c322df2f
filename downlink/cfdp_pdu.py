"""CFDP protocol data units (727.0-B-5, clause 5): what the two machines of a file delivery say to each other.

Towards the receiver: Metadata, FileData, EndOfFile, Prompt, Ack of Finished.
Towards the sender: Nak, Finished, KeepAlive, Ack of EndOfFile.
Every class has `encode() -> bytes`; `cfdp_decoding.decode_pdu` is their inverse.
"""

import binascii
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from downlink.cfdp_file_data import FileDataFormat
from downlink.cfdp_header import (
    ConditionCode,
    Direction,
    FileStatus,
    PduHeader,
    TransactionStatus,
)
from downlink.errors import CfdpPduError

ENTITY_ID_OPTION = 6
MAX_SEGMENT_METADATA_BYTES = 63


class DirectiveCode(IntEnum):
    """First byte of the data field of a file directive (727.0-B-5, table 5-4)."""

    EOF = 4
    FINISHED = 5
    ACK = 6
    METADATA = 7
    NAK = 8
    PROMPT = 9
    KEEP_ALIVE = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeLengthValue:
    """An option of a PDU, kept as it came (727.0-B-5, 5.1.9)."""

    type: int
    """kind of option, 0..255"""
    value: bytes
    """its content, at most 255 bytes"""

    def encode(self) -> bytes:
        """Type, length, value."""
        if not 0 <= self.type <= 255 or len(self.value) > 255:
            raise CfdpPduError(
                f"option of type {self.type} with {len(self.value)} bytes; type and length are one byte each"
            )
        return bytes((self.type, len(self.value))) + self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Opens a transaction: which file, under which name, how long (5.2.5)."""

    direction: ClassVar[Direction] = Direction.TOWARDS_RECEIVER
    header: PduHeader
    """transaction"""
    file_size_bytes: int
    """length of the file; 0 where it is empty or unbounded"""
    source_name: str
    """name at the source, at most 255 bytes of UTF-8"""
    destination_name: str
    """name at the destination, at most 255 bytes of UTF-8"""
    checksum_type: int = 0
    """number in the SANA registry of checksums, 0..15"""
    closure_requested: bool = False
    """class 1 only: whether the source waits for a Finished PDU"""
    options: tuple[TypeLengthValue, ...] = ()
    """messages to the user, filestore requests and the like, kept as they came"""

    def encode(self) -> bytes:
        """The PDU as bytes."""
        parameters = (
            bytes((self.closure_requested << 6 | _four_bits(self.checksum_type, "checksum type"),))
            + _offset(self.header, self.file_size_bytes)
            + _length_value(self.source_name)
            + _length_value(self.destination_name)
            + b"".join(option.encode() for option in self.options)
        )
        return _directive(self.header, self.direction, DirectiveCode.METADATA, parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileData:
    """A segment of the file (5.3)."""

    direction: ClassVar[Direction] = Direction.TOWARDS_RECEIVER
    header: PduHeader
    """transaction"""
    offset: int
    """place of the first byte in the file"""
    data: bytes
    """the bytes"""
    segment_metadata: bytes | None = None
    """at most 63 bytes that describe the segment"""
    record_continuation: int = 0
    """place of the segment in a record, 0..3, where there is segment metadata"""

    def encode(self) -> bytes:
        """The PDU as bytes."""
        if self.segment_metadata is None:
            return FileDataFormat(self.header).encode(self.offset, self.data)
        if len(self.segment_metadata) > MAX_SEGMENT_METADATA_BYTES or not 0 <= self.record_continuation <= 3:
            raise CfdpPduError(
                f"segment metadata of {len(self.segment_metadata)} bytes; at most {MAX_SEGMENT_METADATA_BYTES} fit"
            )
        described = bytes((self.record_continuation << 6 | len(self.segment_metadata),)) + self.segment_metadata
        body = described + _offset(self.header, self.offset) + self.data
        length = len(body) + self.header.crc_bytes
        start = self.header.encode(self.direction, length, file_data=True, segment_metadata=True)
        return _with_crc(self.header, start + body)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOfFile:
    """All of the file has been sent once, or the source gives up (5.2.2)."""

    direction: ClassVar[Direction] = Direction.TOWARDS_RECEIVER
    header: PduHeader
    """transaction"""
    condition: ConditionCode
    """NO_ERROR, or why the source gives up"""
    checksum: int
    """checksum of the file, 32 bits"""
    file_size_bytes: int
    """length of the file; of what was sent, where the source gives up"""
    fault_entity_id: int | None = None
    """entity at which the fault arose"""

    def encode(self) -> bytes:
        """The PDU as bytes."""
        if not 0 <= self.checksum <= 0xFFFFFFFF:
            raise CfdpPduError(f"checksum {self.checksum} does not fit 32 bits")
        parameters = (
            bytes((self.condition << 4,))
            + self.checksum.to_bytes(4)
            + _offset(self.header, self.file_size_bytes)
            + _fault_location(self.header, self.fault_entity_id)
        )
        return _directive(self.header, self.direction, DirectiveCode.EOF, parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The receiver's last word on the transaction (5.2.3)."""

    direction: ClassVar[Direction] = Direction.TOWARDS_SENDER
    header: PduHeader
    """transaction"""
    condition: ConditionCode
    """NO_ERROR, or why it failed"""
    complete: bool
    """whether all of the file arrived"""
    file_status: FileStatus
    """what became of the file"""
    filestore_responses: tuple[TypeLengthValue, ...] = ()
    """answers to filestore requests, kept as they came"""
    fault_entity_id: int | None = None
    """entity at which the fault arose"""

    def encode(self) -> bytes:
        """The PDU as bytes."""
        parameters = (
            bytes((self.condition << 4 | (not self.complete) << 2 | self.file_status,))
            + b"".join(response.encode() for response in self.filestore_responses)
            + _fault_location(self.header, self.fault_entity_id)
        )
        return _directive(self.header, self.direction, DirectiveCode.FINISHED, parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """An EndOfFile or Finished PDU has arrived (5.2.4). Its direction follows from what it acknowledges."""

    header: PduHeader
    """transaction"""
    acknowledged: DirectiveCode
    """EOF or FINISHED"""
    condition: ConditionCode
    """condition of the acknowledged PDU"""
    status: TransactionStatus
    """what the sender of this PDU knows of the transaction"""

    @property
    def direction(self) -> Direction:
        """Towards the sender for an EOF, towards the receiver for a Finished."""
        return Direction.TOWARDS_SENDER if self.acknowledged is DirectiveCode.EOF else Direction.TOWARDS_RECEIVER

    def encode(self) -> bytes:
        """The PDU as bytes."""
        if self.acknowledged not in (DirectiveCode.EOF, DirectiveCode.FINISHED):
            raise CfdpPduError(f"{self.acknowledged.name} PDUs are not acknowledged; only EOF and FINISHED are")
        subtype = 1 if self.acknowledged is DirectiveCode.FINISHED else 0
        parameters = bytes((self.acknowledged << 4 | subtype, self.condition << 4 | self.status))
        return _directive(self.header, self.direction, DirectiveCode.ACK, parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nak:
    """What the receiver is missing (5.2.6)."""

    direction: ClassVar[Direction] = Direction.TOWARDS_SENDER
    header: PduHeader
    """transaction"""
    scope_start: int
    """first byte that this PDU speaks of"""
    scope_end: int
    """byte after the last one that this PDU speaks of"""
    requests: tuple[tuple[int, int], ...]
    """half-open byte ranges that are missing; (0, 0) asks for the Metadata PDU"""

    def encode(self) -> bytes:
        """The PDU as bytes."""
        numbers = [self.scope_start, self.scope_end, *(edge for request in self.requests for edge in request)]
        try:
            parameters = struct.pack(f">{len(numbers)}{'Q' if self.header.large_file else 'I'}", *numbers)
        except struct.error:
            raise CfdpPduError(
                f"NAK of scope {self.scope_start}..{self.scope_end} does not fit its offset fields"
            ) from None
        return _directive(self.header, self.direction, DirectiveCode.NAK, parameters)

    @staticmethod
    def max_requests(header: PduHeader, max_pdu_bytes: int) -> int:
        """How many ranges fit a NAK of `max_pdu_bytes`, at least 1."""
        free = max_pdu_bytes - header.encoded_bytes - 1 - header.crc_bytes - 2 * header.offset_bytes
        return max(1, free // (2 * header.offset_bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The source asks for a NAK or for a KeepAlive at once (5.2.7)."""

    direction: ClassVar[Direction] = Direction.TOWARDS_RECEIVER
    header: PduHeader
    """transaction"""
    keep_alive: bool
    """asks for a KeepAlive; otherwise for a NAK"""

    def encode(self) -> bytes:
        """The PDU as bytes."""
        return _directive(self.header, self.direction, DirectiveCode.PROMPT, bytes((self.keep_alive << 7,)))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAlive:
    """How far the receiver has come (5.2.8)."""

    direction: ClassVar[Direction] = Direction.TOWARDS_SENDER
    header: PduHeader
    """transaction"""
    progress: int
    """end of the furthest byte received"""

    def encode(self) -> bytes:
        """The PDU as bytes."""
        return _directive(self.header, self.direction, DirectiveCode.KEEP_ALIVE, _offset(self.header, self.progress))


Pdu = Metadata | FileData | EndOfFile | Finished | Ack | Nak | Prompt | KeepAlive


def max_segment_bytes(header: PduHeader, max_pdu_bytes: int) -> int:
    """File bytes that fit a FileData PDU of `max_pdu_bytes`. Raises CfdpPduError when none do."""
    segment = max_pdu_bytes - header.encoded_bytes - header.offset_bytes - header.crc_bytes
    if segment < 1:
        raise CfdpPduError(
            f"PDUs of {max_pdu_bytes} bytes leave no room for file data; allow at least {max_pdu_bytes - segment + 1}"
        )
    return segment


def _directive(header: PduHeader, direction: Direction, code: DirectiveCode, parameters: bytes) -> bytes:
    start = header.encode(direction, 1 + len(parameters) + header.crc_bytes, file_data=False)
    return _with_crc(header, start + bytes((code,)) + parameters)


def _with_crc(header: PduHeader, pdu: bytes) -> bytes:
    return pdu + binascii.crc_hqx(pdu, 0xFFFF).to_bytes(2) if header.with_crc else pdu


def _offset(header: PduHeader, value: int) -> bytes:
    try:
        return value.to_bytes(header.offset_bytes)
    except OverflowError:
        raise CfdpPduError(f"offset or size {value} does not fit {header.offset_bytes} bytes; set large_file") from None


def _four_bits(value: int, what: str) -> int:
    if not 0 <= value <= 0xF:
        raise CfdpPduError(f"{what} {value} does not fit 4 bits")
    return value


def _length_value(text: str) -> bytes:
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError:
        raise CfdpPduError(f"file name {text[:40]!r} cannot be written as UTF-8") from None
    if len(encoded) > 255:
        raise CfdpPduError(f"file name of {len(encoded)} bytes ({text[:40]!r}...); at most 255 fit")
    return bytes((len(encoded),)) + encoded


def _fault_location(header: PduHeader, entity_id: int | None) -> bytes:
    if entity_id is None:
        return b""
    try:
        value = entity_id.to_bytes(header.entity_id_bytes)
    except OverflowError:
        raise CfdpPduError(f"fault entity id {entity_id} does not fit {header.entity_id_bytes} bytes") from None
    return TypeLengthValue(type=ENTITY_ID_OPTION, value=value).encode()
