"""Reboots of either end in mid-file, from snapshots that are older than the reboot, over a link that loses and reorders.

The ground keeps arriving bytes in sinks and completed files in a store, both of which survive; so do the files on board and the list of
those delivered. Snapshots are taken only now and then, so that a reboot takes an end back in time.
"""

import random

import pytest

from downlink.cfdp_checksum import file_checksum
from downlink.cfdp_destination import CfdpDestination
from downlink.cfdp_destination_transaction import DestinationSettings
from downlink.cfdp_events import FileCompleted, SegmentReceived, TransactionFailed, TransactionFinished, TransactionId
from downlink.cfdp_file_data import FileDataFormat
from downlink.cfdp_header import PduHeader
from downlink.cfdp_source import CfdpSource
from downlink.cfdp_source_transaction import SourceSettings

SPACECRAFT, GROUND = 0x12, 0x34
TICK_MS = 10
SOURCE = SourceSettings(max_pdu_bytes=216, ack_timeout_ms=300, max_ack_timeout_ms=1_200, entity_id_bytes=1)
DESTINATION = DestinationSettings(
    reordering_delay_ms=60, nak_timeout_ms=300, finished_timeout_ms=300, max_pdu_bytes=120
)


class Sink:
    """A file on the ground, of which nothing is ever lost."""

    def __init__(self, size_bytes):
        self.content = bytearray(size_bytes)

    def write(self, offset, data):
        self.content[offset : offset + len(data)] = data

    def read(self, start, end):
        return bytes(self.content[start:end])


