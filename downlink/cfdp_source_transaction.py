"""One file transaction as its source sees it, and how a source behaves."""

from dataclasses import dataclass, field
from typing import Any

from downlink.byte_ranges import ByteRanges
from downlink.cfdp_checksum import ChecksumType
from downlink.cfdp_decoding import decode_pdu
from downlink.cfdp_events import SourceStatistics, TransactionId
from downlink.cfdp_file_data import FileDataFormat
from downlink.cfdp_header import ConditionCode, PduHeader
from downlink.cfdp_pdu import Metadata, max_segment_bytes
from downlink.errors import CfdpPduError, CfdpSnapshotError
from downlink.file_ports import FileInMemory, ReadableFile

NO_FILE = FileInMemory(b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """How a source behaves."""

    max_pdu_bytes: int = 1024
    """longest PDU sent; a lost transfer frame costs every PDU that it touches"""
    frame_pdu_bytes: int | None = None
    """PDU that fills an empty transfer frame; None: that is the longest one"""
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
    max_name_bytes: int = 255
    """longest file name sent"""
    with_crc: bool = False
    """whether PDUs carry their own CRC; transfer frames have one already"""
    closure_requested: bool = False
    """class 1: whether to wait, once for `max_ack_timeout_ms`, for a Finished PDU"""

    @classmethod
    def nasa_cf(cls) -> "SourceSettings":
        """What the CF application of NASA's Core Flight System takes with the sizes it is built with by default.

        CF_MAX_PDU_SIZE 512, modular checksum alone, 32-bit entity ids and sequence numbers of any shorter encoding, path names of at
        most 63 bytes, no PDU CRC, no files beyond 4 GiB.
        """
        return cls(
            max_pdu_bytes=512,
            checksum_type=ChecksumType.MODULAR,
            entity_id_bytes=2,
            transaction_seq_bytes=4,
            max_name_bytes=63,
        )

    def metadata(self, header: PduHeader, size_bytes: int, source_name: str, destination_name: str) -> Metadata:
        """The Metadata PDU of a new transaction. Raises CfdpPduError when a name, or any file data, would not fit their PDUs."""
        max_segment_bytes(header, self.max_pdu_bytes)
        for name in (source_name, destination_name):
            if len(name.encode("utf-8", "replace")) > self.max_name_bytes:
                raise CfdpPduError(
                    f"file name {name[:40]!r}... is too long; at most {self.max_name_bytes} bytes are sent"
                )
        return Metadata(
            header=header,
            file_size_bytes=size_bytes,
            source_name=source_name,
            destination_name=destination_name,
            checksum_type=self.checksum_type,
            closure_requested=self.closure_requested and header.unacknowledged,
        )

    def eof_wait_ms(self, silent_timeouts: int, unacknowledged: bool) -> int:
        """How long to wait for an answer to an EndOfFile, after `silent_timeouts` waits in vain."""
        longest_ms = max(self.ack_timeout_ms, self.max_ack_timeout_ms)
        return longest_ms if unacknowledged else min(longest_ms, self.ack_timeout_ms << min(silent_timeouts, 30))


@dataclass(slots=True, kw_only=True)
class SourceTransaction:
    """State of one transaction at its source."""

    metadata: Metadata
    """its Metadata PDU: what all its PDUs share, names, length of the file, kind of checksum"""
    metadata_pdu: bytes
    """the same as bytes"""
    file: ReadableFile
    """the file; empty once cancelled"""
    eof_checksum: int
    """checksum of the file; of what was sent, once cancelled"""
    eof_size_bytes: int
    """length of the file; of what was sent, once cancelled"""
    priority: int
    """higher is served first"""
    put_order: int
    """number of files put before it"""
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
    end_first: bool = False
    """whether its EndOfFile goes before anything else, because nobody knows how much of it has been sent"""
    silent_timeouts: int = 0
    """EndOfFile PDUs in a row without any answer"""
    requested: ByteRanges = field(default_factory=ByteRanges)
    """file bytes to send again"""
    statistics: SourceStatistics = field(default_factory=SourceStatistics)
    """what it has cost"""
    header: PduHeader = field(init=False)
    """what all its PDUs share"""
    file_data: FileDataFormat = field(init=False)
    """its FileData PDUs"""

    def __post_init__(self) -> None:
        self.header = self.metadata.header
        self.file_data = FileDataFormat(self.header)

    @property
    def transaction(self) -> TransactionId:
        """Its name among all entities."""
        return TransactionId(self.header.source_entity_id, self.header.transaction_seq)

    @property
    def cancelled(self) -> bool:
        """Whether all that is left is to tell the destination so."""
        return self.condition is not ConditionCode.NO_ERROR

    @property
    def has_repeats(self) -> bool:
        """Whether something is to be sent again."""
        return self.metadata_requested or bool(self.requested)

    @property
    def unsent_bytes(self) -> int:
        """File bytes that have never been sent."""
        return self.eof_size_bytes - self.next_offset

    def count(self, pdu: bytes) -> bytes:
        """Notes that `pdu` is being sent, and returns it."""
        self.statistics.pdus += 1
        self.statistics.pdu_bytes += len(pdu)
        return pdu

    def record(self) -> list[Any]:
        """The state without the file bytes, ready for JSON, in the order of `from_record`."""
        cost = self.statistics
        return [
            self.metadata_pdu.hex(),
            self.eof_checksum,
            self.eof_size_bytes,
            self.priority,
            self.put_order,
            self.condition,
            self.metadata_sent,
            self.metadata_requested,
            self.next_offset,
            self.eof_sent,
            self.end_first,
            self.silent_timeouts,
            self.requested.ranges(),
            [cost.new_bytes, cost.retransmitted_bytes, cost.pdus, cost.pdu_bytes, cost.eofs, cost.naks_received],
        ]

    @classmethod
    def from_record(cls, record: list[Any]) -> "SourceTransaction":
        """The state that `record` was made of, with no file bytes yet."""
        metadata_pdu = bytes.fromhex(record[0])
        metadata = decode_pdu(metadata_pdu)
        if not isinstance(metadata, Metadata):
            raise CfdpSnapshotError(f"snapshot holds a {type(metadata).__name__} PDU in place of Metadata")
        restored = cls(
            metadata=metadata,
            metadata_pdu=metadata_pdu,
            file=NO_FILE,
            eof_checksum=record[1],
            eof_size_bytes=record[2],
            priority=record[3],
            put_order=record[4],
            condition=ConditionCode(record[5]),
        )
        (
            restored.metadata_sent,
            restored.metadata_requested,
            restored.next_offset,
            restored.eof_sent,
            restored.end_first,
            restored.silent_timeouts,
        ) = record[6:12]
        restored.requested = ByteRanges(record[12])
        restored.statistics = SourceStatistics(**dict(zip(SourceStatistics.__slots__, record[13], strict=True)))
        return restored
