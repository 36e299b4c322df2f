"""Erasure sender and receiver: delivery, order, interleaving, bounds, passes that follow each other, garbage."""

import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.erasure_code import encode_symbols
from downlink.erasure_object import ErasureOffer, group_offers, pack_objects, unpack_objects
from downlink.erasure_packet import SymbolPacket, decode_symbol_packet, shape_for, symbol_bytes_in
from downlink.erasure_receiver import SYMBOL_OVERHEAD_BYTES, ErasureLimits, ErasureReceiver, SymbolVerdict
from downlink.erasure_sender import ErasureSender, ErasureSettings
from downlink.errors import ErasureSnapshotError
from downlink.frame_loss import LossBelief, expected_loss
from downlink.products import LayerAddress
from downlink.record import Record, RecordKind, encode_record

PACKET_BYTES = 1099


def address(number: int) -> LayerAddress:
    return LayerAddress(scene=7, product=1 + number, step=0)


def records_of(sizes: Sequence[int], seed: int = 1) -> dict[LayerAddress, bytes]:
    chance = random.Random(seed)
    return {
        address(number): encode_record(
            Record(kind=RecordKind.LAYER, address=address(number), payload=chance.randbytes(size))
        )
        for number, size in enumerate(sizes)
    }


def offers_of(records: dict[LayerAddress, bytes], values: Iterable[float]) -> list[ErasureOffer]:
    offers = [
        ErasureOffer(address=where, size_bytes=len(record), value=value)
        for (where, record), value in zip(records.items(), values, strict=True)
    ]
    return sorted(offers, key=lambda offer: -offer.value / offer.size_bytes)


def sender_of(records: dict[LayerAddress, bytes], **more: int) -> ErasureSender:
    return ErasureSender(records.__getitem__, packet_bytes=PACKET_BYTES, **more)


def packets_of(sender: ErasureSender, count: int) -> list[bytes]:
    found = (sender.next_packet(PACKET_BYTES) for _ in range(count))
    return [packet for packet in found if packet is not None]


def survivors(packets: Iterable[bytes], loss: float, chance: random.Random) -> list[bytes]:
    return [packet for packet in packets if chance.random() >= loss]


def arrived(receiver: ErasureReceiver, packets: Iterable[bytes]) -> dict[LayerAddress, bytes]:
    return {record.address: encode_record(record) for packet in packets for record in receiver.receive(packet).records}


@given(
    sizes=st.lists(st.integers(0, 6000), min_size=1, max_size=8),
    loss=st.floats(0, 0.4),
    seed=st.integers(0, 1 << 20),
)
@settings(max_examples=40, deadline=None)
def test_enough_capacity_delivers_everything(sizes: list[int], loss: float, seed: int) -> None:
    records = records_of(sizes, seed)
    sender, receiver, chance = sender_of(records), ErasureReceiver(), random.Random(seed)
    sender.begin(offers_of(records, [1.0] * len(sizes)), expected_loss(loss), capacity_bytes=1e9)
    packets = survivors(packets_of(sender, 2000), loss, chance)
    chance.shuffle(packets)
    # Copies arrive in any order; what is decoded is handed over once.
    readings = [receiver.receive(packet) for packet in packets + packets[:20]]
    handed_over = [record.address for reading in readings for record in reading.records]
    assert len(handed_over) == len(set(handed_over))
    found = {record.address: encode_record(record) for reading in readings for record in reading.records}
    assert found == {where: records[where] for where in found}
    sender.end()
    for where in records.keys() - found.keys():
        assert sender.arrival_probability(where) < 1
    if loss == 0:
        assert found == records


def test_the_stream_ends_when_nothing_is_left_to_gain() -> None:
    records = records_of([5000])
    sender = sender_of(records)
    sender.begin(offers_of(records, [1.0]), expected_loss(0.01), capacity_bytes=1e9)
    packets = packets_of(sender, 1000)
    assert 5 < len(packets) < 30
    assert sender.next_packet(PACKET_BYTES) is None
    sender.end()
    assert sender.next_packet(PACKET_BYTES) is None


