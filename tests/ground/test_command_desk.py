"""The command desk: order, repetition, acknowledgement and restarts, alone and against the gate on board over a lossy link."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downlink.command import CancelRequest, DropScene, ReportLink, RequestLayers, decode_command
from downlink.command_report import CommandReport, UplinkCounts
from downlink.errors import CommandError, JournalError
from downlink.frame_assembler import FrameAssembler
from downlink.frame_security import SECURITY_BYTES, FrameProtector, SecurityAssociation
from downlink.journal import FileJournal, MemoryJournal
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.packet_sender import PacketSender
from downlink.products import LayerAddress
from downlink.record import Record, RecordKind
from downlink.requests import LayerRequest
from ground.command_desk import FIRST_REPEAT_MS, IN_FLIGHT_LIMIT, OUTSTANDING_LIMIT, CommandDesk
from ground.errors import CommandDeskError
from mission.dice import Dice
from mission.simulated_disk import SimulatedDisk
from mission.streams import Streams
from onboard.command_gate import CommandGate

OUR = SecurityAssociation(spi=0x1234, key=bytes(range(0x10, 0x30)))
OTHER = SecurityAssociation(spi=0x1235, key=bytes(range(0x30, 0x50)))
NOW_MS = 1_770_000_000_000


def desk(journal=None, *associations):
    return CommandDesk(associations or (OUR,), MemoryJournal() if journal is None else journal)


def report(last_number, association=OUR):
    return CommandReport(last_number=last_number, counts=UplinkCounts()).encode(association)


def request(until_ms):
    return RequestLayers(
        request=LayerRequest(scene=7, first_product=1, last_product=9, last_step=3, factor=2.5, until_ms=until_ms)
    )


def due(ours, now_ms):
    """Numbers of the commands that are due now, each with the one it comes after."""
    found = []
    while (payload := ours.next_payload(now_ms)) is not None:
        command = decode_command(payload)
        found.append((command.number, command.after))
    return found


def test_orders_go_up_in_order_each_after_the_one_before():
    ours = desk()
    numbers = [ours.issue(DropScene(scene=scene), NOW_MS) for scene in range(3)]
    assert numbers == [NOW_MS, NOW_MS + 1, NOW_MS + 2]
    assert due(ours, NOW_MS) == [(NOW_MS, 0), (NOW_MS + 1, NOW_MS), (NOW_MS + 2, NOW_MS + 1)]
    assert due(ours, NOW_MS) == []


def test_an_order_is_repeated_with_growing_waits_until_it_is_reported():
    ours = desk()
    number = ours.issue(DropScene(scene=1), NOW_MS)
    sent_ms = []
    for now_ms in range(NOW_MS, NOW_MS + 120_000, 500):
        sent_ms.extend(now_ms - NOW_MS for _ in due(ours, now_ms))
    assert sent_ms == [0, 2000, 6000, 14_000, 30_000, 60_000, 90_000]
    ours.start_contact()
    assert ours.next_due_ms() == 0 and due(ours, NOW_MS) == [(number, 0)]
    assert ours.next_due_ms() == NOW_MS + FIRST_REPEAT_MS
    assert ours.take_report(report(number)).last_number == number
    assert ours.outstanding == () and ours.next_due_ms() is None and due(ours, NOW_MS + 10**6) == []


def test_few_are_on_their_way_at_a_time_and_few_outstanding_at_all():
    ours = desk()
    numbers = [ours.issue(DropScene(scene=scene), NOW_MS) for scene in range(OUTSTANDING_LIMIT)]
    with pytest.raises(CommandDeskError, match="64 commands are outstanding"):
        ours.issue(DropScene(scene=1), NOW_MS)
    assert [number for number, _ in due(ours, NOW_MS)] == numbers[:IN_FLIGHT_LIMIT]
    ours.take_report(report(numbers[IN_FLIGHT_LIMIT - 1]))
    assert [number for number, _ in due(ours, NOW_MS)] == numbers[IN_FLIGHT_LIMIT : 2 * IN_FLIGHT_LIMIT]


def test_a_request_that_has_ended_is_not_sent_and_the_next_does_not_wait_for_it():
    ours = desk()
    ours.issue(request(until_ms=NOW_MS + 100), NOW_MS)
    drop = ours.issue(DropScene(scene=1), NOW_MS)
    assert len(due(ours, NOW_MS)) == 2
    assert due(ours, NOW_MS + FIRST_REPEAT_MS) == [(drop, 0)]
    assert ours.expired_orders == 1


def test_reports_that_are_not_of_our_satellite_acknowledge_nothing():
    ours = desk()
    number = ours.issue(DropScene(scene=1), NOW_MS)
    due(ours, NOW_MS)
    for data in (b"", report(number)[:-1], report(number, OTHER), b"\x01" * 39):
        assert ours.take_report(data) is None
    assert ours.refused_reports == 4 and len(ours.outstanding) == 1


def test_reports_under_either_key_count_while_one_key_follows_the_other():
    ours = desk(None, OTHER, OUR)
    numbers = [ours.issue(DropScene(scene=scene), NOW_MS) for scene in range(2)]
    due(ours, NOW_MS)
    ours.take_report(report(numbers[0], OUR))
    ours.take_report(report(numbers[1], OTHER))
    assert ours.outstanding == ()


def test_an_old_report_heard_again_takes_nothing_back():
    ours = desk()
    first, second = (ours.issue(DropScene(scene=scene), NOW_MS) for scene in range(2))
    due(ours, NOW_MS)
    ours.take_report(report(second))
    ours.take_report(report(first))
    assert ours.outstanding == ()


def test_only_the_latest_link_report_goes_up_and_only_once():
    ours = desk()
    ours.report_link(ReportLink(contact_id=1, frames_heard=5, frames_lost=0, bursts=0))
    latest = ReportLink(contact_id=1, frames_heard=50, frames_lost=7, bursts=2)
    ours.report_link(latest)
    assert ours.next_due_ms() == 0
    command = decode_command(ours.next_payload(NOW_MS))
    assert (command.number, command.order) == (0, latest)
    assert ours.next_payload(NOW_MS) is None
    with pytest.raises(CommandError, match="report_link"):
        ours.issue(latest, NOW_MS)


def test_a_desk_that_starts_again_goes_on_with_what_was_outstanding(tmp_path):
    path = tmp_path / "desk.journal"
    with FileJournal(path) as journal:
        before = desk(journal)
        numbers = [before.issue(order, NOW_MS) for order in (DropScene(scene=1), request(NOW_MS + 10**6))]
        due(before, NOW_MS)
        before.take_report(report(numbers[0]))
    with FileJournal(path) as journal:
        after = desk(journal)
        assert [command.number for command in after.outstanding] == numbers[1:]
        # The clock has been set back: numbers rise all the same.
        assert after.issue(CancelRequest(request_number=numbers[1]), NOW_MS - 10**9) == numbers[1] + 1
        assert due(after, NOW_MS) == [(numbers[1], 0), (numbers[1] + 1, numbers[1])]


def test_a_long_journal_is_rewritten_at_the_start(monkeypatch):
    monkeypatch.setattr("ground.command_desk.COMPACT_ABOVE_BYTES", 1000)
    journal = MemoryJournal()
    before = desk(journal)
    for scene in range(50):
        number = before.issue(DropScene(scene=scene), NOW_MS)
        due(before, NOW_MS)
        before.take_report(report(number))
    kept = before.issue(DropScene(scene=99), NOW_MS)
    after = desk(journal)
    assert journal.size_bytes < 1000
    assert [command.number for command in after.outstanding] == [kept]
    assert after.issue(DropScene(scene=1), 0) == kept + 1


def test_without_journal_and_with_a_clock_behind_no_order_is_taken_for_executed():
    """The satellite has passed the number that the new desk would give: the order gets another and is sent."""
    ours = desk()
    wrong, right = (ours.issue(DropScene(scene=scene), NOW_MS - 10**6) for scene in (3, 4))
    ours.take_report(report(NOW_MS))
    assert [command.number for command in ours.outstanding] == [NOW_MS + 1, NOW_MS + 2]
    assert [command.order.scene for command in ours.outstanding] == [3, 4]
    assert due(ours, NOW_MS) == [(NOW_MS + 1, 0), (NOW_MS + 2, NOW_MS + 1)]
    assert wrong < right < NOW_MS


@pytest.mark.parametrize("payload", [b"\xff", b"{}", b'{"command": "zz"}', b'{"command": "01"}', b"[1]"])
def test_an_unreadable_journal_is_refused(payload):
    journal = MemoryJournal()
    address = LayerAddress(scene=0, product=0, step=0)
    journal.append([Record(kind=RecordKind.NOTE, address=address, payload=payload)])
    with pytest.raises(CommandDeskError):
        desk(journal)


@settings(max_examples=60, deadline=None)
@given(
    losses=st.lists(st.booleans(), max_size=120),
    reboots=st.sets(st.integers(0, 119), max_size=4),
    restarts=st.sets(st.integers(0, 119), max_size=4),
)
def test_over_a_lossy_link_with_reboots_of_both_ends_every_order_is_executed_once_in_order(losses, reboots, restarts):
    profile = LinkProfile()
    onboard, ground = MemoryJournal(), MemoryJournal()
    ours, gate = desk(ground), CommandGate(profile, (OUR,), onboard, ahead_ms=400)
    executed, losses = [], list(losses)

    def sender():
        open_bytes = profile.uplink_frame_bytes - SECURITY_BYTES
        return FrameAssembler(profile.spacecraft_id, VirtualChannel.COMMANDS, frame_bytes=open_bytes), FrameProtector(
            OUR
        )

    frames, protector = sender()
    packets = PacketSender()
    step, last_step = -1, 400
    while step < last_step:
        step += 1
        if losses:  # the link is good for 200 s at the end, whatever was lost before
            last_step = step + 400
        now_ms = NOW_MS + 500 * step
        if step < 12:
            ours.issue(DropScene(scene=step), now_ms)
        if step in reboots:
            gate = CommandGate(profile, (OUR,), onboard, ahead_ms=400)
        if step in restarts:
            ours, (frames, protector) = desk(ground), sender()
        while (payload := ours.next_payload(now_ms)) is not None:
            frames.push(packets.packet(Apid.COMMAND, payload))
        while (frame := frames.next_frame(flush=True)) is not None:
            frame = protector.protect(frame, now_ms)
            if not (losses and losses.pop()):
                executed.extend(order.scene for order in gate.hear(frame).orders)
        answer = gate.next_report(now_ms)
        if answer is not None and not (losses and losses.pop()):
            ours.take_report(answer)
    assert executed == list(range(12))
    assert ours.outstanding == ()


# ---- numbers of frames, and notes that rot


def test_no_frame_number_is_used_twice_whatever_becomes_of_the_clock():
    journal, used, now_ms = MemoryJournal(), set(), NOW_MS
    for step_ms in (0, 3000, -500_000, 400_000, -1, 0, 60_000):
        now_ms += step_ms
        ours = desk(journal)
        protector = FrameProtector(OUR, first_number=ours.first_frame_number(OUR.spi))
        for _ in range(40):
            number = protector.number_at(now_ms)
            ours.allow_frame_number(OUR.spi, number)
            protector.protect(bytes(64), now_ms)
            assert number not in used and protector.next_number == number + 1
            used.add(number)
            now_ms += 250
    notes = [json.loads(record.payload) for record in journal.records()]
    assert len(notes) < 2 * 7 * 4 and all(note["key"] == OUR.spi for note in notes)


def test_a_number_that_cannot_be_made_durable_is_not_allowed():
    class Full(MemoryJournal):
        def append(self, records):
            raise JournalError("no room")

    ours = desk(Full())
    with pytest.raises(JournalError):
        ours.allow_frame_number(OUR.spi, 1000)
    assert ours.first_frame_number(OUR.spi) == 0


def test_a_long_journal_is_rewritten_with_the_numbers_and_the_orders(monkeypatch):
    monkeypatch.setattr("ground.command_desk.COMPACT_ABOVE_BYTES", 4000)
    journal = MemoryJournal()
    ours = desk(journal)
    ours.issue(DropScene(scene=5), NOW_MS)
    for step in range(100):
        ours.allow_frame_number(OUR.spi, 10**15 + step * 10**7)
    assert journal.size_bytes < 5000
    again = desk(journal)
    assert again.first_frame_number(OUR.spi) == ours.first_frame_number(OUR.spi) > 10**15 + 99 * 10**7
    assert again.outstanding == ours.outstanding


@settings(max_examples=40, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True))
def test_a_flipped_bit_takes_no_order_and_no_number_away(at):
    disk = SimulatedDisk("orders", Dice(Streams(1).generator("disk")))
    ours = desk(FileJournal(disk))
    for scene in range(3):
        ours.issue(DropScene(scene=scene), NOW_MS)
    ours.allow_frame_number(OUR.spi, 10**15)
    ours.take_report(report(ours.outstanding[0].number))
    disk.rot(int(at * 8 * disk.size_bytes()))
    again = desk(FileJournal(disk))
    assert again.outstanding == ours.outstanding and len(again.outstanding) == 3
    assert again.first_frame_number(OUR.spi) == ours.first_frame_number(OUR.spi)
