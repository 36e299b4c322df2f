"""Fuzz targets of file delivery: the decoder, the two machines, their snapshots."""

import binascii
from collections.abc import Callable

from downlink.cfdp_decoding import decode_pdu
from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_events import TransactionId
from downlink.cfdp_source import CfdpSource
from downlink.errors import CfdpPduError, CfdpSnapshotError
from tests.fuzz.cfdp_benches import (
    CHOICES_OF_A_SOURCE,
    DESTINATION_SETTINGS,
    SOURCE_SETTINGS,
    DestinationBench,
    SourceBench,
)
from tests.fuzz.cfdp_seeds import destination_seeds, flood_seeds, pdu_seeds, snapshot_seeds, source_seeds
from tests.fuzz.contract import Target, require, value_or_refusal, with_crc16
from tests.fuzz.footprint import footprint_bytes
from tests.fuzz.pdu_tape import pdu_bytes_from
from tests.fuzz.tape import Tape

STEPS_LIMIT = 400
FLOOD_LIMIT = 1200
SNAPSHOT_HEADER_BYTES = 13
FOOTPRINT_LIMIT_BYTES = 180_000
"""1024 acknowledgements and 1024 KeepAlives that wait, 70 bytes each, and the buffers that `cfdp_benches` allows."""


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


def cfdp_source(data: bytes) -> None:
    """Never raises; a file is delivered only where a Finished said so; what is sent is the file; memory is bounded."""
    tape = Tape(data)
    bench = SourceBench(tape.pick(CHOICES_OF_A_SOURCE))
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
                how = tape.byte()
                bench.reboot(forget_one=bool(how & 1), up_to_date=bool(how & 2))
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
            # As in plain_header: 3 bytes of sequence number after one of entity id.
            hear(pdu[:5] + seq.to_bytes(3, "big") + pdu[8:])


def cfdp_destination(data: bytes) -> None:
    """Never raises; a file is what its segments were and is handed over once; memory is bounded."""
    tape = Tape(data)
    bench = DestinationBench({} if tape.flag() else None)
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
                bench.remember_completed(tape)
    _check_footprints(bench.machine)
    bench.machine.next_wakeup_ms(bench.now_ms)


def cfdp_flood(data: bytes) -> None:
    """Neither machine holds more memory because the same few PDUs come for thousands of transactions."""
    tape, source, destination = Tape(data), SourceBench(SOURCE_SETTINGS), DestinationBench()
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


TARGETS = {
    "cfdp_pdu": Target(run=cfdp_pdu, seeds=pdu_seeds, longest=1024),
    "cfdp_source": Target(run=cfdp_source, seeds=source_seeds, share=3),
    "cfdp_destination": Target(run=cfdp_destination, seeds=destination_seeds, share=3),
    "cfdp_flood": Target(run=cfdp_flood, seeds=flood_seeds, longest=256, kept_bytes=200),
    "cfdp_snapshot": Target(run=cfdp_snapshot, seeds=snapshot_seeds, longest=2048),
}
