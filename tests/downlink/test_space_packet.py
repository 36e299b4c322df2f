"""Space packets: golden bytes, spacepackets as oracle, and a scan that noise cannot upset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacepackets.ccsds.spacepacket import PacketType as OracleType
from spacepackets.ccsds.spacepacket import SequenceFlags as OracleFlags
from spacepackets.ccsds.spacepacket import SpacePacketHeader

from downlink.errors import SpacePacketError
from downlink.space_packet import (
    IDLE_APID,
    MAX_PACKET_BYTES,
    PacketStream,
    PacketType,
    SequenceFlags,
    SpacePacket,
    decode_space_packet,
    idle_packet,
    next_sequence_count,
    scan_space_packets,
)

packets = st.builds(
    SpacePacket,
    apid=st.integers(0, 2047),
    sequence_count=st.integers(0, 16383),
    data=st.binary(min_size=1, max_size=60),
    packet_type=st.sampled_from(PacketType),
    sequence_flags=st.sampled_from(SequenceFlags),
    secondary_header=st.booleans(),
)


def test_golden_bytes():
    packet = SpacePacket(
        apid=0x2A5,
        sequence_count=0x1234,
        data=b"\xde\xad\xbe\xef\x01",
        packet_type=PacketType.TELECOMMAND,
        sequence_flags=SequenceFlags.FIRST,
        secondary_header=True,
    )
    assert packet.encode().hex() == "1aa552340004deadbeef01"


@given(packets)
def test_agrees_with_spacepackets(packet):
    oracle = SpacePacketHeader(
        packet_type=OracleType(packet.packet_type),
        apid=packet.apid,
        seq_count=packet.sequence_count,
        data_len=len(packet.data) - 1,
        sec_header_flag=packet.secondary_header,
        seq_flags=OracleFlags(packet.sequence_flags),
    )
    encoded = packet.encode()
    assert encoded == bytes(oracle.pack()) + packet.data
    assert decode_space_packet(encoded) == packet


def test_longest_packet_and_one_byte_more():
    longest = SpacePacket(apid=1, sequence_count=2, data=bytes(range(256)) * 256)
    assert len(longest.encode()) == MAX_PACKET_BYTES
    assert decode_space_packet(longest.encode()) == longest
    with pytest.raises(SpacePacketError, match=r"65537 bytes.*send longer data as a file"):
        SpacePacket(apid=1, sequence_count=2, data=bytes(65537))


@pytest.mark.parametrize("fields", [{"apid": 2048}, {"apid": -1}, {"sequence_count": 16384}, {"data": b""}])
def test_fields_outside_the_format_are_refused(fields):
    with pytest.raises(SpacePacketError):
        SpacePacket(**{"apid": 1, "sequence_count": 2, "data": b"x"} | fields)


@pytest.mark.parametrize("damaged", ["", "0801c000", "2801c000000041", "0801c000000141", "0801c00000004142"])
def test_bytes_that_are_not_one_packet_are_refused(damaged):
    with pytest.raises(SpacePacketError):
        decode_space_packet(bytes.fromhex(damaged))


@given(st.integers(0, 2046), st.sampled_from(PacketType), st.lists(st.binary(min_size=1, max_size=40), max_size=5))
def test_a_stream_numbers_its_packets(apid, packet_type, payloads):
    stream = PacketStream(apid, packet_type)
    expected = [
        SpacePacket(apid=apid, sequence_count=count, data=data, packet_type=packet_type).encode()
        for count, data in enumerate(payloads)
    ]
    assert [stream.packet(data) for data in payloads] == expected


def test_a_stream_wraps_at_14_bits_and_refuses_what_is_no_packet():
    stream = PacketStream(0x2A5)
    counts = [decode_space_packet(stream.packet(b"\x11")).sequence_count for _ in range(16386)]
    assert counts[16382:] == [16382, 16383, 0, 1]
    for data in (b"", bytes(65537)):
        with pytest.raises(SpacePacketError, match="packet data of"):
            stream.packet(data)
    with pytest.raises(SpacePacketError, match="APID 2047"):
        PacketStream(IDLE_APID)


def test_sequence_count_wraps_at_14_bits():
    assert next_sequence_count(16382) == 16383
    assert next_sequence_count(16383) == 0


@pytest.mark.parametrize("total_bytes", [7, 8, 1105, MAX_PACKET_BYTES])
def test_idle_packets_have_the_length_asked_for(total_bytes):
    packet = decode_space_packet(idle_packet(total_bytes))
    assert packet.apid == IDLE_APID
    assert packet.is_idle
    assert len(packet.encode()) == total_bytes


def test_idle_packets_have_a_shortest_length():
    with pytest.raises(SpacePacketError, match="idle packet of 6 bytes"):
        idle_packet(6)


@given(st.lists(packets, max_size=6), st.integers(0, 80))
def test_scan_reads_a_clean_stream_cut_anywhere(sent, cut):
    stream = b"".join(packet.encode() for packet in sent)
    cut = min(cut, len(stream))
    first = scan_space_packets(stream[:cut])
    second = scan_space_packets(stream[first.consumed :])
    assert first.found + second.found == tuple(sent)
    assert first.skipped == second.skipped == ()
    assert first.consumed + second.consumed == len(stream)


@given(st.lists(packets, min_size=1, max_size=4), st.integers(1, 20))
def test_scan_skips_noise_between_packets(sent, noise_bytes):
    # 0xFF cannot begin a packet: its version bits are not 0.
    noise = b"\xff" * noise_bytes
    stream, ranges = b"", []
    for packet in sent:
        ranges.append((len(stream), len(stream) + noise_bytes))
        stream += noise + packet.encode()
    scan = scan_space_packets(stream)
    assert scan.found == tuple(sent)
    assert scan.skipped == tuple(ranges)


@given(st.binary(max_size=300), st.none() | st.frozensets(st.integers(0, 2047), max_size=20))
def test_scan_accounts_for_every_byte_of_anything(noise, apids):
    scan = scan_space_packets(noise, apids=apids)
    accounted = sum(len(packet.encode()) for packet in scan.found) + sum(end - start for start, end in scan.skipped)
    assert accounted == scan.consumed <= len(noise)
    assert all(apids is None or packet.apid in apids for packet in scan.found)