def test_the_same_layers_make_the_same_packets() -> None:
    records = records_of([100, 3000, 800, 20_000])
    streams = []
    for _ in range(2):
        sender = sender_of(records)
        sender.begin(offers_of(records, [4.0, 3.0, 2.0, 1.0]), expected_loss(0.2), capacity_bytes=1e6)
        streams.append(packets_of(sender, 60))
    assert streams[0] == streams[1]


def test_what_is_worth_most_goes_first_and_is_protected_most() -> None:
    records = records_of([9000, 9000, 9000])
    sender = sender_of(records)
    offers = offers_of(records, [1.0, 1e3, 1e6])
    sender.begin(offers, LossBelief(mean=0.3, weight_frames=100), capacity_bytes=55 * 1105)
    packets = [decode_symbol_packet(packet) for packet in packets_of(sender, 55)]
    sent = {offer.address: 0 for offer in offers}
    by_object = {number: offer.address for number, offer in enumerate(offers)}
    for packet in packets:
        sent[by_object[packet.object_number]] += 1
    assert packets[0].object_number == 0
    assert sent[address(2)] > sent[address(1)] > sent[address(0)]
    sender.end()
    assert (
        sender.arrival_probability(address(2))
        > 0.999
        > sender.arrival_probability(address(1))
        > sender.arrival_probability(address(0))
    )


def test_bursts_are_met_by_interleaving() -> None:
    records = records_of([9000] * 20)
    belief = expected_loss(0.1, burst_frames=6.0)
    sender = sender_of(records)
    sender.begin(offers_of(records, [1.0] * 20), belief, capacity_bytes=300 * 1105)
    numbers = [decode_symbol_packet(packet).object_number for packet in packets_of(sender, 100)]
    assert all(len(set(numbers[start : start + 6])) == 6 for start in range(94))


@pytest.mark.parametrize("loss", [0.05, 0.3])
def test_expected_arrivals_are_what_happens(loss: float) -> None:
    """Sum of `arrival_probability` against arrivals over many seeds, losses as believed."""
    expected, happened = 0.0, 0
    records = records_of([6000] * 6)
    for seed in range(60):
        chance = random.Random(seed)
        sender, receiver = sender_of(records), ErasureReceiver()
        sender.begin(
            offers_of(records, [10.0**n for n in range(6)]),
            LossBelief(mean=loss, weight_frames=5000),
            capacity_bytes=38 * 1105,
        )
        packets = packets_of(sender, 38)
        sender.end()
        expected += sum(sender.expected_delivered().values())
        happened += len(arrived(receiver, survivors(packets, loss, chance)))
    assert happened == pytest.approx(expected, rel=0.07)


def test_a_later_pass_completes_an_object_with_new_symbols() -> None:
    records = records_of([20_000])
    offers = offers_of(records, [1.0])
    first, receiver = sender_of(records), ErasureReceiver()
    first.begin(offers, expected_loss(0.1), capacity_bytes=1e6)
    early = packets_of(first, 12)
    first.end()
    assert not arrived(receiver, early)
    second = sender_of(records, first_object=99)
    second.restore(first.snapshot())
    second.begin(offers, expected_loss(0.1), capacity_bytes=1e6)
    late = packets_of(second, 12)
    identifiers = [decode_symbol_packet(packet).identifier for packet in early + late]
    assert identifiers == list(range(24))
    assert arrived(receiver, late) == records
    assert receiver.verdicts[SymbolVerdict.DECODED] == 1


def test_discounted_values_rank_an_object_as_its_full_value_would() -> None:
    """An object half sent needs few symbols more and goes first; once it is probably there, hardly any, though it is worth most."""
    records = records_of([9000, 9000])
    offers = offers_of(records, [4.1e6, 1e6])
    sender = sender_of(records)
    sender.begin(offers, LossBelief(mean=0.2, weight_frames=500), capacity_bytes=20 * 1105)
    packets_of(sender, 8)
    sender.end()
    sender.begin(offers, LossBelief(mean=0.2, weight_frames=500), capacity_bytes=20 * 1105)
    assert decode_symbol_packet(packets_of(sender, 1)[0]).identifier == 8
    packets_of(sender, 11)
    sender.end()
    likely = sender.arrival_probability(address(0))
    assert likely > 0.97
    discounted = [
        ErasureOffer(
            address=offer.address,
            size_bytes=offer.size_bytes,
            value=offer.value * (1 - sender.arrival_probability(offer.address)),
        )
        for offer in offers
    ]
    sender.begin(discounted, LossBelief(mean=0.2, weight_frames=500), capacity_bytes=20 * 1105)
    numbers = [decode_symbol_packet(packet).object_number for packet in packets_of(sender, 15)]
    assert 1 <= numbers.count(0) <= 3


