"""Whether a block is coded alone, as the difference from what the ground holds, or as unchanged (pure)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from downlink.image_encoding import ImageProduct, encode_image
from downlink.prediction import ReferenceBlock
from downlink.reference_canvas import Canvas
from downlink.scene import Window
from onboard.reference_settings import ReferenceSettings

__all__ = ["CANVAS_MARGIN_PX", "Choice", "CodedImage", "ReferenceCandidate", "ReferenceSettings", "code_best"]

CANVAS_MARGIN_PX: Final = 12
"""How far a candidate's canvas reaches beyond the window moved by its georeferenced shift: search, smoothing and interpolation."""


class Choice(StrEnum):
    """How a block was coded."""

    ALONE = "alone"
    """From itself."""
    DIFFERENCE = "difference"
    """As the difference from a prediction."""
    UNCHANGED = "unchanged"
    """As a prediction that shows it up to noise, and the exact difference behind it."""


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
) -> CodedImage:
    """Code pixels (bands, height, width) of a window in the way that needs fewest bytes.

    `weights_of(changed)` gives the (height, width) value map once it is known what has changed.
    """
    image = encode_image(pixels, window, valid=valid, quality_percent=quality_percent, levels=levels, nodata=nodata)
    return CodedImage(image=image, choice=Choice.ALONE, changed=None, reason="no reference")
