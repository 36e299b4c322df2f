"""One-way sending at a signal nobody knows: which layer gets which modulation and code rate, and what then arrives (pure).

The sender knows a prior of Es/N0, uniform in decibels, and a number of channel symbols. A layer is worth its value if it and all
layers before it in its product arrive. With chance g(m) that the signal lies above the threshold of m, value v, b bytes and
c(m) symbols per byte, every layer takes the m that maximises v g(m) - price b c(m): the Lagrangian of the expected value under
the budget. Layers are taken in concave hulls of their product, so no layer gets stronger coding than one that it needs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from downlink.modcod import DVB_S2, SYNC_MARKER_BYTES, ModCod, codeword_error_rate

FRAME_BYTES = 1115
FRAME_OVERHEAD_BYTES = 10
"""Primary header, packet pointer and check of a transfer frame."""
CLASSES_LIMIT = 6
"""A class ends in a codeword that is partly fill, so there are few."""
PRICE_STEPS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """Es/N0 is uniform between two bounds, dB."""

    low_db: float
    high_db: float

    def reached(self, modcod: ModCod) -> float:
        """Chance that the signal reaches a threshold."""
        return min(1.0, max(0.0, (self.high_db - modcod.threshold_db) / (self.high_db - self.low_db)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Consecutive layers of one product that are sent alike."""

    product: int
    """Which product."""
    position: int
    """Which unit of it, from 0."""
    layers: tuple[int, ...]
    """Indices."""
    size_bytes: int
    value: float

    @property
    def density(self) -> float:
        """Value per byte."""
        return self.value / self.size_bytes


@dataclass(slots=True, kw_only=True)
class CodedClass:
    """Everything that is sent with one modulation and code rate, as one stream."""

    modcod: ModCod
    units: list[Unit] = field(default_factory=list)
    """In the order of sending."""

    def codewords(self, payload_fraction: float) -> int:
        """How many it takes."""
        stream_bytes = sum(unit.size_bytes for unit in self.units) / payload_fraction
        return math.ceil(frames_of(stream_bytes) * (FRAME_BYTES + SYNC_MARKER_BYTES) * 8 / self.modcod.data_field_bits)

    def symbols(self, payload_fraction: float) -> int:
        """Channel symbols of those."""
        return self.codewords(payload_fraction) * self.modcod.codeword_symbols()


def frames_of(stream_bytes: float) -> int:
    """Transfer frames that carry so many bytes of layers with their packet headers."""
    return math.ceil(stream_bytes / (FRAME_BYTES - FRAME_OVERHEAD_BYTES))


def hull_units(product: int, layers: Sequence[int], sizes: Sequence[int], values: Sequence[float]) -> list[Unit]:
    """Layers of one product joined until value per byte falls from unit to unit."""
    joined: list[tuple[tuple[int, ...], int, float]] = []
    for layer, size, value in zip(layers, sizes, values, strict=True):
        piece: tuple[tuple[int, ...], int, float] = ((layer,), size, value)
        while joined and joined[-1][2] * piece[1] <= piece[2] * joined[-1][1]:
            former = joined.pop()
            piece = (former[0] + piece[0], former[1] + piece[1], former[2] + piece[2])
        joined.append(piece)
    return [
        Unit(product=product, position=position, layers=piece[0], size_bytes=piece[1], value=piece[2])
        for position, piece in enumerate(joined)
    ]


def protect(units: Sequence[Unit], *, symbols: int, prior: Prior, payload_fraction: float) -> list[CodedClass]:
    """Classes that together take at most `symbols`, most robust first; units that get no place are left out.

    Begins with the one modulation and code rate that is worth most alone and takes in another, the one that gains most, as
    long as one gains.
    """
    candidates: list[ModCod] = []
    best: list[CodedClass] = []
    best_value = 0.0
    while len(candidates) < CLASSES_LIMIT:
        trials: list[tuple[float, ModCod, list[CodedClass]]] = []
        for modcod in DVB_S2:
            if modcod not in candidates:
                classes = _at_best_price(units, [*candidates, modcod], symbols, prior, payload_fraction)
                trials.append((expected_value(classes, prior), modcod, classes))
        value, modcod, classes = max(trials, key=lambda trial: trial[0])
        if value <= best_value:
            break
        candidates, best, best_value = [*candidates, modcod], classes, value
    return _filled(best, units, symbols, prior, payload_fraction)


def expected_value(classes: Sequence[CodedClass], prior: Prior) -> float:
    """What arrives, in points, over the prior."""
    return sum(prior.reached(one.modcod) * sum(unit.value for unit in one.units) for one in classes)


