"""What was missed on board, from the units that the discard audit drew: rates with their intervals, by kind (pure).

A unit is missed where somebody or something that looked at it found an object in it that the satellite had not reported. Units stand for
others: one that was drawn with a chance of 2 % stands for fifty (Horvitz and Thompson 1952). The counts of a scene are known exactly, so
the weights are normalised to them (Hájek 1971). Where all chances are alike the interval is Clopper and Pearson's; where they are not, it
is that of a smaller sample, by the design effect (Korn and Graubard 1998).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from downlink.alerts import AlertDetection
from downlink.audit_sample import AuditManifest, AuditUnit, DiscardKind
from downlink.image_layers import DecodedImage
from downlink.scene import SceneSummary, Window
from ground.binomial_interval import Interval, clopper_pearson, rule_of_three

UnitName = tuple[int, int]
"""Scene number, and the place of the unit in the audit of that scene."""


class Judge(StrEnum):
    """Who said what is in a unit; the first that has spoken counts."""

    PERSON = "person"
    """Somebody looked at the picture."""
    TRUTH = "truth"
    """What is known to be there."""
    DETECTOR = "detector"
    """The ground's detector at a low threshold: what it suspects counts as an object until a person has looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is in one unit."""

    objects: int
    """Objects in it that the satellite did not report, 0 or more."""
    judge: Judge
    """Who says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneAudit:
    """The audit of one scene as it came down."""

    summary: SceneSummary
    """Of the scene."""
    manifest: AuditManifest
    """What was thrown away, and what of it was drawn."""
    picture: DecodedImage | None
    """The cells of the units, one below the other; None where none was drawn."""
    size_bytes: int
    """Of its layer."""

    def units(self) -> Iterable[tuple[UnitName, DiscardKind, AuditUnit]]:
        """The units drawn, with their names."""
        for place, (kind, unit) in enumerate(self.manifest.units):
            yield (self.summary.scene, place), kind, unit

    def cell(self, place: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Pixels (bands, cell, cell) of a unit, rough, and which of them are valid; None without a picture."""
        if self.picture is None:
            return None
        rows = slice(place * self.manifest.cell_px, (place + 1) * self.manifest.cell_px)
        return self.picture.pixels[:, rows], self.picture.valid[rows]

    def window(self, unit: AuditUnit) -> Window:
        """The ground that a cell stands for: as far as its tile, or the scene, goes."""
        side, tile_px = self.manifest.cell_px, self.summary.tile_px
        row_stop = min(unit.row + side, (unit.row // tile_px + 1) * tile_px, self.summary.height)
        col_stop = min(unit.col + side, (unit.col // tile_px + 1) * tile_px, self.summary.width)
        return Window(row=unit.row, col=unit.col, height=max(1, row_stop - unit.row), width=max(1, col_stop - unit.col))


@dataclass(frozen=True, slots=True, kw_only=True)
class MissRate:
    """What is known of one kind of discard, or of several together."""

    population: int
    """Units thrown away, in all scenes whose audit came down."""
    drawn: int
    """Of these, drawn and on the ground."""
    judged: int
    """Of these, judged."""
    missed: int
    """Of these, with an object."""
    rate: float | None
    """Share of all units that hold an object, estimated; None where nothing was judged."""
    interval: Interval
    """Of that share, at 95 %; 0 to 1 where nothing is known."""
    at_most: float | None
    """Where nothing was missed: the share is below this, one-sided at 95 % (rule of three); None otherwise."""
    objects: float | None
    """Objects in all units, estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """Units of one kind."""

    population: int
    weights: np.ndarray
    """(judged,) how many units each stands for."""
    objects: np.ndarray
    """(judged,) objects in each."""
    drawn: int


def miss_rates(
    audits: Sequence[SceneAudit], verdicts: Mapping[UnitName, Verdict], kinds: Iterable[DiscardKind] = DiscardKind
) -> dict[DiscardKind, MissRate]:
    """By kind, of the kinds of which there was anything to draw from."""
    return {kind: rate for kind in kinds if (rate := pooled_rate(audits, verdicts, (kind,))).population}


def pooled_rate(
    audits: Sequence[SceneAudit], verdicts: Mapping[UnitName, Verdict], kinds: Iterable[DiscardKind]
) -> MissRate:
    """Of these kinds together: a unit of a kind with a small share stands for more than one of a kind with a large one."""
    return _rate(_sample(audits, verdicts, frozenset(kinds)))


def reported_around(x: float, y: float, reported: Sequence[AlertDetection]) -> bool:
    """Whether a point, in scene pixels, lies in the box of a detection that was reported."""
    return any(_holds(one.corners_px, x, y) for one in reported)


def _sample(
    audits: Sequence[SceneAudit], verdicts: Mapping[UnitName, Verdict], kinds: frozenset[DiscardKind]
) -> _Sample:
    population = drawn = 0
    weights: list[float] = []
    objects: list[int] = []
    for audit in audits:
        shares = {}
        for stratum in audit.manifest.strata:
            if stratum.kind in kinds and stratum.share:
                population += stratum.population
                shares[stratum.kind] = stratum.share
        for name, kind, _ in audit.units():
            if kind not in shares:
                continue
            drawn += 1
            if (verdict := verdicts.get(name)) is not None:
                weights.append(1 / shares[kind])
                objects.append(verdict.objects)
    return _Sample(
        population=population, drawn=drawn, weights=np.array(weights, np.float64), objects=np.array(objects, np.float64)
    )


def _rate(sample: _Sample) -> MissRate:
    judged = len(sample.weights)
    if not judged:
        return MissRate(
            population=sample.population,
            drawn=sample.drawn,
            judged=0,
            missed=0,
            rate=None,
            interval=Interval(low=0.0, high=1.0),
            at_most=None,
            objects=None,
        )
    is_missed = sample.objects > 0
    weights = sample.weights / sample.weights.sum()
    rate, missed = float(weights[is_missed].sum()), int(is_missed.sum())
    is_complete = judged == sample.population
    trials = _worth(weights, is_missed, rate)
    return MissRate(
        population=sample.population,
        drawn=sample.drawn,
        judged=judged,
        missed=missed,
        rate=rate,
        interval=Interval(low=rate, high=rate) if is_complete else clopper_pearson(min(rate, 1.0) * trials, trials),
        at_most=None if missed else 0.0 if is_complete else rule_of_three(trials),
        objects=float(weights @ sample.objects) * sample.population,
    )


def _worth(weights: np.ndarray, is_missed: np.ndarray, rate: float) -> float:
    """The size of a simple random sample that would tell as much: units over the design effect, never more than there are.

    Unequal weights cost what Kish's formula says, 1 / sum of squared weights, and more where the heavy units are the ones that differ: then
    rate (1 - rate) over the estimated variance.
    """
    if np.ptp(weights) <= 1e-9 * weights.max():
        return float(len(weights))
    worth = 1 / float(weights @ weights)
    variance = float(((weights * (is_missed - rate)) ** 2).sum())
    if 0 < rate < 1 and variance > 0:
        worth = min(worth, rate * (1 - rate) / variance)
    return max(1.0, min(worth, float(len(weights))))


def _holds(corners: Sequence[tuple[float, float]], x: float, y: float) -> bool:
    """Whether a convex outline holds a point."""
    sides = [
        (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)
        for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True)
    ]
    return all(side >= 0 for side in sides) or all(side <= 0 for side in sides)
