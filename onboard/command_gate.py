"""The command gate: everything that reaches the satellite from an antenna on Earth comes through here (sans-I/O).

A frame is read when it is authentic (`downlink.frame_security`) and new (`downlink.replay_window`). Whatever else is heard is counted
by reason, and the counts go down in the command report. Nothing heard raises, and nothing heard takes memory that lasts:
per key 64 numbers, one unfinished packet, at most 64 open commands of at most 1 KiB.

**Replay across reboots.** Before a frame is accepted, a ceiling at or above its number is durable. After a reboot everything
at or below the ceiling is refused, whether it was accepted or not. Ceilings are set `ahead_ms` above the number, and
numbers follow the sender's clock: one short write in that time, and after a reboot the sender waits at most that long.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

from downlink.command import Command, Order, ReportLink, decode_command
from downlink.command_report import CommandReport, UplinkCounts
from downlink.errors import CommandError, JournalError
from downlink.frame_reader import FrameReader, FrameVerdict
from downlink.frame_security import (
    MAX_NUMBER,
    NUMBERS_PER_MS,
    SECURITY_BYTES,
    FrameRefusal,
    FrameVerifier,
    SecurityAssociation,
)
from downlink.journal import Journal
from downlink.link_profile import Apid, LinkProfile, VirtualChannel
from downlink.replay_window import ReplayWindow
from downlink.space_packet import SpacePacket
from onboard.standing_orders import StandingOrders
from onboard.uplink_journal import UplinkJournal

CEILING_AHEAD_MS: Final = 5000
REFUSALS_REPORT_MS: Final = 10_000
"""News of refused frames alone, which anybody can cause, is reported no more often than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReading:
    """What became of one frame."""

    refusal: FrameRefusal | None = None
    """Why it was not read; None for an authentic frame."""
    verdict: FrameVerdict | None = None
    """What the frame reader made of it; None for a refused one."""
    packets: tuple[SpacePacket, ...] = ()
    """Receipts and PDUs that it completed, in order."""
    orders: tuple[Order, ...] = ()
    """New orders, durable already, in the order in which the ground issued them; link reports among them."""


class CommandGate:
    """The receiving end of the uplink of one satellite."""

    def __init__(
        self,
        profile: LinkProfile,
        associations: Sequence[SecurityAssociation],
        journal: Journal,
        *,
        ahead_ms: int = CEILING_AHEAD_MS,
    ) -> None:
        """`journal` is the gate's own. Raises FrameSecurityError for unusable keys, StoreError for an unreadable journal."""
        channels = (VirtualChannel.COMMANDS,)
        self._verifier = FrameVerifier(
            associations,
            spacecraft_id=profile.spacecraft_id,
            frame_bytes=profile.uplink_frame_bytes,
            vc_ids=channels,
        )
        self._reader = FrameReader(
            profile.spacecraft_id, frame_bytes=profile.uplink_frame_bytes - SECURITY_BYTES, vc_ids=channels
        )
        self._journal = UplinkJournal(journal)
        self._associations = {association.spi: association for association in associations}
        self._answering_spi = associations[0].spi
        self._windows = {spi: ReplayWindow(self._journal.ceilings.get(spi, 0)) for spi in self._verifier.spis}
        self._ahead = max(0, ahead_ms) * NUMBERS_PER_MS
        self.orders = StandingOrders(self._journal)
        """What the commands accepted so far, before the last reboot too, come to."""
        self.link_report: ReportLink | None = None
        """What the ground last measured in this contact."""
        self._counts = dict.fromkeys((field.name for field in fields(UplinkCounts)), 0)
        self._reported_refused = 0
        self._report_is_due = True
        self._refusals_due_ms = 0

    @property
    def counts(self) -> UplinkCounts:
        """What became of everything heard since the start."""
        return UplinkCounts(**self._counts)

    @property
    def last_number(self) -> int:
        """Number of the last command accepted."""
        return self._journal.last_number

    @property
    def answering_association(self) -> SecurityAssociation:
        """The key that the ground used last: what is reported down is tagged with it."""
        return self._associations[self._answering_spi]

    def start_contact(self) -> None:
        """A contact begins: the ground is told how things stand, and its measurements begin anew."""
        self._report_is_due = True
        self.link_report = None

    def hear(self, frame: bytes) -> GateReading:
        """Read one frame as the radio delivered it."""
        verified = self._verifier.verify(frame)
        if isinstance(verified, FrameRefusal):
            return self._refuse(verified)
        if not self._windows[verified.spi].is_new(verified.number):
            return self._refuse(FrameRefusal.REPLAYED)
        if not self._ceiling_holds(verified.spi, verified.number):
            return self._refuse(FrameRefusal.UNSAVED)
        self._windows[verified.spi].accept(verified.number)
        self._answering_spi = verified.spi
        self._count("accepted")
        reading = self._reader.feed(verified.open_frame)
        packets: list[SpacePacket] = []
        orders: list[Order] = []
        for packet in reading.packets:
            match packet.apid:
                case Apid.COMMAND:
                    orders.extend(self._take_command(packet.data))
                case Apid.EXPRESS_RECEIPT | Apid.FILES_UP:
                    packets.append(packet)
                case _:
                    self._count("malformed")
        return GateReading(verdict=reading.verdict, packets=tuple(packets), orders=tuple(orders))

    def next_report(self, now_ms: int) -> bytes | None:
        """Packet data of a command report, where there is news that the ground should have by now.

        It is tagged with the key that the ground used last.
        """
        due_ms = self.report_due_ms(now_ms)
        if due_ms is None or now_ms < due_ms:
            return None
        self._report_is_due = False
        self._reported_refused = self.counts.refused
        self._refusals_due_ms = now_ms + REFUSALS_REPORT_MS
        report = CommandReport(last_number=self.last_number, counts=self.counts)
        return report.encode(self.answering_association)

    def report_due_ms(self, now_ms: int) -> int | None:
        """When `next_report` will have something to say; None while there is no news."""
        if self._report_is_due:
            return now_ms
        return self._refusals_due_ms if self.counts.refused != self._reported_refused else None

    def _ceiling_holds(self, spi: int, number: int) -> bool:
        """Whether it is durable that no number above some ceiling, this one at or below it, has been accepted."""
        if number <= self._journal.ceilings.get(spi, 0):
            return True
        try:
            self._journal.raise_ceiling(spi, min(number + self._ahead, MAX_NUMBER))
        except JournalError:
            return False
        return True

    def _take_command(self, data: bytes) -> tuple[Order, ...]:
        try:
            command = decode_command(data)
        except CommandError:
            self._count("malformed")
            return ()
        if isinstance(command.order, ReportLink):
            self.link_report = command.order
            return (command.order,)
        # Also for a repeated command and for one that came too early: the ground has not heard where we are.
        self._report_is_due = True
        return (command.order,) if self._accept(command) else ()

    def _accept(self, command: Command) -> bool:
        if command.number <= self.last_number or command.after > self.last_number:
            return False
        try:
            self._journal.accept(command)
        except JournalError:
            self._count("unsaved")
            return False
        return True

    def _refuse(self, refusal: FrameRefusal) -> GateReading:
        self._count(refusal.value)
        return GateReading(refusal=refusal)

    def _count(self, what: str) -> None:
        self._counts[what] += 1
