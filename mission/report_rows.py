"""What the pictures and tables of report.html are drawn from: one run, row by row.

All `*_ms` are Unix milliseconds UTC, as everywhere in the system; the page shows them relative to `RunReport.start_ms`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from downlink.products import Rung
from mission.report_model import Report

Corners = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
"""Four (x, y) corners of an oriented box in scene pixels, in order round the box."""

RUNG_NAMES = {
    Rung.SUMMARY: "scene summary",
    Rung.ALERT: "alerts",
    Rung.CHIP: "chips",
    Rung.PREVIEW: "preview",
    Rung.REFINEMENT: "refinement",
    Rung.LOSSLESS: "lossless",
    Rung.AUDIT: "audit",
}
"""What a reader calls the rungs of the ladder."""


WAITING = "waiting"
"""State of a tile that was kept and has no layers yet."""
GIVEN_UP = "given up"
"""State of a tile that was kept and given up before it had layers: to make room, or because the ground dropped its scene."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneView:
    """A scene as it was, as it was rebuilt, and what became of each of its tiles."""

    scene: int
    """Scene id, as in the rows below."""
    name: str
    original_path: Path
    """The file that was ingested."""
    rebuilt_path: Path | None
    """The ground's scene.tif on the same grid: mask, and a band named "quality". None where nothing came."""
    rgb_bands: tuple[int, int, int] | None = None
    """1-based bands shown as red, green, blue; None: chosen by band name (B04 B03 B02), else the first three."""
    tile_px: int
    """Edge of a tile core, px."""
    tile_outcomes: tuple[str, ...]
    """Row-major over the tile grid: TileOutcome values, or `WAITING` or `GIVEN_UP`."""
    tile_reasons: tuple[str, ...] = ()
    """A sentence per tile, in the same order; empty: no reasons known."""
    gsd_m: float | None = None
    """Ground sampling distance, m."""
    captured_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SentLayer:
    """One layer given to the link."""

    order: int
    """Position in the order of sending, from 0."""
    contact: int
    """Index into `Report.contacts`."""
    scene: int
    rung: Rung
    product: int
    step: int
    size_bytes: int
    """Payload of the layer."""
    value: float
    """What the layer was worth when it was sent, in the policy's units."""
    sent_ms: int
    """First byte on the link."""
    arrived_ms: int | None
    """Whole and verified on the ground; None: it never was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionRow:
    """One detection made on board, and when the ground had it."""

    scene: int
    class_name: str
    confidence: float
    corners_px: Corners
    lon: float | None
    """Degrees east, WGS 84; None without georeference."""
    lat: float | None
    captured_ms: int
    received_ms: int | None
    """None: it never reached the ground."""
    matched: bool | None = None
    """Whether a truth box matches; None without truth."""

    @property
    def latency_s(self) -> float | None:
        """Seconds from capture to ground."""
        return None if self.received_ms is None else (self.received_ms - self.captured_ms) / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthRow:
    """One object of the truth file."""

    scene: int
    class_name: str
    corners_px: Corners
    found: bool
    """Whether a detection on the ground matches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyPoint:
    """The battery at one instant; the charge between two points is taken as linear."""

    at_ms: int
    charge_j: float
    sunlit: bool
    """From this instant until the next point."""
    step: str = ""
    """What the charge was last spent on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedUnit:
    """One cell or candidate that the discard audit drew, as it came down."""

    scene: int
    scene_name: str
    unit: int
    """Its place in the audit of the scene."""
    kind: str
    """Why it was thrown away, in words."""
    confidence: float | None
    """Of a candidate; None for a cell of a tile."""
    rgb: NDArray[np.float32]
    """(3, side, side) samples to be shown as red, green, blue."""
    valid: NDArray[np.bool_]
    """(side, side)."""
    objects: int | None
    """Objects in it that were not reported; None: nobody has judged it."""
    judge: str | None
    """Who has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """A point of a value curve: after `link_bytes` of layers on the link the ground holds `value`."""

    link_bytes: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Everything that is known of a finished run; `mission.report_html.write_html` turns it into one page."""

    report: Report
    start_ms: int
    """The mission's t = 0."""
    end_ms: int
    scenes: tuple[SceneView, ...]
    sent: tuple[SentLayer, ...]
    """In order of sending."""
    detections: tuple[DetectionRow, ...] = ()
    truth: tuple[TruthRow, ...] = ()
    energy: tuple[EnergyPoint, ...] = ()
    battery_capacity_j: float | None = None
    fifo_curve: tuple[CurvePoint, ...] = ()
    """What the same layers would have brought in the order of their making; empty: not simulated."""
    audited: tuple[AuditedUnit, ...] = ()
    """Units of the discard audit that are on the ground."""
    title: str = "Mission report"
