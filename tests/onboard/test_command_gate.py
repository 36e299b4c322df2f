"""The command gate: what is accepted once, what is refused, and that no loss of power opens it to a replay."""

import errno
import os
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from downlink.command import (
    CancelRequest,
    Command,
    DropScene,
    ForgetReferences,
    ReportLink,
    RequestLayers,
    encode_command,
)
from downlink.command_report import CommandReport, UplinkCounts
from downlink.errors import FrameSecurityError, JournalError
from downlink.express import encode_receipts
from downlink.frame_assembler import FrameAssembler
from downlink.frame_reader import FrameVerdict
from downlink.frame_security import SECURITY_BYTES, FrameProtector, FrameRefusal, SecurityAssociation
from downlink.journal import FileJournal, MemoryJournal
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.products import LayerAddress
from downlink.requests import LayerRequest
from mission.dice import Dice
from mission.errors import PowerLost
from mission.simulated_disk import SimulatedDisk
from mission.streams import Streams
from onboard.command_gate import CEILING_AHEAD_MS, REFUSALS_REPORT_MS, CommandGate

PROFILE = LinkProfile()
OUR = SecurityAssociation(spi=0x1234, key=bytes(range(0x10, 0x30)))
NEXT = SecurityAssociation(spi=0x1235, key=bytes(range(0x30, 0x50)))
NOW_MS = 1_770_000_000_000
RECEIPT = encode_receipts([LayerAddress(scene=0x12345678, product=0xFFFF, step=0x56)])[0]


def request(scene=7, until_ms=NOW_MS + 1_000_000):
    return RequestLayers(
        request=LayerRequest(
            scene=scene, first_product=1, last_product=0x7FFF, last_step=255, factor=2.5, until_ms=until_ms
        )
    )


class Ground:
    """A sender with one key, its frames as the satellite hears them."""

    def __init__(self, association=OUR, *, spacecraft_id=PROFILE.spacecraft_id, vc_id=VirtualChannel.COMMANDS):
        self.protector = FrameProtector(association)
        self.packets = PacketSender()
        self.frames = FrameAssembler(spacecraft_id, vc_id, frame_bytes=PROFILE.uplink_frame_bytes - SECURITY_BYTES)

    def frame(self, data=RECEIPT, apid=Apid.EXPRESS_RECEIPT, now_ms=NOW_MS):
        self.frames.push(self.packets.packet(apid, data))
        return self.protector.protect(self.frames.next_frame(flush=True), now_ms)

    def command(self, number, order, after=0, now_ms=NOW_MS):
        return self.frame(encode_command(Command(number=number, after=after, order=order)), Apid.COMMAND, now_ms)


def gate(journal=None, *associations, **options):
    return CommandGate(PROFILE, associations or (OUR,), MemoryJournal() if journal is None else journal, **options)


def counts(**counted):
    return UplinkCounts(**counted)


# ---- frames


def test_a_receipt_and_a_pdu_come_through_as_packets():
    ground, ours = Ground(), gate()
    reading = ours.hear(ground.frame())
    assert (reading.refusal, reading.verdict, reading.orders) == (None, FrameVerdict.IN_ORDER, ())
    assert [(packet.apid, packet.data) for packet in reading.packets] == [(Apid.EXPRESS_RECEIPT, RECEIPT)]
    reading = ours.hear(ground.frame(b"\x24pdu", Apid.FILES_UP))
    assert [(packet.apid, packet.data) for packet in reading.packets] == [(Apid.FILES_UP, b"\x24pdu")]
    assert ours.counts == counts(accepted=2)


def test_receipts_of_thirty_addresses_fit_one_frame():
    addresses = [LayerAddress(scene=0x12345678, product=0xFFFF, step=step) for step in range(30)]
    payload = encode_receipts(addresses)[0]
    assert [packet.data for packet in gate().hear(Ground().frame(payload)).packets] == [payload]


def test_packets_that_cross_frames_are_put_together():
    ground, ours = Ground(), gate()
    ground.frames.push(ground.packets.packet(Apid.FILES_UP, bytes(range(250))))
    ground.frames.push(ground.packets.packet(Apid.FILES_UP, bytes(range(250, 100, -1))))
    frames = [ground.protector.protect(ground.frames.next_frame(flush=True), NOW_MS) for _ in range(2)]
    packets = [packet.data for frame in frames for packet in ours.hear(frame).packets]
    assert packets == [bytes(range(250)), bytes(range(250, 100, -1))]