def test_objects_with_layers_that_are_gone_end() -> None:
    records = records_of([200] * 4)
    offers = offers_of(records, [4.0, 3.0, 2.0, 1.0])
    sender = sender_of(records)
    sender.begin(offers, expected_loss(0.3), capacity_bytes=1e6)
    numbers = {decode_symbol_packet(packet).object_number for packet in packets_of(sender, 2)}
    sender.end()
    assert numbers == {0}
    sender.forget([address(0)])
    assert sender.arrival_probability(address(0)) == 0
    likely = sender.arrival_probability(address(1))
    assert 0.5 < likely < 1
    sender.begin(offers[1:], expected_loss(0.3), capacity_bytes=1e6)
    assert decode_symbol_packet(packets_of(sender, 1)[0]).object_number > 0
    assert sender.arrival_probability(address(1)) > likely


def test_a_layer_captured_during_the_pass_overtakes() -> None:
    records = records_of([30_000, 30_000, 900])
    offers = offers_of(records, [1.0, 1.0, 100.0])
    late = next(offer for offer in offers if offer.address == address(2))
    sender = sender_of(records)
    sender.begin([offer for offer in offers if offer is not late], expected_loss(0.05), capacity_bytes=1e6)
    before = packets_of(sender, 5)
    sender.offer([late])
    after = packets_of(sender, 40)
    numbers = [decode_symbol_packet(packet).object_number for packet in before + after]
    first_of_late = numbers.index(max(numbers))
    assert first_of_late < 40
    assert arrived(ErasureReceiver(), before + after).keys() >= {address(2)}


def test_no_packet_is_longer_than_the_room() -> None:
    records = records_of([3000, 150, 40, 700])
    sender = sender_of(records)
    sender.begin(offers_of(records, [1.0, 1.0, 1.0, 1.0]), expected_loss(0.2), capacity_bytes=1e6)
    chance = random.Random(2)
    for _ in range(300):
        room = chance.randrange(0, PACKET_BYTES + 1)
        packet = sender.next_packet(room)
        assert packet is None or len(packet) <= room


def test_open_objects_are_bounded() -> None:
    records = records_of([2100] * 40)
    settings = ErasureSettings(open_objects=5, cached_bytes=10_000)
    sender = ErasureSender(records.__getitem__, packet_bytes=PACKET_BYTES, settings=settings)
    sender.begin(offers_of(records, [5.0**-n for n in range(40)]), expected_loss(0.1), capacity_bytes=150 * 1105)
    packets_of(sender, 150)
    sender.end()
    _, kept = unpack_objects(sender.snapshot())
    assert len(kept) == 5
    assert len(sender.expected_delivered()) > sum(len(one.layers) for one in kept)


