"""Sync markers: golden bytes, and whole frames out of damaged streams."""

import random
from functools import cache

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from downlink.errors import TransferFrameError
from downlink.sync_marker import (
    ATTACHED_SYNC_MARKER,
    FrameSynchronizer,
    marked_frame,
    randomized,
    randomizer_sequence,
)

FRAME_BYTES = 64
UNIT_BYTES = FRAME_BYTES + 4
MARKER_LIKE = 2
"""Wrong bits that a marker may have."""


SEEDS = st.integers(0, 15)


@cache
def frames_of(seed: int, count: int) -> list[bytes]:
    """Frames without anything like a marker in the stream that they make, so that what is expected is certain."""
    rng = random.Random(seed)
    while True:
        frames = [rng.randbytes(FRAME_BYTES) for _ in range(count)]
        stream = stream_of(frames)
        places = [at for at in range(len(stream) - 3) if errors_at(stream, at) <= 6]
        if places == list(range(0, len(stream), UNIT_BYTES)):
            return frames


def stream_of(frames: list[bytes]) -> bytes:
    return b"".join(marked_frame(frame) for frame in frames)


def errors_at(stream: bytes, at: int) -> int:
    word = int.from_bytes(stream[at : at + 4], "big")
    return (word ^ int.from_bytes(ATTACHED_SYNC_MARKER, "big")).bit_count()


def with_flips(stream: bytes, places_bits: list[int]) -> bytes:
    damaged = bytearray(stream)
    for place in places_bits:
        damaged[place >> 3] ^= 0x80 >> (place & 7)
    return bytes(damaged)


def fed(stream: bytes, chunk_bytes: int = 1 << 20) -> list[bytes]:
    synchronizer = FrameSynchronizer(FRAME_BYTES)
    return [
        frame for at in range(0, len(stream), chunk_bytes) for frame in synchronizer.feed(stream[at : at + chunk_bytes])
    ]


# ---- golden


def test_the_randomizer_begins_as_the_book_says() -> None:
    assert randomizer_sequence(8).hex() == "ff480ec09a0d70bc"


def test_the_randomizer_repeats_after_255_bits() -> None:
    bits = "".join(f"{byte:08b}" for byte in randomizer_sequence(128))
    assert bits[:255] == bits[255:510] and bits[:255].count("1") == 128
    assert len({(bits + bits)[at : at + 8] for at in range(255)}) == 255  # every state of eight cells but all zero


def test_the_randomizer_is_the_one_that_receivers_of_weather_satellites_undo() -> None:
    """The beginning of the table that they carry, past the first period."""
    table = (
        "ff480ec09a0d70bc8e2c93ada7b746ce5a977dcc32a2bf3e0a10f18894cdeab1"
        "fe901d81341ae1791c59275b4f6e8d9cb52efb9865457e7c1421e311299bd563"
    )
    assert randomizer_sequence(64).hex() == table


def test_a_marked_frame_byte_by_byte() -> None:
    frame = bytes.fromhex("0123456789abcdef") + bytes(range(9))
    assert marked_frame(frame).hex() == "1acffc1d" + "fe6b4ba713a6bd53" + "8e2d91aea3b240c952"
    assert marked_frame(frame, randomize=False) == bytes.fromhex("1acffc1d") + frame


@given(st.binary(min_size=1, max_size=300))
def test_randomized_twice_is_the_frame(frame: bytes) -> None:
    assert randomized(randomized(frame)) == frame


def test_a_length_that_no_frame_has_is_refused() -> None:
    with pytest.raises(TransferFrameError, match="9 bytes"):
        FrameSynchronizer(9)


# ---- whole streams


@given(SEEDS, st.integers(1, 8), st.integers(1, 200))
@settings(max_examples=40)
def test_any_cutting_of_the_stream_gives_the_frames(seed: int, count: int, chunk_bytes: int) -> None:
    frames = frames_of(seed, count)
    assert fed(stream_of(frames), chunk_bytes) == frames


def test_a_frame_is_given_with_its_last_byte() -> None:
    synchronizer = FrameSynchronizer(FRAME_BYTES)
    frames = frames_of(1, 3)
    for frame in frames:
        unit = marked_frame(frame)
        assert synchronizer.feed(unit[:-1]) == []
        assert synchronizer.feed(unit[-1:]) == [frame]


def test_without_randomizer() -> None:
    frames = frames_of(2, 4)
    synchronizer = FrameSynchronizer(FRAME_BYTES, derandomize=False)
    assert synchronizer.feed(b"".join(marked_frame(frame, randomize=False) for frame in frames)) == frames


@given(SEEDS, st.binary(max_size=150), st.integers(1, 90))
@settings(max_examples=40)
def test_what_stands_before_the_first_marker_is_skipped(seed: int, garbage: bytes, chunk_bytes: int) -> None:
    assume(all(errors_at(garbage + ATTACHED_SYNC_MARKER, at) > MARKER_LIKE for at in range(len(garbage))))
    frames = frames_of(seed, 4)
    received = fed(garbage + stream_of(frames), chunk_bytes)
    assert received[-4:] == frames and len(received) <= 5


# ---- damage


