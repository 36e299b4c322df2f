"""What the ground has acknowledged, as coded layers: what new blocks may be predicted from.

Layers come in any order; of a block the steps from the first without a gap count. The store is a cache: what does not fit, cannot be
read or is damaged is not there. It must never hold what the ground does not: only acknowledged layers are taken, and what the ground has
lost goes for good before that is reported.

One process takes and forgets; others may look for candidates in the same folder at the same time. Taking and forgetting touch no pixel
and import nothing that decodes any.
"""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from downlink.errors import LayerError
from downlink.products import SUMMARY_PRODUCT, LayerAddress
from downlink.record import OVERHEAD_BYTES, Record, RecordKind, encode_record, scan_records
from downlink.scene import Georeference, SceneSummary, Window, decode_summary
from onboard.errors import StoreError
from onboard.reference_files import ReferenceFiles, ReferenceMemory, ReferenceShelf
from onboard.reference_places import lies_under

if TYPE_CHECKING:
    from onboard.reference_candidates import CandidateSearch
    from onboard.reference_choice import ReferenceCandidate

CACHE_BYTES: Final = 96 * 1024 * 1024
"""Decoded blocks in memory, where candidates are looked for."""
UNDER_SHARE: Final = 0.5
"""A scene lies under a newer one that covers so much of it."""
SUMMARY_NAME: Final = "summary"