def test_a_replayed_frame_is_refused_at_once_and_later():
    ground, ours = Ground(), gate()
    frames = [ground.frame(now_ms=NOW_MS + step) for step in range(200)]
    for frame in frames:
        assert ours.hear(frame).refusal is None
        assert ours.hear(frame).refusal is FrameRefusal.REPLAYED
    for frame in frames:
        assert ours.hear(frame).refusal is FrameRefusal.REPLAYED
    assert ours.counts == counts(accepted=200, replayed=400)


def test_frames_out_of_order_are_read_once():
    ground, ours = Ground(), gate()
    frames = [ground.frame(now_ms=NOW_MS + 10 * step) for step in range(40)]
    Random(0x12345678).shuffle(frames)
    readings = [ours.hear(frame) for frame in frames + frames]
    assert sum(len(reading.packets) for reading in readings) == 40
    assert ours.counts == counts(accepted=40, replayed=40)


def test_a_frame_held_back_by_an_enemy_is_not_read_once_others_have_passed():
    ground, ours = Ground(), gate()
    held = ground.frame()
    assert ours.hear(ground.frame(now_ms=NOW_MS + 2001)).refusal is None
    assert ours.hear(held).refusal is FrameRefusal.REPLAYED


@pytest.mark.parametrize(
    ("sender", "refusal"),
    [
        (Ground(SecurityAssociation(spi=OUR.spi, key=OUR.key[::-1])), FrameRefusal.FORGED),
        (Ground(NEXT), FrameRefusal.UNKNOWN_KEY),
        (Ground(spacecraft_id=PROFILE.spacecraft_id ^ 0x80), FrameRefusal.FOREIGN),
        (Ground(vc_id=VirtualChannel.FILES), FrameRefusal.FOREIGN),
    ],
)
def test_frames_of_others_are_refused_and_counted(sender, refusal):
    ours = gate()
    frame = sender.frame()
    assert [ours.hear(frame).refusal for _ in range(3)] == [refusal] * 3
    assert ours.counts == counts(**{refusal.value: 3})
    assert ours.hear(Ground().frame()).refusal is None


def test_frames_without_protection_truncated_and_oversized_are_refused():
    open_ground = FrameAssembler(PROFILE.spacecraft_id, VirtualChannel.COMMANDS, frame_bytes=PROFILE.uplink_frame_bytes)
    open_ground.push(PacketSender().packet(Apid.EXPRESS_RECEIPT, RECEIPT))
    ours = gate()
    assert ours.hear(open_ground.next_frame(flush=True)).refusal is FrameRefusal.UNKNOWN_KEY
    frame = Ground().frame()
    for damaged in (b"", frame[:-1], frame + b"\x00", frame[: PROFILE.uplink_frame_bytes - SECURITY_BYTES], frame * 9):
        assert ours.hear(damaged).refusal is FrameRefusal.DAMAGED
    assert ours.counts == counts(unknown_key=1, damaged=5)


def test_a_key_follows_another():
    journal = MemoryJournal()
    ours = gate(journal, OUR, NEXT)
    old, new = Ground(), Ground(NEXT)
    assert ours.hear(old.frame()).refusal is None
    assert ours.hear(new.frame()).refusal is None
    late = old.frame()
    after_change = gate(journal, NEXT)
    assert after_change.hear(late).refusal is FrameRefusal.UNKNOWN_KEY
    assert after_change.hear(new.frame(now_ms=NOW_MS + CEILING_AHEAD_MS + 2)).refusal is None


def test_a_number_far_ahead_under_one_key_leaves_the_other_usable():
    ours = gate(None, OUR, NEXT)
    assert ours.hear(Ground().frame(now_ms=1 << 55)).refusal is None
    assert ours.hear(Ground().frame()).refusal is FrameRefusal.REPLAYED
    assert ours.hear(Ground(NEXT).frame()).refusal is None


def test_a_gate_needs_a_key():
    with pytest.raises(FrameSecurityError):
        CommandGate(PROFILE, (), MemoryJournal())


def test_a_hundred_thousand_random_frames_raise_nothing_and_leave_nothing():
    ours, journal = gate(), MemoryJournal()
    ours = gate(journal)
    random = Random(0x9ABCDEF0)
    good = Ground().frame()
    for number in range(100_000):
        if number % 2:
            frame = random.randbytes(random.choice((0, 1, 17, 230, 255, 256, 256, 256, 257, 2048)))
        else:
            changed = bytearray(good)
            changed[random.randrange(256)] ^= random.randrange(1, 256)
            frame = bytes(changed)
        assert ours.hear(frame).refusal is not None
    assert ours.counts.accepted == 0 and ours.counts.refused == 100_000
    assert journal.size_bytes == 0
    assert ours.hear(good).refusal is None


