"""One file transaction as its source sees it, and how a source behaves."""

from dataclasses import asdict, dataclass, field
from typing import Any

from downlink.byte_ranges import ByteRanges
from downlink.cfdp_checksum import ChecksumType
from downlink.cfdp_events import SourceStatistics, TransactionId
from downlink.cfdp_header import ConditionCode, PduHeader
from downlink.cfdp_pdu import Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """How a source behaves."""

    max_pdu_bytes: int = 1024
    """longest PDU sent; a lost transfer frame costs every PDU that it touches"""
    ack_timeout_ms: int = 10_000
    """wait for the acknowledgement of an EndOfFile, then for news of the transaction, longer than a round trip; doubles each time"""
    max_ack_timeout_ms: int = 80_000
    """longest such wait"""
    ack_limit: int | None = None
    """EndOfFile PDUs in a row without any answer after which the transaction is cancelled; None: never"""
    checksum_type: ChecksumType = ChecksumType.CRC_32
    """how the destination checks the file"""
    entity_id_bytes: int = 2
    """length of entity ids, 1..8"""
    transaction_seq_bytes: int = 4
    """length of sequence numbers, 1..8"""
    with_crc: bool = False
    """whether PDUs carry their own CRC; transfer frames have one already"""
    closure_requested: bool = False
    """class 1: whether to wait, once for `max_ack_timeout_ms`, for a Finished PDU"""

    def eof_wait_ms(self, silent_timeouts: int, unacknowledged: bool) -> int:
        """How long to wait for an answer to an EndOfFile, after `silent_timeouts` waits in vain."""
        longest_ms = max(self.ack_timeout_ms, self.max_ack_timeout_ms)
        return longest_ms if unacknowledged else min(longest_ms, self.ack_timeout_ms << min(silent_timeouts, 30))


@dataclass(slots=True, kw_only=True)
class SourceTransaction:
    """State of one transaction at its source."""

    header: PduHeader
    """what all its PDUs share"""
    source_name: str
    """name at the source"""
    destination_name: str
    """name at the destination"""
    file_bytes: bytes
    """the file; empty once cancelled"""
    checksum_type: int
    """how the destination checks the file"""
    eof_checksum: int
    """checksum of the file; of what was sent, once cancelled"""
    eof_size_bytes: int
    """length of the file; of what was sent, once cancelled"""
    priority: int
    """higher is served first"""
    put_order: int
    """number of files put before it"""
    closure_requested: bool
    """class 1: whether to wait for a Finished PDU"""
    condition: ConditionCode = ConditionCode.NO_ERROR
    """why it is being cancelled"""
    metadata_sent: bool = False
    """whether the destination may know of it"""
    metadata_requested: bool = False
    """whether the destination asked for the Metadata PDU again"""
    next_offset: int = 0
    """file bytes before it have been sent at least once"""
    eof_sent: bool = False
    """whether an EndOfFile has been sent"""
    silent_timeouts: int = 0
    """EndOfFile PDUs in a row without any answer"""
    requested: ByteRanges = field(default_factory=ByteRanges)
    """file bytes to send again"""
    statistics: SourceStatistics = field(default_factory=SourceStatistics)
    """what it has cost"""

    @property
    def transaction(self) -> TransactionId:
        """Its name among all entities."""
        return TransactionId(self.header.source_entity_id, self.header.transaction_seq)

    @property
    def cancelled(self) -> bool:
        """Whether all that is left is to tell the destination so."""
        return self.condition is not ConditionCode.NO_ERROR

    def metadata(self) -> Metadata:
        """Its Metadata PDU."""
        return Metadata(
            header=self.header,
            checksum_type=self.checksum_type,
            closure_requested=self.closure_requested,
            file_size_bytes=self.eof_size_bytes,
            source_name=self.source_name,
            destination_name=self.destination_name,
        )

    def count(self, pdu: bytes) -> bytes:
        """Notes that `pdu` is being sent, and returns it."""
        self.statistics.pdus += 1
        self.statistics.pdu_bytes += len(pdu)
        return pdu

    def record(self) -> dict[str, Any]:
        """The state without the file bytes, ready for JSON."""
        apart = ("header", "file_bytes", "requested", "statistics")
        return {name: getattr(self, name) for name in SourceTransaction.__slots__ if name not in apart} | {
            "header": asdict(self.header),
            "requested": self.requested.ranges(),
            "statistics": asdict(self.statistics),
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "SourceTransaction":
        """The state that `record` was made of, with no file bytes yet."""
        restored = {
            "header": PduHeader(**record["header"]),
            "file_bytes": b"",
            "condition": ConditionCode(record["condition"]),
            "requested": ByteRanges(record["requested"]),
            "statistics": SourceStatistics(**record["statistics"]),
        }
        return cls(**record | restored)
