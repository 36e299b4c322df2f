"""Detection quality against bytes: the same detector searches what the ground rebuilt from equal bytes of every codec.

Budgets are shares of the raw bytes of each scene; figures are over all objects of all scenes. "ours, one budget" shares the budgets of
all scenes out by value, as the satellite does; every other contender keeps to each. Ours is what the pipeline makes:
its own detections decide which regions come first, and `benchmarks.coding_ground` says which pixels are searched. `alerts` counts
detections made on board that arrived as alerts, without any picture.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from benchmarks.coding_equal_psnr import contender_of
from benchmarks.coding_ground import SEARCHED_DB, believed, searchable
from benchmarks.coding_ours import decode_steps
from benchmarks.coding_port import Codec, Pixels
from benchmarks.coding_scenes import CodingScene
from benchmarks.coding_search import Search
from benchmarks.low_signal_scene import Found, FreeEnergy, searched
from downlink.alerts import decode_alerts
from downlink.image_layers import DecodedImage
from downlink.products import ALERTS_PRODUCT, SUMMARY_PRODUCT, LayerAddress
from downlink.scene import SceneSummary
from downlink.scheduler import rank_groups
from mission.truth import Truth, matched
from onboard.detector import Detector
from onboard.pipeline import PipelineSettings, ScenePipeline
from onboard.policy import Policy
from onboard.screening import ScreeningSettings
from onboard.valuation import ValuedLayer

OURS, POOLED, ALERTS, ORIGINAL = "ours", "ours, one budget", "ours, alerts", "original"
MADE_ON_BOARD = (OURS, POOLED, ALERTS)
"""Those that come from the layers of the pipeline."""
SIZE_TOLERANCE = 0.03
"""A file may stay this share (natural logarithm) below its budget."""
F1_SHARE = 0.98
"""Equal F1 is this share of the F1 on the originals."""
REFINEMENTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Detections of one or more scenes against labels and against the detections on the originals."""

    hits: int = 0
    found: int = 0
    objects: int = 0
    """Labelled."""
    again: int = 0
    """Detections on the originals that were made again."""
    original: int = 0
    """Detections on the originals."""
    bytes: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            hits=self.hits + other.hits,
            found=self.found + other.found,
            objects=self.objects + other.objects,
            again=self.again + other.again,
            original=self.original + other.original,
            bytes=self.bytes + other.bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionPoint:
    """One codec at one budget over all scenes."""

    codec: str
    share_percent: float
    """Budget, percent of raw."""
    bytes: int
    """Really used."""
    f1: float
    recall: float
    precision: float
    objects: int
    """Labelled objects: one more or less found moves recall by one over this."""
    recall_of_original: float
    """Recall over the recall on the originals."""
    found_again: float
    """Share of the detections on the originals that were made again."""


