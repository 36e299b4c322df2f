"""Bytes at equal PSNR: every codec is set so that it lies on both sides of a target, and its size is read off between the two."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.coding_ours import FINE_LADDER_PERCENT, blocks_of, regions_of, with_ladder
from benchmarks.coding_port import Absent, Codec, KnobRange, Pixels
from benchmarks.coding_scenes import CodingScene
from benchmarks.coding_search import Search, log_between
from downlink.scene import Window
from ground.comparison import squared_error
from onboard.policy import Policy
from onboard.sensor_frame import Mask

OURS, OURS_FINE = "ours", "ours, fine steps"
TOLERANCE_DB = 1.5
"""Two settings this near to each other on both sides of a target are near enough."""
COARSE_DB = 2.0
"""A size read off between settings further apart is marked."""
NEAR_STEPS = 6.5
"""Of a knob in fractions: nearer settings are not tried even where PSNR leaps between them."""
EXACT_DB = 200.0
PER_BAND = ("jpeg2000-bands", "jpeg2000-bands-5/3")
"""Compared on the whole scene alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A codec on one scene: a setting gives bytes and the pixels on the ground."""

    name: str
    knob: KnobRange
    code: Callable[[float], tuple[int, Pixels]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneSize:
    """What one codec needs for one scene at a target."""

    scene: str
    collection: str
    codec: str
    kind: str
    """"scene" or "roi"."""
    pixels: int
    """Of the scene."""
    bands: int
    target_db: float
    bytes: int | None
    """At exactly the target; None where the codec cannot be set to both sides of it."""
    below_db: float | None
    """PSNR of the nearest setting that misses the target."""
    above_db: float | None
    """PSNR of the nearest setting that reaches it."""
    above_bytes: int | None
    """Its size."""

    @property
    def coarse(self) -> bool:
        """Whether the two settings lie far apart, so that the size between them is a rough one."""
        return self.below_db is not None and self.above_db is not None and self.above_db - self.below_db > COARSE_DB


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualPsnrRow:
    """One codec at one target over all scenes where it can be set to it."""

    codec: str
    bytes: int | None
    """On the scenes where it lies on both sides of the target; None where there are none."""
    bits_per_pixel: float | None
    """Of all bands together, on those scenes."""
    scenes: int
    """How many those are."""
    reaching_bytes: int | None
    """On all scenes at the nearest setting that reaches the target or exceeds it; None where one never does."""
    reaching_db: float | None
    """Mean PSNR of those settings: how unequal they are."""
    already_above: int
    """Scenes where its lowest setting exceeds the target: not compared."""
    ours_over_this: float | None
    """Bytes of ours, steps as the policy has them, over bytes of this codec, on the scenes where both have a size."""
    fine_over_this: float | None
    """The same with ours in fine steps."""
    widest_db: float
    """Largest distance between the two settings that a size was read off between."""


@dataclass(slots=True, kw_only=True)
class JudgedContender:
    """A contender with everything it was tried at."""

    contender: Contender
    scene: CodingScene
    _sizes: dict[float, int] = field(default_factory=dict)
    _db: dict[float, tuple[float, float]] = field(default_factory=dict)

    def sizes(self, kind: str, targets_db: Sequence[float]) -> list[SceneSize]:
        """Bytes at every target."""
        place = 0 if kind == "scene" else 1
        tried = {knob: both[place] for knob, both in self._db.items()}
        search = Search(measure=lambda knob: self._measure(knob)[place], knob=self.contender.knob, tried=tried)
        return [self._size(kind, search, target) for target in targets_db]

    def _size(self, kind: str, search: Search, target_db: float) -> SceneSize:
        near_steps = NEAR_STEPS if self.contender.knob.step < 1 else 1.5
        found = search.bracket(target_db, TOLERANCE_DB, near_steps=near_steps)
        below_db = None if found.below is None else search.tried[found.below]
        above_db = None if found.above is None else search.tried[found.above]
        size = None
        if found.below is not None and found.above is not None:
            low = (search.tried[found.below], self._sizes[found.below])
            size = round(log_between(target_db, low, (search.tried[found.above], self._sizes[found.above])))
        return SceneSize(
            scene=self.scene.name,
            collection=self.scene.collection,
            codec=self.contender.name,
            kind=kind,
            pixels=self.scene.valid.size,
            bands=len(self.scene.pixels),
            target_db=target_db,
            bytes=size,
            below_db=below_db,
            above_db=above_db,
            above_bytes=None if found.above is None else self._sizes[found.above],
        )

    def _measure(self, knob: float) -> tuple[float, float]:
        if knob not in self._db:
            self._sizes[knob], pixels = self.contender.code(knob)
            scene = self.scene
            self._db[knob] = (_db(scene, pixels, scene.valid), _db(scene, pixels, scene.region_mask))
        return self._db[knob]


def scene_sizes(
    scene: CodingScene,
    codecs: Sequence[Codec | Absent],
    policy: Policy,
    *,
    scene_db: Sequence[float],
    roi_db: Sequence[float],
) -> list[SceneSize]:
    """Bytes of every contender at every target on one scene; ROI targets only where there are labels."""
    sizes = []
    lossy = [codec for codec in codecs if isinstance(codec, Codec) and not codec.lossless]
    whole = [contender_of(codec, scene.pixels) for codec in lossy]
    for contender in [*whole, *_ours(scene, policy)]:
        judged = JudgedContender(contender=contender, scene=scene)
        sizes += judged.sizes("scene", scene_db)
        if scene.regions and contender in whole and contender.name not in PER_BAND:
            sizes += judged.sizes("roi", roi_db)
    if scene.regions:
        parts = [cut_out(codec, scene) for codec in lossy if codec.name == "jpeg2000"]
        for contender in [*parts, *_our_regions(scene, policy)]:
            sizes += JudgedContender(contender=contender, scene=scene).sizes("roi", roi_db)
    return sizes


def contender_of(codec: Codec, pixels: Pixels) -> Contender:
    """A codec on pixels. Raises ValueError for a lossless one."""
    if codec.knob is None:
        raise ValueError(f"{codec.name} is lossless: it has no setting to search")

    def code(knob: float) -> tuple[int, Pixels]:
        data = codec.encode(pixels, knob)
        return len(data), codec.decode(data)

    return Contender(name=codec.name, knob=codec.knob, code=code)


def cut_out(codec: Codec, scene: CodingScene) -> Contender:
    """A codec on each region of interest alone, 8 bytes a region for its place."""
    if codec.knob is None:
        raise ValueError(f"{codec.name} is lossless: it has no setting to search")

    def code(knob: float) -> tuple[int, Pixels]:
        rebuilt, size = np.zeros_like(scene.pixels), 0
        for window in scene.regions:
            data = codec.encode(np.ascontiguousarray(_part(scene.pixels, window)), knob)
            _part(rebuilt, window)[:] = codec.decode(data)
            size += len(data) + 8
        return size, rebuilt

    return Contender(name=f"{codec.name}, regions only", knob=codec.knob, code=code)


def _part(pixels: Pixels, window: Window) -> Pixels:
    rows, cols = window.slices
    return pixels[:, rows, cols]


def _ours(scene: CodingScene, policy: Policy) -> list[Contender]:
    fine = with_ladder(policy.blocks, FINE_LADDER_PERCENT)
    both = [(OURS, blocks_of(scene, policy.blocks)), (OURS_FINE, blocks_of(scene, fine))]
    return [Contender(name=name, knob=layered.knob, code=layered.code) for name, layered in both]


def _our_regions(scene: CodingScene, policy: Policy) -> list[Contender]:
    fine = with_ladder(policy.chips, FINE_LADDER_PERCENT)
    both = [(OURS, regions_of(scene, policy.chips)), (OURS_FINE, regions_of(scene, fine))]
    return [Contender(name=name, knob=layered.knob, code=layered.code) for name, layered in both]


def _db(scene: CodingScene, pixels: Pixels, where: Mask) -> float:
    found = squared_error(scene.pixels, pixels, where).psnr_db(scene.peak_dn)
    return EXACT_DB if found is None or math.isinf(found) else found


def equal_psnr_rows(sizes: Sequence[SceneSize], kind: str, target_db: float) -> list[EqualPsnrRow]:
    """All codecs at one target, each against ours on the scenes where both can be compared."""
    at_target = [one for one in sizes if one.kind == kind and one.target_db == target_db]
    rows = []
    for name in dict.fromkeys(one.codec for one in at_target):
        mine = [one for one in at_target if one.codec == name]
        sized = [one for one in mine if one.bytes is not None]
        reaches = all(one.above_bytes is not None for one in mine)
        gaps = [(one.above_db or 0.0) - (one.below_db or 0.0) for one in sized]
        rows.append(
            EqualPsnrRow(
                codec=name,
                bytes=sum(one.bytes or 0 for one in sized) if sized else None,
                bits_per_pixel=_bits_per_pixel(sized),
                scenes=len(sized),
                reaching_bytes=sum(one.above_bytes or 0 for one in mine) if reaches else None,
                reaching_db=sum(one.above_db or 0.0 for one in mine) / len(mine) if reaches else None,
                already_above=sum(one.below_db is None for one in mine),
                ours_over_this=_ratio(at_target, OURS, name),
                fine_over_this=_ratio(at_target, OURS_FINE, name),
                widest_db=max(gaps, default=0.0),
            )
        )
    return rows


def _bits_per_pixel(sized: Sequence[SceneSize]) -> float | None:
    pixels = sum(one.pixels for one in sized)
    return 8 * sum(one.bytes or 0 for one in sized) / pixels if pixels else None


def _ratio(sizes: Sequence[SceneSize], numerator: str, denominator: str) -> float | None:
    """Bytes of one codec over bytes of another on the scenes where both have a size."""
    by_codec = {
        name: {(one.collection, one.scene): one.bytes for one in sizes if one.codec == name and one.bytes is not None}
        for name in (numerator, denominator)
    }
    common = by_codec[numerator].keys() & by_codec[denominator].keys()
    below = sum(by_codec[denominator][scene] for scene in common)
    return sum(by_codec[numerator][scene] for scene in common) / below if below else None