class ReferenceStore:
    """Acknowledged layers of blocks by scene and product, bounded."""

    def __init__(self, folder: Path | None, *, capacity_bytes: int, cache_bytes: int = CACHE_BYTES) -> None:
        """Takes up what the folder holds; None: memory alone. A folder that cannot be read holds nothing."""
        self.capacity_bytes = capacity_bytes
        self._cache_bytes = cache_bytes
        self._shelf: ReferenceShelf = ReferenceMemory() if folder is None else ReferenceFiles(folder)
        self._sizes: dict[int, dict[str, int]] = {}
        with suppress(StoreError):
            self._sizes.update((scene, self._shelf.sizes_bytes(scene)) for scene in self._listed())
        self._used_bytes = sum(sum(sizes.values()) for sizes in self._sizes.values())
        self._summaries: dict[int, SceneSummary | None] = {}
        self._under: dict[tuple[int, int], bool] = {}
        self._search: CandidateSearch | None = None

    @property
    def used_bytes(self) -> int:
        """Of files, as this process knows them."""
        return self._used_bytes

    @property
    def scenes(self) -> tuple[int, ...]:
        """Scenes of which anything is held, in order of number."""
        return tuple(sorted(self._sizes))

    def take(self, address: LayerAddress, payload: bytes) -> None:
        """An acknowledged layer of a block, or a summary; others are passed over. Room is made for it where others are worth less.

        Raises StoreError where it cannot be kept.
        """
        if address.product == SUMMARY_PRODUCT and address.step == 0:
            name = SUMMARY_NAME
        elif address.is_block:
            name = block_name(address.product)
        else:
            return
        held = read_block(self._shelf, address.scene, name)
        if address in held or not self._has_room(address.scene, OVERHEAD_BYTES + len(payload)):
            return
        held[address] = payload
        records = (Record(kind=RecordKind.LAYER, address=one, payload=held[one]) for one in sorted(held))
        self._write(address.scene, name, b"".join(map(encode_record, records)))

    def candidates(
        self, georeference: Georeference, band_names: tuple[str, ...], dtype: str, window: Window, *, newest: int = 2
    ) -> "tuple[ReferenceCandidate, ...]":
        """What a window of a new scene can be predicted from: so many scenes at most, the newest first.

        A scene serves that has the same coordinate reference system, bands and type, pixels of the same size and orientation
        (`onboard.reference_places`), and blocks over enough of the window. Each is decoded from all its acknowledged steps.
        """
        if self._search is None:
            from onboard.reference_candidates import CandidateSearch

            self._search = CandidateSearch(self._shelf, cache_bytes=self._cache_bytes)
        return self._search.candidates(georeference, band_names, dtype, window, newest=newest)

    def forget(self, scene: int | None) -> None:
        """Hold nothing of a scene any more, or of any, durably. Raises StoreError; then ask again.

        Blocks of other scenes that were predicted from it can no longer be decoded, and so are no candidates either.
        """
        for one in self._listed() if scene is None else (scene,):
            self._remove(one)

    # ---- room

    def _has_room(self, scene: int, size_bytes: int) -> bool:
        """Whether a layer of a scene fits, once scenes that are worth less have gone."""
        while self._used_bytes + size_bytes > self.capacity_bytes:
            if len(self._sizes.keys() - {scene}) == 0:
                return False
            first = self._first_to_go(scene)
            if first == scene:
                return False
            self._remove(first)
        return True

    def _first_to_go(self, arriving: int) -> int:
        """Scenes without a summary before all, then the oldest that lies under a newer one with as many blocks, then the oldest."""
        ages: dict[int, tuple[int, int]] = {}
        for scene in {*self._sizes, arriving}:
            summary = self._summary(scene)
            if summary is not None:
                ages[scene] = summary.captured_ms, scene
            elif scene != arriving:
                return scene
        if not ages:
            return arriving
        oldest_first = sorted(ages, key=lambda scene: ages[scene])
        under = (scene for at, scene in enumerate(oldest_first) if self._is_under(scene, oldest_first[at + 1 :]))
        return next(under, oldest_first[0])

    def _is_under(self, scene: int, newer: list[int]) -> bool:
        blocks = len(self._sizes.get(scene, ()))
        return any(len(self._sizes.get(one, ())) >= blocks and self._lies_under(scene, one) for one in newer)

    def _lies_under(self, older: int, newer: int) -> bool:
        known = self._under.get((older, newer))
        if known is None:
            below, above = self._summary(older), self._summary(newer)
            known = below is not None and above is not None and lies_under(below, above, least_share=UNDER_SHARE)
            self._under[older, newer] = known
        return known

    def _summary(self, scene: int) -> SceneSummary | None:
        if self._summaries.get(scene) is None:
            self._summaries[scene] = read_summary(self._shelf, scene)
        return self._summaries[scene]

    # ---- files

    def _listed(self) -> tuple[int, ...]:
        try:
            return self._shelf.scenes()
        except OSError as error:
            raise StoreError(f"references cannot be listed: {error}; check the folder and its rights") from error

    def _write(self, scene: int, name: str, data: bytes) -> None:
        try:
            self._shelf.write(scene, name, data)
        except OSError as error:
            raise StoreError(
                f"{name} of scene {scene} cannot be kept as a reference: {error.strerror}; it is coded without until there is room"
            ) from error
        sizes = self._sizes.setdefault(scene, {})
        self._used_bytes += len(data) - sizes.get(name, 0)
        sizes[name] = len(data)

    def _remove(self, scene: int) -> None:
        try:
            self._shelf.remove(scene)
        except OSError as error:
            raise StoreError(
                f"references of scene {scene} cannot be forgotten: {error.strerror}; check the folder and its rights"
            ) from error
        self._used_bytes -= sum(self._sizes.pop(scene, {}).values())
        self._summaries.pop(scene, None)
        for pair in [pair for pair in self._under if scene in pair]:
            del self._under[pair]


def block_name(product: int) -> str:
    """Of the file with a block's layers."""
    return f"{product:04x}.layers"


def product_of(name: str) -> int | None:
    """Inverse of `block_name`; None for other names."""
    stem, dot, kind = name.partition(".")
    try:
        product = int(stem, 16)
    except ValueError:
        return None
    return product if kind == "layers" and dot and block_name(product) == name else None


def read_block(shelf: ReferenceShelf, scene: int, name: str) -> dict[LayerAddress, bytes]:
    """The layers of a file that check and belong there, by address."""
    data = shelf.read(scene, name) or b""
    product = SUMMARY_PRODUCT if name == SUMMARY_NAME else product_of(name)
    return {
        record.address: record.payload
        for record in scan_records(data, final=True).records
        if record.kind is RecordKind.LAYER and (record.address.scene, record.address.product) == (scene, product)
    }


def read_summary(shelf: ReferenceShelf, scene: int) -> SceneSummary | None:
    """None where it is not there, or cannot be read."""
    payload = read_block(shelf, scene, SUMMARY_NAME).get(LayerAddress(scene=scene, product=SUMMARY_PRODUCT, step=0))
    try:
        return None if payload is None else decode_summary(payload)
    except LayerError:
        return None
