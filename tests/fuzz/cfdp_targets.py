"""Fuzz targets of file delivery: the decoder, the two machines, their snapshots."""

import binascii
from collections.abc import Callable
from dataclasses import dataclass, field

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
from downlink.cfdp_header import ConditionCode, Direction, FileStatus, PduHeader
from downlink.cfdp_pdu import Ack, DirectiveCode, EndOfFile, FileData, Finished, Metadata, Nak, Prompt, TypeLengthValue
from downlink.cfdp_source import CfdpSource
from downlink.cfdp_source_transaction import SourceSettings
from downlink.errors import CfdpPduError, CfdpSnapshotError
from tests.fuzz.contract import Target, require, value_or_refusal, with_crc16
from tests.fuzz.footprint import footprint_bytes
from tests.fuzz.pdu_tape import DESTINATION_ENTITY, PLAIN, SOURCE_ENTITY, pdu_bytes_from
from tests.fuzz.tape import Tape

STEPS_LIMIT = 400
FLOOD_LIMIT = 2500
SNAPSHOT_HEADER_BYTES = 13

SOURCE_SETTINGS = SourceSettings(
    max_pdu_bytes=128, ack_timeout_ms=100, max_ack_timeout_ms=800, entity_id_bytes=1, transaction_seq_bytes=3
)
DESTINATION_SETTINGS = DestinationSettings(
    reordering_delay_ms=10, nak_timeout_ms=50, max_pdu_bytes=96, max_naks_per_round=3, finished_timeout_ms=50, finished_limit=3,
    check_timeout_ms=50, inactivity_timeout_ms=2000, max_open_transactions=6, max_file_bytes=20_000, max_held_bytes=24_000,
    remembered_transactions=12,
)  # fmt: skip
FOOTPRINT_LIMIT_BYTES = 250_000
"""1024 acknowledgements and 1024 KeepAlives that wait, each about 70 bytes as an object, and the buffers of the settings above."""


def cfdp_pdu(data: bytes) -> None:
    """A PDU or CfdpPduError: of the bytes, with the length field repaired, and with the check value repaired, too."""
    for pdu in (data, _with_length(data, 0), _with_length(with_crc16(_with_length(data, 2)), 0)):
        decoded = value_or_refusal(CfdpPduError, decode_pdu, pdu)
        if decoded is None:
            continue
        # A fault location may be longer than the entity ids of its header; we do not write such.
        encoded = value_or_refusal(CfdpPduError, decoded.encode)
        if encoded is not None:
            require(decode_pdu(encoded) == decoded, f"{decoded} changes on the way")


def _with_length(pdu: bytes, missing_bytes: int) -> bytes:
    """The PDU with the length of its data field as it will be once `missing_bytes` more have been put behind it."""
    if len(pdu) < 4:
        return pdu
    header_bytes = 4 + 2 * ((pdu[3] >> 4 & 7) + 1) + (pdu[3] & 7) + 1
    length = min(0xFFFF, max(0, len(pdu) - header_bytes + missing_bytes))
    return pdu[:1] + length.to_bytes(2, "big") + pdu[3:]


@dataclass(slots=True)
class _SourceBench:
    """A source, the files it was given, and what it may conclude."""

    machine: CfdpSource = field(default_factory=lambda: CfdpSource(SOURCE_ENTITY, DESTINATION_ENTITY, SOURCE_SETTINGS))
    files: dict[int, bytes] = field(default_factory=dict)
    over: set[int] = field(default_factory=set)
    told_complete: set[int] = field(default_factory=set)
    now_ms: int = 1_000_000

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
            require(len(pdu) <= SOURCE_SETTINGS.max_pdu_bytes, f"PDU of {len(pdu)} bytes")
            decoded = decode_pdu(pdu)
            if isinstance(decoded, FileData):
                content = self.files[decoded.header.transaction_seq]
                sent = content[decoded.offset : decoded.offset + len(decoded.data)]
                require(decoded.data == sent, "a segment differs from its file")
        self.see(self.machine.take_events())

    def reboot(self, forget_one: bool) -> None:
        snapshot = self.machine.snapshot(self.now_ms)
        gone = min(self.files, default=0) if forget_one else -1
        self.machine = CfdpSource.restore(
            snapshot, now_ms=self.now_ms, settings=SOURCE_SETTINGS,
            file_bytes_of=lambda transaction, _: None if transaction.transaction_seq == gone else self.files[transaction.transaction_seq],
        )  # fmt: skip
        self.see(self.machine.take_events())


