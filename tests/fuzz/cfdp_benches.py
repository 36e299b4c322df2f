"""The two machines of file delivery on a bench: what the fuzzer does to them, and what must hold all the while."""

from dataclasses import dataclass, field, replace

from downlink.cfdp_checksum import ChecksumType, file_checksum
from downlink.cfdp_decoding import decode_pdu
from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_destination_transaction import DestinationSettings
from downlink.cfdp_events import (
    DestinationEvent,
    FileCompleted,
    SegmentReceived,
    SourceEvent,
    TransactionFailed,
    TransactionFinished,
    TransactionId,
)
from downlink.cfdp_header import ConditionCode, Direction
from downlink.cfdp_pdu import EndOfFile, FileData, Finished, Metadata
from downlink.cfdp_source import CfdpSource
from downlink.cfdp_source_transaction import SourceSettings
from downlink.errors import CfdpPduError
from tests.fuzz.contract import require, value_or_refusal
from tests.fuzz.pdu_tape import DESTINATION_ENTITY, SOURCE_ENTITY, plain_header
from tests.fuzz.tape import Tape

CHECKSUMS = (ChecksumType.CRC_32, ChecksumType.MODULAR, ChecksumType.CRC_32C, ChecksumType.NULL)

SOURCE_SETTINGS = SourceSettings(
    max_pdu_bytes=128, ack_timeout_ms=100, max_ack_timeout_ms=800, entity_id_bytes=1, transaction_seq_bytes=3
)
CHOICES_OF_A_SOURCE = (
    SOURCE_SETTINGS,
    replace(SOURCE_SETTINGS, with_crc=True, closure_requested=True, checksum_type=ChecksumType.MODULAR),
    replace(SOURCE_SETTINGS, ack_limit=3, checksum_type=ChecksumType.CRC_32C, max_pdu_bytes=40),
)
DESTINATION_SETTINGS = DestinationSettings(
    reordering_delay_ms=10, nak_timeout_ms=50, max_pdu_bytes=96, max_naks_per_round=3, finished_timeout_ms=50, finished_limit=3,
    check_timeout_ms=50, inactivity_timeout_ms=2000, max_open_transactions=6, max_file_bytes=20_000, max_held_bytes=24_000,
    remembered_transactions=12,
)  # fmt: skip


