"""One file transaction as its destination sees it, and how a destination behaves."""

from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, TypeVar

from downlink.cfdp_decoding import decode_pdu
from downlink.cfdp_events import DestinationStatistics, FileCompleted, TransactionFailed, TransactionId
from downlink.cfdp_file_data import FileDataFormat
from downlink.cfdp_header import ConditionCode, Direction, PduHeader, decode_header
from downlink.cfdp_pdu import EndOfFile, Metadata, Nak, Pdu
from downlink.errors import CfdpSnapshotError
from downlink.segment_buffer import SegmentBuffer, SinkBuffer

_Kind = TypeVar("_Kind", Metadata, EndOfFile)


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationSettings:
    """How a destination behaves, and what it will hold."""

    immediate_nak: bool = True
    """ask for a gap when it is seen; otherwise only after the EndOfFile"""
    reordering_delay_ms: int = 100
    """wait before a gap counts as a loss"""
    nak_timeout_ms: int = 10_000
    """wait before asking again for what is still missing, longer than a round trip"""
    max_pdu_bytes: int = 1024
    """longest NAK sent"""
    max_naks_per_round: int = 16
    """NAK PDUs sent in a row for one transaction; the rest of a longer list waits for the next time-out"""
    finished_timeout_ms: int = 10_000
    """wait for the acknowledgement of a Finished PDU; doubles each time, up to 8 times itself"""
    finished_limit: int = 16
    """Finished PDUs sent in a row without an answer; after that only a repeated EndOfFile is answered"""
    check_timeout_ms: int = 10_000
    """class 1: wait for segments that come after the EndOfFile"""
    check_limit: int = 3
    """class 1: such waits before the transaction fails"""
    inactivity_timeout_ms: int | None = 86_400_000
    """link time without any PDU after which the source is asked for a sign of life, within a factor of two; after as long again
    the transaction fails; None: never"""
    max_open_transactions: int = 1024
    """transactions received at the same time"""
    max_file_bytes: int = 256 << 20
    """longest file accepted"""
    max_held_bytes: int = 1 << 30
    """memory for unfinished files; bytes in a sink do not count"""
    max_ranges_per_file: int = 1 << 17
    """pieces of a file between gaps; a segment that would begin one more is refused"""
    remembered_transactions: int = 4096
    """finished transactions whose late PDUs are recognised"""

    @classmethod
    def nasa_cf(cls) -> "DestinationSettings":
        """What the CF application of NASA's Core Flight System takes, built with its defaults: 58 ranges in a NAK of 512 bytes.

        480 bytes hold 57 of them with the headers of `SourceSettings.nasa_cf` and 56 with ids of 4 bytes. CF sends a file's data
        before it answers, so a gap is asked for at once and again after 10 s.
        """
        return cls(max_pdu_bytes=480)