def _at_best_price(
    units: Sequence[Unit], candidates: Sequence[ModCod], symbols: int, prior: Prior, payload_fraction: float
) -> list[CodedClass]:
    """The assignment at the lowest price of a symbol that keeps to the budget, by bisection of its logarithm."""
    values = np.array([unit.value for unit in units])
    sizes = np.array([unit.size_bytes for unit in units], dtype=np.float64)
    gains = np.outer([prior.reached(modcod) for modcod in candidates], values)
    costs = np.outer([8 / modcod.efficiency() for modcod in candidates], sizes)
    low, high = -40.0, 20.0
    classes: list[CodedClass] = []
    for _ in range(PRICE_STEPS):
        price = math.exp((low + high) / 2)
        merit = gains - price * costs
        choice, best = merit.argmax(axis=0), merit.max(axis=0)
        stream = np.bincount(choice[best > 0], weights=sizes[best > 0], minlength=len(candidates)) / payload_fraction
        total = sum(_symbols(modcod, size) for modcod, size in zip(candidates, stream, strict=True) if size > 0)
        if total > symbols:
            low = math.log(price)
            continue
        high = math.log(price)
        classes = _classes(units, candidates, np.where(best > 0, choice, -1))
    return classes


def _symbols(modcod: ModCod, stream_bytes: float) -> int:
    bits = frames_of(stream_bytes) * (FRAME_BYTES + SYNC_MARKER_BYTES) * 8
    return math.ceil(bits / modcod.data_field_bits) * modcod.codeword_symbols()


def _classes(units: Sequence[Unit], candidates: Sequence[ModCod], choice: np.ndarray) -> list[CodedClass]:
    """Units by class, the densest first within each."""
    order = sorted(range(len(units)), key=lambda index: -units[index].density)
    classes = [
        CodedClass(modcod=modcod, units=[units[index] for index in order if choice[index] == number])
        for number, modcod in enumerate(candidates)
    ]
    used = [one for one in classes if one.units]
    return sorted(used, key=lambda one: one.modcod.threshold_db)


def _filled(
    classes: list[CodedClass], units: Sequence[Unit], symbols: int, prior: Prior, payload_fraction: float
) -> list[CodedClass]:
    """Units that were left out put where they fit: into fill first, then into what the budget still has.

    Only the next unit of a product is put anywhere, and never under stronger coding than the one before it.
    """
    placed_db = {(unit.product, unit.position): one.modcod.threshold_db for one in classes for unit in one.units}
    for unit in sorted(units, key=lambda unit: -unit.density):
        before_db = placed_db.get((unit.product, unit.position - 1), -math.inf if unit.position == 0 else math.inf)
        if (unit.product, unit.position) in placed_db:
            continue
        for one in classes:
            if one.modcod.threshold_db < before_db or prior.reached(one.modcod) == 0:
                continue
            one.units.append(unit)
            if sum(other.symbols(payload_fraction) for other in classes) <= symbols:
                placed_db[unit.product, unit.position] = one.modcod.threshold_db
                break
            one.units.pop()
    return classes


def arrived_layers(
    classes: Sequence[CodedClass], es_n0_db: float, chances: Sequence[np.ndarray], payload_fraction: float
) -> frozenset[int]:
    """Layers of which every codeword decodes. `chances` has a uniform draw per codeword of each class."""
    arrived: set[int] = set()
    for one, draws in zip(classes, chances, strict=True):
        lost = draws < codeword_error_rate(one.modcod, es_n0_db)
        ends = np.cumsum([unit.size_bytes for unit in one.units]) / payload_fraction
        starts = np.concatenate(([0.0], ends[:-1]))
        for unit, start, end in zip(one.units, starts, ends, strict=True):
            first, last = codewords_of_span(one.modcod, float(start), float(end))
            if not lost[first:last].any():
                arrived.update(unit.layers)
    return frozenset(arrived)


def codewords_of_span(modcod: ModCod, start: float, end: float) -> tuple[int, int]:
    """First codeword, and the one after the last, that carry a span of a stream of layers: whole frames count."""
    zone, bits = FRAME_BYTES - FRAME_OVERHEAD_BYTES, (FRAME_BYTES + SYNC_MARKER_BYTES) * 8
    first_frame, last_frame = int(start // zone), math.ceil(end / zone)
    return first_frame * bits // modcod.data_field_bits, -(-last_frame * bits // modcod.data_field_bits)
