"""A classical ship detector, the yardstick beside the network: constant false alarm rate over water, in near infrared.

1. Water and the strip of land beside it are searched (`onboard.water`); what lies farther inland is not.
2. The sea's level and spread around each pixel come from the water in a square around it, without what stands out of it: cell
   averaging, censored in a second round (Finn and Johnson 1968; Barboy et al. 1986, doi:10.1049/ip-f-1.1986.0006).
3. What rises above the sea by `spreads` of its spread, and by a floor, is cut at rising levels. Every blob of every level is a
   candidate: a ship at a quay comes free at a level that the quay does not reach.
4. Length, width and fill refuse what no ship is. Contrast, size, shape, what is around and the colour are weighed by a quadratic
   discriminant, fitted by logistic regression; overlapping candidates leave the likeliest.

Pure numpy. `onboard/models/cfar/cfar.json` holds the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from onboard.blobs import Blobs, blobs_of, box_sums, smallest_rectangles
from onboard.detection import Detection
from onboard.detector import DetectorModel, PlattCalibration
from onboard.errors import DetectorInputError, ModelFileError
from onboard.network_input import TRUE_COLOUR_DN_PER_COUNT, dark_level, select_bands
from onboard.rotated_boxes import corners_of
from onboard.seam_merge import suppress_duplicates
from onboard.water import land_distance_px, patches_of, water_mask

BANDS: Final = ("B08", "B04", "B03")
CFAR_FILE: Final = Path(__file__).resolve().parent / "models" / "cfar" / "cfar.json"
EVIDENCE: Final = (
    "contrast over spread, log",
    "contrast, log DN",
    "length, log px",
    "width, log px",
    "fill of the rectangle",
    "water around",
    "contrast around over contrast",
    "inland around",
    "near infrared over red, log",
    "brighter around",
)
"""What each candidate is weighed by, in this order."""
_TERMS: Final = 1 + len(EVIDENCE) + len(EVIDENCE) * (len(EVIDENCE) + 1) // 2
_AROUND: Final = tuple((row, column) for row in (-2, 0, 2) for column in (-2, 0, 2) if row or column)
_COLOUR_FLOOR_DN = 50.0
"""Added to both bands of a ratio, so that noise over the darkest decks says little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CfarSettings:
    """Limits of the search, in pixels of 10 m and digital numbers of 1e-4 reflectance."""

    spreads: float = 4.0
    """Standard deviations of the sea by which an object rises above it."""
    floor_dn: float = 120.0
    """The least rise, however even the sea is."""
    background_px: int = 24
    """Reach of the square in which the sea is measured."""
    min_sea_px: int = 40
    """Pixels of sea without which its level is not known."""
    min_water_px: int = 150
    """Smaller waters are shadows and roofs."""
    inland_px: int = 10
    """How far from water land is searched."""
    level_step: float = 1.35
    """Each level over the one below."""
    levels: int = 9
    """How many."""
    size_px: tuple[int, int] = (5, 900)
    """Pixels of a blob."""
    length_px: tuple[float, float] = (3.0, 62.0)
    """Longer side."""
    max_width_px: float = 16.0
    """Shorter side."""
    min_fill: float = 0.35
    """Pixels of a blob over those of its rectangle."""
    margin_px: float = 0.75
    """By which boxes reach beyond the blob on each side: the hull's edge is darker than the level."""


class Discriminant(BaseModel):
    """Logistic regression on standardised evidence, its squares and its products."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    centre: tuple[float, ...] = Field(min_length=len(EVIDENCE), max_length=len(EVIDENCE))
    spread: tuple[float, ...] = Field(min_length=len(EVIDENCE), max_length=len(EVIDENCE))
    weights: tuple[float, ...] = Field(min_length=_TERMS, max_length=_TERMS)
    """One for each of `terms`."""

    def scores(self, evidence: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, evidence) to (n,) scores 0..1."""
        logits = terms_of(evidence, np.array(self.centre), np.array(self.spread)) @ np.array(self.weights)
        scores: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(logits, -30, 30)))
        return scores


class CfarWeights(BaseModel):
    """`cfar.json`: what was fitted on labelled scenes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    discriminant: Discriminant
    calibration: PlattCalibration
    threshold: float = Field(ge=0, le=1)
    """Calibrated confidence from which a detection is reported."""
    training_data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What stands out of the sea, before it is weighed."""

    corners: NDArray[np.float64]
    """(n, 4, 2) x, y."""
    evidence: NDArray[np.float64]
    """(n, evidence), in the order of EVIDENCE."""


