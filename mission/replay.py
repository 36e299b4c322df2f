"""Replays an event log: builds the same core again, tells it the same events, and compares what it answers byte by byte."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from downlink.errors import DownlinkError, JournalError
from downlink.frame_security import SecurityAssociation
from downlink.journal import MemoryJournal
from downlink.products import LayerAddress
from downlink.record import Record
from ground.errors import GroundError
from ground.station import GroundStation
from mission.errors import ReplayError
from mission.event_codec import decode, encode
from mission.event_log import EventLog, JournalFailure, LogEntry, read_log
from mission.incarnation import Incarnation, journals_of, keys_of
from mission.link_ends import EndJournals, ground_station, onboard_computer
from onboard.computer import OnboardComputer
from onboard.errors import OnboardError

ROOM_ERRORS = (DownlinkError, OnboardError, GroundError)
SHOWN_CHARACTERS = 160


class Divergence(BaseModel):
    """The first event that the replayed core answers otherwise than the recorded one did."""

    model_config = ConfigDict(frozen=True)

    incarnation: int
    """Counted from 1."""
    event_number: int
    """Counted from 1, over all incarnations."""
    at_byte: int
    """Where the event stands in the log."""
    now_ms: int
    """Its time."""
    event: str
    """What happened."""
    recorded: str
    """The first action that differs, as it was recorded."""
    replayed: str
    """And as it was replayed."""


class ReplayOutcome(BaseModel):
    """What a replay shows."""

    model_config = ConfigDict(frozen=True)

    log: str
    """The file."""
    end: str
    """`onboard` or `ground`; empty where the log holds no whole incarnation."""
    incarnations: int
    """Starts of the core."""
    events: int
    """Events told to it."""
    broken_off: int
    """Events without an answer: the core was stopped in the middle, or raised."""
    first_ms: int | None
    """Time of the first event."""
    last_ms: int | None
    """Time of the last event."""
    hash_recorded: str
    """SHA-256 over all events, their times and the recorded actions."""
    hash_replayed: str
    """The same over the replayed actions."""
    divergence: Divergence | None
    """The first one; None where all answers agree."""
    damaged_at_byte: int | None
    """Where the log is damaged: nothing from there on was replayed."""
    torn_bytes: int
    """Bytes of an unfinished record at the end, which mean no more than that the recording process was killed."""
    note: str
    """Why recording ended before its time; empty where it did not."""

    @property
    def agrees(self) -> bool:
        """Whether the log is sound and the replayed core decided the same."""
        return self.divergence is None and self.damaged_at_byte is None and self.hash_recorded == self.hash_replayed


def replay(path: Path, associations: Sequence[SecurityAssociation] = ()) -> ReplayOutcome:
    """Replays the log in a file; `associations` are the keys of a mission whose keys are not simulated.

    Raises ReplayError where the log cannot be read or the keys are not at hand, or where the replayed core raises what no core should.
    """
    log = read_log(path)
    replayer = _Replayer(associations)
    for entry in log.entries:
        replayer.take(entry)
    replayer.finish()
    return replayer.outcome(path, log)


class FailingJournal(MemoryJournal):
    """A journal in memory that fails where the recorded one did."""

    def __init__(self, content: Iterable[Record], name: str, *, lost_bytes: int) -> None:
        """`lost_bytes`: what was no record in the recorded one."""
        super().__init__()
        super().append(content)
        self._name = name
        self._lost_bytes = lost_bytes
        self._counts: dict[str, int] = {}
        self._failures: set[tuple[str, int]] = set()

    @property
    def lost_bytes(self) -> int:
        return self._lost_bytes

    def next_event(self, failures: Iterable[JournalFailure]) -> None:
        """From here on count again, and fail at these."""
        self._counts.clear()
        self._failures = {(one.operation, one.number) for one in failures if one.journal == self._name}

    def append(self, records: Iterable[Record]) -> tuple[int, ...]:
        taken = tuple(records)
        self._operate("append")
        return super().append(taken)

    def read(self, position: int) -> Record:
        self._operate("read")
        return super().read(position)

    def replace(self, records: Iterable[Record]) -> tuple[int, ...]:
        taken = tuple(records)
        self._operate("replace")
        return super().replace(taken)

    def _operate(self, operation: str) -> None:
        number = self._counts.get(operation, 0)
        self._counts[operation] = number + 1
        if (operation, number) in self._failures:
            raise JournalError(f"{operation} {number} of the journal of {self._name} failed when it was recorded")


class NoReferences:
    """Takes what the ground acknowledges, as its keeper did when it was recorded, and keeps nothing."""

    def take(self, address: LayerAddress, payload: bytes) -> None:
        """Nothing more is done with it."""

    def forget(self, scene: int | None) -> None:
        """There is nothing to forget."""


class _Replayer:
    """Takes a log entry by entry. An event is told once its failures and its recorded answer are known."""

    def __init__(self, associations: Sequence[SecurityAssociation]) -> None:
        self._associations = associations
        self._core: OnboardComputer | GroundStation | None = None
        self._journals: tuple[FailingJournal, ...] = ()
        self._event: LogEntry | None = None
        self._failures: list[JournalFailure] = []
        self._recorded, self._replayed = hashlib.sha256(), hashlib.sha256()
        self._divergence: Divergence | None = None
        self._times_ms: list[int] = []
        self._end = self._note = ""
        self._incarnations = self._events = self._broken_off = 0

    def take(self, entry: LogEntry) -> None:
        """The next entry."""
        if entry.kind in "BEN":
            self._settle(is_last=entry.kind != "E")
        match entry.kind:
            case "B":
                self._begin(entry.value)
            case "E":
                self._event, self._failures = entry, []
            case "J":
                self._failures.append(entry.value)
            case "A":
                self._tell(entry.body, is_last=False)
            case "N":
                self._note = str(entry.value)

    def finish(self) -> None:
        """No entry follows."""
        self._settle(is_last=True)

    def _settle(self, *, is_last: bool) -> None:
        """An event whose answer was never recorded: the core raised, or was stopped in the middle."""
        if self._event is not None:
            self._tell(None, is_last=is_last)

    def outcome(self, path: Path, log: EventLog) -> ReplayOutcome:
        return ReplayOutcome(
            log=str(path),
            end=self._end,
            incarnations=self._incarnations,
            events=self._events,
            broken_off=self._broken_off,
            first_ms=min(self._times_ms, default=None),
            last_ms=max(self._times_ms, default=None),
            hash_recorded=self._recorded.hexdigest(),
            hash_replayed=self._replayed.hexdigest(),
            divergence=self._divergence,
            damaged_at_byte=log.damaged_at_byte,
            torn_bytes=log.torn_bytes,
            note=self._note,
        )

    def _begin(self, incarnation: Incarnation) -> None:
        self._incarnations += 1
        self._end = incarnation.end
        keys = keys_of(incarnation, self._associations)
        content = journals_of(incarnation)
        layers = FailingJournal(content.layers.records(), "layers", lost_bytes=incarnation.lost_bytes[0])
        commands = FailingJournal(content.commands.records(), "commands", lost_bytes=incarnation.lost_bytes[1])
        self._journals = layers, commands
        journals = EndJournals(layers=layers, commands=commands)
        if incarnation.end == "onboard":
            self._core = onboard_computer(
                incarnation.profile,
                capacity_bytes=incarnation.capacity_bytes,
                journals=journals,
                keys=keys,
                expected_contacts=incarnation.expected_contacts,
                planning=incarnation.planning,
                references=NoReferences() if incarnation.keeps_references else None,
            )
        else:
            self._core = ground_station(
                incarnation.profile,
                journals=journals,
                keys=keys,
                snapshot=incarnation.snapshot,
                now_ms=incarnation.now_ms,
            )

    def _tell(self, recorded: bytes | None, *, is_last: bool) -> None:
        """Tells the core the event and compares. An event that broke its incarnation off has nothing to compare."""
        if self._event is None or self._core is None:
            raise ReplayError(
                "the log answers an event before one was told, or tells one before a core began: it is no log of ours"
            )
        entry, self._event = self._event, None
        now_ms, event = entry.value
        self._events += 1
        self._times_ms.append(now_ms)
        for hashed in (self._recorded, self._replayed):
            hashed.update(entry.body)
        for journal in self._journals:
            journal.next_event(self._failures)
        answer = self._answer(event, now_ms)
        if recorded is None:
            self._broken_off += 1
            if is_last or answer is None:
                return
        self._recorded.update(recorded or b"")
        self._replayed.update(answer or b"")
        if self._divergence is None and answer != recorded:
            told, replayed = _difference(recorded, answer)
            self._divergence = Divergence(
                incarnation=self._incarnations,
                event_number=self._events,
                at_byte=entry.at_byte,
                now_ms=now_ms,
                event=described(event),
                recorded=told,
                replayed=replayed,
            )

    def _answer(self, event: Any, now_ms: int) -> bytes | None:
        """The actions as bytes; None where the core raised what it may raise."""
        try:
            return encode(tuple(self._core.handle(event, now_ms)))  # type: ignore[union-attr]
        except ROOM_ERRORS:
            return None
        except Exception as error:
            raise ReplayError(
                f"event {self._events} at {now_ms} ms, {described(event)}: the replayed core raised {type(error).__name__}: {error}"
            ) from error


def _difference(recorded: bytes | None, replayed: bytes | None) -> tuple[str, str]:
    """The first action that differs, on both sides."""
    if recorded is None or replayed is None:
        told = ["an error" if side is None else f"{len(decode(side))} actions" for side in (recorded, replayed)]
        return told[0], told[1]
    for number, (one, other) in enumerate(zip_longest(decode(recorded), decode(replayed)), start=1):
        if one != other:
            return f"action {number}: {described(one)}", f"action {number}: {described(other)}"
    return "", ""


def described(value: object) -> str:
    """A value in one short line; long bytes by their length and first eight."""
    if value is None:
        return "nothing"
    fields = getattr(type(value), "__dataclass_fields__", {})
    parts = []
    for name in fields:
        content = getattr(value, name)
        is_long = isinstance(content, bytes) and len(content) > 8
        parts.append(f"{name}={len(content)} bytes {content[:8].hex()}..." if is_long else f"{name}={content!r}")
    text = f"{type(value).__name__}({', '.join(parts)})" if fields else repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
