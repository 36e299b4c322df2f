"""RaptorQ behind its edge, and its packets: round trips, golden bytes, hostile input."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.erasure_code import ObjectShape, decode_object, encode_symbols
from downlink.erasure_packet import (
    HEADER,
    SymbolPacket,
    decode_symbol_packet,
    largest_object_bytes,
    shape_for,
    symbol_bytes_in,
)
from downlink.errors import ErasureCodeError, ErasurePacketError
from downlink.link_profile import LinkProfile
from downlink.space_packet import SpacePacket
from downlink.transfer_frame import FRAME_OVERHEAD_BYTES

GOLDEN_OBJECT = bytes(range(1, 21))
GOLDEN_PACKET = "01 a1b2c3d4 000014 000002 1112131400000000"
GOLDEN_REPAIR = "01 a1b2c3d4 000014 000005 7fc8a5bbfecbd866"


def numbered(data: bytes, symbol_bytes: int, *, first: int, count: int) -> dict[int, bytes]:
    return dict(enumerate(encode_symbols(data, symbol_bytes, first=first, count=count), start=first))


@given(data=st.binary(min_size=1, max_size=3000), words=st.integers(1, 20), seed=st.integers(0, 1 << 30))
@settings(max_examples=60, deadline=None)
def test_any_few_more_symbols_than_needed_give_the_object_back(data: bytes, words: int, seed: int) -> None:
    shape = ObjectShape(object_bytes=len(data), symbol_bytes=8 * words)
    symbols = numbered(data, shape.symbol_bytes, first=0, count=2 * shape.source_symbols + 12)
    chosen = random.Random(seed).sample(sorted(symbols), shape.source_symbols + 4)
    assert decode_object(shape, {number: symbols[number] for number in chosen}) == data


@given(data=st.binary(min_size=1, max_size=500), first=st.integers(0, 80), count=st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_symbols_are_the_same_whenever_they_are_made(data: bytes, first: int, count: int) -> None:
    everything = encode_symbols(data, 16, first=0, count=first + count)
    assert encode_symbols(data, 16, first=first, count=count) == everything[first:]


def test_source_symbols_are_the_object() -> None:
    data = random.Random(3).randbytes(1000)
    symbols = encode_symbols(data, 24, first=0, count=60)
    assert b"".join(symbols[:42])[:1000] == data
    assert b"".join(symbols[:42])[1000:] == bytes(8)


def test_all_source_symbols_suffice_and_one_too_few_do_not() -> None:
    data = random.Random(4).randbytes(333)
    shape = ObjectShape(object_bytes=333, symbol_bytes=16)
    symbols = numbered(data, 16, first=0, count=21)
    assert decode_object(shape, symbols) == data
    del symbols[7]
    assert decode_object(shape, symbols) is None


def test_how_often_symbols_suffice() -> None:
    """K symbols decode in about 99.5 % of cases, K + 1 nearly always: what `downlink.protection` reckons with."""
    chance = random.Random(5)
    data = chance.randbytes(20 * 8)
    shape = ObjectShape(object_bytes=len(data), symbol_bytes=8)
    symbols = numbered(data, 8, first=20, count=60)
    failed = [0, 0]
    for _ in range(4000):
        chosen = chance.sample(sorted(symbols), 21)
        for more in (0, 1):
            found = decode_object(shape, {number: symbols[number] for number in chosen[: 20 + more]})
            assert found in (data, None)
            failed[more] += found is None
    assert 5 <= failed[0] <= 40
    assert failed[1] <= 2


@pytest.mark.parametrize(
    ("object_bytes", "symbol_bytes"),
    [(0, 8), (-1, 8), (10, 0), (10, 7), (10, 12), (10, 2048), (10, -8), (8 * 4096 + 1, 8), (1 << 40, 1088)],
)
def test_shapes_that_the_code_cannot_carry_are_refused(object_bytes: int, symbol_bytes: int) -> None:
    with pytest.raises(ErasureCodeError):
        ObjectShape(object_bytes=object_bytes, symbol_bytes=symbol_bytes)


@pytest.mark.parametrize(
    "symbols",
    [
        {0: b"12345678", 1: b"1234567"},
        {0: b"12345678", 1: b""},
        {0: b"12345678", 1 << 24: b"12345678"},
        {-1: b"12345678", 1: b"12345678"},
    ],
)
def test_symbols_of_no_object_are_refused_before_the_library_sees_them(symbols: dict[int, bytes]) -> None:
    with pytest.raises(ErasureCodeError):
        decode_object(ObjectShape(object_bytes=15, symbol_bytes=8), symbols)


def test_symbols_out_of_range_are_not_made() -> None:
    for first, count in ((-1, 2), (1, -1), ((1 << 24) - 1, 2)):
        with pytest.raises(ErasureCodeError):
            encode_symbols(b"abc", 8, first=first, count=count)
    with pytest.raises(ErasureCodeError):
        encode_symbols(b"", 8, first=0, count=1)


@given(
    object_bytes=st.integers(1, 700),
    words=st.integers(1, 4),
    numbers=st.sets(st.one_of(st.integers(0, 40), st.integers((1 << 24) - 40, (1 << 24) - 1)), max_size=100),
    seed=st.integers(0, 1 << 30),
)
@settings(max_examples=150, deadline=None)
def test_falsified_symbols_never_break_the_library(object_bytes: int, words: int, numbers: set[int], seed: int) -> None:
    shape = ObjectShape(object_bytes=object_bytes, symbol_bytes=8 * words)
    chance = random.Random(seed)
    found = decode_object(shape, {number: chance.randbytes(shape.symbol_bytes) for number in numbers})
    assert found is None or len(found) == object_bytes


def test_a_panic_of_the_library_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    PanicException.__module__ = "pyo3_runtime"

    class Panicking:
        @staticmethod
        def with_defaults(length: int, symbol_bytes: int) -> None:
            raise PanicException("index out of bounds")

    monkeypatch.setattr("downlink.erasure_code.Decoder", Panicking)
    with pytest.raises(ErasureCodeError, match="index out of bounds"):
        decode_object(ObjectShape(object_bytes=16, symbol_bytes=8), {1: bytes(8), 2: bytes(8)})


def test_golden_packets() -> None:
    shape = ObjectShape(object_bytes=len(GOLDEN_OBJECT), symbol_bytes=8)
    symbols = encode_symbols(GOLDEN_OBJECT, 8, first=0, count=6)
    packet = SymbolPacket(object_number=0xA1B2C3D4, shape=shape, identifier=2, symbol=symbols[2])
    assert packet.encode() == bytes.fromhex(GOLDEN_PACKET)
    repair = SymbolPacket(object_number=0xA1B2C3D4, shape=shape, identifier=5, symbol=symbols[5])
    assert repair.encode() == bytes.fromhex(GOLDEN_REPAIR)


@given(
    number=st.integers(0, (1 << 32) - 1),
    words=st.integers(1, 255),
    share=st.floats(0, 1),
    identifier=st.integers(0, (1 << 24) - 1),
    seed=st.integers(0, 1 << 30),
)
def test_packets_round_trip(number: int, words: int, share: float, identifier: int, seed: int) -> None:
    symbol_bytes = 8 * words
    object_bytes = max(1, round(share * symbol_bytes * 4096))
    packet = SymbolPacket(
        object_number=number,
        shape=ObjectShape(object_bytes=object_bytes, symbol_bytes=symbol_bytes),
        identifier=identifier,
        symbol=random.Random(seed).randbytes(symbol_bytes),
    )
    assert decode_symbol_packet(packet.encode()) == packet


@given(data=st.binary(max_size=64))
def test_other_bytes_are_refused_with_the_one_error(data: bytes) -> None:
    for candidate in (data, b"\x01" + data):
        try:
            packet = decode_symbol_packet(candidate)
        except ErasurePacketError:
            continue
        assert packet.encode() == candidate


def test_fields_that_do_not_fit_are_refused() -> None:
    shape = ObjectShape(object_bytes=20, symbol_bytes=8)
    for number, identifier, symbol in ((1 << 32, 0, bytes(8)), (0, 1 << 24, bytes(8)), (0, 0, bytes(16))):
        with pytest.raises(ErasurePacketError):
            SymbolPacket(object_number=number, shape=shape, identifier=identifier, symbol=symbol)
    with pytest.raises(ErasurePacketError):
        symbol_bytes_in(HEADER.size + 7)


def test_a_packet_fills_a_frame() -> None:
    profile = LinkProfile()
    shape = shape_for(100_000, profile.pdu_bytes)
    packet = SymbolPacket(object_number=1, shape=shape, identifier=0, symbol=b"\xa5" * shape.symbol_bytes)
    framed = SpacePacket(apid=0x103, sequence_count=0, data=packet.encode()).encode()
    assert len(framed) == profile.frame_bytes - FRAME_OVERHEAD_BYTES
    assert shape.symbol_bytes == 1088
    assert shape_for(largest_object_bytes(profile.pdu_bytes), profile.pdu_bytes).source_symbols == 4096


def test_a_small_object_is_one_short_symbol() -> None:
    assert shape_for(225, 1099) == ObjectShape(object_bytes=225, symbol_bytes=232)
