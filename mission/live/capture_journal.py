"""Which scene number each file of the spool has, and how far its work is: durable before any work on it begins.

A journal (`downlink.journal`) of notes in JSON. One file is in work at a time, from its first note to the last:

    {"scene": 7, "name": "pass_000123.tif", "mtime_ns": 1770000000123456789, "size_bytes": 2109876}   in work from here on
    {"scene": 7, "efforts": "2212"}       what each tile was allowed, in order: durable before the scene's summary is
    {"scene": 7, "death": "killed by signal 9"}   the worker died over it
    {"scene": 7, "over": "done"}          every layer is stored; or "rejected", with a "reason"
    {"scene": 7, "left": true}            the file has left the spool
    {"last": 7, "done": 5, "rejected": 2} at the head of a rewritten journal

What a note says holds once the method that wrote it has returned; JournalError, and it does not.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from downlink.journal import Journal
from downlink.products import LayerAddress
from downlink.record import Record, RecordKind
from mission.errors import ServiceError
from mission.live.spool import SpoolFile

COMPACT_ABOVE_BYTES: Final = 64 * 1024
"""Length at which the journal is rewritten; what is live takes a few kilobytes, and 32 KiB for the largest scene's efforts."""
REASON_LIMIT_CHARS: Final = 500

Outcome = Literal["", "done", "rejected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A file of the spool that has become a scene."""

    scene: int
    """Its number, from 1, never used twice."""
    file: SpoolFile
    """As it was when the number was given."""
    deaths: tuple[str, ...] = ()
    """How the worker died over it, once per death."""
    efforts: str = ""
    """One digit of `onboard.governor.Effort` per tile, once the scene's summary was on its way to the store."""
    outcome: Outcome = ""
    """Empty while it is in work."""
    reason: str = ""
    """Why it was rejected."""

    @property
    def captured_ms(self) -> int:
        """When the sensor wrote it, Unix ms."""
        return max(0, self.file.mtime_ns // 1_000_000)


class CaptureJournal:
    """The capture in work, and counts of those before."""

    def __init__(self, journal: Journal) -> None:
        """Take up what the journal holds. Raises ServiceError where a note in it cannot be read."""
        self._journal = journal
        self.current: Capture | None = None
        """The one whose file has not left the spool."""
        self.last_scene = 0
        """The highest number ever given."""
        self.done = 0
        """Scenes of which every layer was stored."""
        self.rejected = 0
        """Files that were refused."""
        for record in journal.records():
            self._replay(record.payload)

    def begin(self, file: SpoolFile, *, above: int = 0) -> Capture:
        """Give a file the next scene number, one above `above`. Raises JournalError."""
        scene = max(self.last_scene, above) + 1
        self._write({"scene": scene, "name": file.name, "mtime_ns": file.mtime_ns, "size_bytes": file.size_bytes})
        self.last_scene, self.current = scene, Capture(scene=scene, file=file)
        return self.current

    def note_death(self, reason: str) -> None:
        """The worker has died over the current capture. Raises JournalError."""
        reason = reason[:REASON_LIMIT_CHARS]
        self._change({"death": reason}, lambda now: replace(now, deaths=(*now.deaths, reason)))

    def note_efforts(self, efforts: str) -> None:
        """What each tile of the current capture was allowed. Raises JournalError."""
        self._change({"efforts": efforts}, lambda now: replace(now, efforts=efforts))

    def end(self, outcome: Literal["done", "rejected"], reason: str = "") -> None:
        """Work on the current capture is over. Raises JournalError."""
        reason = reason[:REASON_LIMIT_CHARS]
        self._change({"over": outcome, "reason": reason}, lambda now: replace(now, outcome=outcome, reason=reason))
        self._count(outcome)

    def leave(self) -> None:
        """The file of the current capture has left the spool. Raises JournalError."""
        self._change({"left": True}, lambda now: None)

    def _change(self, note: dict[str, Any], change: Callable[[Capture], Capture | None]) -> None:
        if self.current is None:
            raise ServiceError(f"no capture is in work to note {note} of; begin one first")
        self._write({"scene": self.current.scene, **note})
        self.current = change(self.current)

    def _count(self, outcome: str) -> None:
        if outcome == "done":
            self.done += 1
        else:
            self.rejected += 1

    def _write(self, note: dict[str, Any]) -> None:
        if self._journal.size_bytes > COMPACT_ABOVE_BYTES:
            self._journal.replace([_record(live) for live in self._live()])
        self._journal.append([_record(note)])

    def _live(self) -> list[dict[str, Any]]:
        """Notes that come to the same as all that were written."""
        counts = {"last": self.last_scene, "done": self.done, "rejected": self.rejected}
        now = self.current
        if now is None:
            return [counts]
        if now.outcome:  # its own note counts it again
            counts[now.outcome] -= 1
        scene: dict[str, Any] = {"scene": now.scene}
        notes = [
            counts,
            scene | {"name": now.file.name, "mtime_ns": now.file.mtime_ns, "size_bytes": now.file.size_bytes},
        ]
        notes += [scene | {"death": reason} for reason in now.deaths]
        notes += [scene | {"efforts": now.efforts}] if now.efforts else []
        notes += [scene | {"over": now.outcome, "reason": now.reason}] if now.outcome else []
        return notes

    def _replay(self, payload: bytes) -> None:
        try:
            self._take(json.loads(payload))
        except ValueError as error:
            raise ServiceError(f"note in the capture journal cannot be read: {payload[:80]!r}: {error}") from error

    def _take(self, note: object) -> None:
        match note:
            case {"last": int(last), "done": int(done), "rejected": int(rejected)}:
                self.last_scene, self.done, self.rejected = last, done, rejected
            case {"scene": int(scene), "name": str(name), "mtime_ns": int(mtime_ns), "size_bytes": int(size_bytes)}:
                self.last_scene = max(self.last_scene, scene)
                self.current = Capture(scene=scene, file=SpoolFile(name=name, mtime_ns=mtime_ns, size_bytes=size_bytes))
            case {"scene": int(scene), **change} if self.current is not None and self.current.scene == scene:
                self._take_change(self.current, {str(key): value for key, value in change.items()})
            case {"scene": int()}:
                return  # of a capture whose first note was damaged: its number is lost, its file is captured anew
            case _:
                raise ServiceError(f"note in the capture journal says {note!r}, which nobody here can read")

    def _take_change(self, now: Capture, change: dict[str, Any]) -> None:
        match change:
            case {"efforts": str(efforts)}:
                self.current = replace(now, efforts=efforts)
            case {"death": str(reason)}:
                self.current = replace(now, deaths=(*now.deaths, reason))
            case {"over": "done" | "rejected" as outcome, "reason": str(reason)}:
                self.current = replace(now, outcome=outcome, reason=reason)
                if not now.outcome:
                    self._count(outcome)
            case {"left": True}:
                self.current = None
            case _:
                raise ServiceError(f"note in the capture journal says {change!r}, which nobody here can read")


def _record(note: dict[str, Any]) -> Record:
    address = LayerAddress(scene=0, product=0, step=0)
    return Record(kind=RecordKind.NOTE, address=address, payload=json.dumps(note).encode())