def cfdp_source(data: bytes) -> None:
    """Never raises; a file is delivered only where a Finished said so; what is sent is the file; memory is bounded."""
    tape, bench = Tape(data), _SourceBench()
    for _ in range(STEPS_LIMIT):
        if not tape:
            break
        match tape.below(8):
            case 0 | 1:
                bench.hear(pdu_bytes_from(tape, seq=tape.below(8)))
            case 2:
                bench.put(tape)
            case 3:
                bench.send(1 + tape.below(64))
            case 4:
                bench.now_ms += tape.below(4000)
            case 5:
                (bench.machine.suspend if tape.flag() else bench.machine.resume)(bench.now_ms)
            case 6:
                bench.reboot(tape.flag())
            case _:
                _cancel(bench.machine, tape)
        requested = bench.machine.asked_again_bytes
        require(requested <= sum(map(len, bench.files.values())), f"{requested} bytes asked for again")
    _check_footprints(bench.machine)
    bench.machine.next_wakeup_ms(bench.now_ms)


def _cancel(source: CfdpSource, tape: Tape) -> None:
    is_open = source.open_transactions
    if is_open:
        source.cancel(tape.pick(is_open).transaction_seq)


def _flood(hear: Callable[[bytes], None], tape: Tape) -> None:
    """The same one or two PDUs for many transactions in a row."""
    times, first, count = 1 + tape.below(FLOOD_LIMIT), tape.number(2), 1 + tape.below(3)
    templates = [pdu_bytes_from(tape, seq=0x7E57) for _ in range(count)]
    for seq in range(first, first + times):
        for pdu in templates:
            # As in PLAIN: 3 bytes of sequence number after one of entity id.
            hear(pdu[:5] + seq.to_bytes(3, "big") + pdu[8:])


