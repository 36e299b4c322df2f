"""Bytes back into CFDP protocol data units. Whatever the bytes are, the answer is a PDU or a CfdpPduError."""

import binascii
import struct
from collections.abc import Callable

from downlink.cfdp_header import ConditionCode, FileStatus, PduHeader, ReceivedHeader, TransactionStatus, decode_header
from downlink.cfdp_pdu import (
    ENTITY_ID_OPTION,
    MAX_SEGMENT_METADATA_BYTES,
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
from downlink.errors import CfdpPduError


def decode_pdu(data: bytes) -> Pdu:
    """The PDU that `data` is, whole and alone. Raises CfdpPduError, and nothing else, when it is none."""
    received = decode_header(data)
    header = received.header
    start, end = header.encoded_bytes, len(data) - header.crc_bytes
    if start + received.data_field_bytes != len(data):
        raise CfdpPduError(f"header announces {start + received.data_field_bytes} bytes, {len(data)} are here")
    if header.with_crc and (end <= start or binascii.crc_hqx(data, 0xFFFF)):
        raise CfdpPduError(f"PDU of {len(data)} bytes fails its CRC")
    if received.file_data:
        pdu: Pdu = _decode_file_data(received, _Fields(data, start, end, header))
    else:
        fields = _Fields(data, start, end, header)
        code = fields.byte()
        try:
            directive = DirectiveCode(code)
        except ValueError:
            raise CfdpPduError(f"directive code {code} is unknown") from None
        pdu = _DECODERS[directive](fields)
    if pdu.direction is not received.direction:
        raise CfdpPduError(f"{type(pdu).__name__} PDU travels in the wrong direction ({received.direction.name})")
    return pdu


class _Fields:
    """The data field of a PDU, read from front to back."""

    def __init__(self, data: bytes, start: int, end: int, header: PduHeader) -> None:
        self._data = data
        self._position = start
        self._end = end
        self.header = header

    @property
    def at_end(self) -> bool:
        return self._position >= self._end

    def take(self, count: int) -> bytes:
        piece = self._data[self._position : self._position + count]
        self._position += count
        if self._position > self._end:
            raise CfdpPduError(f"PDU of {len(self._data)} bytes ends inside a field")
        return piece

    def byte(self) -> int:
        return self.take(1)[0]

    def offset(self) -> int:
        return int.from_bytes(self.take(self.header.offset_bytes))

    def rest(self) -> bytes:
        return self.take(self._end - self._position)

    def text(self) -> str:
        try:
            return self.take(self.byte()).decode("utf-8")
        except UnicodeDecodeError:
            raise CfdpPduError("a file name is not UTF-8") from None

    def condition(self, code: int) -> ConditionCode:
        try:
            return ConditionCode(code)
        except ValueError:
            raise CfdpPduError(f"condition code {code} is unknown") from None

    def options(self) -> tuple[TypeLengthValue, ...]:
        options = []
        while not self.at_end:
            kind = self.byte()
            options.append(TypeLengthValue(type=kind, value=self.take(self.byte())))
        return tuple(options)


def _decode_file_data(received: ReceivedHeader, fields: _Fields) -> FileData:
    described, continuation = None, 0
    if received.segment_metadata:
        first = fields.byte()
        continuation, described = first >> 6, fields.take(first & MAX_SEGMENT_METADATA_BYTES)
    return FileData(
        header=received.header,
        offset=fields.offset(),
        data=fields.rest(),
        segment_metadata=described,
        record_continuation=continuation,
    )


def _decode_metadata(fields: _Fields) -> Metadata:
    first = fields.byte()
    return Metadata(
        header=fields.header,
        checksum_type=first & 0xF,
        closure_requested=bool(first & 0x40),
        file_size_bytes=fields.offset(),
        source_name=fields.text(),
        destination_name=fields.text(),
        options=fields.options(),
    )


def _decode_end_of_file(fields: _Fields) -> EndOfFile:
    condition = fields.condition(fields.byte() >> 4)
    checksum, size = int.from_bytes(fields.take(4)), fields.offset()
    _, fault = _split_fault_location(fields.options())
    return EndOfFile(
        header=fields.header, condition=condition, checksum=checksum, file_size_bytes=size, fault_entity_id=fault
    )


def _decode_finished(fields: _Fields) -> Finished:
    first = fields.byte()
    responses, fault = _split_fault_location(fields.options())
    return Finished(
        header=fields.header,
        condition=fields.condition(first >> 4),
        complete=not first & 4,
        file_status=FileStatus(first & 3),
        filestore_responses=responses,
        fault_entity_id=fault,
    )


def _decode_ack(fields: _Fields) -> Ack:
    first, second = fields.byte(), fields.byte()
    if first >> 4 not in (DirectiveCode.EOF, DirectiveCode.FINISHED):
        raise CfdpPduError(f"ACK of directive {first >> 4}; only EOF and FINISHED are acknowledged")
    return Ack(
        header=fields.header,
        acknowledged=DirectiveCode(first >> 4),
        condition=fields.condition(second >> 4),
        status=TransactionStatus(second & 3),
    )


def _decode_nak(fields: _Fields) -> Nak:
    scope_start, scope_end, rest = fields.offset(), fields.offset(), fields.rest()
    width = fields.header.offset_bytes
    if len(rest) % (2 * width):
        raise CfdpPduError(f"NAK with {len(rest)} bytes of ranges, not a multiple of {2 * width}")
    edges = struct.unpack(f">{len(rest) // width}{'Q' if width == 8 else 'I'}", rest)
    requests = tuple(zip(edges[::2], edges[1::2], strict=True))
    return Nak(header=fields.header, scope_start=scope_start, scope_end=scope_end, requests=requests)


def _decode_prompt(fields: _Fields) -> Prompt:
    return Prompt(header=fields.header, keep_alive=bool(fields.byte() & 0x80))


def _decode_keep_alive(fields: _Fields) -> KeepAlive:
    return KeepAlive(header=fields.header, progress=fields.offset())


_DECODERS: dict[DirectiveCode, Callable[[_Fields], Pdu]] = {
    DirectiveCode.METADATA: _decode_metadata,
    DirectiveCode.EOF: _decode_end_of_file,
    DirectiveCode.FINISHED: _decode_finished,
    DirectiveCode.ACK: _decode_ack,
    DirectiveCode.NAK: _decode_nak,
    DirectiveCode.PROMPT: _decode_prompt,
    DirectiveCode.KEEP_ALIVE: _decode_keep_alive,
}


def _split_fault_location(options: tuple[TypeLengthValue, ...]) -> tuple[tuple[TypeLengthValue, ...], int | None]:
    others = tuple(option for option in options if option.type != ENTITY_ID_OPTION)
    faults = [int.from_bytes(option.value) for option in options if option.type == ENTITY_ID_OPTION]
    return others, faults[0] if faults else None