@given(SEEDS, st.data())
@settings(max_examples=40)
def test_bit_errors_cost_only_the_frames_they_strike(seed: int, data: st.DataObject) -> None:
    """Up to two wrong bits in every marker, and any number in frames."""
    frames = frames_of(seed, 6)
    flips: list[int] = []
    for number in range(6):
        marker = st.lists(st.integers(0, 31), max_size=MARKER_LIKE, unique=True)
        flips += [number * UNIT_BYTES * 8 + bit for bit in data.draw(marker)]
    struck = data.draw(st.integers(0, 5))
    inside = data.draw(st.lists(st.integers(32, UNIT_BYTES * 8 - 1), max_size=3, unique=True))
    flips += [struck * UNIT_BYTES * 8 + bit for bit in inside]
    received = fed(with_flips(stream_of(frames), flips), data.draw(st.integers(1, 100)))
    assert len(received) == 6
    assert all(got == sent for number, (got, sent) in enumerate(zip(received, frames, strict=True)) if number != struck)


@given(SEEDS, st.integers(1, 4), st.integers(0, 0xFFFF_FFFF), st.integers(1, 100))
@settings(max_examples=40)
def test_the_frame_behind_a_destroyed_marker_is_given_when_the_next_one_stands(
    seed: int, struck: int, noise: int, chunk_bytes: int
) -> None:
    frames = frames_of(seed, 6)
    stream = bytearray(stream_of(frames))
    stream[struck * UNIT_BYTES : struck * UNIT_BYTES + 4] = noise.to_bytes(4, "big")
    if any(errors_at(bytes(stream), at) <= 2 for at in range(len(stream) - 3) if at % UNIT_BYTES):
        return
    assert fed(bytes(stream), chunk_bytes) == frames


@given(SEEDS, st.integers(0, 4), st.integers(4, UNIT_BYTES - 1), st.integers(1, 60), st.integers(1, 100))
@settings(max_examples=40)
def test_dropped_bytes_cost_only_the_frame_they_are_missing_in(
    seed: int, struck: int, at: int, dropped: int, chunk_bytes: int
) -> None:
    frames = frames_of(seed, 7)
    stream = stream_of(frames)
    place = struck * UNIT_BYTES + at
    dropped = min(dropped, (struck + 1) * UNIT_BYTES - place)
    received = fed(stream[:place] + stream[place + dropped :], chunk_bytes)
    others = frames[:struck] + frames[struck + 1 :]
    # The struck frame may be whole, too: where what moved up to its end is what was dropped there.
    assert [frame for frame in received if frame in others] == others
    assert len(received) <= 7


@given(
    SEEDS,
    st.integers(0, 4),
    st.integers(4, UNIT_BYTES),
    st.integers(1, 150),
    st.integers(1, 100),
)
@settings(max_examples=40)
def test_inserted_bytes_cost_only_the_frame_they_are_in(
    seed: int, struck: int, at: int, inserted: int, chunk_bytes: int
) -> None:
    frames = frames_of(seed, 7)
    stream = stream_of(frames)
    place = struck * UNIT_BYTES + at
    noise = bytes([0xA5]) * inserted
    received = fed(stream[:place] + noise + stream[place:], chunk_bytes)
    others = frames if at == UNIT_BYTES else frames[:struck] + frames[struck + 1 :]
    assert [frame for frame in received if frame in others] == others


def test_many_slips_in_a_long_stream() -> None:
    rng = random.Random(12)
    frames = frames_of(12, 100)
    stream = bytearray()
    hurt = set()
    for number, frame in enumerate(frames):
        unit = bytearray(marked_frame(frame))
        fate = rng.random()
        if fate < 0.1:
            del unit[rng.randrange(4, len(unit))]
            hurt.add(number)
        elif fate < 0.2:
            unit.insert(rng.randrange(5, len(unit)), 0x55)
            hurt.add(number)
        elif fate < 0.3:
            unit[rng.randrange(4, len(unit))] ^= 0x10
            hurt.add(number)
        stream += unit
    received = fed(bytes(stream), 97)
    assert [frame for frame in received if frame in set(frames)] == [
        frame for number, frame in enumerate(frames) if number not in hurt
    ]


# ---- bounds


def test_memory_is_bounded_whatever_comes() -> None:
    rng = random.Random(3)
    synchronizer = FrameSynchronizer(FRAME_BYTES)
    for _ in range(3000):
        synchronizer.feed(rng.randbytes(100))
        assert synchronizer.held_bytes < 3 * UNIT_BYTES
    frames = frames_of(3, 5)
    assert synchronizer.feed(stream_of(frames))[-5:] == frames
    assert 3000 * 100 - 3 * UNIT_BYTES < synchronizer.skipped_bytes <= 3000 * 100


@given(st.integers(0, 3), st.integers(1, 200))
@settings(max_examples=40)
def test_a_stream_of_markers_gives_no_byte_more_than_twice(shift: int, chunk_bytes: int) -> None:
    stream = (ATTACHED_SYNC_MARKER * 600 + b"\x00" * shift) * 3
    received = fed(stream, chunk_bytes)
    assert sum(map(len, received)) <= 2 * len(stream)
    frames = frames_of(9, 4)
    assert fed(stream + bytes(2 * UNIT_BYTES) + stream_of(frames), chunk_bytes)[-4:] == frames
