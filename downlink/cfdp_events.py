"""What the file delivery machines tell their user."""

from dataclasses import dataclass
from typing import NamedTuple

from downlink.cfdp_header import ConditionCode, FileStatus
from downlink.file_ports import FileSink


class TransactionId(NamedTuple):
    """A file transaction, unique among all entities."""

    source_entity_id: int
    """entity that sends the file"""
    transaction_seq: int
    """its number there"""


@dataclass(slots=True, kw_only=True)
class SourceStatistics:
    """What one transaction has cost its source so far."""

    new_bytes: int = 0
    """file bytes sent for the first time"""
    retransmitted_bytes: int = 0
    """file bytes sent again"""
    pdus: int = 0
    """PDUs sent, of every kind"""
    pdu_bytes: int = 0
    """bytes of those PDUs, headers included"""
    eofs: int = 0
    """EndOfFile PDUs among them"""
    naks_received: int = 0
    """NAK PDUs from the destination"""


@dataclass(slots=True, kw_only=True)
class DestinationStatistics:
    """What one transaction has cost its destination so far."""

    new_bytes: int = 0
    """file bytes received for the first time"""
    duplicate_bytes: int = 0
    """file bytes received again"""
    naks: int = 0
    """NAK PDUs sent"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PduRefused:
    """A PDU was not taken: damaged, for somebody else, from a stranger, or beyond a limit."""

    reason: str
    """what was wrong with it"""
    transaction: TransactionId | None = None
    """its transaction, where it could be read"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionFinished:
    """Source: the transaction is over, and its file bytes are needed no more."""

    transaction: TransactionId
    """which one"""
    delivered: bool | None
    """whether the destination reports the whole file; None: class 1 without closure, nobody reports"""
    condition: ConditionCode
    """NO_ERROR, or why it failed"""
    file_status: FileStatus
    """what became of the file at the destination"""
    statistics: SourceStatistics
    """what it cost"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataReceived:
    """Destination: the name and the length of a file are known."""

    transaction: TransactionId
    """which one"""
    source_name: str
    """name at the source"""
    destination_name: str
    """name at the destination"""
    file_size_bytes: int
    """announced length"""


class SegmentReceived(NamedTuple):
    """Destination: bytes of a file that were not there before."""

    transaction: TransactionId
    """which one"""
    offset: int
    """place of the first byte in the file"""
    data: bytes
    """the bytes"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCompleted:
    """Destination: a whole file has arrived and its checksum agrees. Make it durable before asking for the next PDU."""

    transaction: TransactionId
    """which one"""
    source_name: str
    """name at the source"""
    destination_name: str
    """name at the destination"""
    data: bytes
    """the file; empty where it is in a sink"""
    checksum_type: int
    """what it was checked with; 15 means that the source gave no checksum"""
    checksum: int
    """what the source gave, 32 bits"""
    statistics: DestinationStatistics
    """what it cost"""
    file_size_bytes: int
    """its length"""
    sink: FileSink | None = None
    """where the file is, if not in `data`; file delivery touches it no more"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionFailed:
    """Destination: a file will not be completed. What arrived of it is handed over."""

    transaction: TransactionId
    """which one"""
    condition: ConditionCode
    """why"""
    source_name: str | None
    """name at the source, where the Metadata PDU arrived"""
    destination_name: str | None
    """name at the destination, likewise"""
    segments: tuple[tuple[int, bytes], ...]
    """what arrived: (offset, bytes), in order, not touching; empty where it is in a sink"""
    ranges: tuple[tuple[int, int], ...] = ()
    """what arrived in the sink: (start, end), in order, not touching"""
    sink: FileSink | None = None
    """where it is; file delivery touches it no more"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialFile:
    """What has arrived of a file that is not complete."""

    source_name: str | None
    """name at the source, where the Metadata PDU arrived"""
    destination_name: str | None
    """name at the destination, likewise"""
    file_size_bytes: int | None
    """length of the file, where it is known"""
    prefix: bytes
    """its beginning, up to the first gap"""
    segments: tuple[tuple[int, bytes], ...]
    """what arrived behind the gap: (offset, bytes), in order, not touching"""


SourceEvent = PduRefused | TransactionFinished
DestinationEvent = PduRefused | MetadataReceived | SegmentReceived | FileCompleted | TransactionFailed
