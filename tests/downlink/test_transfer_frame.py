"""AOS transfer frames: golden bytes, an independent CRC, and a channel that loses, repeats, reorders and damages frames."""

import random

import fastcrc
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from downlink.errors import TransferFrameError
from downlink.frame_assembler import FrameAssembler
from downlink.frame_reader import FrameReader, FrameVerdict
from downlink.space_packet import IDLE_APID, SpacePacket, scan_space_packets
from downlink.transfer_frame import (
    FRAME_COUNT_MODULUS,
    IDLE_VC_ID,
    NO_PACKET_STARTS,
    ONLY_IDLE_DATA,
    TransferFrame,
    decode_transfer_frame,
)

SPACECRAFT = 0x2A5
FRAME_BYTES = 60
ZONE_BYTES = FRAME_BYTES - 10

packet_sizes = st.lists(st.integers(1, 160), min_size=1, max_size=12)


def packets_of(sizes):
    return [
        SpacePacket(apid=0x155, sequence_count=number, data=random.Random(number).randbytes(size))
        for number, size in enumerate(sizes)
    ]


def frames_of(packets, *, flush_after=frozenset(), next_frame_count=0):
    assembler = FrameAssembler(SPACECRAFT, 3, frame_bytes=FRAME_BYTES, next_frame_count=next_frame_count)
    frames = []
    for index, packet in enumerate(packets):
        assembler.push(packet.encode())
        while (frame := assembler.next_frame(flush=index in flush_after)) is not None:
            frames.append(frame)
    while (frame := assembler.next_frame(flush=True)) is not None:
        frames.append(frame)
    return frames


def read_all(reader, frames):
    return [packet for frame in frames for packet in reader.feed(frame).packets]


def reader():
    return FrameReader(SPACECRAFT, frame_bytes=FRAME_BYTES)


def test_golden_bytes():
    frame = TransferFrame(
        spacecraft_id=SPACECRAFT,
        vc_id=0x13,
        frame_count=0x9ABCDEF,
        first_header_pointer=0x123,
        packet_zone=bytes(range(1, 9)),
        replay=True,
    )
    # version 01, spacecraft 10 1010 0101 (low 8 first), channel 01 0011; count ABCDEF; replay, cycle in use, 10, cycle 9
    body = bytes.fromhex("6953abcdefe90123") + bytes(range(1, 9))
    assert frame.encode() == body + fastcrc.crc16.ibm_3740(body).to_bytes(2)
    assert decode_transfer_frame(frame.encode()) == frame


@given(
    st.builds(
        TransferFrame,
        spacecraft_id=st.integers(0, 1023),
        vc_id=st.integers(0, 63),
        frame_count=st.integers(0, FRAME_COUNT_MODULUS - 1),
        first_header_pointer=st.integers(0, 0x7FF),
        packet_zone=st.binary(min_size=7, max_size=50),
        replay=st.booleans(),
    )
)
def test_every_frame_round_trips(frame):
    assert decode_transfer_frame(frame.encode()) == frame


def test_a_sender_without_frame_count_cycle_is_read():
    body = bytes.fromhex("6953abcdef290000") + b"1234567"
    frame = decode_transfer_frame(body + fastcrc.crc16.ibm_3740(body).to_bytes(2))
    assert frame.frame_count == 0xABCDEF


@pytest.mark.parametrize(
    "fields",
    [
        {"spacecraft_id": 1024},
        {"vc_id": 64},
        {"frame_count": FRAME_COUNT_MODULUS},
        {"first_header_pointer": 0x800},
        {"packet_zone": bytes(6)},
        {"packet_zone": bytes(2039)},
    ],
)
def test_fields_outside_the_format_are_refused(fields):
    valid = {"spacecraft_id": 1, "vc_id": 2, "frame_count": 3, "first_header_pointer": 0, "packet_zone": bytes(20)}
    with pytest.raises(TransferFrameError):
        TransferFrame(**valid | fields)


@pytest.mark.parametrize("vc_id", [IDLE_VC_ID, 1])
def test_idle_frames_are_recognised_whatever_fills_them(vc_id):
    idle = TransferFrame(
        spacecraft_id=SPACECRAFT, vc_id=vc_id, frame_count=0x0A0B0C, first_header_pointer=ONLY_IDLE_DATA,
        packet_zone=bytes(range(1, ZONE_BYTES + 1)),
    ).encode()  # fmt: skip
    reading = reader().feed(idle)
    assert (reading.verdict, reading.vc_id, reading.frame_count) == (FrameVerdict.IDLE, vc_id, 0x0A0B0C)
    assert reading.packets == ()


