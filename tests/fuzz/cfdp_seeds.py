"""Inputs that lead the fuzz targets of file delivery deep inside."""

from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_header import ConditionCode, FileStatus, PduHeader, TransactionStatus
from downlink.cfdp_pdu import Ack, DirectiveCode, EndOfFile, FileData, Finished, Metadata, Nak, Prompt, TypeLengthValue
from downlink.cfdp_source import CfdpSource
from tests.fuzz.pdu_tape import DESTINATION_ENTITY, SOURCE_ENTITY, plain_header


def pdu_seeds() -> list[bytes]:
    odd = PduHeader(
        source_entity_id=0x123456, destination_entity_id=0x654321, transaction_seq=0xABCDE, entity_id_bytes=3,
        transaction_seq_bytes=5, with_crc=True, large_file=True,
    )  # fmt: skip
    seeds: list[bytes] = []
    for header in (plain_header(0), odd):
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
            Ack(header=header, acknowledged=DirectiveCode.EOF, condition=ConditionCode.NO_ERROR, status=TransactionStatus.ACTIVE),
            Nak(header=header, scope_start=0, scope_end=900, requests=((0, 0), (10, 20), (800, 900))),
            Prompt(header=header, keep_alive=True),
        ]  # fmt: skip
        seeds.extend(pdu.encode() for pdu in pdus)
    return seeds


def source_seeds() -> list[bytes]:
    put, send, wait = b"\x02\x01\x90\x20", b"\x03\x3f", b"\x04\x0f\x00"
    nak = b"\x00\x00\x00\x00\x05\x02\x01\x05\x08\x09\x00\x10"
    finished = b"\x00\x00\x00\x00\x03\x00\x01\x02"
    ack = b"\x00\x00\x00\x00\x04\x00\x00\x01"
    inputs = [
        put + send + nak + send + ack + wait + send + finished + send, put + b"\x06\x00" + send + wait + b"\x06\x01" + send,
        put + put + b"\x02\x02\x00\x01" + send + b"\x05\x01" + wait + b"\x05\x00" + b"\x07\x00" + send,
    ]  # fmt: skip
    return [bytes([choice]) + one for choice in range(3) for one in inputs]


def destination_seeds() -> list[bytes]:
    def segment(at: int, length: int = 16, header: int = 0) -> bytes:
        return bytes((0, 0, 0, header, 1, 0, at, length)) + bytes((at * 16 + n) & 0xFF for n in range(length))

    answer, wait, end = b"\x03\x3f", b"\x04\x00\x40", b"\x07\x00\x00"
    cancelled, late = b"\x00\x00\x00\x02\x0e\x00\x00\x00\x00\x00\x00", b"\x04\x0a\x00"
    class_one = segment(0, header=0xC0) + segment(2, header=0xC0)
    inputs = [
        segment(0) + segment(1) + end + answer, segment(0) + segment(3) + wait + answer + segment(1, 32) + end + answer + wait + answer,
        segment(2) + b"\x06\x01" + segment(0) + b"\x06\x00" + segment(1) + end + wait + answer, cancelled + answer,
        b"\x08\x00" + segment(0) + answer, segment(0) + b"\x05\x01" + wait + b"\x05\x00" + wait * 40 + answer,
        segment(1) + (late + answer) * 3, class_one + b"\x07\x00\x01" + answer, class_one + b"\x07\x00\x07" + (late + answer) * 4,
        segment(0) + b"\x07\x00\x04" + answer, segment(0) + b"\x07\x00\xf2" + answer,
    ]  # fmt: skip
    return [bytes([choice]) + one for choice in range(2) for one in inputs]


def flood_seeds() -> list[bytes]:
    put, source, destination = b"\x01\x90\x20", b"\x00\x04\xaf\x00\x01", b"\x01\x04\xaf\x00\x01"
    finished, segment, prompt = b"\x00\x00\x03\x00\x01\x02", b"\x00\x00\x01\x00\x01\x01\x77", b"\x00\x00\x06\x00"
    cancelled = b"\x00\x00\x02\x0e\x00\x00\x00\x07\x00\x00"
    return [
        put + source + b"\x00" + finished + b"\x05\x05", put + destination + b"\x00" + cancelled,
        put + destination + b"\x02" + segment + prompt + cancelled, put + destination + b"\x01" + segment + cancelled + b"\x03\x03",
    ]  # fmt: skip


def snapshot_seeds() -> list[bytes]:
    source = CfdpSource(SOURCE_ENTITY, DESTINATION_ENTITY)
    destination = CfdpDestination(DESTINATION_ENTITY, (SOURCE_ENTITY,))
    source.put(transaction_seq=3, source_name="a", destination_name="b", file_bytes=b"0123456789")
    seeds = [source.snapshot(0), destination.snapshot(0)]
    for pdu in iter(lambda: source.next_pdu(0), None):
        destination.receive(pdu, 0)
        seeds.append(destination.snapshot(0))
    return [*seeds[:4], seeds[-1], source.snapshot(0)]