@dataclass(slots=True, kw_only=True)
class WatchedScene:
    """One scene with what the detector sees in the original."""

    scene: CodingScene
    truth: Truth
    detector: Detector
    original: Found
    above_db: float = SEARCHED_DB
    """Blocks are searched from this stated PSNR on."""
    layers: tuple[ValuedLayer, ...] = ()
    """What the pipeline makes of it; nothing where ours is not asked for."""
    summary: SceneSummary | None = None
    searches: dict[str, tuple[Search, dict[float, bytes]]] = field(default_factory=dict)
    decoded: dict[tuple[int, int], DecodedImage | None] = field(default_factory=dict)
    """By product and steps; the next budget has most of them."""

    @classmethod
    def of(
        cls,
        scene: CodingScene,
        detector: Detector,
        policy: Policy | None,
        *,
        number: int = 1,
        above_db: float = SEARCHED_DB,
    ) -> "WatchedScene | None":
        """None without labels. With a policy the scene is worked through as on board, as scene `number`."""
        if scene.truth is None:
            return None
        original = searched(scene.frame, scene.pixels, detector)
        watched = cls(scene=scene, truth=scene.truth, detector=detector, original=original, above_db=above_db)
        if policy is not None:
            watched._work_through(policy, number)
        return watched

    def _work_through(self, policy: Policy, number: int) -> None:
        made: list[ValuedLayer] = []
        settings = PipelineSettings(screening=ScreeningSettings(), peak_dn=self.scene.peak_dn)
        pipeline = ScenePipeline(
            policy=policy, settings=settings, detector=self.detector, energy=FreeEnergy(), emit=made.extend
        )
        self.summary = pipeline.process(self.scene.frame, scene=number, captured_ms=0).summary
        self.layers = tuple(made)

    def budget_bytes(self, share_percent: float) -> int:
        return int(self.scene.pixels.nbytes * share_percent / 100)

    def search(self, pixels: Pixels) -> Found:
        """What the detector sees in other pixels of this scene."""
        return searched(self.scene.frame, pixels, self.detector)

    def judge(self, found: Found, size_bytes: int) -> Counts:
        """Counts of a set of detections."""
        return Counts(
            hits=_hits(found, self.truth.corners_px),
            found=len(found),
            objects=len(self.truth.corners_px),
            again=_hits(found, _corners(self.original)),
            original=len(self.original),
            bytes=size_bytes,
        )

    def of_codec(self, codec: Codec, share_percent: float) -> Counts | None:
        """The largest file of a codec within the budget, searched; None where its smallest file is larger."""
        data = self._fitting(codec, self.budget_bytes(share_percent))
        if data is None:
            return None
        return self.judge(self.search(codec.decode(data)), len(data))

    def _fitting(self, codec: Codec, budget_bytes: int) -> bytes | None:
        if codec.name not in self.searches:
            self.searches[codec.name] = _search(codec, self.scene.pixels)
        search, coded = self.searches[codec.name]
        found = search.bracket(math.log(budget_bytes + 1), SIZE_TOLERANCE)
        return None if found.below is None else coded[found.below]

    def of_sent(self, sent: Sequence[ValuedLayer]) -> Counts:
        """The picture rebuilt from layers of this scene, searched."""
        if self.summary is None:
            raise ValueError(f"scene {self.scene.name} was not worked through: give a policy")
        steps: dict[LayerAddress, list[bytes]] = {}
        for valued in sent:
            address = valued.layer.address
            if address.is_block or address.is_chip:
                steps.setdefault(replace(address, step=0), []).append(valued.payload)
        came = [
            (address, image) for address, some in steps.items() if (image := self._decode(address, some)) is not None
        ]
        chips = [image.window for address, image in came if address.is_chip]
        images = [image for _, image in came]
        pixels, searched_px = searchable(self.summary, images, chips, above_db=self.above_db)
        found = believed(self.search(pixels), searched_px) if searched_px.any() else []
        return self.judge(found, sum(valued.layer.size_bytes for valued in sent))

    def of_alerts(self, sent: Sequence[ValuedLayer]) -> Counts:
        """What was detected on board and arrived as alerts; no other layers are counted."""
        alerts: Found = []
        size_bytes = 0
        for valued in sent:
            if valued.layer.address.product in (ALERTS_PRODUCT, SUMMARY_PRODUCT):
                size_bytes += valued.layer.size_bytes
            if valued.layer.address.product == ALERTS_PRODUCT:
                alerts += [(one.corners_px, one.confidence) for one in decode_alerts(valued.payload)]
        return self.judge(alerts, size_bytes)

    def _decode(self, address: LayerAddress, payloads: Sequence[bytes]) -> DecodedImage | None:
        key = (address.product, len(payloads))
        if key not in self.decoded:
            self.decoded[key] = decode_steps(payloads, self.scene.frame.nodata)
        return self.decoded[key]


def sent_within(layers: Sequence[ValuedLayer], budget_bytes: int) -> tuple[list[ValuedLayer], int]:
    """What goes into a budget in order of value per byte, the summary first, and its bytes; what does not fit is passed over."""
    by_address = {valued.layer.address: valued for valued in layers}
    groups = [group.layers for group in rank_groups([valued.layer for valued in layers], 0)]
    groups.sort(key=lambda group: group[0].address.product != SUMMARY_PRODUCT)
    sent: list[ValuedLayer] = []
    there: set[LayerAddress] = set()
    left = budget_bytes
    for group in groups:
        size_bytes = sum(layer.size_bytes for layer in group)
        previous = group[0].address.previous
        if size_bytes <= left and (previous is None or previous in there):
            left -= size_bytes
            there.update(layer.address for layer in group)
            sent += [by_address[layer.address] for layer in group]
    return sent, budget_bytes - left


