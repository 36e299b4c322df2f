"""The worker's part between two scenes: images that wait raw become layers, the best first, as long as the main process's price lets them.

The raw store is the worker's alone. What is left in it after a crash decides what is still to be coded: a tile whose product is
stored is dropped, one that was noted lost is dropped, every other is coded, once.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from downlink.journal import FileJournal
from downlink.products import FIRST_BLOCK
from downlink.requests import LayerRequest
from downlink.scene import Georeference, Window
from mission.live.tile_losses import Loss, TileLosses
from mission.live.worker_messages import (
    TEXT_LIMIT_CHARS,
    CodingBegun,
    CodingRests,
    CodingTerms,
    FromWorker,
    GivenUp,
    ImageCoded,
    ProductsKept,
    RawReport,
    WorkerHeld,
    WorkerNote,
)
from onboard.coding_queue import UncodedImage
from onboard.energy_port import EnergyPort
from onboard.errors import StoreError
from onboard.policy import Policy
from onboard.processed_scene import ProcessedScene, TilePixels
from onboard.raw_store import RawStore
from onboard.reference_choice import ReferenceCandidate
from onboard.reference_store import ReferenceStore
from onboard.scene_coder import SceneCoder
from onboard.scene_survey import Emit
from onboard.uncoded_tiles import OnPixels, UncodedTiles
from onboard.valuation import ValuedLayer

if TYPE_CHECKING:
    from mission.live.scene_worker import WorkerSetup

LOCK_FILE: Final = "raw.lock"
LOSSES_FILE: Final = "losses.journal"
DISK_SHARE: Final = 0.5
"""Of its disk that the raw store takes at most, whatever its capacity."""
OPENING_ROOM_BYTES: Final = 8 * 1024 * 1024
"""What a scene leaves free on the disk before the main process has said how much that should be."""


class AnnouncedTiles(UncodedTiles):
    """Tells of every image before its pixels are touched."""

    def __init__(
        self,
        raw: RawStore,
        *,
        requests: Callable[[int], Sequence[LayerRequest]],
        on_pixels: OnPixels,
        announce: Callable[[UncodedImage], None],
    ) -> None:
        super().__init__(raw, requests=requests, on_pixels=on_pixels)
        self._announce = announce

    def pixels(self, image: UncodedImage):  # type: ignore[no-untyped-def]
        """As the tiles do, once it is announced that this image is being coded."""
        self._announce(image)
        return super().pixels(image)


class CautiousReferences:
    """What new images are predicted from; where its folder cannot be read, they are coded alone."""

    def __init__(self, store: ReferenceStore, say: Callable[[FromWorker], None]) -> None:
        self._store = store
        self._say = say
        self._problem = ""

    def candidates(
        self, georeference: Georeference, band_names: tuple[str, ...], dtype: str, window: Window, *, newest: int = 2
    ) -> tuple[ReferenceCandidate, ...]:
        """As the store has them."""
        try:
            found = self._store.candidates(georeference, band_names, dtype, window, newest=newest)
        except (StoreError, OSError) as error:
            if self._problem != str(error):
                self._say(WorkerNote(reason=f"references cannot be read: {error}"[:TEXT_LIMIT_CHARS]))
            self._problem = str(error)
            return ()
        self._problem = ""
        return found


class CodingWork:
    """The raw store, and what is made of it."""

    def __init__(
        self, setup: "WorkerSetup", policy: Policy, energy: EnergyPort, *, emit: Emit, say: Callable[[FromWorker], None]
    ) -> None:
        """Opens the stores, once no worker of before has them any more. Raises StoreError, JournalError, OSError."""
        self._folder = setup.raw
        self._lock = _locked(setup.raw.parent / LOCK_FILE)
        self._energy = energy
        self._policy = policy
        self._emit = emit
        self._say = say
        self._capacity_bytes = min(setup.raw_capacity_bytes, round(DISK_SHARE * _disk_bytes(setup.raw)))
        self._kept: set[tuple[int, int]] = set()
        self._losses_journal = FileJournal(setup.raw.parent / LOSSES_FILE)
        self._losses = TileLosses(self._losses_journal)
        references = ReferenceStore(setup.references, capacity_bytes=setup.reference_capacity_bytes)
        self._references = CautiousReferences(references, say)
        self._begun: UncodedImage | None = None
        self._surveying = 0
        self._lost_here: dict[int, int] = {}
        self._lost_bytes = self._damaged_tiles = 0
        self.terms: CodingTerms | None = None
        """What is worth coding; None before it was told."""
        self._told_s = 0.0
        self.raw = self._opened()
        """Where tiles wait."""
        self.tiles, self._coder = self._made()
        self.refused = False
        """Whether the last image had to wait for energy."""

    # ---- at the start

    def resume(self, kept: ProductsKept) -> None:
        """Take up what the raw store holds, less what is coded, lost or given up. Raises StoreError."""
        for scene, products in kept.products:
            self.raw.drop(scene, [product - FIRST_BLOCK for product in products if product >= FIRST_BLOCK])
        for scene, product in kept.given_up:
            tiles = self.raw.tiles(scene) if product is None else (product - FIRST_BLOCK,)
            waiting = set(self.raw.tiles(scene))
            sizes = [(tile, self.raw.size_bytes(scene, tile)) for tile in tiles if tile in waiting]
            self._losses.note(Loss.GIVEN_UP, scene, sizes)
            self.raw.drop(scene, tiles)
            self._say(GivenUp(scene=scene, product=product, tiles=len(sizes)))
        for scene, tile in self._losses.tiles:
            self.raw.drop(scene, [tile])
        self.tiles, self._coder = self._made()
        self._coder.resume()
        self.report()

    def reopen(self) -> None:
        """After the disk has refused something: what lies there counts. Raises StoreError."""
        raw = self._opened()
        for scene, product in tuple(self._kept):
            raw.drop(scene, [product - FIRST_BLOCK])
            self._kept.discard((scene, product))
        self.raw = raw
        self.tiles, self._coder = self._made()
        self._coder.resume()
        self.report()

    def _opened(self) -> RawStore:
        raw = RawStore(self._folder, capacity_bytes=self._capacity_bytes)
        for reason, (scene, tiles, size_bytes) in zip(raw.losses, raw.lost, strict=True):
            self._say(WorkerNote(reason=reason[:TEXT_LIMIT_CHARS]))
            # Which tiles they were nobody knows: numbers that no tile has.
            self._losses.note(Loss.DAMAGED, scene, [(-1 - one, size_bytes // tiles) for one in range(tiles)])
        return raw

    def _made(self) -> tuple[AnnouncedTiles, SceneCoder]:
        self._lost_bytes = self._damaged_tiles = 0
        tiles = AnnouncedTiles(
            self.raw,
            requests=lambda now_ms: () if self.terms is None else self.terms.requests,
            on_pixels=self._pixels_moved,
            announce=self._announced,
        )
        coder = SceneCoder(
            policy=self._policy,
            tiles=tiles,
            energy=self._energy,
            emit=self._emit_image,
            references=self._references if self._policy.reference.enabled else None,
        )
        return tiles, coder

    # ---- the scene in work

    def begin_survey(self, scene: int) -> None:
        """From here on tiles of this scene come and go; what is lost of it is counted at the end."""
        self._surveying, self._lost_here = scene, {}

    def end_survey(self, surveyed: ProcessedScene) -> None:
        """The scene is sealed: tiles for which there was no room are lost."""
        lost = {one.tile.index: 0 for one in surveyed.tiles if one.pixels is TilePixels.DISCARDED} | self._lost_here
        self._losses.note(Loss.DISCARDED, self._surveying, lost.items())
        self._surveying, self._lost_here = 0, {}
        self.report()

    def lack_of_room(self, scene: int, scene_bytes: int) -> WorkerHeld | None:
        """Why a scene of so many bytes of pixels cannot begin: its disk has no room. None where it can.

        Beyond the capacity tiles are discarded, which needs no room.
        """
        if self.tiles.is_sealed(scene):
            return None
        wanted_bytes = max(0, min(scene_bytes, self._capacity_bytes - self.raw.used_bytes))
        wanted_bytes += OPENING_ROOM_BYTES if self.terms is None else self.terms.room_bytes
        free_bytes = shutil.disk_usage(self._folder).free
        if free_bytes >= wanted_bytes:
            return None
        return WorkerHeld(
            reason=f"{free_bytes} bytes are free under {self._folder}, {wanted_bytes} are needed for the next scene's raw tiles; "
            "free some space",
            wanted_bytes=wanted_bytes,
        )

    # ---- images

    def take_terms(self, terms: CodingTerms) -> None:
        """The main process has said what is worth coding."""
        self.terms, self._told_s = terms, time.monotonic()

    def code_next(self) -> bool:
        """Code the best image; whether there was one to code. Raises StoreError where the disk refuses."""
        self.refused = False
        if self.terms is None or not len(self.tiles):
            return False
        now_ms = self.terms.at_ms + round(1000 * (time.monotonic() - self._told_s))
        try:
            block = self._coder.code_next(now_ms, price=self.terms.price, requests=self.terms.requests)
        except StoreError:
            self._begun = None
            self._say(CodingRests())
            raise
        self.refused = bool(self._coder.refusal)
        if block is not None:
            self._kept.discard((block.scene, block.product))
            self._say(
                ImageCoded(
                    scene=block.scene,
                    product=block.product,
                    size_bytes=block.size_bytes,
                    forecast_bytes=block.forecast_bytes,
                    choice=block.choice.value,
                    reference_scene=block.reference_scene,
                )
            )
        elif self._begun is not None:
            self._say(CodingRests())
        if block is not None or self._begun is not None:
            self.report()
        self._begun = None
        return block is not None

    def give_up(self, scene: int) -> None:
        """Drop the tiles of a scene. Raises StoreError where the disk refuses."""
        sizes = [(tile, self.raw.size_bytes(scene, tile)) for tile in self.raw.tiles(scene)]
        self._losses.note(Loss.GIVEN_UP, scene, sizes)
        self.tiles.discard(scene)
        self._say(GivenUp(scene=scene, product=None, tiles=len(sizes)))
        self.report()

    def close(self) -> None:
        """Let another worker have the stores."""
        self._losses_journal.close()
        os.close(self._lock)

    def report(self) -> None:
        """Say how things stand."""
        waiting = self.tiles.waiting
        discarded, damaged = self._losses.count(Loss.DISCARDED), self._losses.count(Loss.DAMAGED)
        self._say(
            RawReport(
                tiles=waiting.tiles,
                size_bytes=waiting.size_bytes,
                capacity_bytes=self._capacity_bytes,
                discarded_tiles=discarded.tiles,
                discarded_bytes=discarded.size_bytes,
                damaged_tiles=damaged.tiles,
                given_up_tiles=self._losses.count(Loss.GIVEN_UP).tiles,
            )
        )

    def _emit_image(self, layers: Sequence[ValuedLayer]) -> None:
        """Remember that they are kept until their raw tile is gone: the disk may refuse to let it go."""
        self._emit(layers)
        address = layers[0].layer.address
        self._kept.add((address.scene, address.product))

    def _announced(self, image: UncodedImage) -> None:
        self._begun = image
        self._say(CodingBegun(scene=image.scene, product=image.product))

    def _pixels_moved(self, scene: int, tile: int, pixels: TilePixels) -> None:
        """A tile is lost: that is noted before its bytes go; of the scene in work, once the scene is sealed."""
        if pixels is not TilePixels.DISCARDED:
            return
        account = self.tiles.account
        lost_bytes = account.discarded.size_bytes + account.damaged.size_bytes
        size_bytes, self._lost_bytes = lost_bytes - self._lost_bytes, lost_bytes
        is_damaged = account.damaged.tiles > self._damaged_tiles
        self._damaged_tiles = account.damaged.tiles
        if scene == self._surveying:
            self._lost_here[tile] = size_bytes
        elif (scene, tile) not in self._losses.tiles:
            self._losses.note(Loss.DAMAGED if is_damaged else Loss.DISCARDED, scene, [(tile, size_bytes)])
            if is_damaged:
                reason = f"tile {tile} of scene {scene} cannot be coded: it, or the note of its scene, is damaged"
                self._say(WorkerNote(reason=reason))


def _disk_bytes(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).total


def _locked(path: Path) -> int:
    """Waits until no other process holds it: a worker whose parent was killed may still be ending. It goes with this process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle
