"""The best prediction of a block from what the ground holds: which scene, how it lies, how far to smooth and scale it (pure).

Each earlier scene is registered to the block; where that fails the georeferences say how it lies. A few ways to predict are then tried
on tiles spread over the block, and the bits that each would leave are estimated (`onboard.rate_estimate`). Nothing is coded here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from downlink.prediction import (
    GAIN_UNITS,
    OFFSET_UNITS,
    SHIFT_UNITS,
    Predicted,
    Reference,
    ReferenceBlock,
    predict,
    region_of,
)
from downlink.reference_canvas import Canvas, canvas_over
from downlink.scene import Window
from onboard.radiometric_fit import RadiometricFit, fit_details, fit_levels
from onboard.rate_estimate import TILE_PX, RateEstimate, byte_ratios, estimate_rate, sample_corners
from onboard.reference_settings import ReferenceSettings
from onboard.registration import Registration, register

CANVAS_MARGIN_PX: Final = 12
"""How far a candidate's canvas reaches beyond the window moved by its georeferenced shift: search, smoothing and interpolation."""
SAMPLED_TILES: Final = 8
MOST_SMOOTHING: Final = 2
"""Passes that are tried."""
SURE_CORRELATION: Final = 0.6
"""Above this a measured shift is taken, below it that of the georeferences is tried as well."""
HEADER_BYTES: Final = 20
"""What the header of a prediction takes beyond that of an image alone, about."""
WORSE_COUNTS: Final = 5.0
"""A ratio above the worst allowed counts so many times as much as the mean in the ranking of predictions."""
_Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], RadiometricFit | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceCandidate:
    """What the ground is known to hold of an earlier scene, where the new block lies."""

    scene: int
    """Number of the earlier scene."""
    captured_ms: int
    """When it was taken, ms since 1970."""
    row_shift_px: float
    """By georeference: row r of the new scene lies at r + row_shift_px in the earlier one."""
    col_shift_px: float
    """Likewise for columns."""
    blocks: tuple[ReferenceBlock, ...]
    """What the canvas was made from."""
    canvas: Canvas
    """The window moved by the shift and grown by `CANVAS_MARGIN_PX`, from those blocks."""
    windows: tuple[Window, ...] = ()
    """Where each of the blocks lies in the earlier scene, so that only those needed are named; empty: all are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPrediction:
    """The prediction that promises most."""

    candidate: ReferenceCandidate
    """Where it comes from."""
    predicted: Predicted
    """Its pixels and what they were made from."""
    known: np.ndarray
    """(height, width) bool: where the reference shows the place."""
    ratios: np.ndarray
    """Estimated bytes of the difference over those alone, at the quality of each lossy step alone, and lossless at the end."""
    last_mse: float
    """Estimated mean squared error of the last lossy step alone, DN squared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tiles:
    """Parts of a block."""

    windows: list[Window]
    """Where each lies in the scene."""
    pixels: np.ndarray
    """(tiles, bands, TILE_PX, TILE_PX)."""
    valid: np.ndarray
    """(tiles, TILE_PX, TILE_PX) bool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """One way to predict."""

    candidate: ReferenceCandidate
    reference: Reference
    ratios: np.ndarray
    rank: float
    """The lower the better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """Tries ways to predict on the tiles of a block."""

    alone: RateEstimate
    """Of coding alone."""
    ladder_bits: Sequence[float]
    """Bits per sample of each lossy step."""
    samples: int
    """Of the whole block."""
    settings: ReferenceSettings

    def levels_fitted(self, tiles: _Tiles, candidate: ReferenceCandidate, start: Reference) -> _Trial | None:
        """The reference with its levels fitted; None where too little is known."""
        return self._fitted(tiles, candidate, start, fit_levels)

    def variations(self, tiles: _Tiles, first: _Trial) -> list[_Trial]:
        """The first trial, the same with every other smoothing, and the best of these with details fitted."""
        found = [first]
        for smoothing in range(MOST_SMOOTHING + 1):
            if smoothing != first.reference.smoothing:
                start = replace(_of_gain_one(first.reference), smoothing=smoothing)
                found.append(self._fitted(tiles, first.candidate, start, fit_levels) or first)
        best = min(found, key=lambda trial: trial.rank)
        detailed = self._fitted(tiles, best.candidate, _of_gain_one(best.reference), fit_details)
        return [*found, detailed or first]

    def _fitted(self, tiles: _Tiles, candidate: ReferenceCandidate, start: Reference, fit: _Fit) -> _Trial | None:
        levels, known = _tile_predictions(tiles, start, candidate.canvas)
        found = fit(_by_band(tiles.pixels), _by_band(levels), known & tiles.valid)
        if found is None:
            return None
        rate = estimate_rate(_differences(tiles, levels, found))
        header_bits = 8 * HEADER_BYTES / self.samples
        ratios = byte_ratios(self.alone, rate, ladder_bits=self.ladder_bits, header_bits=header_bits)
        return _Trial(
            candidate=candidate,
            reference=replace(start, gains=found.gains, offsets=found.offsets),
            ratios=ratios,
            rank=mean_ratio(ratios) + WORSE_COUNTS * max(0.0, float(ratios.max()) - self.settings.worst_ratio),
        )