# ---- commands


def test_a_request_holds_until_its_time_and_across_a_reboot():
    journal = MemoryJournal()
    ours = gate(journal)
    assert ours.hear(Ground().command(1, request())).orders == (request(),)
    for current in (ours, gate(journal)):
        assert current.orders.requests(NOW_MS) == (request().request,)
        assert current.orders.requests(NOW_MS + 1_000_000) == ()
        assert current.last_number == 1


def test_a_repeated_command_is_executed_once_and_acknowledged_again():
    journal, ground = MemoryJournal(), Ground()
    ours = gate(journal)
    assert len(ours.hear(ground.command(5, request())).orders) == 1
    assert ours.next_report(NOW_MS) is not None and ours.next_report(NOW_MS) is None
    assert ours.hear(ground.command(5, request())).orders == ()
    assert CommandReport.decode(ours.next_report(NOW_MS), (OUR,)).last_number == 5
    rebooted = gate(journal)
    later = ground.command(5, request(), now_ms=NOW_MS + CEILING_AHEAD_MS + 2)
    assert rebooted.hear(later).orders == () and rebooted.counts.accepted == 1


def test_a_cancellation_waits_for_the_request_that_it_cancels():
    journal, ground = MemoryJournal(), Ground()
    ours = gate(journal)
    ask = ground.command(5, request())
    cancel = Command(number=6, after=5, order=CancelRequest(request_number=5))
    assert ours.hear(ground.frame(encode_command(cancel), Apid.COMMAND)).orders == ()
    assert ours.last_number == 0
    assert ours.hear(ask).orders == (request(),)
    assert ours.hear(ground.frame(encode_command(cancel), Apid.COMMAND)).orders == (cancel.order,)
    assert ours.orders.requests(NOW_MS) == gate(journal).orders.requests(NOW_MS) == ()


def test_a_scene_is_dropped_again_after_a_reboot_until_it_is_reported_dropped():
    journal = MemoryJournal()
    ours = gate(journal)
    ours.hear(Ground().command(5, DropScene(scene=9)))
    ours = gate(journal)
    assert ours.orders.scenes_to_drop == (9,)
    ours.orders.scene_dropped(9)
    assert ours.orders.scenes_to_drop == gate(journal).orders.scenes_to_drop == ()


def test_references_are_forgotten_again_after_a_reboot_until_that_is_done():
    journal, ground = MemoryJournal(), Ground()
    ours = gate(journal)
    ours.hear(ground.command(5, ForgetReferences(scene=9)))
    ours.hear(ground.command(6, ForgetReferences(scene=None), after=5))
    ours.hear(ground.command(7, ForgetReferences(scene=9), after=6))
    ours = gate(journal)
    assert ours.orders.references_to_forget == (9, None)
    ours.orders.references_forgotten(9)
    assert ours.orders.references_to_forget == gate(journal).orders.references_to_forget == (None,)
    ours.orders.references_forgotten(None)
    assert ours.orders.references_to_forget == gate(journal).orders.references_to_forget == ()
    assert ours.last_number == gate(journal).last_number == 7


def test_link_reports_are_passed_on_and_forgotten_with_the_contact():
    journal = MemoryJournal()
    ours = gate(journal)
    report = ReportLink(contact_id=3, frames_heard=90, frames_lost=30, bursts=12)
    assert ours.hear(Ground().command(0, report)).orders == (report,)
    assert ours.link_report == report and ours.link_report.frame_loss == 0.25
    size_bytes = journal.size_bytes
    ours.hear(Ground().command(0, report, now_ms=NOW_MS + 1))
    assert journal.size_bytes == size_bytes
    ours.start_contact()
    assert ours.link_report is None


def test_malformed_commands_and_packets_of_strange_processes_are_counted():
    ours, ground = gate(), Ground()
    good = encode_command(Command(number=5, after=0, order=request()))
    for at in range(len(good)):
        ours.hear(ground.frame(good[:at] or b"\x00", Apid.COMMAND))
    ours.hear(ground.frame(b"\x01", Apid.EXPRESS))
    assert ours.counts == counts(accepted=len(good) + 1, malformed=len(good) + 1)
    assert ours.last_number == 0


# ---- reports


