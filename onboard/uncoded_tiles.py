"""The tiles that wait for coding: raw pixels in the raw store, expected layers in the coding queue, and the account of both.

Survey and coder share one of these. What the survey keeps stands in the queue at once; where the raw store has no room, what
would be coded last goes, be it of this scene or of another. Nothing goes uncounted: kept = coded + waiting + discarded + damaged.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from downlink.products import FIRST_BLOCK
from downlink.requests import LayerRequest
from onboard.coding_queue import CodingQueue, UncodedImage
from onboard.errors import StoreError, SurveyNoteError
from onboard.processed_scene import TilePixels
from onboard.raw_codec import decode_raw
from onboard.raw_store import RawStore
from onboard.survey_note import SurveyNote, decode_note


@dataclass(slots=True, kw_only=True)
class TileCount:
    """How much of something."""

    tiles: int = 0
    """Tiles."""
    size_bytes: int = 0
    """What they took in the raw store."""

    def add(self, size_bytes: int) -> None:
        """One more tile."""
        self.tiles += 1
        self.size_bytes += size_bytes

    def take_back(self, size_bytes: int) -> None:
        """One that should not have been added."""
        self.tiles -= 1
        self.size_bytes -= size_bytes


@dataclass(slots=True, kw_only=True)
class TileAccount:
    """What became of the tiles that were ever kept raw, since the start; those found at the start count as kept."""

    kept: TileCount = field(default_factory=TileCount)
    """Put into the raw store."""
    coded: TileCount = field(default_factory=TileCount)
    """All layers of their blocks made."""
    discarded: TileCount = field(default_factory=TileCount)
    """Given up uncoded: to make room, or because the ground dropped the scene."""
    damaged: TileCount = field(default_factory=TileCount)
    """Could not be read back from the raw store, or lost the note of their scene."""


OnPixels = Callable[[int, int, TilePixels], None]
ImageOf = Callable[[SurveyNote, int, int], UncodedImage]
"""The image of a tile of a noted scene that takes so many bytes in the raw store."""


class UncodedTiles:
    """Raw tiles and what their layers are expected to be worth."""

    def __init__(
        self,
        raw: RawStore,
        *,
        requests: Callable[[int], Sequence[LayerRequest]] = lambda now_ms: (),
        on_pixels: OnPixels = lambda scene, tile, pixels: None,
    ) -> None:
        """`requests` gives what the ground asks for at a time; `on_pixels` is told where the pixels of a tile (scene, tile) are
        now."""
        self.raw = raw
        self.account = TileAccount()
        self._queue = CodingQueue()
        self._images: dict[int, dict[int, UncodedImage]] = {}
        self._requests = requests
        self._on_pixels = on_pixels
        # By scene and product: all that wait. The fresh ones are not in the queue yet, which takes many at once more cheaply.
        self._fresh: list[UncodedImage] = []
        self._unsealed: set[int] = set()

    def __len__(self) -> int:
        """Tiles that wait."""
        return sum(map(len, self._images.values()))

    @property
    def waiting(self) -> TileCount:
        """What waits for coding."""
        images = [image for products in self._images.values() for image in products.values()]
        return TileCount(tiles=len(images), size_bytes=sum(image.raw_bytes for image in images))

    # ---- the survey

    def keep(self, image: UncodedImage, data: bytes, *, now_ms: int) -> bool:
        """Put a raw tile of `len(data)` bytes into the store, not yet durably; says whether it is still there afterwards.

        What is expected to be worth least goes where room is short: this tile, perhaps. Raises StoreError where the disk refuses; then
        the tile is in no book.
        """
        tile = image.product - FIRST_BLOCK
        self._await(image)
        gone = (image,) if len(data) > self.raw.capacity_bytes else self._least(len(data), now_ms)
        if image in gone:  # worth least: others need not go for it
            self._forget(image, TilePixels.DISCARDED, self.account.discarded)
            return False
        for other in gone:
            self._discard(other)
        self._unsealed.add(image.scene)
        try:
            self.raw.put(image.scene, tile, data)
        except StoreError:
            self._forget(image, TilePixels.NOT_KEPT, None)
            raise
        self._on_pixels(image.scene, tile, TilePixels.RAW)
        return True

    def seal(self, note: SurveyNote) -> None:
        """All raw tiles of a scene and its note are durable from now on. A scene of which nothing was kept leaves nothing.

        Raises StoreError where the disk refuses; nothing is sealed then.
        """
        scene = note.summary.scene
        if scene in self._unsealed:
            data = note.encode()
            for image in self._least(len(data), note.summary.captured_ms):
                self._discard(image)
            self.raw.seal(scene, data)
            self._unsealed.discard(scene)

    def abandon(self, scene: int) -> None:
        """The survey of a scene has failed before it was sealed: nothing of it is kept."""
        if scene in self._unsealed:
            self._unsealed.discard(scene)
            self._give_up(scene, self.account.discarded)

    def is_sealed(self, scene: int) -> bool:
        """Whether raw tiles and note of a scene lie in the store, durably."""
        return scene in self.raw.scenes

    def note(self, scene: int) -> SurveyNote:
        """The note of a sealed scene. Raises SurveyNoteError where it cannot be read."""
        return decode_note(self.raw.note(scene), scene=scene)

    # ---- the coder

    def resume(self, image_of: ImageOf) -> Iterator[SurveyNote]:
        """The notes of the scenes that the raw store holds, their tiles put into the queue as `image_of` makes them.

        A scene whose note cannot be read is given up, and counted as damaged.
        """
        for scene in self.raw.scenes:
            try:
                note = self.note(scene)
            except SurveyNoteError:
                self.give_up(scene)
                continue
            for tile in self.raw.tiles(scene):
                if tile < len(note.tiles) and note.tiles[tile].forecast is not None:
                    image = image_of(note, tile, self.raw.size_bytes(scene, tile))
                    self._await(image)
                else:
                    self._drop_unknown(scene, tile)
            yield note

    def give_up(self, scene: int) -> None:
        """Nothing can be made of the tiles of a scene any more: they go, counted as damaged."""
        self._give_up(scene, self.account.damaged)

    def discard(self, scene: int) -> None:
        """Nobody wants the tiles of a scene: they go."""
        self._give_up(scene, self.account.discarded)

    def best(self, now_ms: int, *, price: float, requests: Sequence[LayerRequest]) -> UncodedImage | None:
        """What to code next, None where nothing is worth `price` points per byte."""
        self._file()
        return self._queue.best(now_ms, price=price, requests=requests)

    def pixels(self, image: UncodedImage) -> tuple[np.ndarray, np.ndarray]:
        """The pixels (bands, height, width) of a waiting tile and which of them are valid. Raises StoreError, once the tile has been
        given up and counted as damaged, where they cannot be read."""
        try:
            return decode_raw(self.raw.get(image.scene, image.product - FIRST_BLOCK))
        except StoreError:
            self._forget(image, TilePixels.DISCARDED, self.account.damaged)
            self.raw.drop(image.scene, [image.product - FIRST_BLOCK])
            raise

    def coded(self, image: UncodedImage) -> None:
        """The layers of this tile are durable: its raw pixels may go."""
        self._forget(image, TilePixels.CODED, self.account.coded)
        self.raw.drop(image.scene, [image.product - FIRST_BLOCK])

    def coded_before(self, scene: int, products: Iterable[int]) -> None:
        """Blocks of a scene whose layers turn out to be durable already, after a restart: their raw tiles go."""
        waiting = self._images.get(scene, {})
        for product in products:
            if product in waiting:
                self.coded(waiting[product])

    def holds(self, scene: int) -> bool:
        """Whether any tile of a scene waits."""
        return scene in self._images

    # ---- the books

    def _least(self, more_bytes: int, now_ms: int) -> tuple[UncodedImage, ...]:
        """What has to go so that so many bytes more fit into the raw store."""
        excess_bytes = self.raw.used_bytes + more_bytes - self.raw.capacity_bytes
        if excess_bytes <= 0:
            return ()
        self._file()
        return self._queue.least(excess_bytes, now_ms, self._requests(now_ms))

    def _discard(self, image: UncodedImage) -> None:
        self._forget(image, TilePixels.DISCARDED, self.account.discarded)
        self.raw.drop(image.scene, [image.product - FIRST_BLOCK])

    def _give_up(self, scene: int, count: TileCount) -> None:
        images = tuple(self._images.get(scene, {}).values())
        self.raw.drop(scene, [image.product - FIRST_BLOCK for image in images])
        for image in images:
            self._forget(image, TilePixels.DISCARDED, count)
        for tile in self.raw.tiles(scene):
            self._drop_unknown(scene, tile)

    def _drop_unknown(self, scene: int, tile: int) -> None:
        """A raw tile that no note speaks of."""
        size_bytes = self.raw.size_bytes(scene, tile)
        self.account.kept.add(size_bytes)
        self.account.damaged.add(size_bytes)
        self.raw.drop(scene, [tile])
        self._on_pixels(scene, tile, TilePixels.DISCARDED)

    def _await(self, image: UncodedImage) -> None:
        """One more image waits."""
        self._fresh.append(image)
        self._images.setdefault(image.scene, {})[image.product] = image
        self.account.kept.add(image.raw_bytes)

    def _forget(self, image: UncodedImage, pixels: TilePixels, count: TileCount | None) -> None:
        """The image waits no more; without a `count` it never did."""
        self._file()
        self._queue.remove(image.scene, [image.product])
        waiting = self._images[image.scene]
        del waiting[image.product]
        if not waiting:
            del self._images[image.scene]
        if count is None:
            self.account.kept.take_back(image.raw_bytes)
        else:
            count.add(image.raw_bytes)
        self._on_pixels(image.scene, image.product - FIRST_BLOCK, pixels)

    def _file(self) -> None:
        if self._fresh:
            self._queue.add(self._fresh)
            self._fresh.clear()