def search_prediction(
    pixels: np.ndarray,
    window: Window,
    valid: np.ndarray,
    *,
    candidates: Sequence[ReferenceCandidate],
    quality_percent: Sequence[float],
    settings: ReferenceSettings,
) -> FoundPrediction | None:
    """The prediction of `pixels` (bands, height, width) that is expected to save most.

    None where no candidate shows enough of the window, or where it is smaller than a tile of `TILE_PX`. `valid` is (height, width) bool.
    """
    corners = sample_corners(*valid.shape, most=SAMPLED_TILES)
    kind = (len(pixels), pixels.dtype)
    fitting = [one for one in candidates if (len(one.canvas.pixels), one.canvas.pixels.dtype) == kind]
    if not corners or not fitting:
        return None
    tiles = _tiles(pixels, window, valid, corners)
    alone = estimate_rate(_centred(tiles))
    ladder_bits = [percent / 100 * 8 * pixels.dtype.itemsize for percent in quality_percent[:-1]]
    judge = _Judge(alone=alone, ladder_bits=ladder_bits, samples=pixels.size, settings=settings)
    first = [
        trial
        for candidate in fitting
        for start in _placements(pixels, window, valid, candidate, settings)
        if (trial := judge.levels_fitted(tiles, candidate, start)) is not None
    ]
    if not first:
        return None
    trials = judge.variations(tiles, min(first, key=lambda trial: trial.rank))
    best = min(trials, key=lambda trial: trial.rank)
    canvas = canvas_over(region_of(best.reference, window), best.candidate.canvas)
    return FoundPrediction(
        candidate=best.candidate,
        predicted=Predicted(reference=best.reference, pixels=predict(best.reference, window, canvas)),
        known=_known(best.reference, window, canvas),
        ratios=best.ratios,
        last_mse=alone.mse_at(ladder_bits[-1]) if ladder_bits else 0.0,
    )


def mean_ratio(ratios: np.ndarray) -> float:
    """The geometric mean: every step of the ladder weighs alike."""
    return float(np.exp(np.mean(np.log(np.maximum(ratios, 1e-3)))))


def _placements(
    pixels: np.ndarray,
    window: Window,
    valid: np.ndarray,
    candidate: ReferenceCandidate,
    settings: ReferenceSettings,
) -> Iterator[Reference]:
    """References of gain 1 by the shifts worth trying, as far as they show enough of the window."""
    measured = register(
        pixels,
        valid,
        window,
        candidate.canvas,
        row_shift_px=candidate.row_shift_px,
        col_shift_px=candidate.col_shift_px,
        search_px=settings.search_px,
    )
    for rows, cols in _shifts(candidate, measured):
        reference = _reference(candidate, window, round(rows * SHIFT_UNITS), round(cols * SHIFT_UNITS), len(pixels))
        if reference is None:
            continue
        known = _known(reference, window, canvas_over(region_of(reference, window), candidate.canvas))
        if np.count_nonzero(known & valid) >= max(1.0, settings.least_overlap * np.count_nonzero(valid)):
            yield reference