def measured(
    name: str, watched: Sequence[WatchedScene], codecs: Sequence[Codec], shares_percent: Sequence[float]
) -> tuple[list[DetectionPoint], int | None, int | None]:
    """(a contender at every budget it can keep to, bytes from which on it has the F1 to compare at, bytes at which it first has).

    A codec whose smallest file of some scene is larger than the budget has no point there.
    """
    original = sum((one.judge(one.original, one.scene.pixels.nbytes) for one in watched), Counts())

    @cache
    def measure(share_percent: float) -> Counts | None:
        if name in MADE_ON_BOARD:
            parts: list[Counts | None] = list(_of_layers(name, watched, share_percent))
        else:
            codec = next(codec for codec in codecs if codec.name == name)
            parts = [one.of_codec(codec, share_percent) for one in watched]
        whole = [part for part in parts if part is not None]
        return sum(whole, Counts()) if len(whole) == len(parts) else None

    counted = [(share, measure(share)) for share in shares_percent]
    points = [point_of(name, share, counts, original) for share, counts in counted if counts is not None]
    target_f1 = F1_SHARE * f1_of(original)
    lasting = bytes_for_f1(points, measure, target_f1)
    first = bytes_for_f1(points, measure, target_f1, lasting=False)
    for one in watched:
        one.searches.pop(name, None)
    return points, lasting, first


def _of_layers(name: str, watched: Sequence[WatchedScene], share_percent: float) -> Iterator[Counts]:
    """Every scene, out of a budget of its own or out of one for all."""
    everything = [valued for one in watched for valued in one.layers]
    pooled, _ = sent_within(everything, sum(one.budget_bytes(share_percent) for one in watched))
    for one in watched:
        sent, _ = sent_within(one.layers, one.budget_bytes(share_percent))
        if name == POOLED:
            mine = {valued.layer.address for valued in one.layers}
            sent = [valued for valued in pooled if valued.layer.address in mine]
        yield one.of_alerts(sent) if name == ALERTS else one.of_sent(sent)


def point_of(name: str, share_percent: float, counts: Counts, original: Counts) -> DetectionPoint:
    """Figures of counts; `original` are those of the originals."""
    return DetectionPoint(
        codec=name,
        share_percent=share_percent,
        bytes=counts.bytes,
        f1=f1_of(counts),
        recall=counts.hits / max(counts.objects, 1),
        precision=counts.hits / max(counts.found, 1),
        objects=counts.objects,
        recall_of_original=counts.hits / max(original.hits, 1),
        found_again=counts.again / max(counts.original, 1),
    )


def f1_of(counts: Counts) -> float:
    """Twice the hits over detections and objects together."""
    return 2 * counts.hits / max(counts.found + counts.objects, 1)


def bytes_for_f1(
    points: Sequence[DetectionPoint],
    measure: Callable[[float], Counts | None],
    target_f1: float,
    *,
    lasting: bool = True,
) -> int | None:
    """Bytes at the smallest budget whose F1 reaches the target, refined by halving the step before it.

    `lasting` asks that F1 stays there at every larger budget tried. F1 of a few dozen objects moves in steps of a hundredth and
    may dip by one: the two readings tell how firm a figure is.
    """
    reaching = [place for place, point in enumerate(points) if point.f1 >= target_f1]
    if lasting:
        reaching = [place for place in reaching if all(point.f1 >= target_f1 for point in points[place:])]
    if not reaching:
        return None
    reached = reaching[0]
    size_bytes, high = points[reached].bytes, points[reached].share_percent
    if reached == 0:
        return size_bytes
    low = points[reached - 1].share_percent
    for _ in range(REFINEMENTS):
        middle = math.sqrt(low * high)
        counts = measure(middle)
        if counts is not None and f1_of(counts) >= target_f1:
            size_bytes, high = counts.bytes, middle
        else:
            low = middle
    return size_bytes


def _search(codec: Codec, pixels: Pixels) -> tuple[Search, dict[float, bytes]]:
    coded: dict[float, bytes] = {}

    def log_bytes(knob: float) -> float:
        coded[knob] = codec.encode(pixels, knob)
        return math.log(len(coded[knob]))

    return Search(measure=log_bytes, knob=contender_of(codec, pixels).knob), coded


def _corners(found: Found) -> np.ndarray:
    return np.array([corners for corners, _ in found], dtype=np.float64).reshape(-1, 4, 2)


def _hits(found: Found, corners_px: np.ndarray) -> int:
    if not found or not len(corners_px):
        return 0
    truth = Truth(corners_px=corners_px, class_names=("ship",) * len(corners_px))
    hits, _ = matched(_corners(found), np.array([confidence for _, confidence in found]), truth)
    return int(hits.sum())
