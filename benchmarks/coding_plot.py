"""The plots of the coding benchmark as SVG: bytes against PSNR, and detection quality against bytes."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.coding_detection import DetectionPoint
from benchmarks.coding_equal_psnr import EqualPsnrRow

WIDTH, HEIGHT, LEFT, TOP, GAP = 400, 300, 60, 44, 84
STYLES = {
    "ours": ("#0b6e4f", "", 3.2),
    "ours, one budget": ("#0b6e4f", ' stroke-dasharray="8 4"', 2.4),
    "ours, fine steps": ("#59b38a", "", 3.2),
    "ours, alerts": ("#59b38a", ' stroke-dasharray="2 4"', 3.2),
    "jpeg2000": ("#8c2d04", "", 2.0),
    "jpeg2000-5/3": ("#8c2d04", ' stroke-dasharray="8 4"', 2.0),
    "jpeg2000, regions only": ("#8c2d04", ' stroke-dasharray="2 3"', 2.0),
    "htj2k": ("#d94801", "", 2.0),
    "jpegxl": ("#7a5195", "", 2.0),
    "jpeg": ("#e6a817", "", 2.0),
    "avif": ("#2b6cb0", "", 2.0),
}
"""Colour, dash and width of each line."""
OTHER = ("#6b7280", "", 2.0)
INK, GRID = "#1f2937", "#e5e7eb"
Line = list[tuple[float, float]]
"""(x, y) in the units of the axes."""


def draw_sizes(rows: Mapping[str, Mapping[str, Sequence[EqualPsnrRow]]]) -> str:
    """A panel for the whole scene and one for the regions; a codec has a mark where it could be compared on every scene."""
    panels = []
    for kind, targets in rows.items():
        most = max((row.scenes for some in targets.values() for row in some), default=0)
        lines: dict[str, Line] = {}
        for target, some in targets.items():
            for row in some:
                if row.bytes is not None and row.scenes == most:
                    lines.setdefault(row.codec, []).append((float(target), row.bytes / 1e3))
        title = "whole scene" if kind == "scene" else "regions of interest"
        panels.append(
            (f"kilobytes over PSNR, {title}", "PSNR, dB", {name: sorted(line) for name, line in lines.items()})
        )
    return _figure([_Panel(title, axis, lines, x_log=False, y_log=True) for title, axis, lines in panels])


def draw_detection(curves: Mapping[str, Sequence[DetectionPoint]], original: DetectionPoint, raw_bytes: int) -> str:
    """F1 and recall over the bytes used, percent of raw; the line across is the original."""
    panels = []
    for title, known in (("F1 on the ground", original.f1), ("recall on the ground", original.recall)):
        lines = {
            name: [
                (100 * point.bytes / raw_bytes, point.f1 if title.startswith("F1") else point.recall)
                for point in points
                if point.bytes
            ]
            for name, points in curves.items()
            if points
        }
        panels.append(_Panel(title, "bytes, percent of raw", lines, x_log=True, y_log=False, known=known))
    return _figure(panels)


class _Panel:
    """One set of axes."""

    def __init__(
        self, title: str, axis: str, lines: Mapping[str, Line], *, x_log: bool, y_log: bool, known: float | None = None
    ) -> None:
        self.title, self.axis, self.lines, self.known = title, axis, lines, known
        xs = [x for line in lines.values() for x, _ in line] or [1.0, 2.0]
        ys = [y for line in lines.values() for _, y in line] or [1.0, 2.0]
        self.x = _Axis(min(xs), max(xs), x_log)
        self.y = _Axis(min(ys), max(ys), True) if y_log else _Axis(0.0, max([*ys, known or 0.0]) * 1.05, False)

    def parts(self, left: int) -> list[str]:
        """Its elements, the axes beginning at `left`."""
        right, bottom = left + WIDTH, TOP + HEIGHT
        parts = [f'<text x="{left}" y="{TOP - 14}" font-weight="bold" fill="{INK}">{escape(self.title)}</text>']
        for tick in self.y.ticks():
            y = bottom - HEIGHT * self.y.share(tick)
            parts.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>')
            parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" fill="{INK}">{tick:g}</text>')
        for tick in self.x.ticks():
            x = left + WIDTH * self.x.share(tick)
            parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" fill="{INK}">{tick:g}</text>')
        parts.append(
            f'<text x="{left + WIDTH // 2}" y="{bottom + 38}" text-anchor="middle" fill="{INK}">{escape(self.axis)}</text>'
        )
        if self.known is not None:
            y = bottom - HEIGHT * self.y.share(self.known)
            parts.append(
                f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{INK}" stroke-dasharray="4 4"/>'
            )
        for name, line in self.lines.items():
            colour, dash, width = STYLES.get(name, OTHER)
            places = [(left + WIDTH * self.x.share(x), bottom - HEIGHT * self.y.share(y)) for x, y in line]
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>' for x, y in places]
        return parts


class _Axis:
    """From values to a share of the side of a panel."""

    def __init__(self, low: float, high: float, log: bool) -> None:
        self.log = log
        self.low, self.high = low, high if high > low else low + 1.0

    def share(self, value: float) -> float:
        """0 at the low end, 1 at the high end."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values inside."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            marks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
        else:
            step = 10.0 ** math.floor(math.log10((self.high - self.low) / 2))
            step *= 5 if (self.high - self.low) / step > 20 else 2 if (self.high - self.low) / step > 8 else 1
            marks = [step * number for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [round(mark, 9) for mark in marks if self.low <= mark <= self.high]


def _figure(panels: Sequence[_Panel]) -> str:
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    columns = 4
    width = LEFT + max(len(panels), 1) * (WIDTH + GAP)
    height = TOP + HEIGHT + 62 + 22 * (-(-len(names) // columns))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, panel in enumerate(panels):
        parts += panel.parts(LEFT + number * (WIDTH + GAP))
    for number, name in enumerate(names):
        left, line = LEFT + number % columns * ((width - LEFT) // columns), TOP + HEIGHT + 66 + 22 * (number // columns)
        colour, dash, stroke_px = STYLES.get(name, OTHER)
        ends = f'x1="{left}" x2="{left + 34}" y1="{line - 4}" y2="{line - 4}"'
        parts.append(f'<line {ends} stroke="{colour}" stroke-width="{stroke_px}"{dash}/>')
        parts.append(f'<text x="{left + 42}" y="{line}" fill="{INK}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])
