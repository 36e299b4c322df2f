"""The plot of the benchmark of reference coding as SVG: bytes over those alone against the gap between the two scenes."""

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from benchmarks.coding_reference import ReferenceRow

WIDTH, HEIGHT, LEFT, TOP, GAP = 330, 290, 58, 44, 60
INK, GRID = "#1f2937", "#e5e7eb"
COLOURS: Final = {"30": "#0b6e4f", "35": "#2b6cb0", "40": "#7a5195", "45": "#e6a817", "lossless": "#8c2d04"}
MARKS: Final = {"Sentinel-2": "circle", "NAIP": "square", "Landsat": "diamond"}
SHORTEST_DAYS, LONGEST_DAYS = 7, 9000
GAPS: Final = ((10, "10 days"), (50, "50 days"), (365, "1 year"), (730, "2"), (1826, "5"), (3652, "10"), (7305, "20"))
TOP_RATIO: Final = 1.2


def draw_savings(rows: "Sequence[ReferenceRow]") -> str:
    """A panel for each quality of the reference. A line joins the pairs of a sensor at one PSNR."""
    percents = list(dict.fromkeys(row.reference_percent for row in rows))
    width, height = LEFT + len(percents) * (WIDTH + GAP), TOP + HEIGHT + 92
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, percent in enumerate(percents):
        left = LEFT + number * (WIDTH + GAP)
        name = "reference exact" if percent == 100 else f"reference at {percent:g} % of raw bytes"
        parts += _axes(left, f"bytes over bytes alone, {name}")
        parts += _lines(left, [row for row in rows if row.reference_percent == percent])
    return "\n".join([*parts, *_legend(), "</svg>", ""])


def _x(left: int, days: float) -> float:
    return left + WIDTH * math.log(days / SHORTEST_DAYS) / math.log(LONGEST_DAYS / SHORTEST_DAYS)


def _y(ratio: float) -> float:
    return TOP + HEIGHT * (1 - min(ratio, TOP_RATIO) / TOP_RATIO)


def _axes(left: int, title: str) -> list[str]:
    parts = [f'<text x="{left}" y="{TOP - 14}" font-weight="bold" fill="{INK}">{escape(title)}</text>']
    for tenth in range(0, 13, 2):
        y, dash = _y(tenth / 10), INK if tenth == 10 else GRID
        parts.append(f'<line x1="{left}" x2="{left + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="{dash}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" fill="{INK}">{tenth / 10:g}</text>')
    for days, name in GAPS:
        x = _x(left, days)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP + HEIGHT}" y2="{TOP + HEIGHT + 4}" stroke="{INK}"/>'
            f'<text x="{x:.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle" fill="{INK}">{name}</text>'
        )
    return parts


def _lines(left: int, rows: "Sequence[ReferenceRow]") -> list[str]:
    parts = []
    for sensor in dict.fromkeys(row.sensor for row in rows):
        some = sorted((row for row in rows if row.sensor == sensor), key=lambda row: row.gap_days)
        for target, colour in COLOURS.items():
            places = [(_x(left, row.gap_days), _y(row.chosen[target] / row.alone[target])) for row in some]
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.2"/>')
            parts += [_mark(sensor, x, y, colour) for x, y in places]
    return parts


def _mark(sensor: str, x: float, y: float, colour: str) -> str:
    shape = MARKS.get(sensor, "circle")
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
    turn = f' transform="rotate(45 {x:.1f} {y:.1f})"' if shape == "diamond" else ""
    return f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7" fill="{colour}"{turn}/>'


def _legend() -> list[str]:
    line = TOP + HEIGHT + 50
    parts = []
    for number, (target, colour) in enumerate(COLOURS.items()):
        x = LEFT + number * 90
        name = target if target == "lossless" else f"{target} dB"
        parts.append(
            f'<line x1="{x}" x2="{x + 22}" y1="{line - 4}" y2="{line - 4}" stroke="{colour}" stroke-width="2.2"/>'
        )
        parts.append(f'<text x="{x + 28}" y="{line}" fill="{INK}">{name}</text>')
    for number, sensor in enumerate(MARKS):
        x = LEFT + number * 110
        parts.append(_mark(sensor, x + 10, line + 18, INK))
        parts.append(f'<text x="{x + 28}" y="{line + 22}" fill="{INK}">{sensor}</text>')
    return parts