@dataclass(slots=True)
class _DestinationBench:
    """A destination, and the bytes that it has handed over piece by piece."""

    machine: CfdpDestination = field(
        default_factory=lambda: CfdpDestination(DESTINATION_ENTITY, (SOURCE_ENTITY,), DESTINATION_SETTINGS)
    )
    arrived: dict[TransactionId, dict[int, int]] = field(default_factory=dict)
    over: list[TransactionId] = field(default_factory=list)
    now_ms: int = 1_000_000

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
                    self._end(event.transaction)
                    content = self.arrived.pop(event.transaction, {})
                    whole = bytes(content[at] for at in range(len(content))) if content else b""
                    require(event.data == whole, "a file is not what its segments were")
                case TransactionFailed():
                    self._end(event.transaction)
                    content = self.arrived.pop(event.transaction, {})
                    handed = {start + n: value for start, piece in event.segments for n, value in enumerate(piece)}
                    require(handed == content, "a failed file hands over something else than what arrived")

    def _take_segment(self, event: SegmentReceived) -> None:
        content = self.arrived.setdefault(event.transaction, {})
        for at, value in enumerate(event.data, start=event.offset):
            require(at not in content, f"byte {at} arrives twice")
            content[at] = value

    def _end(self, transaction: TransactionId) -> None:
        remembered = self.over[-DESTINATION_SETTINGS.remembered_transactions :]
        require(transaction not in remembered, f"{transaction} is over twice")
        self.over.append(transaction)

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
            header = _plain_header(transaction.transaction_seq)
            checksum = file_checksum(ChecksumType.CRC_32, data) ^ (tape.below(16) == 15)
            self.hear(
                Metadata(
                    header=header, file_size_bytes=size, source_name="", destination_name="", checksum_type=3
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
            snapshot, now_ms=self.now_ms, settings=DESTINATION_SETTINGS, read_range=None if with_data else read_range
        )
        self.see(self.machine.take_events())


def _plain_header(seq: int) -> PduHeader:
    return PduHeader(
        source_entity_id=SOURCE_ENTITY, destination_entity_id=DESTINATION_ENTITY, transaction_seq=seq, entity_id_bytes=1,
        transaction_seq_bytes=3,
    )  # fmt: skip


def cfdp_destination(data: bytes) -> None:
    """Never raises; a file is what its segments were and is handed over once; memory is bounded."""
    tape, bench = Tape(data), _DestinationBench()
    for _ in range(STEPS_LIMIT):
        if not tape:
            break
        match tape.below(9):
            case 0 | 1 | 2:
                bench.hear(pdu_bytes_from(tape, seq=tape.below(8)))
            case 3:
                bench.answer(1 + tape.below(64))
            case 4:
                bench.now_ms += tape.below(4000)
            case 5:
                (bench.machine.suspend if tape.flag() else bench.machine.resume)(bench.now_ms)
            case 6:
                bench.reboot(tape.flag())
            case 7:
                bench.send_true_end(tape)
            case _:
                bench.machine.remember_completed(TransactionId(SOURCE_ENTITY, tape.below(8)))
    _check_footprints(bench.machine)
    bench.machine.next_wakeup_ms(bench.now_ms)


def cfdp_flood(data: bytes) -> None:
    """Neither machine holds more memory because the same few PDUs come for thousands of transactions."""
    tape, source, destination = Tape(data), _SourceBench(), _DestinationBench()
    source.put(tape)
    for _ in range(3):
        if not tape:
            break
        _flood(destination.hear if tape.flag() else source.hear, tape)
        source.send(tape.below(8))
        destination.answer(tape.below(8))
    _check_footprints(source.machine, destination.machine)


def _check_footprints(*machines: CfdpSource | CfdpDestination) -> None:
    for machine in machines:
        held = footprint_bytes(machine)
        require(held <= FOOTPRINT_LIMIT_BYTES, f"{type(machine).__name__} holds {held} bytes")


def cfdp_snapshot(data: bytes) -> None:
    """A machine or CfdpSnapshotError, of the bytes as they are and with their check value repaired."""

    def file_bytes_of(transaction: TransactionId, name: str) -> bytes:
        return b"0123456789"

    def read_range(transaction: TransactionId, start: int, end: int) -> bytes:
        return bytes(min(end - start, 4096))

    for snapshot in (data, _with_snapshot_check(data)):
        value_or_refusal(
            CfdpSnapshotError, CfdpSource.restore, snapshot, now_ms=5000, settings=SOURCE_SETTINGS, file_bytes_of=file_bytes_of
        )  # fmt: skip
        value_or_refusal(
            CfdpSnapshotError, CfdpDestination.restore, snapshot, now_ms=5000, settings=DESTINATION_SETTINGS, read_range=read_range
        )  # fmt: skip


def _with_snapshot_check(snapshot: bytes) -> bytes:
    check = binascii.crc32(snapshot[SNAPSHOT_HEADER_BYTES:])
    return snapshot[:9] + check.to_bytes(4, "big") + snapshot[SNAPSHOT_HEADER_BYTES:]


def _pdu_seeds() -> list[bytes]:
    odd = PduHeader(
        source_entity_id=0x123456, destination_entity_id=0x654321, transaction_seq=0xABCDE, entity_id_bytes=3,
        transaction_seq_bytes=5, with_crc=True, large_file=True,
    )  # fmt: skip
    seeds: list[bytes] = []
    for header in (PLAIN, odd):
        pdus = [
            Metadata(
                header=header, file_size_bytes=0x1234, source_name="a.bin", destination_name="ü", checksum_type=3, closure_requested=True,
                options=(TypeLengthValue(type=2, value=b"hello"),),
            ),
            FileData(header=header, offset=0x0102, data=b"\x11\x22\x33"),
            FileData(header=header, offset=7, data=b"\x99", segment_metadata=b"meta", record_continuation=2),
            EndOfFile(header=header, condition=ConditionCode.NO_ERROR, checksum=0xCAFEBABE, file_size_bytes=0x1234),
            EndOfFile(
                header=header, condition=ConditionCode.CANCEL_REQUEST_RECEIVED, checksum=1, file_size_bytes=9, fault_entity_id=1
            ),
            Finished(header=header, condition=ConditionCode.NO_ERROR, complete=True, file_status=FileStatus.RETAINED),
            Finished(
                header=header, condition=ConditionCode.FILE_CHECKSUM_FAILURE, complete=False, file_status=FileStatus.DISCARDED,
                filestore_responses=(TypeLengthValue(type=1, value=b"\x12x"),), fault_entity_id=2,
            ),
            Ack(header=header, acknowledged=DirectiveCode.EOF, condition=ConditionCode.NO_ERROR, status=1),
            Nak(header=header, scope_start=0, scope_end=900, requests=((0, 0), (10, 20), (800, 900))),
            Prompt(header=header, keep_alive=True),
        ]  # fmt: skip
        seeds.extend(pdu.encode() for pdu in pdus)
    return seeds


def _source_seeds() -> list[bytes]:
    put, send, wait = b"\x02\x01\x90\x20", b"\x03\x3f", b"\x04\x0f\x00"
    nak = b"\x00\x00\x00\x00\x05\x02\x01\x05\x08\x09\x00\x10"
    finished = b"\x00\x00\x00\x00\x03\x00\x01\x02"
    ack = b"\x00\x00\x00\x00\x04\x00\x00\x01"
    return [
        put + send + nak + send + ack + wait + send + finished + send, put + b"\x06\x00" + send + wait + b"\x06\x01" + send,
        put + put + b"\x02\x02\x00\x01" + send + b"\x05\x01" + wait + b"\x05\x00" + b"\x07\x00" + send,
    ]  # fmt: skip


def _destination_seeds() -> list[bytes]:
    def segment(at: int, length: int = 16) -> bytes:
        return bytes((0, 0, 0, 0, 1, 0, at, length)) + bytes((at * 16 + n) & 0xFF for n in range(length))

    answer, wait, end = b"\x03\x3f", b"\x04\x00\x40", b"\x07\x00\x00"
    cancelled = b"\x00\x00\x00\x02\x0e\x00\x00\x00\x00\x00\x00"
    return [
        segment(0) + segment(1) + end + answer, segment(0) + segment(3) + wait + answer + segment(1, 32) + end + answer + wait + answer,
        segment(2) + b"\x06\x01" + segment(0) + b"\x06\x00" + segment(1) + end + wait + answer, cancelled + answer,
        b"\x08\x00" + segment(0) + answer, segment(0) + b"\x05\x01" + wait + b"\x05\x00" + wait * 40 + answer,
    ]  # fmt: skip


def _flood_seeds() -> list[bytes]:
    put, source, destination = b"\x01\x90\x20", b"\x00\x09\xc3\x00\x01", b"\x01\x09\xc3\x00\x01"
    finished, segment, prompt = b"\x00\x00\x03\x00\x01\x02", b"\x00\x00\x01\x00\x01\x01\x77", b"\x00\x00\x06\x00"
    cancelled = b"\x00\x00\x02\x0e\x00\x00\x00\x07\x00\x00"
    return [
        put + source + b"\x00" + finished + b"\x05\x05", put + destination + b"\x00" + cancelled,
        put + destination + b"\x02" + segment + prompt + cancelled, put + destination + b"\x01" + segment + cancelled + b"\x03\x03",
    ]  # fmt: skip


def _snapshot_seeds() -> list[bytes]:
    source = CfdpSource(SOURCE_ENTITY, DESTINATION_ENTITY, SOURCE_SETTINGS)
    destination = CfdpDestination(DESTINATION_ENTITY, (SOURCE_ENTITY,), DESTINATION_SETTINGS)
    source.put(transaction_seq=3, source_name="a", destination_name="b", file_bytes=b"0123456789")
    seeds = [source.snapshot(0), destination.snapshot(0)]
    for pdu in iter(lambda: source.next_pdu(0), None):
        destination.receive(pdu, 0)
        seeds.append(destination.snapshot(0))
    return [*seeds[:4], seeds[-1], source.snapshot(0)]


TARGETS = {
    "cfdp_pdu": Target(run=cfdp_pdu, seeds=_pdu_seeds, longest=1024),
    "cfdp_source": Target(run=cfdp_source, seeds=_source_seeds),
    "cfdp_destination": Target(run=cfdp_destination, seeds=_destination_seeds),
    "cfdp_flood": Target(run=cfdp_flood, seeds=_flood_seeds, longest=256),
    "cfdp_snapshot": Target(run=cfdp_snapshot, seeds=_snapshot_seeds, longest=2048),
}
