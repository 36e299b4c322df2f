"""The event log: every event that a core was told and every action it answered with, so that what it decided can be replayed (edge: files).

    tianshu-log (11) | version 1 | schema 8
    kind 1 | length 4 | CRC-16 of these 2 | CRC-32 4 | body      and so on

    B   an incarnation begins: what the core was built from, compressed
    E   an event with its time
    A   the actions that it was answered with; missing where the core was broken off, or raised
    J   an operation on a journal that failed, during the event before
    N   a note: why nothing more was recorded

The CRC-32 runs over kind, length and body, and goes on from that of the record before: a record that was changed, left out or moved
breaks the chain where it stood.

A log never disturbs its core: it is bounded, it leaves the disk a reserve, it is not synchronised, and whatever fails ends the
log with a reason (`EventRecorder.stopped`), never the core. The log of a process that was killed ends with a torn record at worst,
which a reader passes over and the next recorder cuts off. No key is written into it.
"""

import binascii
import shutil
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Any, Final, Protocol

import zstandard

from downlink.errors import JournalError
from downlink.journal import Journal
from downlink.record import Record
from mission.errors import ReplayError
from mission.event_codec import SCHEMA, decode, encode
from mission.incarnation import Incarnation, journal_bytes, reference
from mission.link_setup import EndJournals, LinkKeys

CAPACITY_BYTES: Final = 64 * 1024 * 1024
RESERVE_BYTES: Final = 16 * 1024 * 1024
"""So much of its disk a log leaves free for the journals."""
NOTE_ROOM_BYTES: Final = 512
"""Kept free for the last note."""
LARGEST_BODY_BYTES: Final = 1 << 30
FILE_HEADER: Final = b"tianshu-log\x01" + SCHEMA
_START: Final = struct.Struct(">cI")
_HEAD: Final = struct.Struct(">cIHI")