def test_refusals_are_reported_but_not_as_often_as_they_can_be_caused():
    ours = gate()
    assert CommandReport.decode(ours.next_report(NOW_MS), (OUR,)) == CommandReport(last_number=0, counts=counts())
    assert ours.next_report(NOW_MS) is None and ours.report_due_ms(NOW_MS) is None
    ours.hear(b"noise")
    assert ours.next_report(NOW_MS + 1) is None
    assert ours.report_due_ms(NOW_MS + 1) == NOW_MS + REFUSALS_REPORT_MS
    ours.hear(b"more noise")
    report = CommandReport.decode(ours.next_report(NOW_MS + REFUSALS_REPORT_MS), (OUR,))
    assert report.counts == counts(damaged=2)
    ours.start_contact()
    assert ours.report_due_ms(NOW_MS + REFUSALS_REPORT_MS) == NOW_MS + REFUSALS_REPORT_MS


def test_reports_are_tagged_with_the_key_that_the_ground_used_last():
    ours = gate(None, OUR, NEXT)
    ours.hear(Ground(NEXT).command(5, request()))
    assert CommandReport.decode(ours.next_report(NOW_MS), (NEXT,)).last_number == 5


# ---- durability


class FullDisk(MemoryJournal):
    """A journal that has no room while `full`."""

    full = False

    def append(self, records):
        if self.full:
            raise JournalError("no space left on device")
        return super().append(records)


def test_without_room_for_a_ceiling_nothing_is_accepted_and_later_everything_again():
    journal, ground = FullDisk(), Ground()
    ours = gate(journal)
    journal.full = True
    frame = ground.frame()
    assert [ours.hear(frame).refusal for _ in range(2)] == [FrameRefusal.UNSAVED] * 2
    journal.full = False
    assert ours.hear(frame).refusal is None
    journal.full = True
    assert ours.hear(ground.command(5, request())).orders == () and ours.last_number == 0
    journal.full = False
    assert len(ours.hear(ground.command(5, request())).orders) == 1
    assert ours.counts == counts(accepted=3, unsaved=3)


@pytest.mark.parametrize("ahead_ms", [1, 500, CEILING_AHEAD_MS])
def test_after_a_reboot_the_ground_waits_no_longer_than_the_ceiling_is_ahead(ahead_ms):
    journal, ground = MemoryJournal(), Ground()
    assert gate(journal, ahead_ms=ahead_ms).hear(ground.frame()).refusal is None
    rebooted = gate(journal, ahead_ms=ahead_ms)
    assert rebooted.hear(ground.frame(now_ms=NOW_MS + ahead_ms)).refusal is FrameRefusal.REPLAYED
    # A new sender begins one millisecond ahead of its clock.
    assert rebooted.hear(ground.frame(now_ms=NOW_MS + ahead_ms + 2)).refusal is None


def test_one_write_in_five_seconds_however_many_frames_come():
    journal, ground = MemoryJournal(), Ground()
    ours = gate(journal)
    for step in range(0, 60_000, 40):
        assert ours.hear(ground.frame(now_ms=NOW_MS + step)).refusal is None
    assert len(tuple(journal.records())) == 2 * 12  # every note is written twice


def test_the_journal_stays_short_and_says_the_same_when_rewritten(monkeypatch):
    monkeypatch.setattr("onboard.uplink_journal.COMPACT_ABOVE_BYTES", 4000)
    journal, ground = MemoryJournal(), Ground()
    ours = gate(journal)
    for number in range(1, 400):
        ours.hear(ground.command(number, request(scene=number % 5, until_ms=NOW_MS + number), now_ms=NOW_MS + number))
        assert journal.size_bytes < 4000 + 64 * 300
    again = gate(journal)
    assert again.last_number == 399
    assert again.orders.requests(NOW_MS) == ours.orders.requests(NOW_MS) and len(again.orders.requests(NOW_MS)) == 64
    assert again.hear(ground.frame(now_ms=NOW_MS)).refusal is FrameRefusal.REPLAYED


