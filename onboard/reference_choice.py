"""Whether a block is coded alone, as the difference from what the ground holds, or as unchanged (pure).

An estimate decides the clear cases. Otherwise the block is coded both ways, and the difference is taken only where it needs fewer bytes
on the whole, and no more than the policy allows at any quality of the ladder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from downlink.image_encoding import ImageProduct, encode_image
from downlink.scene import Window
from onboard.change_mask import changed_pixels, is_noise
from onboard.prediction_search import (
    CANVAS_MARGIN_PX,
    FoundPrediction,
    ReferenceCandidate,
    mean_ratio,
    search_prediction,
)
from onboard.reference_settings import ReferenceSettings

__all__ = [
    "CANVAS_MARGIN_PX",
    "Choice",
    "CodedImage",
    "ReferenceCandidate",
    "ReferenceSettings",
    "byte_ratios_measured",
    "code_best",
]


class Choice(StrEnum):
    """How a block was coded."""

    ALONE = "alone"
    """From itself."""
    DIFFERENCE = "difference"
    """As the difference from a prediction."""
    UNCHANGED = "unchanged"
    """As a prediction that shows it up to noise, and the exact difference behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedImage:
    """A block as it was coded."""

    image: ImageProduct
    """Its steps."""
    choice: Choice
    """How it was coded."""
    changed: np.ndarray | None
    """(height, width) bool: differs from the prediction beyond noise; None where nothing could be compared."""
    reason: str
    """Why, for people and reports."""
    alone_bytes: int | None = None
    """What all steps take alone, where that was tried beside a reference that was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coder:
    """The coder with all that does not depend on the choice."""

    pixels: np.ndarray
    window: Window
    valid: np.ndarray
    quality_percent: Sequence[float]
    levels: int
    nodata: float | None
    weights: np.ndarray | None
    settled_mse: float

    def code(self, found: FoundPrediction | None, *, unchanged: bool = False, compared: bool = False) -> ImageProduct:
        """`compared` measures every step, for a comparison with another way of coding."""
        return encode_image(
            self.pixels,
            self.window,
            valid=self.valid,
            quality_percent=self.quality_percent,
            levels=self.levels,
            nodata=self.nodata,
            weights=self.weights,
            predicted=None if found is None else found.predicted,
            unchanged=unchanged,
            settled_mse=0.0 if compared else self.settled_mse,
        )


def code_best(
    pixels: np.ndarray,
    window: Window,
    *,
    valid: np.ndarray,
    quality_percent: Sequence[float],
    levels: int,
    nodata: float | None,
    weights_of: Callable[[np.ndarray | None], np.ndarray | None],
    candidates: Sequence[ReferenceCandidate],
    settings: ReferenceSettings,
    settled_mse: float = 0.0,
) -> CodedImage:
    """Code pixels (bands, height, width) of a window in the way that needs fewest bytes.

    `valid` is (height, width) bool; `quality_percent`, `levels`, `nodata` and `settled_mse` are those of
    `encode_image`. `weights_of(changed)` gives the (height, width) value map once it is known what has changed.
    Raises CodestreamError and LayerError as `encode_image` does.
    """
    found = search_prediction(
        pixels, window, valid, candidates=candidates, quality_percent=quality_percent, settings=settings
    )
    changed = None if found is None else _changed(pixels, valid, found, settings)
    coder = _Coder(
        pixels=pixels,
        window=window,
        valid=valid,
        quality_percent=quality_percent,
        levels=levels,
        nodata=nodata,
        weights=weights_of(changed),
        settled_mse=settled_mse,
    )
    if found is None:
        reason = "no earlier scene" if not candidates else "no earlier scene shows enough of it"
        return CodedImage(image=coder.code(None), choice=Choice.ALONE, changed=None, reason=reason)
    chosen = _chosen(coder, found, changed, settings)
    return replace(chosen, reason=f"scene {found.candidate.scene}: {chosen.reason}")


def byte_ratios_measured(alone: ImageProduct, other: ImageProduct, *, slack_bytes: int = 0) -> np.ndarray:
    """Bytes of `other`, less `slack_bytes`, over those of `alone`, at the quality of each lossy step alone, and lossless at the end.

    Between its steps the other's bytes are taken to rise geometrically while its squared error falls so, down to that of rounding
    at its lossless end.
    """
    sizes, other_sizes = (np.cumsum([len(payload) for payload in image.payloads]) for image in (alone, other))
    rounding = min(ROUNDING_MSE, *(mse for mse in (*other.weighted_mse, *alone.weighted_mse) if mse > 0)) / 2
    errors, reached = (np.log(np.maximum(image.weighted_mse, rounding)) for image in (other, alone))
    needed = np.exp(np.interp(reached, errors[::-1], np.log(other_sizes[::-1])))
    needed[-1] = other_sizes[-1]
    ratios: np.ndarray = (needed - slack_bytes) / sizes
    return ratios


ROUNDING_MSE: Final = 1 / 12
"""DN squared."""
SLACK_BYTES: Final = 64
"""What naming a reference takes may be more than the smallest step of a small block alone: it does not count as worse."""


def _changed(pixels: np.ndarray, valid: np.ndarray, found: FoundPrediction, settings: ReferenceSettings) -> np.ndarray:
    usable = valid & found.known
    return changed_pixels(pixels, found.predicted.pixels, usable, sigmas=settings.changed_sigmas)


def _chosen(
    coder: _Coder, found: FoundPrediction, changed: np.ndarray | None, settings: ReferenceSettings
) -> CodedImage:
    def coded(image: ImageProduct, choice: Choice, reason: str, alone_bytes: int | None = None) -> CodedImage:
        return CodedImage(image=image, choice=choice, changed=changed, reason=reason, alone_bytes=alone_bytes)

    if _is_unchanged(coder, found, changed, settings):
        return coded(coder.code(found, unchanged=True), Choice.UNCHANGED, "differs by noise alone")
    mean, worst = mean_ratio(found.ratios), float(found.ratios.max())
    if mean > HOPEFUL_MEAN or worst > settings.clearly_worse:
        return coded(
            coder.code(None), Choice.ALONE, f"the difference was expected to take {mean:.0%} of the bytes alone"
        )
    if mean < settings.clearly_better and worst < settings.worst_ratio - ESTIMATE_MARGIN:
        return coded(coder.code(found), Choice.DIFFERENCE, f"expected to take {mean:.0%} of the bytes alone")
    difference, alone = coder.code(found, compared=True), coder.code(None, compared=True)
    mean = mean_ratio(byte_ratios_measured(alone, difference))
    worst = float(byte_ratios_measured(alone, difference, slack_bytes=SLACK_BYTES).max())
    measured = f"{mean:.1%} of the bytes alone, {worst:.1%} at worst"
    if mean <= 1 - settings.least_saving and worst <= settings.worst_ratio:
        return coded(difference, Choice.DIFFERENCE, f"takes {measured}", sum(map(len, alone.payloads)))
    return coded(alone, Choice.ALONE, f"the difference would take {measured}")


ESTIMATE_MARGIN: Final = 0.06
"""How far the worst estimated ratio must lie below the worst allowed, where coding alone is not tried."""
HOPEFUL_MEAN: Final = 0.9
"""Estimated bytes of the difference over those alone, on the mean of the ladder, above which it has never been found to pay."""


def _is_unchanged(
    coder: _Coder, found: FoundPrediction, changed: np.ndarray | None, settings: ReferenceSettings
) -> bool:
    """Whether the prediction shows all of the block, differs by noise alone, and is no worse than the last lossy step of coding alone."""
    usable = coder.valid & found.known
    if changed is None or changed.any() or not np.array_equal(usable, coder.valid):
        return False
    if not is_noise(coder.pixels, found.predicted.pixels, usable, sigmas=settings.unchanged_sigmas):
        return False
    difference = np.subtract(coder.pixels, found.predicted.pixels, dtype=np.float32)[:, usable]
    return float(np.mean(difference * difference)) <= found.last_mse