class Recorder(Protocol):
    """What whoever drives a core tells, in this order: `event`, then `actions` once the core has answered."""

    def event(self, event: object, now_ms: int) -> None:
        """The core is about to be told this."""

    def actions(self, actions: Sequence[object]) -> None:
        """What it answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalFailure:
    """An operation on a journal that raised JournalError."""

    journal: str
    """`layers` or `commands`."""
    operation: str
    """`append`, `replace` or `read`."""
    number: int
    """Which one of its kind on that journal, from 0, counted from the event before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One record of a log that is whole."""

    at_byte: int
    """Where it begins."""
    kind: str
    """One of B, E, A, J, N."""
    body: bytes
    """As it was written, incarnations no longer compressed."""

    @property
    def value(self) -> Any:
        """What it says. Raises ReplayError where that is nothing."""
        value = decode(self.body)
        return (
            JournalFailure(**dict(zip(("journal", "operation", "number"), value, strict=True)))
            if self.kind == "J"
            else value
        )


class EventRecorder:
    """Writes the log of one end of the link, behind what is in the file already."""

    def __init__(
        self,
        path: Path,
        *,
        capacity_bytes: int = CAPACITY_BYTES,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        """`free_bytes` asks the file system of a folder. Never raises: what cannot be recorded is told by `stopped`."""
        self.path = path
        self.stopped = ""
        """Why nothing is recorded any more; empty while it is."""
        self._capacity_bytes = capacity_bytes
        self._free_bytes = free_bytes
        self._file: FileIO | None = None
        self._size_bytes = 0
        self._check = 0
        self._operations: dict[tuple[str, str], int] = {}
        try:
            self._open()
        except OSError as error:
            self._stop(f"cannot open {path}: {error.strerror}")

    @property
    def size_bytes(self) -> int:
        """Bytes of the log so far."""
        return self._size_bytes

    def begin(self, incarnation: Incarnation, journals: EndJournals, keys: LinkKeys) -> EndJournals:
        """A core is about to be built from these; returns the journals to build it over: the same, their failures recorded."""
        self._operations.clear()
        sizes_bytes = journals.layers.size_bytes + journals.commands.size_bytes
        if not self.stopped and self._size_bytes + sizes_bytes > self._capacity_bytes:
            self._stop(
                f"no room for journals of {sizes_bytes} bytes to begin from: the log has {self._size_bytes} of at most "
                f"{self._capacity_bytes}"
            )
        if not self.stopped:
            try:
                layers, commands = journal_bytes(journals.layers), journal_bytes(journals.commands)
            except (JournalError, OSError) as error:
                self._stop(f"cannot read the journals that the core starts from: {error}")
            else:
                whole = replace(
                    incarnation,
                    keys=tuple(reference(association) for association in keys.associations),
                    reboot_lockout_ms=keys.reboot_lockout_ms,
                    layers=layers,
                    commands=commands,
                    lost_bytes=(journals.layers.lost_bytes, journals.commands.lost_bytes),
                )
                self._write(b"B", zstandard.ZstdCompressor(level=1).compress(encode(whole)))
        return EndJournals(
            layers=WatchedJournal(journals.layers, "layers", self),
            commands=WatchedJournal(journals.commands, "commands", self),
        )

    def event(self, event: object, now_ms: int) -> None:
        """The core is about to be told this."""
        self._operations.clear()
        if not self.stopped:
            self._write(b"E", encode((now_ms, event)))

    def actions(self, actions: Sequence[object]) -> None:
        """What it answered."""
        if not self.stopped:
            self._write(b"A", encode(tuple(actions)))

    def operation(self, journal: str, operation: str) -> int:
        """Counts an operation on a journal since the last event; returns its number."""
        number = self._operations.get((journal, operation), 0)
        self._operations[journal, operation] = number + 1
        return number

    def journal_failed(self, failure: JournalFailure) -> None:
        """An operation on a journal has raised JournalError."""
        if not self.stopped:
            self._write(b"J", encode((failure.journal, failure.operation, failure.number)))

    def close(self) -> None:
        """Nothing more will come."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self.stopped = self.stopped or "closed"

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("r+b" if self.path.exists() else "x+b", buffering=0)
        data = self._file.read()
        if not FILE_HEADER.startswith(data[: len(FILE_HEADER)]):
            self._stop(f"{self.path} is a log of another version, or none: move it away")
        elif len(data) < len(FILE_HEADER):
            self._file.seek(0)
            self._file.write(FILE_HEADER)
            self._size_bytes = len(FILE_HEADER)
        else:
            self._size_bytes = len(FILE_HEADER)
            for _, self._size_bytes, self._check in _whole(data):
                pass
            self._file.truncate(self._size_bytes)
            self._file.seek(self._size_bytes)

    def _write(self, kind: bytes, body: bytes) -> None:
        record_bytes = _HEAD.size + len(body)
        if self._size_bytes + record_bytes + NOTE_ROOM_BYTES > self._capacity_bytes:
            self._stop(
                f"the log is full: {self._size_bytes} of {self._capacity_bytes} bytes, and {record_bytes} were to come"
            )
            return
        try:
            free_bytes = self._free_bytes(self.path.parent)
        except OSError as error:
            self._stop(f"cannot ask what is free on the disk of the log: {error.strerror}")
            return
        if free_bytes - record_bytes - NOTE_ROOM_BYTES < RESERVE_BYTES:
            self._stop(
                f"the disk is nearly full: {free_bytes} bytes are free, the log leaves {RESERVE_BYTES} to others"
            )
            return
        self._put(kind, body)

    def _put(self, kind: bytes, body: bytes) -> None:
        if self._file is None:
            return
        data, self._check = framed(kind, body, self._check)
        try:
            written = self._file.write(data) or 0
        except OSError as error:
            self._close_because(f"cannot write {self.path}: {error.strerror}")
            return
        self._size_bytes += written
        if written < len(data):
            self._close_because(f"cannot write {self.path}: no room")

    def _stop(self, reason: str) -> None:
        if self._size_bytes:
            self._put(b"N", encode(reason[: NOTE_ROOM_BYTES // 4]))
        self._close_because(reason)

    def _close_because(self, reason: str) -> None:
        self.stopped = self.stopped or reason
        self.close()


class WatchedJournal:
    """A journal whose failures are recorded: a core decides by them."""

    def __init__(self, journal: Journal, name: str, recorder: EventRecorder) -> None:
        self._journal = journal
        self._name = name
        self._recorder = recorder

    def append(self, records: Iterable[Record]) -> tuple[int, ...]:
        number = self._recorder.operation(self._name, "append")
        try:
            return self._journal.append(records)
        except JournalError:
            self._failed("append", number)
            raise

    def read(self, position: int) -> Record:
        number = self._recorder.operation(self._name, "read")
        try:
            return self._journal.read(position)
        except JournalError:
            self._failed("read", number)
            raise

    def replace(self, records: Iterable[Record]) -> tuple[int, ...]:
        number = self._recorder.operation(self._name, "replace")
        try:
            return self._journal.replace(records)
        except JournalError:
            self._failed("replace", number)
            raise

    def entries(self) -> Iterator[tuple[int, Record]]:
        return self._journal.entries()

    def records(self) -> Iterator[Record]:
        return self._journal.records()

    @property
    def size_bytes(self) -> int:
        return self._journal.size_bytes

    @property
    def lost_bytes(self) -> int:
        return self._journal.lost_bytes

    def _failed(self, operation: str, number: int) -> None:
        self._recorder.journal_failed(JournalFailure(journal=self._name, operation=operation, number=number))


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLog:
    """A log as it was read."""

    entries: tuple[LogEntry, ...]
    """Everything before the first damage, in order."""
    torn_bytes: int
    """Bytes of an unfinished record at the end: its writer was killed."""
    damaged_at_byte: int | None
    """Where the first record begins that is damaged, with others behind it; None where none is."""


def read_log(path: Path) -> EventLog:
    """Raises ReplayError where the file cannot be read, or is no log of this version."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ReplayError(f"log {path} cannot be read: {error.strerror}") from error
    header = data[: len(FILE_HEADER)]
    if header[:11] != FILE_HEADER[:11]:
        raise ReplayError(f"{path} is no event log: it begins with {header[:11]!r}")
    if header != FILE_HEADER:
        raise ReplayError(
            f"log {path} was recorded by another version of the events: replay it with the version that wrote it"
        )
    entries, end = [], len(FILE_HEADER)
    for entry, entry_end, _ in _whole(data):
        entries.append(entry)
        end = entry_end
    rest = len(data) - end
    torn = rest > 0 and _is_torn(data[end:])
    return EventLog(
        entries=tuple(entries), torn_bytes=rest if torn else 0, damaged_at_byte=end if rest and not torn else None
    )


def framed(kind: bytes, body: bytes, former_check: int) -> tuple[bytes, int]:
    """A record behind one whose CRC-32 was `former_check`, and its own."""
    start = _START.pack(kind, len(body))
    check = zlib.crc32(body, zlib.crc32(start, former_check))
    return start + binascii.crc_hqx(start, 0xFFFF).to_bytes(2, "big") + check.to_bytes(4, "big") + body, check


def _whole(data: bytes) -> Iterator[tuple[LogEntry, int, int]]:
    """Records that check, each with its end and its CRC-32, until the first that does not."""
    at, former_check = len(FILE_HEADER), 0
    while at + _HEAD.size <= len(data):
        kind, length, _, _ = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        body = data[at + _HEAD.size : end]
        whole, check = framed(kind, body, former_check)
        if whole != data[at:end]:
            return
        if kind == b"B":
            body = zstandard.ZstdDecompressor().decompress(body, max_output_size=LARGEST_BODY_BYTES)
        yield LogEntry(at_byte=at, kind=kind.decode("latin-1"), body=body), end, check
        at, former_check = end, check


def _is_torn(rest: bytes) -> bool:
    """Whether what follows the last whole record is the beginning of one, or room that was never written."""
    if len(rest) < _HEAD.size or not rest.strip(b"\0"):
        return True
    length: int
    _, length, start_check, _ = _HEAD.unpack_from(rest)
    return binascii.crc_hqx(rest[: _START.size], 0xFFFF) == start_check and len(rest) < _HEAD.size + length
