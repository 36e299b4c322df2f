"""The reliability diagram and the precision-recall curves of detectors, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.detector_reliability import Reliability

COLOURS = ("#0b6e4f", "#8c2d04", "#2b6cb0")
INK, GRID = "#1f2937", "#e5e7eb"
SIDE, LEFT, TOP, GAP = 320, 60, 44, 90
F1_LINES = (0.4, 0.5, 0.6, 0.7, 0.8)


def draw(results: Sequence[Reliability]) -> str:
    """Left: what was promised and what came true, circles by the number of detections. Right: precision over recall, lines of equal F1."""
    width, height = LEFT + 2 * SIDE + GAP + 40, TOP + SIDE + 84
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    second = LEFT + SIDE + GAP
    parts += _axes(LEFT, "share that are ships", "confidence")
    parts += _axes(second, "precision", "recall")
    parts.append(_line([(0, 0), (1, 1)], LEFT, INK, ' stroke-dasharray="4 4"', 1.0))
    for f1 in F1_LINES:
        recalls = [f1 / (2 - f1) + (1 - f1 / (2 - f1)) * step / 60 for step in range(61)]
        parts.append(_line([(r, f1 * r / (2 * r - f1)) for r in recalls], second, GRID, "", 1.5))
        parts.append(f'<text x="{second + SIDE + 4}" y="{_y(f1 / (2 - f1)) + 4:.1f}" fill="#6b7280">F1 {f1:g}</text>')
    for number, (result, colour) in enumerate(zip(results, COLOURS, strict=False)):
        filled = [row for row in result.bins if row.count]
        parts.append(_line([(row.promised, row.kept) for row in filled], LEFT, colour, "", 2.0))
        for row in filled:
            radius = 2 + row.count**0.5 / 2.5
            parts.append(
                f'<circle cx="{LEFT + SIDE * row.promised:.1f}" cy="{_y(row.kept):.1f}" r="{radius:.1f}" fill="{colour}" '
                f'fill-opacity="0.55"><title>{row.count} detections</title></circle>'
            )
        parts.append(_line(list(result.curve), second, colour, "", 2.0))
        x, y = LEFT + number * 330, TOP + SIDE + 66
        parts.append(f'<line x1="{x}" x2="{x + 28}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" stroke-width="2.5"/>')
        text = f"{result.name}: calibration error {result.ece:.3f}"
        parts.append(f'<text x="{x + 36}" y="{y}" fill="{INK}">{escape(text)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _axes(left: int, title: str, axis: str) -> list[str]:
    parts = [f'<text x="{left}" y="{TOP - 14}" font-weight="bold" fill="{INK}">{escape(title)}</text>']
    for tenth in range(0, 11, 2):
        value = tenth / 10
        parts.append(
            f'<line x1="{left}" x2="{left + SIDE}" y1="{_y(value):.1f}" y2="{_y(value):.1f}" stroke="{GRID}"/>'
        )
        parts.append(f'<text x="{left - 6}" y="{_y(value) + 4:.1f}" text-anchor="end" fill="{INK}">{value:g}</text>')
        parts.append(
            f'<text x="{left + SIDE * value:.1f}" y="{TOP + SIDE + 18}" text-anchor="middle" fill="{INK}">{value:g}</text>'
        )
    middle = left + SIDE / 2
    parts.append(f'<text x="{middle}" y="{TOP + SIDE + 38}" text-anchor="middle" fill="{INK}">{escape(axis)}</text>')
    return parts


def _y(value: float) -> float:
    return TOP + SIDE * (1 - value)


def _line(points: Sequence[tuple[float, float]], left: int, colour: str, dash: str, width: float) -> str:
    places = " ".join(f"{left + SIDE * x:.1f},{_y(y):.1f}" for x, y in points)
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>'