@dataclass(slots=True)
class SourceBench:
    """A source, the files it was given, and what it may conclude."""

    settings: SourceSettings
    machine: CfdpSource = field(init=False)
    files: dict[int, bytes] = field(default_factory=dict)
    over: set[int] = field(default_factory=set)
    told_complete: set[int] = field(default_factory=set)
    now_ms: int = 1_000_000

    def __post_init__(self) -> None:
        self.machine = CfdpSource(SOURCE_ENTITY, DESTINATION_ENTITY, self.settings)

    def put(self, tape: Tape) -> None:
        if len(self.machine.open_transactions) >= 6:
            return
        seq = len(self.files)
        self.files[seq] = bytes((seq * 37 + n * 11 + n // 256) & 0xFF for n in range(tape.below(1500)))
        flags = tape.byte()
        self.machine.put(
            transaction_seq=seq, source_name="a", destination_name="b", file_bytes=self.files[seq], priority=flags >> 4,
            acknowledged=not flags & 1, sent_before=flags & 3 == 2,
        )  # fmt: skip

    def hear(self, pdu: bytes) -> None:
        decoded = value_or_refusal(CfdpPduError, decode_pdu, pdu)
        if isinstance(decoded, Finished) and decoded.complete and not decoded.condition:
            self.told_complete.add(decoded.header.transaction_seq)
        self.see(self.machine.receive(pdu, self.now_ms))

    def see(self, events: list[SourceEvent]) -> None:
        for event in events:
            if isinstance(event, TransactionFinished):
                seq = event.transaction.transaction_seq
                require(seq not in self.over, f"transaction {seq} is over twice")
                require(not event.delivered or seq in self.told_complete, f"file {seq} is delivered, says nobody")
                self.over.add(seq)

    def send(self, pdus: int) -> None:
        for _ in range(pdus):
            pdu = self.machine.next_pdu(self.now_ms)
            if pdu is None:
                break
            require(len(pdu) <= self.settings.max_pdu_bytes, f"PDU of {len(pdu)} bytes")
            decoded = decode_pdu(pdu)
            if isinstance(decoded, FileData):
                content = self.files[decoded.header.transaction_seq]
                sent = content[decoded.offset : decoded.offset + len(decoded.data)]
                require(decoded.data == sent, "a segment differs from its file")
        self.see(self.machine.take_events())

    def reboot(self, *, forget_one: bool, up_to_date: bool) -> None:
        snapshot = self.machine.snapshot(self.now_ms)
        gone = min(self.files, default=0) if forget_one else -1

        def file_bytes_of(transaction: TransactionId, name: str) -> bytes | None:
            return None if transaction.transaction_seq == gone else self.files[transaction.transaction_seq]

        self.machine = CfdpSource.restore(
            snapshot, now_ms=self.now_ms, settings=self.settings, file_bytes_of=file_bytes_of, up_to_date=up_to_date
        )
        self.see(self.machine.take_events())


class _Sink:
    """Where the bytes of a file go that does not stay in memory."""

    def __init__(self) -> None:
        self.content: dict[int, int] = {}

    def write(self, offset: int, data: bytes) -> None:
        self.content.update(enumerate(data, start=offset))

    def read(self, start: int, end: int) -> bytes:
        return bytes(self.content[at] for at in range(start, end))


@dataclass(slots=True)
class DestinationBench:
    """A destination, and the bytes that it has handed over piece by piece."""

    sinks: dict[TransactionId, _Sink] | None = None
    machine: CfdpDestination = field(init=False)
    arrived: dict[TransactionId, dict[int, int]] = field(default_factory=dict)
    over: list[tuple[TransactionId, tuple[int, int] | None]] = field(default_factory=list)
    """Transactions that ended, with length and checksum of those whose file arrived."""
    now_ms: int = 1_000_000

    def __post_init__(self) -> None:
        self.machine = CfdpDestination(
            DESTINATION_ENTITY, (SOURCE_ENTITY,), DESTINATION_SETTINGS, open_sink=self.open_sink
        )

    def open_sink(self, transaction: TransactionId) -> _Sink | None:
        return None if self.sinks is None else self.sinks.setdefault(transaction, _Sink())

    def hear(self, pdu: bytes) -> None:
        self.see(self.machine.receive(pdu, self.now_ms))
        is_open, held = len(self.machine.open_transactions), self.machine.held_bytes
        require(is_open <= DESTINATION_SETTINGS.max_open_transactions, f"{is_open} transactions are open")
        require(0 <= held <= 2 * DESTINATION_SETTINGS.max_held_bytes, f"unfinished files hold {held} bytes")

    def see(self, events: list[DestinationEvent]) -> None:
        for event in events:
            match event:
                case SegmentReceived():
                    self._take_segment(event)
                case FileCompleted():
                    self._end(event.transaction, (event.file_size_bytes, event.checksum))
                    content = self.arrived.pop(event.transaction, {})
                    whole = bytes(content[at] for at in range(len(content))) if content else b""
                    found = event.data if event.sink is None else event.sink.read(0, event.file_size_bytes)
                    require(found == whole, "a file is not what its segments were")
                case TransactionFailed():
                    self._end(event.transaction, None)
                    content = self.arrived.pop(event.transaction, {})
                    pieces = event.segments
                    if event.sink is not None:
                        pieces = tuple((start, event.sink.read(start, end)) for start, end in event.ranges)
                    handed = {start + n: value for start, piece in pieces for n, value in enumerate(piece)}
                    require(handed == content, "a failed file hands over something else than what arrived")

    def _take_segment(self, event: SegmentReceived) -> None:
        content = self.arrived.setdefault(event.transaction, {})
        for at, value in enumerate(event.data, start=event.offset):
            require(at not in content, f"byte {at} arrives twice")
            content[at] = value

    def _end(self, transaction: TransactionId, file: tuple[int, int] | None) -> None:
        """A number may come back with another file, once the one before it has arrived."""
        remembered = dict(self.over[-DESTINATION_SETTINGS.remembered_transactions :])
        if transaction in remembered:
            require(remembered[transaction] not in (None, file), f"{transaction} is over twice")
        self._note_end(transaction, file)

    def _note_end(self, transaction: TransactionId, file: tuple[int, int] | None) -> None:
        self.over = [one for one in self.over if one[0] != transaction]
        self.over.append((transaction, file))
        if self.sinks is not None:
            self.sinks.pop(transaction, None)

    def remember_completed(self, tape: Tape) -> None:
        transaction = TransactionId(SOURCE_ENTITY, tape.below(8))
        file = tape.below(4), tape.number(4)
        self.machine.remember_completed(transaction, file_size_bytes=file[0], checksum=file[1])
        self.arrived.pop(transaction, None)
        self._note_end(transaction, file)

    def answer(self, pdus: int) -> None:
        for _ in range(pdus):
            pdu = self.machine.next_pdu(self.now_ms)
            if pdu is None:
                break
            decoded = decode_pdu(pdu)
            require(decoded.direction is Direction.TOWARDS_SENDER, f"{decoded} goes the wrong way")
        self.see(self.machine.take_events())

    def send_true_end(self, tape: Tape) -> None:
        """Metadata, if wanted, and the EndOfFile that fits what has arrived of an open file."""
        for transaction in self.machine.open_transactions[: 1 + tape.below(3)]:
            content = self.arrived.get(transaction, {})
            size = max(content, default=-1) + 1
            data = bytes(content.get(at, 0) for at in range(size))
            unusual = tape.byte()
            checksum_type = CHECKSUMS[(unusual >> 1) % len(CHECKSUMS)]
            header = plain_header(transaction.transaction_seq, unacknowledged=bool(unusual & 1))
            checksum = file_checksum(checksum_type, data) ^ (unusual >= 0xF0)
            self.hear(
                Metadata(
                    header=header,
                    file_size_bytes=size,
                    source_name="",
                    destination_name="",
                    checksum_type=checksum_type,
                ).encode()
            )
            self.hear(
                EndOfFile(
                    header=header, condition=ConditionCode.NO_ERROR, checksum=checksum, file_size_bytes=size
                ).encode()
            )

    def reboot(self, with_data: bool) -> None:
        snapshot = self.machine.snapshot(self.now_ms, with_data=with_data)

        def read_range(transaction: TransactionId, start: int, end: int) -> bytes:
            return bytes(self.arrived[transaction][at] for at in range(start, end))

        self.machine = CfdpDestination.restore(
            snapshot, now_ms=self.now_ms, settings=DESTINATION_SETTINGS, read_range=None if with_data else read_range,
            open_sink=self.open_sink,
        )  # fmt: skip
        self.see(self.machine.take_events())
