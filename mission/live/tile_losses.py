"""Raw tiles that went uncoded, counted durably before they go: the worker may be killed at any instant.

A journal (`downlink.journal`) of notes in JSON, written by the worker alone:

    {"scene": 7, "tile": 12, "bytes": 301224, "lost": "discarded"}     from here on the tile is lost, whether it is still there or not
    {"counts": {"discarded": [9, 2800123], ...}, "named": [[7, 12], ...]}   at the head of a rewritten journal: tiles and bytes,
                                           and those of them that may be lost again by a repeated attempt

Where the disk refuses a note, it is counted in memory and noted with the next one.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from downlink.errors import JournalError
from downlink.journal import Journal
from downlink.products import LayerAddress
from downlink.record import Record, RecordKind

COMPACT_ABOVE_BYTES: Final = 256 * 1024
"""Length at which the journal is rewritten."""


class Loss(StrEnum):
    """Why a raw tile went uncoded."""

    DISCARDED = "discarded"
    """Its room was worth more for another."""
    DAMAGED = "damaged"
    """It could not be read back."""
    GIVEN_UP = "given up"
    """The worker died over it, its scene was rejected, or the ground does not want the scene."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCount:
    """How much."""

    tiles: int = 0
    size_bytes: int = 0


class TileLosses:
    """All losses since the state folder was new."""

    def __init__(self, journal: Journal) -> None:
        """Take up what the journal holds."""
        self._journal = journal
        self._counts = dict.fromkeys(Loss, LossCount())
        self._tiles: set[tuple[int, int]] = set()
        self._unwritten: list[dict[str, Any]] = []
        for record in journal.records():
            self._take(json.loads(record.payload))

    def count(self, loss: Loss) -> LossCount:
        """Tiles lost for one reason."""
        return self._counts[loss]

    @property
    def tiles(self) -> frozenset[tuple[int, int]]:
        """Scene and tile of the losses that are noted one by one: the later ones."""
        return frozenset(self._tiles)

    def note(self, loss: Loss, scene: int, tiles: Iterable[tuple[int, int]]) -> None:
        """These tiles of a scene, each with its bytes, are lost from here on. Those that were lost before are passed over."""
        fresh = [
            {"scene": scene, "tile": tile, "bytes": size_bytes, "lost": loss.value}
            for tile, size_bytes in tiles
            if (scene, tile) not in self._tiles
        ]
        for note in fresh:
            self._take(note)
        self._unwritten.extend(fresh)
        try:
            self._write(scene)
        except JournalError:
            return  # what could not be written is written with the next loss

    def _write(self, scene: int) -> None:
        if not self._unwritten:
            return
        if self._journal.size_bytes > COMPACT_ABOVE_BYTES:
            self._tiles = {(one, tile) for one, tile in self._tiles if one == scene}
            self._journal.replace([_record(note) for note in self._live()])
        else:
            self._journal.append([_record(note) for note in self._unwritten])
        self._unwritten.clear()

    def _live(self) -> list[dict[str, Any]]:
        counts = {loss.value: [count.tiles, count.size_bytes] for loss, count in self._counts.items()}
        return [{"counts": counts, "named": sorted(self._tiles)}]

    def _take(self, note: dict[str, Any]) -> None:
        match note:
            case {"counts": dict(counts), "named": list(named)}:
                for loss in Loss:
                    tiles, size_bytes = counts.get(loss.value, (0, 0))
                    self._counts[loss] = LossCount(tiles=tiles, size_bytes=size_bytes)
                self._tiles = {(scene, tile) for scene, tile in named}
            case {"scene": int(scene), "tile": int(tile), "bytes": int(size_bytes), "lost": str(name)}:
                before = self._counts[Loss(name)]
                self._counts[Loss(name)] = LossCount(tiles=before.tiles + 1, size_bytes=before.size_bytes + size_bytes)
                self._tiles.add((scene, tile))


def _record(note: dict[str, Any]) -> Record:
    address = LayerAddress(scene=0, product=0, step=0)
    return Record(kind=RecordKind.NOTE, address=address, payload=json.dumps(note).encode())