def _shifts(candidate: ReferenceCandidate, measured: Registration | None) -> list[tuple[float, float]]:
    georeferenced = (candidate.row_shift_px, candidate.col_shift_px)
    if measured is None or not measured.trusted:
        return [georeferenced]
    shift = (measured.row_shift_px, measured.col_shift_px)
    return [shift] if measured.correlation >= SURE_CORRELATION else [shift, georeferenced]


def _reference(
    candidate: ReferenceCandidate, window: Window, row_shift: int, col_shift: int, bands: int
) -> Reference | None:
    """A reference of gain 1 that names the blocks it needs; None where there is none, or the canvas lacks a part of them."""
    plain = Reference(
        scene=candidate.scene,
        row_shift=row_shift,
        col_shift=col_shift,
        blocks=candidate.blocks,
        gains=(GAIN_UNITS,) * bands,
        offsets=(0,) * bands,
        smoothing=1,
    )
    region = region_of(replace(plain, smoothing=MOST_SMOOTHING), window)
    if not candidate.windows:
        return plain if region.intersection(candidate.canvas.window) == region else None
    needed = [
        (block, shared)
        for block, place in zip(candidate.blocks, candidate.windows, strict=True)
        if (shared := region.intersection(place)) is not None
    ]
    if not needed or any(shared.intersection(candidate.canvas.window) != shared for _, shared in needed):
        return None
    return replace(plain, blocks=tuple(block for block, _ in needed))


def _of_gain_one(reference: Reference) -> Reference:
    bands = len(reference.gains)
    return replace(reference, gains=(GAIN_UNITS,) * bands, offsets=(0,) * bands)


def _tiles(pixels: np.ndarray, window: Window, valid: np.ndarray, corners: Sequence[tuple[int, int]]) -> _Tiles:
    places = [(slice(row, row + TILE_PX), slice(col, col + TILE_PX)) for row, col in corners]
    return _Tiles(
        windows=[
            Window(row=window.row + row, col=window.col + col, height=TILE_PX, width=TILE_PX) for row, col in corners
        ],
        pixels=np.stack([pixels[:, *place] for place in places]),
        valid=np.stack([valid[place] for place in places]),
    )


def _centred(tiles: _Tiles) -> np.ndarray:
    """The tiles less the mean of their band, 0 where not valid: as they are coded alone."""
    count = max(1, int(np.count_nonzero(tiles.valid)))
    known = tiles.pixels * tiles.valid[:, None]
    means = known.sum(axis=(0, 2, 3), dtype=np.float64) / count
    centred: np.ndarray = (known - means[:, None, None].astype(np.float32)) * tiles.valid[:, None]
    return centred


def _differences(tiles: _Tiles, levels: np.ndarray, fit: RadiometricFit) -> np.ndarray:
    gains = np.array(fit.gains, np.float32)[:, None, None] / GAIN_UNITS
    offsets = np.array(fit.offsets, np.float32)[:, None, None] / OFFSET_UNITS
    differences: np.ndarray = (tiles.pixels - np.rint(levels * gains + offsets)) * tiles.valid[:, None]
    return differences


def _tile_predictions(tiles: _Tiles, reference: Reference, canvas: Canvas) -> tuple[np.ndarray, np.ndarray]:
    """The tiles by a reference of gain 1, and where it shows them."""
    pairs = [(tile, canvas_over(region_of(reference, tile), canvas)) for tile in tiles.windows]
    levels = np.stack([predict(reference, tile, there) for tile, there in pairs])
    return levels, np.stack([_known(reference, tile, there) for tile, there in pairs])


def _by_band(tiles: np.ndarray) -> np.ndarray:
    """(tiles, bands, h, w) as (bands, tiles, h, w)."""
    return tiles.swapaxes(0, 1)


def _known(reference: Reference, window: Window, canvas: Canvas) -> np.ndarray:
    """(height, width) bool: where the pixel of the reference that lies nearest is valid."""
    rows, cols = ((shift + SHIFT_UNITS // 2) // SHIFT_UNITS for shift in (reference.row_shift, reference.col_shift))
    known: np.ndarray = canvas_over(window.shifted(rows, cols), canvas).valid
    return known