class CfarDetector:
    """The baseline behind the detector port. Arrays of any size."""

    def __init__(
        self, weights: CfarWeights, settings: CfarSettings | None = None, *, threshold: float | None = None
    ) -> None:
        self._discriminant = weights.discriminant
        self._settings = settings or CfarSettings()
        self._min_score = weights.calibration.score_of(weights.threshold if threshold is None else threshold)
        self._model = DetectorModel(
            name="cfar",
            version=weights.version,
            classes=("ship",),
            bands=BANDS,
            dn_to_input="sqrt_above_dark",
            training_gsd_m=10.0,
            input_px=640,
            threshold=weights.threshold,
            calibration=weights.calibration,
            files={},
            training_data=weights.training_data,
            licence="AGPL-3.0-or-later",
        )

    @property
    def model(self) -> DetectorModel:
        return self._model

    def detect(self, pixels: np.ndarray, band_names: tuple[str, ...]) -> list[Detection]:
        """As `onboard.detector.Detector.detect`."""
        found = candidates_in(pixels, band_names, self._settings)
        scores = self._discriminant.scores(found.evidence)
        corners, scores = without_duplicates(found.corners, scores, self._min_score)
        confidences = self._model.calibration.confidence_of(scores)
        return [_detection(box, confidence) for box, confidence in zip(corners, confidences, strict=True)]


def cfar_detector(*, threshold: float | None = None) -> CfarDetector:
    """The baseline with its committed weights; `threshold` replaces its own.

    Raises ModelFileError when the file of weights is absent or altered beyond reading.
    """
    try:
        weights = CfarWeights.model_validate_json(CFAR_FILE.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise ModelFileError(
            f"the weights of the baseline {CFAR_FILE} cannot be read ({error}); restore the file from the release",
            path=CFAR_FILE,
        ) from error
    return CfarDetector(weights, threshold=threshold)


def terms_of(
    evidence: NDArray[np.float64], centre: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n, evidence) to (n, terms): a constant, the standardised evidence within 3 spreads, and all products of two."""
    standard = np.clip((evidence - centre) / spread, -3, 3)
    first, second = np.triu_indices(standard.shape[1])
    return np.concatenate([np.ones((len(standard), 1)), standard, standard[:, first] * standard[:, second]], axis=1)


def without_duplicates(
    corners: NDArray[np.float64], scores: NDArray[np.float64], min_score: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, 4, 2) and (n,) of at least `min_score`, likeliest first, without those that overlap a likelier one."""
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= min_score]
    if len(order):
        order = order[suppress_duplicates(corners[order], np.zeros(len(order), dtype=np.int64))]
    return corners[order], scores[order]


