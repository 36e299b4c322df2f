"""CFDP PDUs: golden bytes, round trips, spacepackets as oracle, and a decoder that garbage cannot upset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacepackets.cfdp import conf as oracle_conf
from spacepackets.cfdp import defs as oracle
from spacepackets.cfdp import pdu as oracle_pdu
from spacepackets.cfdp.pdu.file_data import FileDataParams, RecordContinuationState, SegmentMetadata
from spacepackets.cfdp.pdu.finished import FinishedParams
from spacepackets.cfdp.pdu.prompt import ResponseRequired
from spacepackets.cfdp.tlv import CfdpTlv, EntityIdTlv, TlvType
from spacepackets.util import ByteFieldGenerator

from downlink.cfdp_decoding import decode_pdu
from downlink.cfdp_header import ConditionCode, FileStatus, PduHeader, TransactionStatus
from downlink.cfdp_pdu import (
    Ack,
    DirectiveCode,
    EndOfFile,
    FileData,
    Finished,
    KeepAlive,
    Metadata,
    Nak,
    Prompt,
    TypeLengthValue,
    max_segment_bytes,
)
from downlink.errors import CfdpPduError

ODD_HEADER = PduHeader(
    source_entity_id=0x123456,
    destination_entity_id=0x654321,
    transaction_seq=0xABCDE,
    entity_id_bytes=3,
    transaction_seq_bytes=5,
)


any_length = st.integers(1, 8)


def headers(lengths=any_length):
    return st.builds(
        _header, lengths, lengths, st.binary(min_size=24, max_size=24), st.booleans(), st.booleans(), st.booleans()
    )


def _header(entity_bytes, seq_bytes, chance, unacknowledged, with_crc, large_file):
    return PduHeader(
        source_entity_id=int.from_bytes(chance[:entity_bytes]),
        destination_entity_id=int.from_bytes(chance[8 : 8 + entity_bytes]),
        transaction_seq=int.from_bytes(chance[16 : 16 + seq_bytes]),
        entity_id_bytes=entity_bytes,
        transaction_seq_bytes=seq_bytes,
        unacknowledged=unacknowledged,
        with_crc=with_crc,
        large_file=large_file,
    )


offsets = st.integers(0, 0xFFFFFFFF)
names = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)
options = st.lists(st.builds(TypeLengthValue, type=st.integers(0, 5), value=st.binary(max_size=20)), max_size=3).map(
    tuple
)


def pdus(header):
    fault = st.none() | st.integers(0, (1 << 8 * header.entity_id_bytes) - 1)
    fields = {"header": st.just(header)}
    return st.one_of(
        st.builds(
            Metadata,
            **fields,
            file_size_bytes=offsets,
            source_name=names,
            destination_name=names,
            checksum_type=st.integers(0, 15),
            closure_requested=st.booleans(),
            options=options,
        ),
        st.builds(FileData, **fields, offset=offsets, data=st.binary(max_size=80)),
        st.builds(
            FileData,
            **fields,
            offset=offsets,
            data=st.binary(max_size=80),
            segment_metadata=st.binary(max_size=63),
            record_continuation=st.integers(0, 3),
        ),
        st.builds(
            EndOfFile,
            **fields,
            condition=st.sampled_from(ConditionCode),
            checksum=offsets,
            file_size_bytes=offsets,
            fault_entity_id=fault,
        ),
        st.builds(
            Finished,
            **fields,
            condition=st.sampled_from(ConditionCode),
            complete=st.booleans(),
            file_status=st.sampled_from(FileStatus),
            filestore_responses=options,
            fault_entity_id=fault,
        ),
        st.builds(
            Ack,
            **fields,
            acknowledged=st.sampled_from([DirectiveCode.EOF, DirectiveCode.FINISHED]),
            condition=st.sampled_from(ConditionCode),
            status=st.sampled_from(TransactionStatus),
        ),
        st.builds(
            Nak,
            **fields,
            scope_start=offsets,
            scope_end=offsets,
            requests=st.lists(st.tuples(offsets, offsets), max_size=6).map(tuple),
        ),
        st.builds(Prompt, **fields, keep_alive=st.booleans()),
        st.builds(KeepAlive, **fields, progress=offsets),
    )


def test_golden_bytes():
    identity = "123456" + "00000abcde" + "654321"
    file_data = FileData(header=ODD_HEADER, offset=0x12345678, data=b"\xca\xfe\xba")
    assert file_data.encode().hex() == "30" + "0007" + "24" + identity + "12345678" + "cafeba"
    nak = Nak(header=ODD_HEADER, scope_start=1, scope_end=0x789A, requests=((0, 0), (0x11, 0x2233)))
    ranges = "00000001" + "0000789a" + "00000000" * 2 + "00000011" + "00002233"
    assert nak.encode().hex() == "28" + "0019" + "24" + identity + "08" + ranges
    metadata = Metadata(
        header=ODD_HEADER, file_size_bytes=0x1020304, source_name="a.b", destination_name="cd", checksum_type=3
    )
    assert metadata.encode().hex() == "20" + "000d" + "24" + identity + "07" + "03" + "01020304" + "03612e62" + "026364"


@given(headers().flatmap(pdus))
def test_every_pdu_round_trips(pdu):
    encoded = pdu.encode()
    assert decode_pdu(encoded) == pdu


@given(headers(st.sampled_from([1, 2, 4, 8])).flatmap(pdus))
def test_agrees_with_spacepackets(pdu):
    assert pdu.encode() == bytes(oracle_of(pdu).pack())


def oracle_of(pdu):
    header = pdu.header
    config = oracle_conf.PduConfig(
        source_entity_id=ByteFieldGenerator.from_int(header.entity_id_bytes, header.source_entity_id),
        dest_entity_id=ByteFieldGenerator.from_int(header.entity_id_bytes, header.destination_entity_id),
        transaction_seq_num=ByteFieldGenerator.from_int(header.transaction_seq_bytes, header.transaction_seq),
        trans_mode=oracle.TransmissionMode(header.unacknowledged),
        file_flag=oracle.LargeFileFlag(header.large_file),
        crc_flag=oracle.CrcFlag(header.with_crc),
        direction=oracle.Direction(pdu.direction),
    )
    return ORACLES[type(pdu)](pdu, config)


def _entity_tlv(pdu):
    if pdu.fault_entity_id is None:
        return None
    return EntityIdTlv(pdu.fault_entity_id.to_bytes(pdu.header.entity_id_bytes))


def _oracle_metadata(pdu, config):
    params = oracle_pdu.MetadataParams(
        closure_requested=pdu.closure_requested,
        checksum_type=pdu.checksum_type,
        file_size=pdu.file_size_bytes,
        source_file_name=pdu.source_name,
        dest_file_name=pdu.destination_name,
    )
    types = {kind.value: kind for kind in TlvType}
    return oracle_pdu.MetadataPdu(
        config, params, [CfdpTlv(types.get(option.type, option.type), option.value) for option in pdu.options]
    )


def _oracle_file_data(pdu, config):
    described = None
    if pdu.segment_metadata is not None:
        described = SegmentMetadata(RecordContinuationState(pdu.record_continuation), pdu.segment_metadata)
    params = FileDataParams(file_data=pdu.data, offset=pdu.offset, segment_metadata=described)
    return oracle_pdu.FileDataPdu(pdu_conf=config, params=params)


def _oracle_end_of_file(pdu, config):
    return oracle_pdu.EofPdu(config, pdu.checksum, pdu.file_size_bytes, _entity_tlv(pdu), pdu.condition)


class _RawResponse:
    """A filestore response as the bytes we keep it as."""

    def __init__(self, option):
        self.raw = bytes((option.type, len(option.value))) + option.value
        self.packet_len = len(self.raw)

    def pack(self):
        return self.raw


class _AnyFaultLocation(oracle_pdu.FinishedPdu):
    # spacepackets counts a fault location in the length, yet leaves it out where the condition should have none.
    might_have_fault_location = True


def _oracle_finished(pdu, config):
    params = FinishedParams(
        condition_code=pdu.condition,
        delivery_code=oracle.DeliveryCode(not pdu.complete),
        file_status=oracle.FileStatus(pdu.file_status),
        file_store_responses=[_RawResponse(response) for response in pdu.filestore_responses],
        fault_location=_entity_tlv(pdu),
    )
    return _AnyFaultLocation(config, params)


ORACLES = {
    Metadata: _oracle_metadata,
    FileData: _oracle_file_data,
    EndOfFile: _oracle_end_of_file,
    Finished: _oracle_finished,
    Ack: lambda pdu, config: oracle_pdu.AckPdu(
        config, oracle_pdu.DirectiveType(pdu.acknowledged), pdu.condition, oracle_pdu.TransactionStatus(pdu.status)
    ),
    Nak: lambda pdu, config: oracle_pdu.NakPdu(config, pdu.scope_start, pdu.scope_end, list(pdu.requests)),
    Prompt: lambda pdu, config: oracle_pdu.PromptPdu(config, ResponseRequired(pdu.keep_alive)),
    KeepAlive: lambda pdu, config: oracle_pdu.KeepAlivePdu(config, pdu.progress),
}


@given(st.binary(max_size=120))
def test_garbage_is_one_kind_of_error(data):
    _decode_or_refuse(data)


@given(headers().flatmap(pdus), st.data())
def test_damaged_pdus_are_one_kind_of_error(pdu, data):
    encoded = bytearray(pdu.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    _decode_or_refuse(bytes(encoded))
    _decode_or_refuse(bytes(encoded[: data.draw(st.integers(0, len(encoded)))]))


def _decode_or_refuse(data):
    try:
        pdu = decode_pdu(data)
    except CfdpPduError as error:
        assert str(error)
    else:
        assert decode_pdu(pdu.encode()) == pdu


@given(headers().flatmap(pdus).filter(lambda pdu: pdu.header.with_crc), st.data())
def test_a_pdu_with_crc_notices_every_flipped_bit(pdu, data):
    encoded = bytearray(pdu.encode())
    bit = data.draw(st.integers(32, 8 * len(encoded) - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CfdpPduError):
        decode_pdu(bytes(encoded))


@pytest.mark.parametrize(
    "pdu",
    [
        FileData(header=ODD_HEADER, offset=1 << 32, data=b"x"),
        FileData(header=ODD_HEADER, offset=0, data=bytes(65532)),
        FileData(header=ODD_HEADER, offset=0, data=b"", segment_metadata=bytes(64)),
        Metadata(header=ODD_HEADER, file_size_bytes=1, source_name="n" * 256, destination_name=""),
        Metadata(header=ODD_HEADER, file_size_bytes=1, source_name="\ud800", destination_name=""),
        Metadata(header=ODD_HEADER, file_size_bytes=1, source_name="", destination_name="", checksum_type=16),
        EndOfFile(header=ODD_HEADER, condition=ConditionCode.NO_ERROR, checksum=1 << 32, file_size_bytes=0),
        EndOfFile(
            header=ODD_HEADER,
            condition=ConditionCode.NO_ERROR,
            checksum=0,
            file_size_bytes=0,
            fault_entity_id=1 << 24,
        ),
        Nak(header=ODD_HEADER, scope_start=0, scope_end=1 << 32, requests=()),
        Ack(
            header=ODD_HEADER,
            acknowledged=DirectiveCode.NAK,
            condition=ConditionCode.NO_ERROR,
            status=TransactionStatus.ACTIVE,
        ),
    ],
)
def test_fields_outside_the_format_are_refused(pdu):
    with pytest.raises(CfdpPduError):
        pdu.encode()


def test_large_files_have_long_offsets():
    header = PduHeader(source_entity_id=1, destination_entity_id=2, transaction_seq=3, large_file=True)
    pdu = FileData(header=header, offset=0x123456789A, data=b"far")
    assert decode_pdu(pdu.encode()) == pdu


@pytest.mark.parametrize("header", [{"source_entity_id": 1 << 16}, {"transaction_seq": -1}, {"entity_id_bytes": 9}])
def test_headers_outside_the_format_are_refused(header):
    with pytest.raises(CfdpPduError):
        PduHeader(**{"source_entity_id": 1, "destination_entity_id": 2, "transaction_seq": 3} | header)


def test_segments_and_naks_fill_a_pdu_to_its_limit():
    for header in (
        ODD_HEADER,
        PduHeader(source_entity_id=1, destination_entity_id=2, transaction_seq=3, with_crc=True),
    ):
        segment = bytes(max_segment_bytes(header, 100))
        assert len(FileData(header=header, offset=0, data=segment).encode()) == 100
        requests = ((1, 2),) * Nak.max_requests(header, 100)
        assert 100 - 8 < len(Nak(header=header, scope_start=0, scope_end=9, requests=requests).encode()) <= 100
    with pytest.raises(CfdpPduError, match="allow at least 20"):
        max_segment_bytes(ODD_HEADER, 10)
