"""The command desk: numbers the operator's orders and repeats each until the satellite reports it executed (sans-I/O).

Orders go up in the order in which they were issued, each naming the one before it that is still outstanding, so that the satellite
executes none out of turn. An order that is issued is durable; a desk that starts again goes on with what was outstanding.

Numbers follow the clock (Unix milliseconds) where it is ahead of them, so that a desk whose journal was lost still numbers above what
the satellite has executed.

The desk's journal also keeps what uplink frames may be numbered: no number of a key is used before one at or above it is durable. So
none is used twice, whatever becomes of the clock between two starts of the station. Every note is written twice: a bit that flips on the
disk takes none away.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from downlink.command import Command, Order, ReportLink, RequestLayers, decode_command, encode_command
from downlink.command_report import CommandReport
from downlink.errors import CommandError
from downlink.frame_security import NUMBERS_PER_MS, SecurityAssociation
from downlink.journal import Journal
from downlink.products import LayerAddress
from downlink.record import Record, RecordKind
from ground.errors import CommandDeskError

OUTSTANDING_LIMIT: Final = 64
IN_FLIGHT_LIMIT: Final = 8
"""Commands that are on their way at a time; more wait until these are reported."""
FIRST_REPEAT_MS: Final = 2000
LONGEST_REPEAT_MS: Final = 30_000
COMPACT_ABOVE_BYTES: Final = 512 * 1024
NUMBERS_AHEAD: Final = 5000 * NUMBERS_PER_MS
"""Frame numbers allowed at a time: one short write in five seconds of sending."""

_NO_LAYER: Final = LayerAddress(scene=0, product=0, step=0)


@dataclass(slots=True, kw_only=True)
class _Outstanding:
    command: Command
    due_ms: int = 0
    wait_ms: int = FIRST_REPEAT_MS
    maybe_sent: bool = False


class CommandDesk:
    """The orders of one ground to one satellite."""

    def __init__(self, associations: Sequence[SecurityAssociation], journal: Journal) -> None:
        """`journal` is the desk's own; reports are believed under any of the keys.

        Raises CommandDeskError when a note in the journal cannot be read.
        """
        self.last_report: CommandReport | None = None
        """What the satellite last said."""
        self.refused_reports = 0
        """Reports that are none, or that come from somebody without the key."""
        self.expired_orders = 0
        """Requests that ended before the satellite had them."""
        self.associations = tuple(associations)
        """Keys of the uplink; what the satellite reports is tagged with one of them."""
        self._journal = journal
        self._last_number = 0
        self._outstanding: dict[int, _Outstanding] = {}
        self._link_report: ReportLink | None = None
        self._frame_numbers: dict[int, int] = {}
        for record in journal.records():
            self._replay(record)
        if journal.size_bytes > COMPACT_ABOVE_BYTES:
            journal.replace(_twice(self._live()))

    @property
    def outstanding(self) -> tuple[Command, ...]:
        """Commands that the satellite has not reported executed, in order."""
        return tuple(one.command for one in self._outstanding.values())

    def issue(self, order: Order, now_ms: int) -> int:
        """Give the satellite an order; returns its number, which a cancellation names. Durable on return.

        Raises CommandError where the order does not fit a command, CommandDeskError while too many are outstanding, and
        JournalError where it cannot be kept.
        """
        if isinstance(order, ReportLink):
            raise CommandError("link reports are not numbered: hand them to report_link")
        if len(self._outstanding) >= OUTSTANDING_LIMIT:
            raise CommandDeskError(
                f"{len(self._outstanding)} commands are outstanding; wait until the satellite reports some executed",
                outstanding=len(self._outstanding),
            )
        command = Command(number=max(1, self._last_number + 1, now_ms), after=0, order=order)
        self._journal.append(_twice([_record({"command": encode_command(command).hex()})]))
        self._last_number = command.number
        self._outstanding[command.number] = _Outstanding(command=command)
        return command.number

    def first_frame_number(self, spi: int) -> int:
        """A number above all that have been used to protect frames with a key."""
        return self._frame_numbers.get(spi, 0)

    def allow_frame_number(self, spi: int, number: int) -> None:
        """Durably allow a frame to be protected with this number. Raises JournalError, and then it must not be."""
        if number < self.first_frame_number(spi):
            return
        above = number + NUMBERS_AHEAD
        note = _record({"key": spi, "frames_below": above})
        if self._journal.size_bytes > COMPACT_ABOVE_BYTES:
            self._journal.replace(_twice(self._live()))
        self._journal.append(_twice([note]))
        self._frame_numbers[spi] = above

    def report_link(self, report: ReportLink) -> None:
        """Have the satellite told what the receiver measured; replaces a report that has not left yet."""
        self._link_report = report

    def start_contact(self) -> None:
        """A contact begins: everything outstanding is due, and waits start small again."""
        for one in self._outstanding.values():
            one.due_ms, one.wait_ms = 0, FIRST_REPEAT_MS

    def next_payload(self, now_ms: int) -> bytes | None:
        """Packet data of the next command to send, None where none is due."""
        self._forget_expired(now_ms)
        before = 0
        for one in tuple(self._outstanding.values())[:IN_FLIGHT_LIMIT]:
            if one.due_ms <= now_ms:
                one.due_ms = now_ms + one.wait_ms
                one.wait_ms = min(2 * one.wait_ms, LONGEST_REPEAT_MS)
                one.maybe_sent = True
                return encode_command(replace(one.command, after=before))
            before = one.command.number
        report, self._link_report = self._link_report, None
        return None if report is None else encode_command(Command(number=0, after=0, order=report))

    def next_due_ms(self) -> int | None:
        """When `next_payload` will have something; None while nothing waits."""
        if self._link_report is not None:
            return 0
        return min((one.due_ms for one in tuple(self._outstanding.values())[:IN_FLIGHT_LIMIT]), default=None)

    def take_report(self, data: bytes) -> CommandReport | None:
        """What a command report tells; None where it cannot be read or believed. Never raises on what was heard.

        Raises JournalError where what it acknowledges cannot be noted; the commands then stay outstanding.
        """
        try:
            report = CommandReport.decode(data, self.associations)
        except CommandError:
            self.refused_reports += 1
            return None
        self.last_report = report
        self._last_number = max(self._last_number, report.last_number)
        if any(number <= report.last_number and not one.maybe_sent for number, one in self._outstanding.items()):
            self._renumber_unsent()
        self._close([number for number in self._outstanding if number <= report.last_number])
        return report

    def _renumber_unsent(self) -> None:
        """The satellite has passed the number of a command that was never sent: our clock runs behind an earlier desk's."""
        unsent = [one.command for one in self._outstanding.values() if not one.maybe_sent]
        fresh = [replace(command, number=number) for number, command in enumerate(unsent, start=self._last_number + 1)]
        notes = [_record({"command": encode_command(command).hex()}) for command in fresh]
        # In this order: torn in the middle, a command is numbered anew and its old number is still open, never lost.
        self._journal.append(_twice([*notes, *(_record({"closed": command.number}) for command in unsent)]))
        for command in unsent:
            del self._outstanding[command.number]
        self._outstanding.update((command.number, _Outstanding(command=command)) for command in fresh)
        self._last_number += len(fresh)

    def _forget_expired(self, now_ms: int) -> None:
        late = [
            number
            for number, one in self._outstanding.items()
            if isinstance(one.command.order, RequestLayers) and one.command.order.request.until_ms <= now_ms
        ]
        self._close(late)
        self.expired_orders += len(late)

    def _close(self, numbers: Sequence[int]) -> None:
        self._journal.append(_twice(_record({"closed": number}) for number in numbers))
        for number in numbers:
            del self._outstanding[number]

    def _live(self) -> Iterator[Record]:
        yield _record({"last": self._last_number})
        for spi, above in self._frame_numbers.items():
            yield _record({"key": spi, "frames_below": above})
        for one in self._outstanding.values():
            yield _record({"command": encode_command(one.command).hex()})

    def _replay(self, record: Record) -> None:
        try:
            match json.loads(record.payload):
                case {"command": str(text)}:
                    command = decode_command(bytes.fromhex(text))
                    self._last_number = max(self._last_number, command.number)
                    self._outstanding[command.number] = _Outstanding(command=command, maybe_sent=True)
                case {"closed": int(number)}:
                    self._outstanding.pop(number, None)
                case {"last": int(number)}:
                    self._last_number = number
                case {"key": int(spi), "frames_below": int(above)}:
                    self._frame_numbers[spi] = max(above, self.first_frame_number(spi))
                case other:
                    raise CommandDeskError(f"note in the desk's journal says {other!r}, which nobody here can read")
        except (ValueError, CommandError) as error:
            start = record.payload[:80]
            raise CommandDeskError(f"note in the desk's journal cannot be read: {start!r}: {error}") from error


def _twice(records: Iterable[Record]) -> tuple[Record, ...]:
    return tuple(record for record in records for _ in range(2))


def _record(note: dict[str, int | str]) -> Record:
    return Record(kind=RecordKind.NOTE, address=_NO_LAYER, payload=json.dumps(note).encode())
