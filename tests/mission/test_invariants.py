"""Each invariant speaks up, with its numbers, when its promise is broken; the pretend disk behaves like a real one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.journal import FileJournal
from downlink.products import LayerAddress
from downlink.record import Record, RecordKind
from mission.errors import InvariantError, PowerLost
from mission.invariants import EVENTS_PER_INSTANT
from mission.seeded_flight import SeededFlight
from mission.seeded_mission import seeded_mission
from mission.simulated_disk import SimulatedDisk
from mission.simulation import Observation

SEED = 5


@pytest.fixture
def flight():
    """A mission flown to its end, its invariants still watching."""
    flown = SeededFlight(seeded_mission(SEED))
    flown.fly()
    assert flown.world.computer.store.delivered
    return flown


def breach(flight, *, settled=False):
    with pytest.raises(InvariantError) as raised:
        flight.invariants.check_settled() if settled else flight.invariants.check()
    return raised.value


def test_all_promises_hold_at_the_end(flight):
    flight.invariants.check_settled()


def test_a_layer_that_the_ground_loses(flight):
    held = flight.world.station.store._held
    address = next(iter(held))
    del held[address]
    error = breach(flight)
    assert error.invariant == "the ground forgets nothing"
    assert f"{address.scene}/{address.product:#06x}/{address.step}" in error.detail
    assert error.now_ms == flight.world.now_ms


def test_a_byte_that_changes_on_the_ground(flight, monkeypatch):
    store = flight.world.station.store
    address = next(one for one in store.addresses if store.payload_bytes(one) > 8)
    sound, payload = store.payload, store.payload(address)
    monkeypatch.setattr(
        store,
        "payload",
        lambda one: payload[:5] + bytes([payload[5] ^ 1]) + payload[6:] if one == address else sound(one),
    )
    error = breach(flight, settled=True)
    assert error.invariant == "what the ground holds is what was captured, byte by byte"
    assert f"{len(payload)} bytes captured, {len(payload)} bytes held, they differ from byte 5" in error.detail


def test_a_layer_from_nowhere(flight):
    stranger = LayerAddress(scene=0x12345678, product=0x1234, step=0x56)
    flight.world.station.store.add([Record(kind=RecordKind.LAYER, address=stranger, payload=b"\x12\x34")])
    error = breach(flight)
    assert error.invariant == "only what was captured comes down" and "305419896/0x1234/86" in error.detail


def test_a_mark_that_vanishes(flight):
    store = flight.world.computer.store
    store._delivered.pop(next(iter(store._delivered)))
    assert breach(flight).invariant == "a mark is for ever"


def test_a_layer_both_delivered_and_evicted(flight):
    store = flight.world.computer.store
    address, size_bytes = next(iter(store._delivered.items()))
    store._evicted[address] = size_bytes
    assert breach(flight).invariant == "no layer is both delivered and evicted"


def test_a_ledger_that_does_not_balance(flight):
    flight.world.computer.store._captured_bytes += 1
    error = breach(flight)
    assert error.invariant == "the ledger balances" and "captured_bytes" in error.detail


def test_a_ledger_that_balances_and_is_wrong(flight):
    store = flight.world.computer.store
    store._delivered[next(iter(store._delivered))] += 7
    store._captured_bytes += 7
    error = breach(flight)
    assert error.invariant == "the ledger agrees with an independent count"


def test_a_layer_reported_twice(flight):
    held = next(iter(flight.world.station.store.addresses))
    flight.world.observations.append(Observation(at_ms=0, what="arrived", addresses=(held,), link_bytes=0))
    assert breach(flight).invariant == "each layer is reported as arrived once"


def test_a_store_beyond_its_capacity(flight):
    flight.world.computer.store._queued_bytes = 10**9
    error = breach(flight)
    assert error.invariant == "the store keeps to its capacity" and "1000000000" in error.detail


def test_a_core_that_goes_round_in_a_circle(flight):
    with pytest.raises(InvariantError) as raised:
        for _ in range(EVENTS_PER_INSTANT + 2):
            flight.invariants.check()
    assert raised.value.invariant == "time goes on" and f"{EVENTS_PER_INSTANT + 1} events" in raised.value.detail


def test_a_layer_that_nobody_remembers(flight):
    """Captured, as the checks know, and in no store."""
    capture = seeded_mission(SEED + 1).captures[0]
    flight.invariants.expect(capture.layers)
    assert breach(flight).invariant == "the ledger agrees with an independent count"


# ---- the pretend disk

records = st.lists(
    st.builds(
        Record,
        kind=st.sampled_from(RecordKind),
        address=st.builds(
            LayerAddress, scene=st.integers(0, 2**32 - 1), product=st.integers(0, 2**16 - 1), step=st.integers(0, 255)
        ),
        payload=st.binary(max_size=60),
    ),
    max_size=5,
)


@given(st.lists(records, max_size=4), st.integers(1, 600))
def test_after_a_loss_of_power_the_pretend_disk_holds_what_a_real_one_would(tmp_path_factory, batches, power_bytes):
    disk, confirmed = SimulatedDisk(), []
    disk.lose_power_after(power_bytes)
    try:
        for batch in batches:
            disk.append(batch)
            confirmed.extend(batch)
    except PowerLost as lost:
        assert 0 < lost.written_bytes <= lost.asked_bytes and lost.disk is disk
    path = tmp_path_factory.mktemp("disk") / "j.journal"
    path.write_bytes(bytes(disk._image))
    disk.restart()
    kept = list(disk.records())
    assert kept[: len(confirmed)] == confirmed
    written = [record for batch in batches for record in batch]
    assert kept == written[: len(kept)]
    with FileJournal(path) as journal:
        assert list(journal.records()) == kept
    disk.append(written)
    assert list(disk.records()) == kept + written


def test_a_rewrite_of_the_pretend_disk_is_all_or_nothing():
    disk = SimulatedDisk()
    mark = Record(kind=RecordKind.DELIVERED, address=LayerAddress(scene=1, product=2, step=3), payload=b"\x12\x34")
    other = Record(kind=RecordKind.EVICTED, address=LayerAddress(scene=4, product=5, step=6))
    disk.append([mark])
    disk.lose_power_after(3)
    with pytest.raises(PowerLost):
        disk.replace([other, other])
    disk.restart()
    assert list(disk.records()) == [mark]
    disk.replace([other])
    assert list(disk.records()) == [other] and disk.size_bytes == other.size_bytes
