"""Over which images the worker has died, and what was given up uncoded: durable, so that no image ends the worker for ever.

A journal (`downlink.journal`) of notes in JSON:

    {"scene": 7, "product": 3, "death": "killed by SIGSEGV"}   the worker died while it coded this image
    {"scene": 7, "product": 3, "coded": true}       it is coded after all
    {"scene": 7, "product": 3, "give_up": "why"}    its raw tile is to be dropped; product null: those of the whole scene
    {"scene": 7, "product": 3, "given_up": true}    it has been dropped

What a note says holds once the method that wrote it has returned; JournalError, and it does not.
"""

import json
from typing import Any, Final

from downlink.journal import Journal
from downlink.products import LayerAddress
from downlink.record import Record, RecordKind
from mission.errors import ServiceError

COMPACT_ABOVE_BYTES: Final = 64 * 1024
"""Length at which the journal is rewritten; what is live takes a few kilobytes."""
REASON_LIMIT_CHARS: Final = 500

Image = tuple[int, int | None]
"""Scene and product; None for all products of the scene."""


class CodingJournal:
    """Images that are dangerous, and those that are given up."""

    def __init__(self, journal: Journal) -> None:
        """Take up what the journal holds. Raises ServiceError where a note in it cannot be read."""
        self._journal = journal
        self._deaths: dict[Image, tuple[str, ...]] = {}
        self._giving_up: dict[Image, str] = {}
        for record in journal.records():
            self._replay(record.payload)

    @property
    def giving_up(self) -> tuple[Image, ...]:
        """What is to be dropped, and has not been reported so."""
        return tuple(self._giving_up)

    @property
    def dangerous(self) -> tuple[tuple[int, int], ...]:
        """Scene and product of the images over which the worker has died."""
        return tuple((scene, product) for scene, product in self._deaths if product is not None)

    def deaths(self, scene: int, product: int) -> tuple[str, ...]:
        """How the worker died over an image, once per death."""
        return self._deaths.get((scene, product), ())

    def note_death(self, scene: int, product: int, reason: str) -> None:
        """The worker has died over an image. Raises JournalError."""
        self._write({"scene": scene, "product": product, "death": reason[:REASON_LIMIT_CHARS]})

    def note_coded(self, scene: int, product: int) -> None:
        """An image is coded: what was said of it is forgotten. Raises JournalError."""
        if (scene, product) in self._deaths:
            self._write({"scene": scene, "product": product, "coded": True})

    def give_up(self, scene: int, product: int | None, reason: str) -> None:
        """No layers are to be made of this any more. Raises JournalError."""
        if (scene, product) not in self._giving_up:
            self._write({"scene": scene, "product": product, "give_up": reason[:REASON_LIMIT_CHARS]})

    def note_given_up(self, scene: int, product: int | None) -> None:
        """The raw tiles are gone. Raises JournalError."""
        if (scene, product) in self._giving_up:
            self._write({"scene": scene, "product": product, "given_up": True})

    def _write(self, note: dict[str, Any]) -> None:
        if self._journal.size_bytes > COMPACT_ABOVE_BYTES:
            self._journal.replace([_record(live) for live in self._live()])
        self._journal.append([_record(note)])
        self._take(note)

    def _live(self) -> list[dict[str, Any]]:
        """Notes that come to the same as all that were written."""
        notes: list[dict[str, Any]] = []
        for (scene, product), reasons in self._deaths.items():
            notes += [{"scene": scene, "product": product, "death": reason} for reason in reasons]
        for (scene, product), reason in self._giving_up.items():
            notes.append({"scene": scene, "product": product, "give_up": reason})
        return notes

    def _replay(self, payload: bytes) -> None:
        try:
            self._take(json.loads(payload))
        except ValueError as error:
            raise ServiceError(f"note in the coding journal cannot be read: {payload[:80]!r}: {error}") from error

    def _take(self, note: object) -> None:
        match note:
            case {"scene": int(scene), "product": int() | None as product, **said}:
                image = scene, product
            case _:
                raise ServiceError(f"note in the coding journal says {note!r}, which nobody here can read")
        match said:
            case {"death": str(reason)}:
                self._deaths[image] = (*self._deaths.get(image, ()), reason)
            case {"coded": True}:
                self._deaths.pop(image, None)
            case {"give_up": str(reason)}:
                self._deaths.pop(image, None)
                self._giving_up[image] = reason
            case {"given_up": True}:
                self._giving_up.pop(image, None)
            case _:
                raise ServiceError(f"note in the coding journal says {note!r}, which nobody here can read")


def _record(note: dict[str, Any]) -> Record:
    address = LayerAddress(scene=0, product=0, step=0)
    return Record(kind=RecordKind.NOTE, address=address, payload=json.dumps(note).encode())