def test_a_failed_rewriting_is_made_good_before_anything_is_accepted(monkeypatch, tmp_path):
    """Which of two journals a crash leaves is open until the folder is on the disk: nothing is accepted that only one would hold."""
    monkeypatch.setattr("onboard.uplink_journal.COMPACT_ABOVE_BYTES", 1000)
    failing = []

    def sync(path):
        if failing:
            failing.pop()
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with FileJournal(tmp_path / "uplink.journal") as journal:
        monkeypatch.setattr("downlink.journal_file._sync_directory", sync)
        ground, ours = Ground(), gate(journal, ahead_ms=1)
        refusals = []
        for step in range(24):
            if step == 4:
                failing += [None] * 4
            refusals.append(ours.hear(ground.frame(now_ms=NOW_MS + 10 * step)).refusal)
        assert journal.size_bytes < 2000, "it was rewritten"
        assert not failing
        assert refusals.count(FrameRefusal.UNSAVED) == 3
        assert refusals[-1] is None
        again = gate(journal)
    assert again.hear(ground.frame(now_ms=NOW_MS + 200)).refusal is FrameRefusal.REPLAYED


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(0, 400))
def test_a_file_cut_anywhere_by_a_loss_of_power_accepts_no_command_twice(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("gate") / "uplink.journal"
    ground = Ground()
    commands = [ground.command(number, DropScene(scene=number), after=number - 1) for number in range(1, 5)]
    with FileJournal(path) as journal:
        ours = gate(journal)
        ends = []
        for frame in commands:
            assert len(ours.hear(frame).orders) == 1
            *_, last = journal.records()
            ends.append(journal.size_bytes - last.size_bytes)  # every note stands there twice
        ceiling_end = next(iter(journal.records())).size_bytes
    path.write_bytes(path.read_bytes()[:cut])
    with FileJournal(path) as journal:
        again = gate(journal)
        # What is durable is known; a command is behind the ceiling that let it in.
        assert again.last_number == sum(end <= cut for end in ends)
        if cut >= ceiling_end:
            assert all(again.hear(frame).refusal is FrameRefusal.REPLAYED for frame in commands)


@settings(max_examples=40, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True))
def test_a_flipped_bit_takes_no_ceiling_and_no_order_away(at):
    disk = SimulatedDisk("uplink", Dice(Streams(1).generator("disk")))
    ground, ours = Ground(), gate(FileJournal(disk))
    commands = [ground.command(number, DropScene(scene=number), after=number - 1) for number in range(1, 5)]
    assert all(len(ours.hear(frame).orders) == 1 for frame in commands)
    disk.rot(int(at * 8 * disk.size_bytes()))
    again = gate(FileJournal(disk))
    assert again.last_number == 4 and again.orders.scenes_to_drop == ours.orders.scenes_to_drop
    assert all(again.hear(frame).refusal is FrameRefusal.REPLAYED for frame in commands)


class PowerLosses(RuleBasedStateMachine):
    """Frames, replays and reboots in any order, power lost at any byte of any write: nothing passes twice."""

    def __init__(self):
        super().__init__()
        self.disk = SimulatedDisk("uplink", Dice(Streams(1).generator("disk")))
        self.ground = Ground()
        self.now_ms = NOW_MS
        self.sent = []
        self.accepted = set()
        self.executed = []
        self.number = 0
        self.last_ms = NOW_MS - 1_000_000
        self.gate = self.boot()

    def boot(self):
        return gate(FileJournal(self.disk), ahead_ms=50)

    def hear(self, index):
        try:
            reading = self.gate.hear(self.sent[index])
        except PowerLost:
            self.disk.lose_power()
            self.gate = self.boot()
            return None
        if reading.refusal is None:
            assert index not in self.accepted, "a frame was accepted twice"
            self.accepted.add(index)
            self.last_ms = max(self.last_ms, self.now_ms)
            self.executed.extend(order.scene for order in reading.orders)
        return reading.refusal

    @rule(step_ms=st.integers(0, 30), lost=st.booleans())
    def send(self, step_ms, lost):
        self.now_ms += step_ms
        self.number += 1
        self.sent.append(self.ground.command(self.number, DropScene(scene=self.number), now_ms=self.now_ms))
        if not lost:
            self.hear(len(self.sent) - 1)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def replay(self, data):
        index = data.draw(st.integers(0, len(self.sent) - 1))
        if index not in self.accepted:
            self.hear(index)
        else:
            assert self.hear(index) in (FrameRefusal.REPLAYED, None)

    @rule(write_bytes=st.integers(1, 200))
    def lose_power_soon(self, write_bytes):
        self.disk.lose_power_after(write_bytes)

    @rule()
    def reboot(self):
        self.disk.lose_power()
        self.gate = self.boot()

    @rule()
    def wait_out_the_lockout(self):
        """With power, a frame sent later than the ceiling can be ahead of the last one accepted is always accepted."""
        self.disk.lose_power()
        self.gate = self.boot()
        self.now_ms += 60
        self.number += 1
        self.sent.append(self.ground.command(self.number, DropScene(scene=self.number), now_ms=self.now_ms))
        assert self.hear(len(self.sent) - 1) is None

    @invariant()
    def every_command_is_executed_once_and_in_order(self):
        assert self.executed == sorted(set(self.executed))


TestPowerLosses = PowerLosses.TestCase
TestPowerLosses.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