class Mission:
    """Both ends, the pipes between them, what survives a reboot, and what the link has cost."""

    def __init__(self, seed, *, loss, files, snapshot_every, sinks=True):
        self.chance = random.Random(seed)
        self.loss, self.files, self.sinks = loss, files, sinks
        self.now_ms, self.number, self.in_flight = 0, 0, []
        self.snapshot_every = snapshot_every
        self.stored = {}
        self.sink_of = {}
        self.completed, self.delivered, self.put_so_far = {}, set(), []
        self.sent_bytes = self.lost_bytes = self.reboots = 0
        self.source = CfdpSource(SPACECRAFT, GROUND, SOURCE)
        self.destination = CfdpDestination(GROUND, {SPACECRAFT}, DESTINATION, open_sink=self.open_sink)
        self.formats = {
            seq: FileDataFormat(
                PduHeader(
                    source_entity_id=SPACECRAFT, destination_entity_id=GROUND, transaction_seq=seq, entity_id_bytes=1
                )
            )
            for seq in files
        }
        self.save()

    def open_sink(self, transaction):
        if not self.sinks:
            return None
        return self.sink_of.setdefault(transaction, Sink(len(self.files[transaction.transaction_seq])))

    def put(self, seq, *, sent_before=False):
        self.source.put(
            transaction_seq=seq,
            source_name=f"{seq}",
            destination_name="",
            file_bytes=self.files[seq],
            priority=seq % 3,
            sent_before=sent_before,
        )

    def save(self):
        self.saved = (
            self.source.snapshot(self.now_ms),
            self.destination.snapshot(self.now_ms, with_data=not self.sinks),
        )

    def tick(self, *, faults):
        self.now_ms += TICK_MS
        waiting = [seq for seq in self.files if seq not in self.put_so_far]
        if waiting and self.chance.random() < 0.1:
            self.put_so_far.append(waiting[0])
            self.put(waiting[0])
        for _ in range(6):
            self.fly(self.source.next_pdu(self.now_ms), up=False, loss=self.loss * faults)
            self.fly(self.destination.next_pdu(self.now_ms), up=True, loss=self.loss * faults)
        self.note(self.source.take_events() + self.destination.take_events())
        arrived = sorted(each for each in self.in_flight if each[0] <= self.now_ms)
        self.in_flight = [each for each in self.in_flight if each[0] > self.now_ms]
        for _, _, up, pdu in arrived:
            self.note((self.source if up else self.destination).receive(pdu, self.now_ms))
        if self.now_ms // TICK_MS % self.snapshot_every == 0:
            self.save()

    def fly(self, pdu, *, up, loss):
        if pdu is None:
            return
        segments = [] if up else [found for each in self.formats.values() if (found := each.split(pdu)) is not None]
        segment_bytes = len(segments[0][1]) if segments else 0
        self.sent_bytes += segment_bytes
        if self.chance.random() < loss:
            self.lost_bytes += segment_bytes
            return
        self.number += 1
        self.in_flight.append((self.now_ms + self.chance.randrange(20, 60), self.number, up, pdu))

    def note(self, events):
        for event in events:
            assert not isinstance(event, TransactionFailed)
            if isinstance(event, FileCompleted):
                assert event.transaction not in self.completed, "a file was handed over twice"
                self.completed[event.transaction] = (
                    event.sink.read(0, event.file_size_bytes) if event.sink else event.data
                )
                assert self.completed[event.transaction] == self.files[event.transaction.transaction_seq]
            elif isinstance(event, TransactionFinished):
                assert event.delivered
                assert event.transaction in self.completed
                self.delivered.add(event.transaction.transaction_seq)
            elif isinstance(event, SegmentReceived):
                content = self.files[event.transaction.transaction_seq]
                assert event.data == content[event.offset : event.offset + len(event.data)]

    def reboot_board(self):
        self.source = CfdpSource.restore(
            self.saved[0],
            now_ms=self.now_ms,
            file_bytes_of=lambda one, _: self.files[one.transaction_seq],
            settings=SOURCE,
        )
        known = {one.transaction_seq for one in self.source.open_transactions}
        for seq in self.put_so_far:
            if seq not in known | self.delivered:
                self.put(seq, sent_before=True)

    def reboot_ground(self):
        self.destination = CfdpDestination.restore(
            self.saved[1], now_ms=self.now_ms, settings=DESTINATION, open_sink=self.open_sink
        )
        for transaction, content in self.completed.items():
            checksum = file_checksum(SOURCE.checksum_type, content)
            self.destination.remember_completed(transaction, file_size_bytes=len(content), checksum=checksum)

    @property
    def done(self):
        open_anywhere = self.source.open_transactions or self.destination.open_transactions
        return len(self.delivered) == len(self.files) and not open_anywhere

    def run(self, *, reboots, ticks=600):
        moments = set(self.chance.sample(range(5, ticks // 2), reboots))
        for tick in range(20 * ticks):
            if self.done and tick > ticks // 2:
                break
            self.tick(faults=tick < ticks)
            if tick in moments:
                self.reboots += 1
                self.chance.choice((self.reboot_board, self.reboot_ground))()
        assert self.done, (
            f"open after {tick} ticks: {self.source.open_transactions} {self.destination.open_transactions}"
        )
        assert self.completed == {TransactionId(SPACECRAFT, seq): content for seq, content in self.files.items()}

    @property
    def resent_bytes(self):
        """File bytes sent beyond one copy of each and what the link lost."""
        return self.sent_bytes - self.lost_bytes - sum(map(len, self.files.values()))


def files_of(seed):
    chance = random.Random(seed)
    return {seq: chance.randbytes(chance.choice((0, 150, 3_000, 20_000))) for seq in range(1, 13)}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("sinks", [True, False])
def test_ten_reboots_from_older_snapshots_lose_nothing_and_bring_nothing_twice(seed, sinks):
    mission = Mission(seed, loss=0.3, files=files_of(seed), snapshot_every=25, sinks=sinks)
    mission.run(reboots=10)
    assert mission.reboots == 10


def test_without_reboots_and_loss_every_byte_is_sent_once():
    mission = Mission(1, loss=0.0, files=files_of(1), snapshot_every=10**9)
    mission.run(reboots=0)
    assert mission.resent_bytes == 0


SEGMENTS_PER_TICK, SEGMENT_BYTES = 6, 202
REORDERED_BYTES = 4 * SEGMENTS_PER_TICK * SEGMENT_BYTES
"""What is sent within the 40 ms by which the link delays some PDUs more than others."""


def one_file(seed, *, snapshot_every):
    mission = Mission(seed, loss=0.0, files={1: random.Random(seed).randbytes(60_000)}, snapshot_every=snapshot_every)
    mission.put_so_far.append(1)
    mission.put(1)
    return mission


@pytest.mark.parametrize("seed", range(12))
def test_a_reboot_on_board_costs_no_byte_that_the_ground_has(seed):
    """The snapshot was taken before anything was sent; all that comes twice is what the ground took for lost among late PDUs."""
    mission = one_file(seed, snapshot_every=10**9)
    moment = mission.chance.randrange(5, 40)
    for tick in range(400):
        mission.tick(faults=False)
        if tick == moment:
            mission.reboot_board()
    assert mission.done
    assert mission.resent_bytes <= REORDERED_BYTES


@pytest.mark.parametrize("seed", range(6))
def test_a_reboot_of_the_ground_costs_what_came_since_the_snapshot(seed):
    mission = one_file(seed, snapshot_every=10)
    for tick in range(400):
        mission.tick(faults=False)
        if tick == 35:
            mission.reboot_ground()
    assert mission.done
    ticks_since_snapshot = 7
    assert mission.resent_bytes <= ticks_since_snapshot * SEGMENTS_PER_TICK * SEGMENT_BYTES + REORDERED_BYTES
