"""Drawings over a scene: oriented boxes that differ by line as well as by colour, and the grid of tile outcomes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from downlink.scene import TileOutcome, Window
from mission.report_markup import Markup, element, join, points
from mission.report_rows import GIVEN_UP, WAITING, Corners, RunReport, SceneView
from mission.report_units import duration

MOST_BOXES: Final = 1500
"""Boxes of one kind drawn over one picture; beyond that the most confident ones."""
_MOST_CANDIDATES: Final = 300
LEAST_SHOWN_PX: Final = 9.0
"""A box is drawn at least this wide on the picture, so that a ship of 3 px in a large scene can be found."""

OUTCOME_MARKS: Final[dict[str, str]] = {
    TileOutcome.KEPT: "",
    TileOutcome.SCREENED: "s",
    TileOutcome.NODATA: "n",
    TileOutcome.BLANK: "b",
    TileOutcome.SATURATED: "w",
    TileOutcome.CLOUD: "c",
    TileOutcome.POWER: "p",
    TileOutcome.UNREADABLE: "x",
    WAITING: "r",
    GIVEN_UP: "g",
}
"""A letter beside the colour, so that the map is read without colours."""
OUTCOME_NAMES: Final[dict[str, str]] = {
    TileOutcome.KEPT: "searched and coded",
    TileOutcome.SCREENED: "coded, not searched",
    TileOutcome.NODATA: "no data",
    TileOutcome.BLANK: "blank",
    TileOutcome.SATURATED: "saturated",
    TileOutcome.CLOUD: "cloud",
    TileOutcome.POWER: "skipped for power",
    TileOutcome.UNREADABLE: "unreadable",
    WAITING: "kept raw, not coded",
    GIVEN_UP: "kept raw, given up",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    kind: str
    corners: Corners
    tip: str
    rank: float


def box_overlay(run: RunReport, view: SceneView, window: Window, width_px: int) -> Markup:
    """Boxes of one scene inside `window` for a picture `width_px` wide; CSS lays it over the picture."""
    scale = window.width / width_px
    boxes = [box for box in _boxes(run, view.scene) if window.contains(*_centre(box.corners))]
    groups = []
    for kind in ("truth", "delivered", "lost"):
        chosen = sorted((box for box in boxes if box.kind == kind), key=lambda box: -box.rank)[:MOST_BOXES]
        groups.append(element("g", (_polygons(box, scale) for box in chosen), class_=f"box {kind}"))
    view_box = f"{window.col} {window.row} {window.width} {window.height}"
    name = f"{len(boxes)} boxes of detections and truth"
    return element(
        "svg", groups, viewBox=view_box, preserveAspectRatio="none", class_="boxes", role="img", aria_label=name
    )


def detail_windows(run: RunReport, view: SceneView, *, shape: tuple[int, int], edge_px: int, most: int) -> list[Window]:
    """Up to `most` windows of `edge_px` that hold most detections (truth counts half), none overlapping another."""
    boxes = sorted(_boxes(run, view.scene), key=lambda box: (box.kind == "truth", -box.rank))[:MOST_BOXES]
    centres = np.array([_centre(box.corners) for box in boxes], dtype=float).reshape(-1, 2)
    weights = np.array([0.5 if box.kind == "truth" else 1.0 for box in boxes])
    height, width = shape
    edge_h, edge_w = min(edge_px, height), min(edge_px, width)
    candidates = [
        Window(
            row=min(max(int(y) - edge_h // 2, 0), height - edge_h),
            col=min(max(int(x) - edge_w // 2, 0), width - edge_w),
            height=edge_h,
            width=edge_w,
        )
        for x, y in centres[:_MOST_CANDIDATES]
    ]
    held = [_weight_inside(window, centres, weights) for window in candidates]
    chosen: list[Window] = []
    for index in sorted(range(len(candidates)), key=lambda one: -held[one]):
        if all(candidates[index].intersection(other) is None for other in chosen):
            chosen.append(candidates[index])
        if len(chosen) == most:
            break
    return chosen


def _weight_inside(window: Window, centres: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    x, y = centres[:, 0], centres[:, 1]
    inside = (window.col <= x) & (x < window.col_stop) & (window.row <= y) & (y < window.row_stop)
    return float(weights[inside].sum())


def tile_map(view: SceneView, shape: tuple[int, int]) -> Markup:
    """The grid of tiles over a scene of (height, width) pixels, each with its outcome and, on hover, its reason."""
    height, width = shape
    columns = math.ceil(width / view.tile_px)
    cells: list[Markup] = []
    for index, outcome in enumerate(view.tile_outcomes):
        row, col = divmod(index, columns)
        top, left = row * view.tile_px, col * view.tile_px
        high, wide = min(view.tile_px, height - top), min(view.tile_px, width - left)
        reason = view.tile_reasons[index] if index < len(view.tile_reasons) else ""
        tip = f"tile {index} (row {row}, column {col}): {outcome_name(outcome)}" + (f", {reason}" if reason else "")
        cells.append(
            element("rect", element("title", tip), class_=f"tile {outcome}", x=left, y=top, width=wide, height=high)
        )
        mark = outcome_mark(outcome)
        if mark and columns <= 24:
            x, y = left + wide / 2, top + high / 2
            font = f"font-size:{min(view.tile_px * 0.34, wide * 0.6, high * 0.6):.0f}px"
            cells.append(element("text", mark, class_="tile-mark", x=x, y=y, style=font))
    counts = Counter(view.tile_outcomes)
    spoken = ", ".join(f"{count} {outcome_name(outcome)}" for outcome, count in counts.most_common())
    return element(
        "svg", cells, viewBox=f"0 0 {width} {height}", class_="tiles", role="img", aria_label=f"Tiles: {spoken}"
    )


def outcome_name(outcome: str) -> str:
    """What a reader calls an outcome; an unknown one by its own word."""
    return OUTCOME_NAMES.get(outcome, outcome)


def outcome_mark(outcome: str) -> str:
    """The letter of an outcome on the map."""
    return OUTCOME_MARKS.get(outcome, "?")


def _boxes(run: RunReport, scene: int) -> Iterator[_Box]:
    for row in run.detections:
        if row.scene == scene:
            kind = "lost" if row.received_ms is None else "delivered"
            arrival = "never arrived" if row.latency_s is None else f"on the ground after {duration(row.latency_s)}"
            tip = f"{row.class_name} {row.confidence:.2f}, {arrival}"
            yield _Box(kind=kind, corners=row.corners_px, tip=tip, rank=row.confidence)
    for truth in run.truth:
        if truth.scene == scene:
            tip = f"truth: {truth.class_name}, {'found' if truth.found else 'missed'}"
            yield _Box(kind="truth", corners=truth.corners_px, tip=tip, rank=1.0)


def _polygons(box: _Box, scale: float) -> Markup:
    """Dark casing under a bright line: visible on water and on quays alike."""
    outset = (5.5 if box.kind == "truth" else 2.5) * scale
    corners = points(_grown(box.corners, outset, LEAST_SHOWN_PX * scale))
    return join(
        [
            element("polygon", class_="casing", points=corners),
            element("polygon", element("title", box.tip), class_="line", points=corners),
        ]
    )


def _grown(corners: Corners, outset: float, least: float) -> Iterable[tuple[float, float]]:
    """The box moved outward along its own two axes by `outset`, and further to at least `least` px in each."""
    (x0, y0), (x1, y1), (x2, y2), _ = corners
    centre_x, centre_y = _centre(corners)
    along_x, along_y, across_x, across_y = x1 - x0, y1 - y0, x2 - x1, y2 - y1
    length, breadth = math.hypot(along_x, along_y), math.hypot(across_x, across_y)
    if length < 1e-6 or breadth < 1e-6:
        along_x, along_y, across_x, across_y = 1.0, 0.0, 0.0, 1.0
        half_length = half_breadth = max(length, breadth, least) / 2 + outset
    else:
        along_x, along_y, across_x, across_y = (
            along_x / length,
            along_y / length,
            across_x / breadth,
            across_y / breadth,
        )
        half_length, half_breadth = max(length / 2 + outset, least / 2), max(breadth / 2 + outset, least / 2)
    for sign_along, sign_across in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        a, b = sign_along * half_length, sign_across * half_breadth
        yield centre_x + a * along_x + b * across_x, centre_y + a * along_y + b * across_y


def _centre(corners: Corners) -> tuple[float, float]:
    return sum(x for x, _ in corners) / 4, sum(y for _, y in corners) / 4
