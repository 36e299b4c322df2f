"""What the satellite must not forget of its uplink: ceilings of sequence numbers, commands that it has promised to follow.

A journal (`downlink.journal`) of notes in JSON, beside that of the product store:

    {"key": 7, "ceiling": 450000000000000}    no frame of this key with a higher number has been accepted
    {"command": "0101..."}                    executed from here on; the bytes of its packet
    {"closed": 1770000000123}                 the command of this number is done with
    {"last": 1770000000123}                   number of the last command, at the head of a rewritten journal

What a note says holds once `append` has returned; nothing is accepted before. Every note is written twice: a bit that flips on the disk
takes none away.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Final

from downlink.command import CancelRequest, Command, UploadContacts, decode_command, encode_command
from downlink.errors import CommandError
from downlink.journal import Journal
from downlink.products import LayerAddress
from downlink.record import Record, RecordKind
from onboard.errors import StoreError

OPEN_COMMANDS_LIMIT: Final = 64
"""Commands kept open; the oldest gives way."""
COMPACT_ABOVE_BYTES: Final = 512 * 1024
"""Length at which the journal is rewritten; what is live, written twice, takes less than 280 KiB."""

_NO_LAYER: Final = LayerAddress(scene=0, product=0, step=0)


class UplinkJournal:
    """Ceilings by key, the number of the last command, and the commands that are open."""

    def __init__(self, journal: Journal) -> None:
        """Take up what the journal holds. Raises StoreError when a note in it cannot be read."""
        self.ceilings: dict[int, int] = {}
        """By security parameter index: every number ever accepted is at or below."""
        self.last_number = 0
        """Number of the last command accepted."""
        self.open_commands: dict[int, Command] = {}
        """By number, in the order in which they were accepted."""
        self._journal = journal
        for record in journal.records():
            self._replay(record)

    def raise_ceiling(self, spi: int, ceiling: int) -> None:
        """Durably allow numbers of a key up to `ceiling`. Raises JournalError, and then nothing is allowed."""
        self._write({"key": spi, "ceiling": ceiling})
        self.ceilings[spi] = ceiling

    def accept(self, command: Command) -> None:
        """Durably promise to follow a command with a number. Raises JournalError, and then nothing is promised."""
        self._write({"command": encode_command(command).hex()})
        self._open(command)

    def close(self, number: int) -> None:
        """Durably forget a command. Raises JournalError, and then it stays open; nothing happens where it is not."""
        if number in self.open_commands:
            self._write({"closed": number})
            del self.open_commands[number]

    def _open(self, command: Command) -> None:
        self.last_number = command.number
        match command.order:
            case CancelRequest(request_number=number):
                self.open_commands.pop(number, None)
                return
            case UploadContacts(from_ms=from_ms, until_ms=until_ms):
                self._close_uploads_within(from_ms, until_ms)
        self.open_commands[command.number] = command
        if len(self.open_commands) > OPEN_COMMANDS_LIMIT:
            del self.open_commands[next(iter(self.open_commands))]

    def _close_uploads_within(self, from_ms: int, until_ms: int) -> None:
        """Contacts uploaded before are done with where a new upload speaks of all their span."""
        for number, command in tuple(self.open_commands.items()):
            order = command.order
            if isinstance(order, UploadContacts) and from_ms <= order.from_ms and order.until_ms <= until_ms:
                del self.open_commands[number]

    def _write(self, note: dict[str, int | str]) -> None:
        """One note, after all that is live has taken the place of a journal that has grown long."""
        if self._journal.size_bytes > COMPACT_ABOVE_BYTES:
            self._journal.replace(_twice(self._live()))
        self._journal.append(_twice([_record(note)]))

    def _live(self) -> Iterator[Record]:
        for spi, ceiling in self.ceilings.items():
            yield _record({"key": spi, "ceiling": ceiling})
        for command in self.open_commands.values():
            yield _record({"command": encode_command(command).hex()})
        yield _record({"last": self.last_number})

    def _replay(self, record: Record) -> None:
        try:
            match json.loads(record.payload):
                case {"key": int(spi), "ceiling": int(ceiling)}:
                    self.ceilings[spi] = max(ceiling, self.ceilings.get(spi, 0))
                case {"command": str(text)}:
                    self._open(decode_command(bytes.fromhex(text)))
                case {"closed": int(number)}:
                    self.open_commands.pop(number, None)
                case {"last": int(number)}:
                    self.last_number = number
                case other:
                    raise StoreError(f"note in the uplink journal says {other!r}, which nobody here can read")
        except (ValueError, CommandError) as error:
            raise StoreError(f"note in the uplink journal cannot be read: {record.payload[:80]!r}: {error}") from error


def _twice(records: Iterable[Record]) -> tuple[Record, ...]:
    return tuple(record for record in records for _ in range(2))


def _record(note: dict[str, int | str]) -> Record:
    return Record(kind=RecordKind.NOTE, address=_NO_LAYER, payload=json.dumps(note).encode())
