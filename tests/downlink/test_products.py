"""Addresses of layers: their bytes, their limits, and what they build on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.errors import LayerError, RecordError
from downlink.express import ADDRESSES_PER_RECEIPT, decode_receipt, encode_receipts
from downlink.link_profile import Apid, LinkProfile
from downlink.packet_sender import PacketSender
from downlink.products import ALERTS_PRODUCT, BLOCKS_LIMIT, FIRST_BLOCK, FIRST_CHIP, LayerAddress
from downlink.space_packet import PacketType, decode_space_packet
from downlink.transfer_frame import FRAME_OVERHEAD_BYTES

ADDRESSES = st.builds(
    LayerAddress, scene=st.integers(0, 0xFFFF_FFFF), product=st.integers(0, 0xFFFF), step=st.integers(0, 0xFF)
)


def test_an_address_is_seven_bytes_big_endian():
    address = LayerAddress(scene=0x12345678, product=0x9ABC, step=0xDE)
    assert address.pack() == bytes.fromhex("123456789abcde")
    assert LayerAddress.unpack(bytes.fromhex("123456789abcde")) == address


@given(ADDRESSES, ADDRESSES)
def test_addresses_come_back_and_sort_as_their_bytes(one, other):
    assert LayerAddress.unpack(one.pack()) == one
    assert (one < other) == (one.pack() < other.pack())


@pytest.mark.parametrize("fields", [(-1, 0, 0), (1 << 32, 0, 0), (0, 1 << 16, 0), (0, 0, 256), (0, -1, 0)])
def test_an_address_that_does_not_fit_is_refused(fields):
    with pytest.raises(LayerError, match="does not fit"):
        LayerAddress(scene=fields[0], product=fields[1], step=fields[2])


@pytest.mark.parametrize("size", [0, 6, 8])
def test_an_address_of_another_length_is_refused(size):
    with pytest.raises(LayerError, match="7 bytes"):
        LayerAddress.unpack(bytes(range(size)))


def test_a_step_builds_on_the_one_before_it_and_an_alert_batch_on_nothing():
    assert LayerAddress(scene=3, product=9, step=4).previous == LayerAddress(scene=3, product=9, step=3)
    assert LayerAddress(scene=3, product=9, step=0).previous is None
    assert LayerAddress(scene=3, product=ALERTS_PRODUCT, step=4).previous is None


@given(ADDRESSES)
def test_every_address_is_a_block_or_a_chip_or_the_audit_or_express(address):
    assert [address.is_block, address.is_chip, address.is_audit, address.is_express].count(True) == 1


def test_the_last_block_stands_right_before_the_first_chip():
    last = LayerAddress(scene=1, product=FIRST_BLOCK + BLOCKS_LIMIT - 1, step=0)
    assert last.is_block
    assert last.product + 1 == FIRST_CHIP


def test_a_receipt_is_a_version_and_addresses():
    addresses = [
        LayerAddress(scene=0x01020304, product=ALERTS_PRODUCT, step=5),
        LayerAddress(scene=6, product=0, step=0),
    ]
    assert encode_receipts(addresses) == [bytes.fromhex("01 01020304ffff05 00000006000000")]


@given(st.lists(ADDRESSES, max_size=3 * ADDRESSES_PER_RECEIPT))
def test_receipts_name_every_address_in_order_and_fit_an_uplink_frame(addresses):
    payloads = encode_receipts(addresses)
    assert [address for payload in payloads for address in decode_receipt(payload)] == addresses
    frame_room = LinkProfile().uplink_frame_bytes - FRAME_OVERHEAD_BYTES
    assert all(len(PacketSender().packet(Apid.EXPRESS_RECEIPT, payload)) <= frame_room for payload in payloads)


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x02" + bytes(range(7)), b"\x01" + bytes(range(8))])
def test_other_bytes_are_no_receipt(payload):
    with pytest.raises(RecordError, match="receipt"):
        decode_receipt(payload)


def test_each_process_counts_its_own_packets_and_direction_decides_the_type():
    sender = PacketSender()
    order = (Apid.EXPRESS, Apid.FILES_DOWN, Apid.EXPRESS, Apid.FILES_UP, Apid.EXPRESS)
    packets = [decode_space_packet(sender.packet(apid, bytes([apid & 0xFF, 0x5A]))) for apid in order]
    assert [packet.sequence_count for packet in packets] == [0, 0, 1, 0, 2]
    assert packets[1].packet_type is PacketType.TELEMETRY
    assert packets[3].packet_type is PacketType.TELECOMMAND
    assert packets[4].data == b"\x01\x5a"


def test_counts_wrap_at_fourteen_bits():
    sender = PacketSender()
    last = [decode_space_packet(sender.packet(Apid.FILES_DOWN, b"\x12")).sequence_count for _ in range((1 << 14) + 2)]
    assert last[-3:] == [(1 << 14) - 1, 0, 1]


@pytest.mark.parametrize("frame_bytes", [64, 512, 1115, 2048])
def test_pdus_in_their_packets_fill_one_frame_or_eight(frame_bytes):
    settings = LinkProfile(frame_bytes=frame_bytes).source_settings
    for frames, pdu_bytes in ((1, settings.frame_pdu_bytes), (8, settings.max_pdu_bytes)):
        packet = PacketSender().packet(Apid.FILES_DOWN, bytes(pdu_bytes))
        assert len(packet) == frames * (frame_bytes - FRAME_OVERHEAD_BYTES)
