"""What the ground holds: every layer that arrived, once, durably, and what can be made of it."""

from collections import deque
from collections.abc import Iterable
from typing import Final

from downlink.alerts import AlertDetection, decode_alerts
from downlink.image_header import unpack_header
from downlink.image_layers import ImageAssembly
from downlink.journal import Journal
from downlink.products import ALERTS_PRODUCT, SUMMARY_PRODUCT, LayerAddress
from downlink.record import Record, RecordKind
from downlink.scene import SceneSummary, decode_summary
from ground.reconstruction import UndecodedImage

FILES_REMEMBERED: Final = 4096
"""Completed files that are still known after a restart, so that their late PDUs are answered."""


LARGEST_FILE_NUMBER: Final = 0xFFFF_FFFF


class LayerStore:
    """Layers by address over a journal. Adding one twice changes nothing."""

    def __init__(self, journal: Journal) -> None:
        """Take up what the journal holds."""
        self._journal = journal
        self._payloads: dict[LayerAddress, bytes] = {}
        self._completed_files: deque[int] = deque(maxlen=FILES_REMEMBERED)
        for record in journal.records():
            if record.kind is RecordKind.LAYER:
                self._payloads.setdefault(record.address, record.payload)
            elif record.kind is RecordKind.FILE:
                self._completed_files.append(record.address.scene)

    @property
    def completed_files(self) -> tuple[int, ...]:
        """Transaction numbers of the files completed last, oldest first."""
        return tuple(self._completed_files)

    def complete_file(self, number: int, records: Iterable[Record]) -> tuple[LayerAddress, ...]:
        """Keep the layers of a whole file and note that it is complete, durably and at once; returns the layers that are new.

        No file of our satellite has a number of more than 32 bits: of such a file only the layers are kept.
        """
        if number > LARGEST_FILE_NUMBER:
            return self._keep(records)
        mark = Record(kind=RecordKind.FILE, address=LayerAddress(scene=number, product=0, step=0))
        fresh = self._keep(records, mark)
        self._completed_files.append(number)
        return fresh

    def add(self, records: Iterable[Record]) -> tuple[LayerAddress, ...]:
        """Keep layers, durably; returns those that are new. Marks and notes have no business on the link: left out."""
        return self._keep(records)

    def _keep(self, records: Iterable[Record], *marks: Record) -> tuple[LayerAddress, ...]:
        fresh: dict[LayerAddress, Record] = {}
        for record in records:
            if record.kind is RecordKind.LAYER and record.address not in self._payloads:
                fresh.setdefault(record.address, record)
        if fresh or marks:
            self._journal.append([*fresh.values(), *marks])
            self._payloads.update((address, record.payload) for address, record in fresh.items())
        return tuple(fresh)

    def holds(self, address: LayerAddress) -> bool:
        return address in self._payloads

    @property
    def addresses(self) -> frozenset[LayerAddress]:
        """Every layer held."""
        return frozenset(self._payloads)

    def __len__(self) -> int:
        return len(self._payloads)

    def payload(self, address: LayerAddress) -> bytes:
        """The bytes of a held layer."""
        return self._payloads[address]

    def payload_bytes(self, address: LayerAddress) -> int:
        """Length of a held layer."""
        return len(self._payloads[address])

    def summaries(self) -> tuple[SceneSummary, ...]:
        """Scenes whose summary has arrived, in order of number. Raises LayerError for one that cannot be read."""
        found = (address for address in sorted(self._payloads) if address.product == SUMMARY_PRODUCT)
        return tuple(decode_summary(self._payloads[address]) for address in found)

    def alerts(self, scene: int) -> tuple[tuple[LayerAddress, tuple[AlertDetection, ...]], ...]:
        """Alert batches of a scene with their addresses."""
        found = (a for a in sorted(self._payloads) if a.scene == scene and a.product == ALERTS_PRODUCT)
        return tuple((address, decode_alerts(self._payloads[address])) for address in found)

    def images(self, summary: SceneSummary) -> tuple[UndecodedImage, ...]:
        """Blocks and chips of a scene that can be shown, in order of product."""
        assemblies: dict[int, ImageAssembly] = {}
        for address in sorted(self._payloads):
            if address.scene == summary.scene and (address.is_block or address.is_chip):
                assembly = assemblies.setdefault(address.product, ImageAssembly(nodata=summary.nodata))
                assembly.add(address.step, self._payloads[address])
        return tuple(_undecoded(assembly) for assembly in assemblies.values() if assembly.usable_steps)


def _undecoded(assembly: ImageAssembly) -> UndecodedImage:
    header, _ = unpack_header(assembly.payloads[0])
    return UndecodedImage(window=header.window, decode=assembly.decode)