def test_assembler_lays_packets_end_to_end_and_points_at_the_first():
    first, second, third = packets_of([70, 100, 1])
    frames = [decode_transfer_frame(frame) for frame in frames_of([first, second, third])]
    assert [frame.first_header_pointer for frame in frames] == [0, 76 - ZONE_BYTES, NO_PACKET_STARTS, 32]
    stream = first.encode() + second.encode() + third.encode()
    zones = b"".join(frame.packet_zone for frame in frames)
    assert zones[: len(stream)] == stream
    assert scan_space_packets(zones[len(stream) :]).found[0].apid == IDLE_APID
    assert [frame.frame_count for frame in frames] == [0, 1, 2, 3]


def test_assembler_waits_for_a_full_frame_unless_told_to_flush():
    assembler = FrameAssembler(SPACECRAFT, 3, frame_bytes=FRAME_BYTES)
    assert assembler.next_frame(flush=True) is None
    # 47 bytes leave 3 free, fewer than the shortest idle packet: its tail must not ask for frames for ever.
    assembler.push(packets_of([41])[0].encode())
    assert assembler.pending_bytes == 47
    assert assembler.next_frame() is None
    assert assembler.next_frame(flush=True) is not None
    assert assembler.pending_bytes == 0
    assert assembler.next_frame(flush=True) is None


def test_assembler_refuses_what_is_not_one_packet():
    assembler = FrameAssembler(SPACECRAFT, 3, frame_bytes=FRAME_BYTES)
    with pytest.raises(TransferFrameError, match="not one space packet"):
        assembler.push(packets_of([20])[0].encode() + b"x")
    with pytest.raises(TransferFrameError, match="virtual channel 63"):
        FrameAssembler(SPACECRAFT, 63)


@given(packet_sizes, st.frozensets(st.integers(0, 11)))
def test_everything_arrives_over_a_clean_channel(sizes, flush_after):
    packets, receiver = packets_of(sizes), reader()
    readings = [receiver.feed(frame) for frame in frames_of(packets, flush_after=flush_after)]
    assert [packet for reading in readings for packet in reading.packets] == packets
    assert {reading.verdict for reading in readings} == {FrameVerdict.IN_ORDER}
    assert sum(reading.discarded_bytes for reading in readings) == 0