@given(sizes=st.lists(st.integers(1, 9000), max_size=30), lengths=st.integers(1, 64))
def test_groups_keep_order_and_lose_nothing(sizes: list[int], lengths: int) -> None:
    offers = [ErasureOffer(address=address(number), size_bytes=size, value=1.0) for number, size in enumerate(sizes)]
    groups = list(group_offers(offers, PACKET_BYTES, [lengths] * len(offers)))
    assert [offer for group in groups for offer in group] == offers
    symbol_bytes = symbol_bytes_in(PACKET_BYTES)
    for group in groups[:-1]:
        filled = sum(offer.size_bytes for offer in group)
        assert filled >= 7 / 8 * symbol_bytes * -(-filled // symbol_bytes)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_snapshots_are_refused(data: st.DataObject) -> None:
    records = records_of([4000, 100])
    sender = sender_of(records, first_object=0xFEDC)
    sender.begin(offers_of(records, [5.0, 1.0]), expected_loss(0.1), capacity_bytes=1e6)
    packets_of(sender, 3)
    sender.end()
    snapshot = sender.snapshot()
    number, objects = unpack_objects(snapshot)
    assert pack_objects(number, objects) == snapshot
    cut = data.draw(st.integers(0, len(snapshot) - 1))
    flip = data.draw(st.integers(0, len(snapshot) * 8 - 1))
    damaged = bytearray(snapshot)
    damaged[flip >> 3] ^= 1 << (flip & 7)
    for broken in (snapshot[:cut], bytes(damaged)):
        with pytest.raises(ErasureSnapshotError):
            sender.restore(broken)


# ---- the receiver alone


def object_packets(number: int, sizes: Sequence[int], *, count: int, seed: int = 1) -> list[bytes]:
    data = b"".join(records_of(sizes, seed).values())
    shape = shape_for(len(data), PACKET_BYTES)
    return [
        SymbolPacket(object_number=number, shape=shape, identifier=identifier, symbol=symbol).encode()
        for identifier, symbol in enumerate(encode_symbols(data, shape.symbol_bytes, first=0, count=count))
    ]


def test_verdicts() -> None:
    receiver = ErasureReceiver()
    packets = object_packets(5, [4000], count=8)
    found = [receiver.receive(packets[place]).verdict for place in (7, 7, 1, 2, 3)]
    assert found == ["kept", "duplicate", "kept", "kept", "decoded"]
    assert receiver.receive(packets[0]).verdict is SymbolVerdict.LATE
    assert receiver.receive(b"\x01garbage").verdict is SymbolVerdict.REFUSED
    assert receiver.held_bytes == receiver.open_objects == 0


def test_whole_records_of_source_symbols_need_no_decoding() -> None:
    receiver = ErasureReceiver()
    packets = object_packets(5, [500] * 12, count=6)
    for packet in packets[:2] + packets[4:]:
        assert not receiver.receive(packet).records
    found = {record.address.product - 1 for record in receiver.whole_records()}
    assert found == {0, 1, 2, 3, 9, 10, 11}
    assert receiver.open_objects == 1


def test_a_falsified_symbol_spoils_one_collection_and_no_more() -> None:
    receiver = ErasureReceiver()
    packets = object_packets(5, [900] * 10, count=20)
    falsified = packets[12][:20] + b"\xde\xad\x99" + packets[12][23:]
    before = [receiver.receive(packet).verdict for packet in [falsified, *packets[:8]]]
    assert before[-1] is SymbolVerdict.SPOILED
    assert receiver.open_objects == 0
    found = arrived(receiver, packets[1:])
    assert found.keys() == {address(number) for number in range(10)}


def test_records_beside_a_falsified_symbol_are_saved() -> None:
    receiver = ErasureReceiver()
    packets = object_packets(5, [900] * 10, count=20)
    falsified = packets[3][:-3] + b"\xde\xad\x99"
    readings = [receiver.receive(packet) for packet in [*packets[:3], falsified, *packets[4:9]]]
    assert readings[-1].verdict is SymbolVerdict.SPOILED
    saved = {record.address.product - 1 for record in readings[-1].records}
    assert {0, 1, 2, 5, 6, 7, 8} <= saved < set(range(10))


def test_memory_is_bounded_and_what_is_nearly_complete_stays() -> None:
    limits = ErasureLimits(open_objects=10, held_bytes=40_000, object_bytes=30_000)
    receiver = ErasureReceiver(limits)
    good = object_packets(1, [9000], count=10)
    for packet in good[:8]:
        receiver.receive(packet)
    chance = random.Random(6)
    for number in range(2, 400):
        for packet in chance.sample(object_packets(number, [9000], count=12, seed=number), 2):
            receiver.receive(packet)
        assert receiver.open_objects <= 10
        assert receiver.held_bytes <= 40_000
    assert receiver.objects_given_up > 300
    assert receiver.receive(good[9]).verdict is SymbolVerdict.DECODED
    too_long = object_packets(1000, [40_000], count=1)[0]
    assert receiver.receive(too_long).verdict is SymbolVerdict.REFUSED


def test_short_symbols_take_no_more_memory_than_allowed() -> None:
    limits = ErasureLimits(held_bytes=50_000)
    receiver = ErasureReceiver(limits)
    shape = shape_for(3000, 19)
    assert shape.symbol_bytes == 8
    for identifier in range(1, 5000):
        number, place = divmod(identifier, 300)
        receiver.receive(SymbolPacket(object_number=number, shape=shape, identifier=place, symbol=b"12345678").encode())
        assert receiver.held_bytes <= limits.held_bytes
        assert receiver.open_objects <= limits.held_bytes // SYMBOL_OVERHEAD_BYTES


def test_an_object_given_up_leaves_its_whole_records() -> None:
    receiver = ErasureReceiver(ErasureLimits(open_objects=1))
    receiver.receive(object_packets(1, [300, 300, 4000], count=1)[0])
    reading = receiver.receive(object_packets(2, [9000], count=2)[1])
    assert {record.address for record in reading.records} == {address(0), address(1)}
    assert receiver.objects_given_up == 1


@st.composite
def hostile_packets(draw: st.DrawFn) -> bytes:
    words = draw(st.integers(0, 3))
    head = b"\x01" + draw(st.integers(0, 2)).to_bytes(4, "big")
    length = draw(st.sampled_from([0, 1, 8, 20, 30, 100, 8 * 4096, (1 << 24) - 1])).to_bytes(3, "big")
    identifier = draw(st.one_of(st.integers(0, 12), st.integers((1 << 24) - 6, (1 << 24) - 1))).to_bytes(3, "big")
    ragged = draw(st.booleans())
    return head + length + identifier + draw(st.binary(min_size=8 * words, max_size=8 * words + 5 * ragged))


@given(packets=st.lists(st.one_of(hostile_packets(), st.binary(max_size=40)), max_size=80))
@settings(max_examples=120, deadline=None)
def test_whatever_arrives_is_a_verdict(packets: list[bytes]) -> None:
    limits = ErasureLimits(open_objects=4, held_bytes=8000, object_bytes=3000, remembered_objects=4)
    receiver = ErasureReceiver(limits)
    for packet in packets:
        receiver.receive(packet)
        assert receiver.open_objects <= 4
        assert receiver.held_bytes <= 8000
    assert sum(receiver.verdicts.values()) == len(packets)
    receiver.whole_records()


@given(seed=st.integers(0, 1 << 30))
@settings(max_examples=30, deadline=None)
def test_passes_reboots_and_receipts_in_any_order(seed: int) -> None:
    """Many short passes; the sender reboots with and without its snapshot, receipts come late or never; nothing arrives changed."""
    chance = random.Random(seed)
    records = records_of([chance.randrange(6000) for _ in range(12)], seed)
    values = {where: 10.0 ** chance.uniform(-2, 2) for where in records}
    receiver, found = ErasureReceiver(ErasureLimits(open_objects=6)), {}
    sender, boots, acknowledged = sender_of(records), 1, set()
    for _ in range(25):
        loss = chance.choice((0.0, 0.1, 0.4))
        waiting = {where: record for where, record in records.items() if where not in acknowledged}
        sender.begin(
            offers_of(waiting, [values[where] for where in waiting]),
            expected_loss(loss, burst_frames=chance.choice((None, 5.0))),
            capacity_bytes=chance.uniform(1, 40) * 1105,
        )
        packets = packets_of(sender, chance.randrange(40))
        found |= arrived(receiver, survivors(packets, loss, chance))
        kept = sender.snapshot()
        if chance.random() < 0.7:
            sender.end()
            kept = sender.snapshot()
        if chance.random() < 0.3:
            boots += 1
            sender = sender_of(records, first_object=boots << 20)
            if chance.random() < 0.5:
                sender.restore(kept)
        if chance.random() < 0.4:
            acknowledged |= found.keys()
            sender.forget(found)
        assert all(0 <= sender.arrival_probability(where) <= 1 for where in records)
    assert all(records[where] == record for where, record in found.items())
    sender.begin(offers_of(records, [1.0] * len(records)), expected_loss(0.0), capacity_bytes=1e9)
    found |= arrived(receiver, packets_of(sender, 500))
    sender.end()
    assert all(where in found or sender.arrival_probability(where) < 1 for where in records)
