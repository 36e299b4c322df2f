"""What the low-signal comparison finds."""

from dataclasses import dataclass

import numpy as np

from benchmarks.low_signal_scene import Quality

LEVELS_DB = tuple(np.arange(-4.0, 10.01, 0.25).round(2).tolist())
"""Es/N0 of every point of a curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One contender over all levels."""

    name: str
    ours: bool
    modcods: dict[str, int]
    """Bytes of layers or file sent with each."""
    points: tuple[Quality, ...]
    """One per entry of LEVELS_DB: recall and squared errors averaged over the draws."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeAtQuality:
    """Bytes for the same quality of the regions of interest."""

    es_n0_db: float
    roi_psnr_db: float
    """Ours at that level."""
    our_bytes: int
    """Of layers that arrive at that level."""
    file_bytes: int | None
    """Of the whole-scene file that is as good there; None where none is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything about one scene."""

    scene: str
    raw_bytes: int
    symbols: int
    onboard_recall: float
    """Share of the truth that the detector finds in the original: what alerts can reach."""
    curves: tuple[Curve, ...]
    sizes: tuple[SizeAtQuality, ...]
    gains_db: dict[str, dict[str, float | None]]
    """Quality to reach, then contender to the lowest Es/N0 from which on it is reached; None: nowhere."""