@given(packet_sizes, st.sets(st.integers(0, 40)), st.integers(0, FRAME_COUNT_MODULUS - 1))
# Two packets of two whole frames each: the front of one and the back of the other have the length of a packet.
@example([94, 94], {1, 2}, 0)
def test_lost_frames_cost_exactly_the_packets_they_touch(sizes, lost, next_frame_count):
    packets, receiver = packets_of(sizes), reader()
    frames = frames_of(packets, next_frame_count=next_frame_count)
    expected, position = [], 0
    for packet in packets:
        end = position + len(packet.encode())
        touched = set(range(position // ZONE_BYTES, (end - 1) // ZONE_BYTES + 1))
        expected += [packet] if not touched & lost else []
        position = end
    readings = [receiver.feed(frame) for index, frame in enumerate(frames) if index not in lost]
    assert [packet for reading in readings for packet in reading.packets] == expected
    heard = [index for index in range(len(frames)) if index not in lost]
    missing = heard[-1] + 1 - heard[0] - len(heard) if heard else 0
    assert sum(reading.frames_lost for reading in readings) == missing


@given(packet_sizes, st.randoms(use_true_random=False))
def test_a_damaged_frame_is_a_lost_frame(sizes, chance):
    frames = frames_of(packets_of(sizes))
    victim = chance.randrange(len(frames))
    bit = chance.randrange(8 * FRAME_BYTES)
    damaged = bytearray(frames[victim])
    damaged[bit // 8] ^= 1 << bit % 8
    noisy, dropped = reader(), reader()
    received = []
    for index, frame in enumerate(frames):
        reading = noisy.feed(bytes(damaged) if index == victim else frame)
        assert (reading.verdict is FrameVerdict.CORRUPT) == (index == victim)
        received += reading.packets
    assert received == read_all(dropped, frames[:victim] + frames[victim + 1 :])


@given(packet_sizes, st.randoms(use_true_random=False))
def test_repeated_and_reordered_frames_repeat_no_packet(sizes, chance):
    packets = packets_of(sizes)
    frames = frames_of(packets)
    shuffled = sorted(
        (index + chance.uniform(0, 6), copy, frame)
        for index, frame in enumerate(frames)
        for copy in range(chance.choice((1, 1, 2)))
    )
    received = read_all(reader(), [frame for _, _, frame in shuffled])
    counts = [packet.sequence_count for packet in received]
    assert len(set(counts)) == len(counts)
    assert all(packet in packets for packet in received)


def test_a_receiver_that_joins_late_believes_pointers_not_bytes():
    inner, following = packets_of([14, 10])
    outer = SpacePacket(apid=1, sequence_count=0, data=b"\xaa" * (ZONE_BYTES - 6) + inner.encode())
    frames = frames_of([outer, following])
    assert decode_transfer_frame(frames[1]).packet_zone[:20] == inner.encode()
    reading = reader().feed(frames[1])
    assert reading.packets == (following,)
    assert reading.discarded_bytes == 20


def test_a_late_frame_gives_the_packets_inside_it():
    packets = packets_of([44, 10, 10, 44, 44])
    frames = frames_of(packets)
    receiver = reader()
    readings = [receiver.feed(frames[index]) for index in (0, 2, 1, 1, 3)]
    verdicts = [reading.verdict for reading in readings]
    assert verdicts[1:4] == [FrameVerdict.AFTER_GAP, FrameVerdict.LATE, FrameVerdict.DUPLICATE]
    assert readings[1].frames_lost == 1
    assert readings[2].packets == tuple(packets[1:3])


def test_a_sender_that_lost_its_count_is_followed():
    receiver, before, after = reader(), packets_of([60, 60, 60]), packets_of([30, 90, 90, 25])
    assert read_all(receiver, frames_of(before)) == before
    frames = frames_of(after)
    readings = [receiver.feed(frame) for frame in frames]
    assert readings[0].verdict is FrameVerdict.RESTARTED
    assert [packet for reading in readings for packet in reading.packets] == after


def test_channels_are_independent_and_strangers_are_named():
    receiver = FrameReader(SPACECRAFT, frame_bytes=FRAME_BYTES, vc_ids={1, 2})
    assemblers = {vc_id: FrameAssembler(SPACECRAFT, vc_id, frame_bytes=FRAME_BYTES) for vc_id in (1, 2)}
    first, second = packets_of([90, 91])
    assemblers[1].push(first.encode())
    assemblers[2].push(second.encode())
    interleaved = [assemblers[vc_id].next_frame(flush=True) for vc_id in (1, 2, 1, 2)]
    assert read_all(receiver, interleaved) == [first, second]
    assert receiver.feed(frames_of([first])[0]).verdict is FrameVerdict.FOREIGN
    stranger = FrameAssembler(SPACECRAFT ^ 0x100, 1, frame_bytes=FRAME_BYTES)
    stranger.push(first.encode())
    assert receiver.feed(stranger.next_frame()).verdict is FrameVerdict.FOREIGN
    assert receiver.feed(interleaved[0][:-1]).verdict is FrameVerdict.CORRUPT


def test_a_packet_zone_that_contradicts_itself_costs_only_itself():
    receiver, packets = reader(), packets_of([90, 20, 20])
    good = frames_of(packets)
    assert receiver.feed(good[0]).packets == ()
    # The continuation is intact, but its pointer names a header in the middle of the unfinished packet.
    wrong = TransferFrame(
        spacecraft_id=SPACECRAFT, vc_id=3, frame_count=1, first_header_pointer=10, packet_zone=b"\xff" * ZONE_BYTES
    )
    reading = receiver.feed(wrong.encode())
    assert reading.packets == ()
    assert reading.discarded_bytes == 2 * ZONE_BYTES
    assert reading.verdict is FrameVerdict.IN_ORDER
    fresh = packets_of([30])
    again = frames_of(fresh, next_frame_count=2)
    assert read_all(receiver, again) == fresh


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 0x7FF), st.binary(min_size=50, max_size=50)), max_size=8))
def test_intact_frames_with_any_content_never_raise(contents):
    receiver = reader()
    for count, pointer, zone in contents:
        frame = TransferFrame(
            spacecraft_id=SPACECRAFT, vc_id=1, frame_count=count, first_header_pointer=pointer, packet_zone=zone
        )
        assert receiver.feed(frame.encode()).discarded_bytes >= 0


@given(st.binary(max_size=70))
def test_noise_never_raises(noise):
    assert reader().feed(noise).verdict in (FrameVerdict.CORRUPT, FrameVerdict.FOREIGN)
