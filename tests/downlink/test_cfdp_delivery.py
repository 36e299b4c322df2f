"""Two CFDP machines on a pretend link in virtual time: loss, duplication, reordering, passes and reboots, all from one seed.

First with faults: nothing may be wrong or come twice. Then without: everything owed arrives, and both machines fall silent.
"""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.cfdp_checksum import ChecksumType
from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_destination_transaction import DestinationSettings
from downlink.cfdp_events import FileCompleted, SegmentReceived, TransactionFailed, TransactionFinished, TransactionId
from downlink.cfdp_header import ConditionCode
from downlink.cfdp_source import CfdpSource
from downlink.cfdp_source_transaction import SourceSettings

TICK_MS = 20
HALF_ORBIT_MS = 2_700_000
SPACECRAFT, GROUND = 0x1234, 0x0567


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What the link does to PDUs, and the world to the machines; probabilities per PDU or per tick."""

    loss: float = 0.0
    duplication: float = 0.0
    max_delay_ticks: int = 1
    cut_per_tick: float = 0.0
    reboot_per_tick: float = 0.0


@dataclass(kw_only=True)
class PretendLink:
    """A source on board, a destination on the ground, and PDUs on their way between them."""

    seed: int
    faults: Faults = field(default_factory=Faults)
    source_settings: SourceSettings = field(default_factory=SourceSettings)
    destination_settings: DestinationSettings = field(default_factory=DestinationSettings)
    pdus_per_tick: int = 8

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self.now_ms = 0
        self.source = CfdpSource(SPACECRAFT, GROUND, self.source_settings)
        self.destination = CfdpDestination(GROUND, {SPACECRAFT}, self.destination_settings)
        self.files, self.completed, self.failed, self.finished = {}, [], [], []
        self.segment_bytes = {}
        self.in_flight, self.pdus_flown = [], 0
        self.ticks_until_pass = 0

    def put(self, seq, file_bytes, **fields):
        self.files[seq] = file_bytes
        name = f"bundle-{seq}"
        self.source.put(transaction_seq=seq, source_name=name, destination_name=name, file_bytes=file_bytes, **fields)

    @property
    def quiet(self):
        """Whether neither machine has anything pending."""
        pending = self.source.open_transactions + self.destination.open_transactions
        return not pending and not self.destination.unanswered_transactions and not self.in_flight

    def run(self, ticks):
        for _ in range(ticks):
            if self.quiet:
                return
            self.tick()

    def tick(self):
        self.now_ms += TICK_MS
        self._pass_or_gap()
        for _ in range(self.pdus_per_tick):
            self._fly(self.source.next_pdu(self.now_ms), towards_ground=True)
            self._fly(self.destination.next_pdu(self.now_ms), towards_ground=False)
        self._note(self.source.take_events() + self.destination.take_events())
        arrived = sorted(flight for flight in self.in_flight if flight[0] <= self.now_ms)
        self.in_flight = [flight for flight in self.in_flight if flight[0] > self.now_ms]
        for _, _, towards_ground, pdu in arrived:
            self._note((self.destination if towards_ground else self.source).receive(pdu, self.now_ms))
        if self.random.random() < self.faults.reboot_per_tick:
            self.random.choice((self.reboot_source, self.reboot_destination))()

    def _pass_or_gap(self):
        if self.ticks_until_pass:
            self.ticks_until_pass -= 1
            if not self.ticks_until_pass:
                self.source.resume(self.now_ms)
                self.destination.resume(self.now_ms)
        elif self.random.random() < self.faults.cut_per_tick:
            self.ticks_until_pass = self.random.randrange(1, 6)
            self.in_flight.clear()
            self.source.suspend(self.now_ms)
            self.destination.suspend(self.now_ms)
            self.now_ms += self.random.choice((0, HALF_ORBIT_MS))

    def _fly(self, pdu, *, towards_ground):
        if pdu is None or self.random.random() < self.faults.loss:
            return
        for _ in range(1 + (self.random.random() < self.faults.duplication)):
            self.pdus_flown += 1
            due_ms = self.now_ms + TICK_MS * self.random.randrange(self.faults.max_delay_ticks)
            self.in_flight.append((due_ms, self.pdus_flown, towards_ground, pdu))

    def reboot_source(self, *, up_to_date=False):
        self.source = CfdpSource.restore(
            self.source.snapshot(self.now_ms),
            now_ms=self.now_ms,
            file_bytes_of=lambda transaction, _: self.files[transaction.transaction_seq],
            settings=self.source_settings,
            up_to_date=up_to_date,
        )

    def reboot_destination(self):
        self.destination = CfdpDestination.restore(
            self.destination.snapshot(self.now_ms), now_ms=self.now_ms, settings=self.destination_settings
        )

    def _note(self, events):
        for event in events:
            if isinstance(event, FileCompleted):
                self.completed.append(event)
            elif isinstance(event, TransactionFailed):
                self.failed.append(event)
            elif isinstance(event, TransactionFinished):
                self.finished.append(event)
            elif isinstance(event, SegmentReceived):
                known = self.segment_bytes.setdefault(event.transaction.transaction_seq, {})
                fresh = dict(enumerate(event.data, event.offset))
                assert not known.keys() & fresh.keys(), f"seed {self.seed}: bytes of {event.transaction} came twice"
                known.update(fresh)

    def check_all_delivered(self):
        assert self.quiet, f"seed {self.seed}: pending {self.source.open_transactions}"
        assert not self.failed, f"seed {self.seed}"
        received = {event.transaction.transaction_seq: event.data for event in self.completed}
        assert received == self.files, f"seed {self.seed}"
        assert len(self.completed) == len(self.finished) == len(self.files), f"seed {self.seed}"
        assert all(event.delivered and event.condition is ConditionCode.NO_ERROR for event in self.finished)
        for seq, positions in self.segment_bytes.items():
            assert bytes(positions[index] for index in range(len(positions))) == self.files[seq]


def quick_settings(chance):
    source = SourceSettings(
        max_pdu_bytes=chance.choice((40, 100, 1024)),
        ack_timeout_ms=400,
        max_ack_timeout_ms=2_000,
        checksum_type=chance.choice((ChecksumType.CRC_32, ChecksumType.MODULAR, ChecksumType.CRC_32C)),
        with_crc=chance.random() < 0.5,
    )
    destination = DestinationSettings(
        immediate_nak=chance.random() < 0.6,
        reordering_delay_ms=chance.choice((0, 60)),
        nak_timeout_ms=400,
        max_pdu_bytes=chance.choice((40, 60, 200)),
        max_naks_per_round=chance.choice((1, 3, 16)),
        finished_timeout_ms=400,
        finished_limit=chance.choice((2, 16)),
    )
    return source, destination


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_every_file_arrives_once_whatever_the_link_does(seed):
    chance = random.Random(seed)
    source_settings, destination_settings = quick_settings(chance)
    link = PretendLink(
        seed=seed,
        faults=Faults(
            loss=chance.choice((0.0, 0.1, 0.4)),
            duplication=chance.choice((0.0, 0.1)),
            max_delay_ticks=chance.choice((1, 4, 40)),
            cut_per_tick=chance.choice((0.0, 0.02, 0.2)),
            reboot_per_tick=chance.choice((0.0, 0.05)),
        ),
        source_settings=source_settings,
        destination_settings=destination_settings,
    )
    for seq in range(1000, 1000 + chance.randrange(1, 7)):
        link.put(seq, chance.randbytes(chance.choice((0, 1, 39, 500, 2500))), priority=chance.randrange(3))
    link.run(200)
    link.faults = Faults()
    link.run(2_000)
    link.check_all_delivered()


def test_a_clean_link_sends_every_byte_once():
    link = PretendLink(seed=1)
    for seq in range(5):
        link.put(seq, link.random.randbytes(5_000))
    link.run(100)
    link.check_all_delivered()
    for event in link.finished:
        assert (event.statistics.new_bytes, event.statistics.retransmitted_bytes) == (5_000, 0)
        assert (event.statistics.pdus, event.statistics.eofs, event.statistics.naks_received) == (7, 1, 0)
    assert all(event.statistics.duplicate_bytes == 0 for event in link.completed)


def test_lost_segments_are_sent_again_and_no_others():
    source, destination = CfdpSource(SPACECRAFT, GROUND), CfdpDestination(GROUND, {SPACECRAFT})
    content = random.Random(2).randbytes(100_000)
    source.put(transaction_seq=7, source_name="a", destination_name="b", file_bytes=content)
    sent, now_ms, lost_bytes = 0, 0, 0
    completed = []
    while source.open_transactions:
        now_ms += 10
        if (pdu := source.next_pdu(now_ms)) is not None:
            sent += 1
            if sent % 10 == 4 and sent < 90:
                lost_bytes += len(pdu) - 16
            else:
                completed += [e for e in destination.receive(pdu, now_ms) if isinstance(e, FileCompleted)]
        if (answer := destination.next_pdu(now_ms)) is not None:
            finished = source.receive(answer, now_ms)
    assert completed[0].data == content
    assert finished[0].statistics.retransmitted_bytes == lost_bytes
    assert completed[0].statistics.duplicate_bytes == 0


def test_a_hundred_passes_of_one_tick_each_deliver_a_file():
    link = PretendLink(seed=3, source_settings=SourceSettings(max_pdu_bytes=100, ack_limit=2))
    link.put(1, link.random.randbytes(3_000))
    for _ in range(100):
        link.tick()
        link.source.suspend(link.now_ms)
        link.destination.suspend(link.now_ms)
        link.in_flight.clear()
        link.now_ms += HALF_ORBIT_MS
        link.source.resume(link.now_ms)
        link.destination.resume(link.now_ms)
    link.run(1_000)
    link.check_all_delivered()


@pytest.mark.parametrize("victim", range(6))
@pytest.mark.parametrize("towards_ground", [True, False])
def test_any_single_pdu_may_be_lost(victim, towards_ground):
    link = PretendLink(seed=4, source_settings=SourceSettings(max_pdu_bytes=1024))
    fly, flown = link._fly, {True: 0, False: 0}

    def fly_but_one(pdu, *, towards_ground):
        if pdu is not None:
            flown[towards_ground] += 1
        fly(
            None if flown[towards_ground] == victim + 1 and towards_ground is lost_side else pdu,
            towards_ground=towards_ground,
        )

    lost_side, link._fly = towards_ground, fly_but_one
    link.put(1, link.random.randbytes(2_500))
    link.run(3_000)
    link.check_all_delivered()


def test_a_source_restored_from_an_old_snapshot_ends_well():
    link = PretendLink(seed=5)
    link.put(1, link.random.randbytes(20_000))
    link.tick()
    old = link.source.snapshot(link.now_ms)
    link.run(100)
    assert len(link.completed) == 1
    link.source = CfdpSource.restore(
        old, now_ms=link.now_ms, file_bytes_of=lambda transaction, _: link.files[transaction.transaction_seq]
    )
    link.finished.clear()
    link.run(1_000)
    link.check_all_delivered()


def test_a_destination_restored_from_an_old_snapshot_ends_well_when_told_what_is_stored():
    link = PretendLink(seed=6)
    link.put(1, link.random.randbytes(20_000))
    link.put(2, link.random.randbytes(20_000))
    link.tick()
    old = link.destination.snapshot(link.now_ms)
    while len(link.completed) < 1:
        link.tick()
    link.destination = CfdpDestination.restore(old, now_ms=link.now_ms)
    link.segment_bytes.clear()
    for event in link.completed:
        link.destination.remember_completed(
            event.transaction, file_size_bytes=event.file_size_bytes, checksum=event.checksum
        )
    link.run(3_000)
    received = {event.transaction.transaction_seq: event.data for event in link.completed}
    assert link.quiet
    assert received == link.files
    assert len(link.completed) == 2


def test_a_destination_that_lost_everything_asks_for_the_whole_file():
    link = PretendLink(seed=7)
    link.put(1, link.random.randbytes(20_000))
    link.tick()
    link.tick()
    link.destination = CfdpDestination(GROUND, {SPACECRAFT})
    link.segment_bytes.clear()
    link.run(3_000)
    link.check_all_delivered()


def test_snapshot_and_restore_change_nothing():
    """Machines that are restored after every tick send the same bytes as ones that never stop."""

    def transcript(reboot):
        source_settings, destination_settings = quick_settings(random.Random(0))
        link = PretendLink(
            seed=8,
            faults=Faults(loss=0.3, max_delay_ticks=3),
            source_settings=source_settings,
            destination_settings=destination_settings,
        )
        log, fly = [], link._fly
        link._fly = lambda pdu, *, towards_ground: (log.append(pdu), fly(pdu, towards_ground=towards_ground))
        link.put(1, random.Random(9).randbytes(2_000))
        link.put(2, random.Random(10).randbytes(500), priority=1)
        while not link.quiet:
            link.tick()
            if reboot:
                link.reboot_source(up_to_date=True)
                link.reboot_destination()
        link.check_all_delivered()
        return log

    assert transcript(reboot=True) == transcript(reboot=False)


def test_snapshot_without_data_reads_it_back_from_the_store():
    link = PretendLink(seed=11)
    link.put(1, link.random.randbytes(30_000))
    link.tick()
    link.tick()
    transaction = TransactionId(SPACECRAFT, 1)
    stored = link.destination.partial(transaction)
    lean = link.destination.snapshot(link.now_ms, with_data=False)
    assert len(lean) < 2_000 < len(stored.prefix) < len(link.destination.snapshot(link.now_ms))
    link.destination = CfdpDestination.restore(
        lean, now_ms=link.now_ms, read_range=lambda _, start, end: stored.prefix[start:end]
    )
    assert link.destination.partial(transaction) == stored
    link.run(100)
    link.check_all_delivered()
