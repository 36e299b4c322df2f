"""PDUs made from a tape: whole ones, ones with a sound header and any data field, and noise."""

from downlink.cfdp_header import ConditionCode, Direction, FileStatus, PduHeader, TransactionStatus
from downlink.cfdp_pdu import (
    Ack,
    DirectiveCode,
    EndOfFile,
    FileData,
    Finished,
    KeepAlive,
    Metadata,
    Nak,
    Pdu,
    Prompt,
    TypeLengthValue,
)
from tests.fuzz.contract import with_crc16
from tests.fuzz.tape import Tape

SOURCE_ENTITY, DESTINATION_ENTITY = 1, 2
CONDITIONS = tuple(ConditionCode)


def plain_header(seq: int, *, unacknowledged: bool = False) -> PduHeader:
    """The header that both ends of these targets use."""
    return PduHeader(
        source_entity_id=SOURCE_ENTITY, destination_entity_id=DESTINATION_ENTITY, transaction_seq=seq, entity_id_bytes=1,
        transaction_seq_bytes=3, unacknowledged=unacknowledged,
    )  # fmt: skip


def header_from(tape: Tape, *, seq: int) -> PduHeader:
    """Mostly the header that both ends use for transaction `seq`."""
    unusual = tape.byte()
    if unusual < 0xE0:
        return plain_header(seq % (1 << 24), unacknowledged=unusual >= 0xC0)
    width, seq_width = 1 + tape.below(8), 1 + tape.below(8)
    return PduHeader(
        source_entity_id=tape.pick((SOURCE_ENTITY, DESTINATION_ENTITY, 0xFE)),
        destination_entity_id=tape.pick((DESTINATION_ENTITY, SOURCE_ENTITY, 0xFD)),
        transaction_seq=seq % (1 << 8 * seq_width),
        entity_id_bytes=width,
        transaction_seq_bytes=seq_width,
        unacknowledged=bool(unusual & 1),
        with_crc=bool(unusual & 2),
        large_file=bool(unusual & 4),
    )


def offset_from(tape: Tape, header: PduHeader) -> int:
    """Mostly a small number, so that ranges meet; sometimes any that the field can hold."""
    kind = tape.byte()
    if kind < 0xC0:
        return kind * 16
    return tape.number(2 if kind < 0xF0 else header.offset_bytes)


def pdu_from(tape: Tape, header: PduHeader) -> Pdu:
    """Any PDU of this transaction."""
    match tape.below(8):
        case 0:
            return Metadata(
                header=header, file_size_bytes=offset_from(tape, header), source_name="s", destination_name="d" * tape.below(256),
                checksum_type=tape.pick((3, 15, 0, 2, 1, 9)), closure_requested=tape.flag(),
                options=tuple(TypeLengthValue(type=tape.byte(), value=tape.chunk(20)) for _ in range(tape.below(3))),
            )  # fmt: skip
        case 1:
            described = tape.chunk(63) if tape.below(8) == 7 else None
            return FileData(
                header=header, offset=offset_from(tape, header), data=tape.chunk(900), segment_metadata=described
            )
        case 2:
            return EndOfFile(
                header=header, condition=tape.pick((ConditionCode.NO_ERROR, *CONDITIONS)), checksum=tape.number(4),
                file_size_bytes=offset_from(tape, header), fault_entity_id=DESTINATION_ENTITY if tape.flag() else None,
            )  # fmt: skip
        case 3:
            return Finished(
                header=header, condition=tape.pick((ConditionCode.NO_ERROR, *CONDITIONS)), complete=tape.flag(),
                file_status=tape.pick(tuple(FileStatus)),
            )  # fmt: skip
        case 4:
            return Ack(
                header=header, acknowledged=tape.pick((DirectiveCode.EOF, DirectiveCode.FINISHED)), condition=tape.pick(CONDITIONS),
                status=tape.pick(tuple(TransactionStatus)),
            )  # fmt: skip
        case 5:
            requests = tuple((offset_from(tape, header), offset_from(tape, header)) for _ in range(tape.below(24)))
            return Nak(
                header=header,
                scope_start=offset_from(tape, header),
                scope_end=offset_from(tape, header),
                requests=requests,
            )
        case 6:
            return Prompt(header=header, keep_alive=tape.flag())
        case _:
            return KeepAlive(header=header, progress=offset_from(tape, header))


def pdu_bytes_from(tape: Tape, *, seq: int) -> bytes:
    """A PDU, or a sound header with any data field, or noise."""
    kind = tape.byte()
    if kind >= 0xF0:
        return tape.chunk()
    header = header_from(tape, seq=seq)
    if kind < 0xC0:
        return pdu_from(tape, header).encode()
    direction = Direction.TOWARDS_SENDER if kind & 1 else Direction.TOWARDS_RECEIVER
    data = tape.chunk(600)
    start = header.encode(
        direction, len(data) + header.crc_bytes, file_data=bool(kind & 2), segment_metadata=bool(kind & 4)
    )
    return with_crc16(start + data) if header.with_crc else start + data
