"""What the ground holds: every layer that arrived, once, durably.

Memory holds where each layer lies in the journal, never its bytes; what the layers of a scene come to is `ground.scene_layers`.
"""

import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from downlink.journal import Journal
from downlink.layer_digest import NO_LAYERS, toggle
from downlink.products import LayerAddress
from downlink.record import OVERHEAD_BYTES, Record, RecordKind

FILES_REMEMBERED: Final = 4096
"""Completed files that are still known after a restart, so that their late PDUs are answered."""

LARGEST_FILE_NUMBER: Final = 0xFFFF_FFFF

_FILE_MARK: Final = struct.Struct(">QI")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedFile:
    """A file that came down whole: what tells it from another one under the same number."""

    number: int
    """Its transaction number."""
    file_size_bytes: int
    """Its length."""
    checksum: int
    """As its source gave it, 32 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLayer:
    """A layer on the ground."""

    position: int
    """Where its record lies in the journal."""
    payload_bytes: int
    """Length of what it carries."""


class LayerStore:
    """Layers by address over a journal. Adding one twice changes nothing."""

    def __init__(self, journal: Journal) -> None:
        """Take up what the journal holds."""
        self._journal = journal
        self._held: dict[LayerAddress, HeldLayer] = {}
        self._scenes: dict[int, list[LayerAddress]] = {}
        self._held_bytes = 0
        self._digest = NO_LAYERS
        self._completed_files: deque[CompletedFile] = deque(maxlen=FILES_REMEMBERED)
        for position, record in journal.entries():
            if record.kind is RecordKind.LAYER:
                self._take(record, position)
            elif record.kind is RecordKind.FILE and len(record.payload) == _FILE_MARK.size:
                file_size_bytes, checksum = _FILE_MARK.unpack(record.payload)
                file = CompletedFile(number=record.address.scene, file_size_bytes=file_size_bytes, checksum=checksum)
                self._completed_files.append(file)

    @property
    def completed_files(self) -> tuple[CompletedFile, ...]:
        """The files completed last, oldest first."""
        return tuple(self._completed_files)

    def complete_file(self, file: CompletedFile, records: Iterable[Record]) -> tuple[LayerAddress, ...]:
        """Keep the layers of a whole file and note that it is complete, durably and at once; returns the layers that are new.

        No file of our satellite has a number of more than 32 bits: of such a file only the layers are kept.
        """
        if file.number > LARGEST_FILE_NUMBER:
            return self._keep(records)
        address = LayerAddress(scene=file.number, product=0, step=0)
        payload = _FILE_MARK.pack(file.file_size_bytes, file.checksum)
        fresh = self._keep(records, Record(kind=RecordKind.FILE, address=address, payload=payload))
        self._completed_files.append(file)
        return fresh

    def add(self, records: Iterable[Record]) -> tuple[LayerAddress, ...]:
        """Keep layers, durably; returns those that are new. Marks and notes have no business on the link: left out."""
        return self._keep(records)

    def _keep(self, records: Iterable[Record], *marks: Record) -> tuple[LayerAddress, ...]:
        fresh: dict[LayerAddress, Record] = {}
        for record in records:
            if record.kind is RecordKind.LAYER and record.address not in self._held:
                fresh.setdefault(record.address, record)
        if fresh or marks:
            positions = self._journal.append([*fresh.values(), *marks])
            for record, position in zip(fresh.values(), positions, strict=False):
                self._take(record, position)
        return tuple(fresh)

    def _take(self, record: Record, position: int) -> None:
        address = record.address
        if address not in self._held:
            self._held[address] = HeldLayer(position=position, payload_bytes=len(record.payload))
            self._scenes.setdefault(address.scene, []).append(address)
            self._held_bytes += OVERHEAD_BYTES + len(record.payload)
            self._digest = toggle(self._digest, address)

    def holds(self, address: LayerAddress) -> bool:
        return address in self._held

    @property
    def addresses(self) -> frozenset[LayerAddress]:
        """Every layer held."""
        return frozenset(self._held)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def held_bytes(self) -> int:
        """Bytes of the held layers as they travel: with the 18 of each record."""
        return self._held_bytes

    @property
    def digest(self) -> bytes:
        """`layer_digest` of the held layers."""
        return self._digest

    @property
    def scenes(self) -> tuple[int, ...]:
        """Scenes of which a layer is held, in order of number."""
        return tuple(sorted(self._scenes))

    @property
    def last_scene(self) -> int:
        """The highest number of a scene of which a layer is held; 0 without any."""
        return max(self._scenes, default=0)

    def layers_of(self, scene: int) -> tuple[LayerAddress, ...]:
        """The held layers of a scene, in order of arrival."""
        return tuple(self._scenes.get(scene, ()))

    def position(self, address: LayerAddress) -> int:
        """Where the record of a held layer lies in the journal."""
        return self._held[address].position

    def payload(self, address: LayerAddress) -> bytes:
        """The bytes of a held layer. Raises JournalError where they cannot be read."""
        return self._journal.read(self._held[address].position).payload

    def layer_bytes(self, address: LayerAddress) -> int:
        """Bytes of a held layer as it travels."""
        return OVERHEAD_BYTES + self._held[address].payload_bytes

    def payload_bytes(self, address: LayerAddress) -> int:
        """Length of what a held layer carries."""
        return self._held[address].payload_bytes