def candidates_in(pixels: np.ndarray, band_names: tuple[str, ...], settings: CfarSettings) -> Candidates:
    """Everything ship-like in (bands, height, width) uint8 or uint16. Raises DetectorInputError for missing bands."""
    selected = select_bands(pixels, band_names, BANDS)
    if selected.dtype not in (np.uint8, np.uint16):
        raise DetectorInputError(
            f"the baseline reads uint8 or uint16 digital numbers, not {selected.dtype}; convert the scene first",
            present=tuple(band_names),
            needed=BANDS,
        )
    valid = selected.any(axis=0)
    water = patches_of(water_mask(selected, BANDS) & valid, min_px=settings.min_water_px)
    if not water.any():
        return _no_candidates()
    scale = np.float32(TRUE_COLOUR_DN_PER_COUNT if selected.dtype == np.uint8 else 1.0)
    above_dark = np.maximum(selected - dark_level(selected)[:, None, None], 0) * scale
    ground = _Ground(
        nir=above_dark[0],
        red=above_dark[1],
        water=water,
        searched=valid & np.isfinite(land_distance_px(~water, min_land_px=1, farthest_px=settings.inland_px)),
    )
    sea = _sea(ground, settings)
    parts = [
        _weighable(blobs, ground, sea, settings)
        for level in range(settings.levels)
        if len(blobs := _standing_out(sea, level, settings))
    ]
    if not parts:
        return _no_candidates()
    return Candidates(
        corners=np.concatenate([part.corners for part in parts]),
        evidence=np.concatenate([part.evidence for part in parts]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """One array, prepared; every field (height, width)."""

    nir: NDArray[np.float32]
    """Digital numbers above the darkest ground."""
    red: NDArray[np.float32]
    """The same."""
    water: NDArray[np.bool_]
    """Waters large enough to sail."""
    searched: NDArray[np.bool_]
    """Water, and what lies beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sea:
    """How near infrared rises above the sea around; every field (height, width)."""

    rise: NDArray[np.float64]
    """Above the sea's mean, digital numbers; -1 where nothing is searched or the sea is not known."""
    spread: NDArray[np.float64]
    """The sea's standard deviation."""
    limit: NDArray[np.float64]
    """The least rise of an object."""


def _sea(ground: _Ground, settings: CfarSettings) -> _Sea:
    """Two rounds: what stands out in the first is no sea in the second, nor are the pixels next to it."""
    # Pixels next to what is no water are blurred with it.
    sea = ground.water & (land_distance_px(ground.water, min_land_px=1, farthest_px=3) > 2)
    measured = _measured(ground, sea, settings)
    calm = sea & (box_sums(measured.rise > measured.limit, 2) < 0.5)
    return _measured(ground, calm, settings)


def _measured(ground: _Ground, sea: NDArray[np.bool_], settings: CfarSettings) -> _Sea:
    count = box_sums(sea, settings.background_px)
    level = np.where(sea, ground.nir, np.float32(0))
    divisor = np.maximum(count, 1)
    mean = box_sums(level, settings.background_px) / divisor
    variance = box_sums(level.astype(np.float64) ** 2, settings.background_px) / divisor - mean**2
    spread = np.sqrt(np.maximum(variance, 25.0))
    known = ground.searched & (count > settings.min_sea_px)
    return _Sea(
        rise=np.where(known, ground.nir - mean, -1.0),
        spread=spread,
        limit=np.maximum(settings.spreads * spread, settings.floor_dn),
    )


def _standing_out(sea: _Sea, level: int, settings: CfarSettings) -> Blobs:
    low, high = settings.size_px
    return blobs_of(sea.rise > sea.limit * settings.level_step**level, min_px=low, max_px=high)


def _weighable(blobs: Blobs, ground: _Ground, sea: _Sea, settings: CfarSettings) -> Candidates:
    """The blobs that a ship's size and shape allow, with the evidence for each."""
    boxes = smallest_rectangles(blobs)
    length, width = boxes[:, 2:4].max(axis=1), boxes[:, 2:4].min(axis=1)
    fill = blobs.sizes / (length * width)
    shortest, longest = settings.length_px
    allowed = (length >= shortest) & (length <= longest) & (width <= settings.max_width_px) & (fill > settings.min_fill)
    here = blobs.rows, blobs.columns
    rise = blobs.means(sea.rise[here])
    colour = [np.log(blobs.means(band[here]) + _COLOUR_FLOOR_DN) for band in (ground.nir, ground.red)]
    water, dimmer, inland, brighter = _surroundings(blobs, ground, sea)
    evidence = np.stack(
        [
            np.log(rise / blobs.means(sea.spread[here])),
            np.log(rise),
            np.log(length),
            np.log(width),
            fill,
            water,
            dimmer / rise,
            inland,
            colour[0] - colour[1],
            brighter,
        ],
        axis=1,
    )
    boxes[:, 2:4] += 2 * settings.margin_px
    return Candidates(corners=corners_of(boxes[allowed]), evidence=evidence[allowed])


def _surroundings(blobs: Blobs, ground: _Ground, sea: _Sea) -> NDArray[np.float64]:
    """(4, blobs), of the pixels two away: share of water, mean rise, share not searched, share brighter than the blob's own."""
    height, width = ground.water.shape
    number = np.full((height, width), -1, dtype=np.int64)
    number[blobs.rows, blobs.columns] = blobs.blob
    own = sea.rise[blobs.rows, blobs.columns]
    sums = np.zeros((4, len(blobs)))
    count = np.zeros(len(blobs))
    for row_step, column_step in _AROUND:
        rows = np.clip(blobs.rows + row_step, 0, height - 1)
        columns = np.clip(blobs.columns + column_step, 0, width - 1)
        outside = number[rows, columns] != blobs.blob
        rise = sea.rise[rows, columns]
        count += blobs.sums(outside)
        for index, seen in enumerate(
            (ground.water[rows, columns], np.maximum(rise, 0), ~ground.searched[rows, columns], rise > own)
        ):
            sums[index] += blobs.sums(np.where(outside, seen, 0))
    return sums / np.maximum(count, 1)


def _no_candidates() -> Candidates:
    return Candidates(corners=np.empty((0, 4, 2)), evidence=np.empty((0, len(EVIDENCE))))


def _detection(corners: NDArray[np.float64], confidence: float) -> Detection:
    first, second, third, fourth = ((float(x), float(y)) for x, y in corners)
    return Detection(class_id=0, confidence=float(confidence), corners_px=(first, second, third, fourth))
