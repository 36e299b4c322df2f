"""Each invariant speaks up, with its numbers, when its promise is broken; the pretend disk behaves like a real one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.errors import JournalError
from downlink.journal import FileJournal
from downlink.products import LayerAddress
from downlink.record import Record, RecordKind
from mission.dice import Dice
from mission.errors import InvariantError, PowerLost
from mission.invariants import EVENTS_PER_INSTANT
from mission.seeded_flight import SeededFlight
from mission.seeded_mission import seeded_mission
from mission.simulated_clock import SimulatedClock
from mission.simulated_disk import SimulatedDisk
from mission.simulation import Observation
from mission.streams import Streams

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
    before = next(one for one in flight.world.observations if one.what == "arrived")
    flight.world.observations.append(Observation(at_ms=0, what="arrived", addresses=before.addresses, link_bytes=0))
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


def test_a_core_that_is_down_is_not_asked(flight):
    flight.world.computer.store._captured_bytes += 1
    flight.world.onboard.is_up = False
    flight.invariants.check()
    assert breach(flight, settled=True).invariant == "both ends start again"


def test_a_layer_whose_only_copy_rotted_may_be_lost_and_no_other(flight):
    store = flight.world.station.store
    rotten, sound = sorted(store.addresses)[:2]
    del store._held[rotten]
    flight.invariants.rotted(Record(kind=RecordKind.LAYER, address=rotten), on_board=False)
    flight.invariants.check()
    assert flight.invariants.lost_layers == 0 or flight.invariants.lost_layers == 1
    del store._held[sound]
    assert breach(flight).invariant == "the ground forgets nothing"


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
MARK = Record(kind=RecordKind.DELIVERED, address=LayerAddress(scene=1, product=2, step=3), payload=b"\x12\x34")
OTHER = Record(kind=RecordKind.EVICTED, address=LayerAddress(scene=4, product=5, step=6))


def pretend_disk(seed=1):
    return SimulatedDisk("pretend", Dice(Streams(seed).generator("disk")))


@given(st.lists(records, max_size=4), st.integers(1, 600), st.integers(0, 50))
def test_after_a_loss_of_power_the_pretend_disk_holds_what_a_real_one_would(batches, power_bytes, seed):
    disk, confirmed = pretend_disk(seed), []
    journal = FileJournal(disk)
    disk.lose_power_after(power_bytes)
    try:
        for batch in batches:
            journal.append(batch)
            confirmed.extend(batch)
    except PowerLost as lost:
        assert 0 <= lost.written_bytes <= lost.asked_bytes and lost.disk is disk
    disk.lose_power()
    again = FileJournal(disk)
    kept = list(again.records())
    assert kept[: len(confirmed)] == confirmed
    written = [record for batch in batches for record in batch]
    assert kept == written[: len(kept)]
    again.append(written)
    assert list(FileJournal(disk).records()) == kept + written


@given(st.integers(0, 200))
def test_what_was_written_and_not_synchronised_may_be_gone_and_what_was_is_not(seed):
    disk = pretend_disk(seed)
    disk.write(0, b"\x12" * 40)
    disk.sync()
    disk.write(40, b"\x34" * 40)
    assert disk.read(0, 100) == b"\x12" * 40 + b"\x34" * 40
    gone = disk.lose_power()
    left = disk.read(0, 100)
    assert left[:40] == b"\x12" * 40 and 0 <= gone <= 40
    assert left[40:].rstrip(b"\0") == b"\x34" * (40 - gone)


def test_of_many_losses_of_power_some_take_the_cache_whole_and_some_leave_it():
    left = set()
    for seed in range(40):
        disk = pretend_disk(seed)
        disk.write(0, b"\x12" * 10)
        left.add(10 - disk.lose_power())
    assert {0, 10} < left


def test_a_full_disk_refuses_and_keeps_what_it_had():
    disk = pretend_disk()
    journal = FileJournal(disk)
    journal.append([MARK])
    disk.full = True
    for _ in range(5):
        with pytest.raises(JournalError, match="No space left"):
            journal.append([OTHER])
        with pytest.raises(JournalError, match="No space left"):
            journal.replace([OTHER])
    disk.full = False
    journal.append([OTHER])
    disk.lose_power()
    assert list(FileJournal(disk).records()) == [MARK, OTHER]


def test_a_flipped_bit_takes_one_record_and_says_which():
    disk = pretend_disk()
    FileJournal(disk).append([MARK, OTHER, MARK])
    assert disk.rot((MARK.size_bytes + 2) * 8 + 3) == OTHER
    disk.lose_power()
    journal = FileJournal(disk)
    assert list(journal.records()) == [MARK, MARK] and journal.lost_bytes == OTHER.size_bytes


def test_a_rewrite_of_the_pretend_disk_is_all_or_nothing():
    disk = pretend_disk()
    journal = FileJournal(disk)
    journal.append([MARK])
    disk.lose_power_after(3)
    with pytest.raises(PowerLost):
        journal.replace([OTHER, OTHER])
    disk.lose_power()
    journal = FileJournal(disk)
    assert list(journal.records()) == [MARK]
    journal.replace([OTHER])
    disk.lose_power()
    assert list(FileJournal(disk).records()) == [OTHER] and disk.size_bytes() == OTHER.size_bytes


# ---- the pretend clock


@given(
    st.integers(-5000, 5000),
    st.integers(-(10**8), 10**8),
    st.lists(st.tuples(st.integers(0, 100_000), st.integers(-50_000, 50_000)), max_size=5),
)
def test_a_clock_goes_back_only_when_it_says_so(offset_ms, drift_ppb, steps):
    clock, shown, now_ms = SimulatedClock(offset_ms=offset_ms, drift_ppb=drift_ppb, since_ms=10**6), 0, 10**6
    for after_ms, step_ms in steps:
        now_ms += after_ms
        assert clock.read(now_ms) >= shown
        shown = clock.read(now_ms)
        gone_back = clock.step(step_ms, now_ms)
        assert gone_back == (clock.read(now_ms) < shown)
        assert not gone_back or step_ms < 0
        shown = clock.read(now_ms)
        due_ms = clock.true_ms(shown + 500)
        assert clock._reckoned(due_ms) >= shown + 500 > clock._reckoned(due_ms - 1)


def test_a_small_step_back_is_waited_out():
    clock = SimulatedClock()
    assert clock.read(10_000) == 10_000 and not clock.step(-1500, 10_000)
    assert [clock.read(now_ms) for now_ms in (10_000, 11_499, 11_501)] == [10_000, 10_000, 10_001]
    assert clock.step(-3000, 11_501) and clock.read(11_501) == 7001
    assert clock.caught_up_ms(11_501) == 14_502
