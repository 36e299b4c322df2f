"""What the main process has to do with coding: it tells the worker what is stored, what is worth coding and what is not wanted, and
keeps the books of images over which the worker dies.

Nothing here touches pixels. `turn` may be called at any time; what a journal refuses comes out as JournalError, and is tried again at the
next turn.
"""

from collections.abc import Collection
from typing import Final, Protocol

from mission.live.coding_journal import CodingJournal
from mission.live.scene_worker import SceneWorker
from mission.live.structured_log import StructuredLog
from mission.live.worker_messages import (
    CodingAllowed,
    CodingBegun,
    CodingRests,
    CodingTerms,
    GivenUp,
    GiveUp,
    ImageCoded,
    ProductsKept,
    RawReport,
    WorkerNote,
)

UNWANTED: Final = "the ground does not want the scene"
"""Why a scene that was dropped has no images."""
IMAGE_DEATHS_LIMIT: Final = 3
"""An image over which the worker has died so often is given up."""

FromCoding = CodingBegun | ImageCoded | CodingRests | GivenUp | RawReport | WorkerNote


class KeptProducts(Protocol):
    """Who knows what is stored."""

    def kept_products_of(self, scenes: Collection[int]) -> dict[int, frozenset[int]] | None:
        """Products of these scenes that are stored, scenes without any left out; None while that cannot be told."""


class CodingLine:
    """One worker's coding."""

    def __init__(self, journal: CodingJournal, keeper: KeptProducts, log: StructuredLog) -> None:
        self._journal = journal
        self._keeper = keeper
        self._log = log
        self.image: tuple[int, int] | None = None
        """Scene and product of the image that is being coded."""
        self.report = RawReport()
        """The worker's last word on its raw tiles."""
        self.terms: CodingTerms | None = None
        """What is worth coding."""
        self.coded_images = self.coded_bytes = 0
        """Since the service started; bytes of layers."""
        self.predicted_images = 0
        """Of those, the ones that lean on what the ground holds."""
        self.is_open = False
        """Whether the worker knows what is stored: only then it takes orders."""
        self._raw_scenes: tuple[int, ...] | None = None
        self._is_allowed = False
        self._terms_told: CodingTerms | None = None
        self._unnoted_coded: list[tuple[int, int]] = []
        self._unnoted_given_up: list[tuple[int, int | None]] = []
        self._unnoted_deaths: list[tuple[int, int, str]] = []
        self._unnoted_unwanted: list[int] = []
        self._unwanted: list[int] = []

    # ---- what the worker says

    def begin(self) -> None:
        """A worker is started, or has ended."""
        self.image = self._raw_scenes = self._terms_told = None
        self.is_open = self._is_allowed = False
        self._unwanted.clear()

    def ready(self, raw_scenes: tuple[int, ...]) -> None:
        """The worker has opened its raw store."""
        self._raw_scenes = raw_scenes

    def take(self, message: FromCoding) -> None:
        """What it says of coding."""
        match message:
            case CodingBegun():
                self.image = message.scene, message.product
            case CodingRests():
                self.image = None
            case ImageCoded():
                self._take_coded(message)
            case GivenUp():
                self._unnoted_given_up.append((message.scene, message.product))
                if message.tiles:
                    self._log.warning(
                        "raw tiles given up", scene=message.scene, product=message.product, tiles=message.tiles
                    )
            case RawReport():
                self._take_report(message)
            case WorkerNote():
                self._log.warning("work goes on without", reason=message.reason)

    def _take_coded(self, message: ImageCoded) -> None:
        self.image = None
        self.coded_images += 1
        self.coded_bytes += message.size_bytes
        self.predicted_images += message.reference_scene is not None
        self._unnoted_coded.append((message.scene, message.product))
        self._log.debug(
            "image coded",
            scene=message.scene,
            product=message.product,
            size_bytes=message.size_bytes,
            forecast_bytes=message.forecast_bytes,
            choice=message.choice,
            reference_scene=message.reference_scene,
        )

    def _take_report(self, report: RawReport) -> None:
        more = report.discarded_tiles - self.report.discarded_tiles
        if more > 0 and self.report.capacity_bytes:
            self._log.warning("raw tiles discarded", tiles=more, used=report.size_bytes, capacity=report.capacity_bytes)
        self.report = report

    def worker_died(self, how: str) -> bool:
        """Whether it died over an image; then that counts against the image."""
        if self.image is None:
            return False
        self._unnoted_deaths.append((*self.image, how))
        self.image = None
        return True

    # ---- what the ground says

    def discard(self, scene: int) -> None:
        """No layers are to be made of a scene any more."""
        self._unnoted_unwanted.append(scene)

    # ---- what is done

    def turn(self, worker: SceneWorker | None, *, may_open: bool, may_code: bool) -> None:
        """Note what is to be noted, and tell the worker what it has to know. It is told what is stored when `may_open`, that images
        may be coded when `may_code`. Raises JournalError."""
        self._note()
        if worker is None:
            return
        if not self.is_open and may_open:
            self._open(worker)
        if not self.is_open:
            return
        while self._unwanted:
            worker.tell(GiveUp(scene=self._unwanted.pop(0)))
        if self.terms is not None and self.terms is not self._terms_told:
            worker.tell(self.terms)
            self._terms_told = self.terms
        if may_code and not self._is_allowed:
            worker.tell(CodingAllowed())
            self._is_allowed = True

    def ordered(self) -> None:
        """The worker has a scene: it codes no more of its own accord until it is allowed again."""
        self._is_allowed = False

    def give_up(self, scene: int, reason: str) -> None:
        """A scene was rejected: its raw tiles go. Raises JournalError."""
        self._journal.give_up(scene, None, reason)
        self._unwanted.append(scene)

    def _note(self) -> None:
        while self._unnoted_deaths:
            scene, product, how = self._unnoted_deaths[0]
            self._journal.note_death(scene, product, how)
            deaths = self._journal.deaths(scene, product)
            if len(deaths) >= IMAGE_DEATHS_LIMIT:
                reason = f"the worker died {len(deaths)} times over it: {'; '.join(deaths)}"
                self._journal.give_up(scene, product, reason)
                self._log.warning("image given up", scene=scene, product=product, reason=reason)
            self._unnoted_deaths.pop(0)
        while self._unnoted_coded:
            self._journal.note_coded(*self._unnoted_coded[0])
            self._unnoted_coded.pop(0)
        while self._unnoted_unwanted:
            self.give_up(self._unnoted_unwanted[0], UNWANTED)
            self._unnoted_unwanted.pop(0)
        while self._unnoted_given_up:
            self._journal.note_given_up(*self._unnoted_given_up[0])
            self._unnoted_given_up.pop(0)

    def _open(self, worker: SceneWorker) -> None:
        if self._raw_scenes is None:
            return
        kept = self._keeper.kept_products_of(self._raw_scenes)
        if kept is None:
            return
        products = tuple((scene, tuple(sorted(products))) for scene, products in sorted(kept.items()))
        worker.tell(ProductsKept(products=products, given_up=self._journal.giving_up))
        self.is_open = True
        self._unwanted.clear()
        # Its layers were on their way when the worker died over it.
        self._unnoted_coded += [one for one in self._journal.dangerous if one[1] in kept.get(one[0], ())]