@dataclass(slots=True, kw_only=True)
class DestinationTransaction:
    """State of a transaction that is not over."""

    header: PduHeader
    """what all its PDUs share"""
    metadata: Metadata | None = None
    """names and length, once the Metadata PDU has arrived"""
    eof: EndOfFile | None = None
    """length and checksum, once the EndOfFile has arrived"""
    buffer: SegmentBuffer | SinkBuffer = field(default_factory=SegmentBuffer)
    """what has arrived of the file"""
    gap_until: int = 0
    """gaps before this offset have been seen"""
    gap_due_until: int = 0
    """gaps before this offset are asked for when the gap timer ends; those seen since it was started wait for its next turn"""
    asked_until: int = 0
    """gaps before this offset have been asked for at least once"""
    retry_until: int = 0
    """gaps before this offset are asked for again when the NAK timer ends"""
    listed_until: int = 0
    """gaps before this offset were in the list of NAKs sent last, which may have been cut short"""
    repeats_until: int = 0
    """end of the repeat that came last since the NAK timer was started, 0 where none did"""
    metadata_asked: bool = False
    """whether the Metadata PDU has been asked for at least once"""
    nak_position: int | None = None
    """where the list of NAKs being sent goes on; None: none is being sent"""
    nak_end: int = 0
    """where that list ends"""
    naks_left: int = 0
    """how many PDUs that list may still take"""
    metadata_wanted: bool = False
    """whether that list has still to ask for the Metadata PDU"""
    answer_prompt: bool = False
    """whether to send a NAK even if nothing is missing"""
    heard: bool = True
    """whether a PDU arrived since the inactivity timer was started"""
    asked_for_life: bool = False
    """whether the source was asked for a sign of life when that timer was started"""
    checks: int = 0
    """class 1: waits for late segments so far"""
    statistics: DestinationStatistics = field(default_factory=DestinationStatistics)
    """what it has cost"""
    transaction: TransactionId = field(init=False)
    """its name among all entities"""
    file_data: FileDataFormat = field(init=False)
    """its FileData PDUs"""

    def __post_init__(self) -> None:
        self.transaction = TransactionId(self.header.source_entity_id, self.header.transaction_seq)
        self.file_data = FileDataFormat(self.header)

    @property
    def known_end(self) -> int:
        """End of the file where it is known, else of the furthest byte that arrived."""
        return self.buffer.ranges.end if self.eof is None else self.eof.file_size_bytes

    @property
    def size_limit_bytes(self) -> int | None:
        """Length that no segment may pass, None while unknown."""
        if self.eof is not None:
            return self.eof.file_size_bytes
        return self.metadata.file_size_bytes or None if self.metadata is not None else None

    @property
    def sizes_agree(self) -> bool:
        """Whether Metadata, EndOfFile and segments can be of one file."""
        limit = self.size_limit_bytes
        announced = 0 if self.metadata is None else self.metadata.file_size_bytes
        return limit is None or (self.buffer.ranges.end <= limit and announced in (0, limit))

    @property
    def complete(self) -> bool:
        """Whether the names, the length and every byte have arrived."""
        if self.metadata is None or self.eof is None:
            return False
        return self.buffer.ranges.prefix_end >= self.eof.file_size_bytes

    @property
    def lacks_something(self) -> bool:
        """Whether there is anything to ask for."""
        return self.metadata is None or not self.buffer.ranges.covers(0, self.known_end)

    def refusal(self, offset: int, end: int, held_bytes: int, settings: DestinationSettings) -> str | None:
        """Why the segment offset..end cannot be taken while all files hold `held_bytes`; None when it can."""
        limit = self.size_limit_bytes
        if limit is None:
            limit = settings.max_file_bytes
        if end > limit:
            return f"segment {offset}..{end} passes the end of the file at {limit}"
        if self.buffer.holds_bytes and held_bytes + end - offset > settings.max_held_bytes:
            return f"unfinished files hold {held_bytes} bytes already"
        ranges = self.buffer.ranges
        if len(ranges) >= settings.max_ranges_per_file and not ranges.touches(offset, end):
            return f"{len(ranges)} pieces of the file lie between gaps already"
        return None

    @property
    def names_wanted(self) -> bool:
        """Whether the Metadata PDU is missing and has never been asked for."""
        return self.metadata is None and not self.metadata_asked

    def begin_naks(self, start: int, end: int, max_naks: int) -> None:
        """Starts a list of NAKs about start..end, or widens the one being sent; from 0 on it asks for the names again, too."""
        if self.nak_position is not None:
            start, end = min(start, self.nak_position), max(end, self.nak_end)
        self.nak_position, self.nak_end, self.naks_left = start, end, max_naks
        self.asked_until = max(self.asked_until, end)
        self.metadata_wanted = start == 0 or not self.metadata_asked

    def retry_end(self) -> int:
        """Where the gaps end that are to be asked for again, now that the NAK timer has ended.

        A source repeats what was asked for from front to back. As long as repeats come, what lies behind the last one is on its
        way, and only what lies before it has been lost again.
        """
        repeats_until, self.repeats_until = self.repeats_until, 0
        all_listed = self.listed_until >= self.retry_until
        return min(self.retry_until, repeats_until) if repeats_until and all_listed else self.retry_until

    def next_nak(self, max_pdu_bytes: int) -> Nak | None:
        """The next NAK of the list, from what is missing now; None, and the list is over, when nothing is."""
        if self.nak_position is None:
            return None
        start, ask_metadata = self.nak_position, self.metadata_wanted and self.metadata is None
        room = Nak.max_requests(self.header, max_pdu_bytes) - ask_metadata
        gaps = self.buffer.ranges.gaps(start, self.nak_end, limit=room)
        if not gaps and not ask_metadata and not self.answer_prompt:
            self.nak_position = None
            return None
        cut_short = len(gaps) == room
        scope_end = (gaps[-1][1] if gaps else start) if cut_short else max(start, self.nak_end)
        self.naks_left -= 1
        self.metadata_asked |= ask_metadata
        self.metadata_wanted = self.answer_prompt = False
        self.nak_position = scope_end if cut_short and self.naks_left else None
        self.listed_until = scope_end
        self.statistics.naks += 1
        requests = ((0, 0), *gaps) if ask_metadata else tuple(gaps)
        return Nak(header=self.header, scope_start=start, scope_end=scope_end, requests=requests)

    def completed(self, metadata: Metadata, eof: EndOfFile) -> FileCompleted:
        """The event that hands the whole file over."""
        buffer = self.buffer
        return FileCompleted(
            transaction=self.transaction,
            source_name=metadata.source_name,
            destination_name=metadata.destination_name,
            data=buffer.prefix() if isinstance(buffer, SegmentBuffer) else b"",
            checksum_type=metadata.checksum_type,
            checksum=eof.checksum,
            statistics=self.statistics,
            file_size_bytes=buffer.ranges.end,
            sink=buffer.sink if isinstance(buffer, SinkBuffer) else None,
        )

    def failed(self, condition: ConditionCode) -> TransactionFailed:
        """The event that hands over what arrived."""
        metadata, buffer = self.metadata, self.buffer
        return TransactionFailed(
            transaction=self.transaction,
            condition=condition,
            source_name=None if metadata is None else metadata.source_name,
            destination_name=None if metadata is None else metadata.destination_name,
            segments=buffer.segments() if isinstance(buffer, SegmentBuffer) else (),
            ranges=tuple(buffer.ranges.ranges()) if isinstance(buffer, SinkBuffer) else (),
            sink=buffer.sink if isinstance(buffer, SinkBuffer) else None,
        )

    def record(self) -> list[Any]:
        """The state without the file bytes, ready for JSON, in the order of `from_record`."""
        return [
            self.header.encode(Direction.TOWARDS_RECEIVER, 0, file_data=False).hex(),
            None if self.metadata is None else self.metadata.encode().hex(),
            None if self.eof is None else self.eof.encode().hex(),
            self.buffer.ranges.ranges(),
            [self.statistics.new_bytes, self.statistics.duplicate_bytes, self.statistics.naks],
            *_plain_fields(self),
        ]

    @classmethod
    def from_record(cls, record: list[Any]) -> "DestinationTransaction":
        """The state that `record` was made of, with no file bytes yet."""
        header, metadata, eof = (None if pdu is None else bytes.fromhex(pdu) for pdu in record[:3])
        restored = cls(
            header=decode_header(header or b"").header,
            statistics=DestinationStatistics(**dict(zip(DestinationStatistics.__slots__, record[4], strict=True))),
        )
        restored.metadata = None if metadata is None else _expect(Metadata, decode_pdu(metadata))
        restored.eof = None if eof is None else _expect(EndOfFile, decode_pdu(eof))
        for name, value in zip(_PLAIN_FIELDS, record[5:], strict=True):
            setattr(restored, name, value)
        return restored


_PLAIN_FIELDS = (
    "gap_until",
    "gap_due_until",
    "asked_until",
    "retry_until",
    "listed_until",
    "repeats_until",
    "metadata_asked",
    "nak_position",
    "nak_end",
    "naks_left",
    "metadata_wanted",
    "answer_prompt",
    "heard",
    "asked_for_life",
    "checks",
)
"""Fields of a DestinationTransaction that a snapshot holds as they are, in its order."""
_plain_fields = attrgetter(*_PLAIN_FIELDS)


def _expect(kind: type[_Kind], pdu: Pdu) -> _Kind:
    if not isinstance(pdu, kind):
        raise CfdpSnapshotError(f"snapshot holds a {type(pdu).__name__} PDU in place of {kind.__name__}")
    return pdu
