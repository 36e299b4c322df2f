"""Finds what a window of a new scene can be predicted from, and decodes it (pure but for the shelf it reads)."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from downlink.errors import LayerError, MissingReferenceError
from downlink.image_header import unpack_header
from downlink.prediction import MOST_BLOCKS, ReferenceBlock
from downlink.products import LayerAddress
from downlink.reference_canvas import canvas_of
from downlink.reference_chain import DecodedBlock, ReferenceChain, is_followed
from downlink.scene import Georeference, SceneSummary, Window
from onboard.reference_choice import CANVAS_MARGIN_PX, ReferenceCandidate
from onboard.reference_files import ReferenceShelf
from onboard.reference_places import shift_between
from onboard.reference_store import block_name, product_of, read_block, read_summary

COVERED_SHARE: Final = 0.6
"""A scene is a candidate where its blocks cover so much of the window."""
SMALLEST_SHARE: Final = 1 / 256
"""A block that shows less than this of the window, for its canvas, is not worth decoding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _HeldBlock:
    product: int
    window: Window
    steps: int
    """Acknowledged from the first without a gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _HeldScene:
    version: Hashable
    summary: SceneSummary
    blocks: tuple[_HeldBlock, ...]


class CandidateSearch:
    """Looks through a shelf that another process may be changing."""

    def __init__(self, shelf: ReferenceShelf, *, cache_bytes: int) -> None:
        self._shelf = shelf
        self._scenes: dict[int, _HeldScene] = {}
        self._blocks: dict[tuple[int, int], tuple[Hashable, _HeldBlock | None]] = {}
        self._chain = ReferenceChain(_ShelfSource(shelf), cache_bytes=cache_bytes)

    def candidates(
        self, georeference: Georeference, band_names: tuple[str, ...], dtype: str, window: Window, *, newest: int
    ) -> tuple[ReferenceCandidate, ...]:
        """As `ReferenceStore.candidates`."""
        found: list[ReferenceCandidate] = []
        for scene, held in self._newest_first():
            if len(found) >= newest:
                break
            if (held.summary.band_names, held.summary.dtype) != (band_names, dtype):
                continue
            shift = shift_between(georeference, held.summary.georeference, window)
            if shift is None:
                continue
            candidate = self._candidate(scene, held, shift, window)
            if candidate is not None:
                found.append(candidate)
        return tuple(found)

    def _candidate(
        self, scene: int, held: _HeldScene, shift: tuple[float, float], window: Window
    ) -> ReferenceCandidate | None:
        moved = window.shifted(round(shift[0]), round(shift[1]))
        region = Window(
            row=moved.row - CANVAS_MARGIN_PX,
            col=moved.col - CANVAS_MARGIN_PX,
            height=moved.height + 2 * CANVAS_MARGIN_PX,
            width=moved.width + 2 * CANVAS_MARGIN_PX,
        )
        least_px = SMALLEST_SHARE * moved.height * moved.width
        near = [block for block in held.blocks if _shared_px(block.window, region) >= least_px]
        near = sorted(near, key=lambda block: (-_shared_px(block.window, region), block.product))[:MOST_BLOCKS]
        if not _covers(near, moved):
            return None
        chosen: list[tuple[_HeldBlock, DecodedBlock]] = []
        for block in near:
            decoded = self._decoded(scene, block)
            if decoded is not None and is_followed([*(one for _, one in chosen), decoded]):
                chosen.append((block, decoded))
        if not _covers([block for block, _ in chosen], moved):
            return None
        return ReferenceCandidate(
            scene=scene,
            captured_ms=held.summary.captured_ms,
            row_shift_px=shift[0],
            col_shift_px=shift[1],
            blocks=tuple(
                ReferenceBlock(product=block.product, steps=block.steps, check=decoded.check)
                for block, decoded in chosen
            ),
            canvas=canvas_of(region, [decoded.image for _, decoded in chosen]),
            windows=tuple(block.window for block, _ in chosen),
        )

    def _decoded(self, scene: int, block: _HeldBlock) -> DecodedBlock | None:
        """None where it cannot be had."""
        try:
            return self._chain.block(scene, block.product, block.steps)
        except MissingReferenceError:
            return None

    # ---- what there is

    def _newest_first(self) -> list[tuple[int, _HeldScene]]:
        try:
            scenes = self._shelf.scenes()
        except OSError:
            return []  # nothing can be predicted from what cannot be listed; the process that keeps it tells of it
        for gone in self._scenes.keys() - set(scenes):
            del self._scenes[gone]
        for scene in scenes:
            version = self._shelf.version(scene)
            known = self._scenes.get(scene)
            if known is None or known.version != version:
                self._look(scene, version)
        return sorted(self._scenes.items(), key=lambda item: (-item[1].summary.captured_ms, -item[0]))

    def _look(self, scene: int, version: Hashable) -> None:
        """What a scene has now; where it has no summary yet, nothing can be said of its place."""
        self._scenes.pop(scene, None)
        summary = read_summary(self._shelf, scene)
        if summary is None:
            return
        products = {product for name in self._shelf.sizes_bytes(scene) if (product := product_of(name)) is not None}
        for gone in [key for key in self._blocks if key[0] == scene and key[1] not in products]:
            del self._blocks[gone]
        blocks = [block for product in sorted(products) if (block := self._block(scene, product)) is not None]
        self._scenes[scene] = _HeldScene(version=version, summary=summary, blocks=tuple(blocks))

    def _block(self, scene: int, product: int) -> _HeldBlock | None:
        version = self._shelf.version(scene, block_name(product))
        known = self._blocks.get((scene, product))
        if known is not None and known[0] == version:
            return known[1]
        layers = read_block(self._shelf, scene, block_name(product))
        steps = 0
        while LayerAddress(scene=scene, product=product, step=steps) in layers:
            steps += 1
        block = None
        if steps:
            try:
                header, _ = unpack_header(layers[LayerAddress(scene=scene, product=product, step=0)])
                block = _HeldBlock(product=product, window=header.window, steps=steps)
            except LayerError:
                block = None  # of another version of the format: nothing to predict from
        self._blocks[scene, product] = version, block
        return block


class _ShelfSource:
    """The shelf as a chain of references looks layers up."""

    def __init__(self, shelf: ReferenceShelf) -> None:
        self._shelf = shelf
        self._last: tuple[tuple[int, int], dict[LayerAddress, bytes]] | None = None

    def nodata(self, scene: int) -> float | None:
        summary = read_summary(self._shelf, scene)
        if summary is None:
            raise LookupError(f"no summary of scene {scene}")
        return summary.nodata

    def payload(self, address: LayerAddress) -> bytes | None:
        block = address.scene, address.product
        if self._last is None or self._last[0] != block or address.step == 0:
            self._last = block, read_block(self._shelf, address.scene, block_name(address.product))
        return self._last[1].get(address)

    def version(self, scene: int, product: int) -> Hashable:
        return self._shelf.version(scene, block_name(product))


def _shared_px(block: Window, region: Window) -> int:
    shared = block.intersection(region)
    return 0 if shared is None else shared.height * shared.width


def _covers(blocks: list[_HeldBlock], window: Window) -> bool:
    """Blocks of one scene do not overlap."""
    covered_px = sum(_shared_px(block.window, window) for block in blocks)
    return covered_px >= COVERED_SHARE * window.height * window.width
