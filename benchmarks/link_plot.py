"""The plot of bytes on the link over loss, as SVG: what is sent, and how much of it is more than the ideal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.link_overhead import StackCost
from benchmarks.link_peers import LinkCost

WIDTH, HEIGHT, LEFT, TOP, GAP = 400, 300, 56, 44, 90
STYLES = {
    "ideal": ("#6b7280", 'stroke-dasharray="4 4"', "ideal 1/(1 − p)"),
    "ours": ("#0b6e4f", "", "ours, file delivery"),
    "whole stack": ("#59b38a", "", "ours, whole stack"),
    "cfdp-py, deferred NAK": ("#8c2d04", "", "cfdp-py, deferred NAK"),
    "cfdp-py, immediate NAK": ("#fd8d3c", "", "cfdp-py, immediate NAK"),
    "LibreCube cfdp": ("#7a5195", "", "LibreCube cfdp"),
}
"""Colour, dash and name of each line."""
INK, GRID = "#1f2937", "#e5e7eb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One mark of a line."""

    loss: float
    ratio: float
    """Bytes sent over bytes of payload."""
    note: str = ""
    """How many transfers were delivered, where not all were."""

    @property
    def excess_percent(self) -> float:
        """Bytes beyond the ideal, per cent of the ideal."""
        return 100 * (self.ratio * (1 - self.loss) - 1)


def draw(peers: Sequence[LinkCost], stack: Sequence[StackCost]) -> str:
    """Both panels. A mark is hollow where some transfers did not end, with how many did."""
    lines = {"ideal": [Point(loss=cost.frame_loss, ratio=cost.ideal) for cost in stack]}
    for cost in peers:
        if cost.down_over_payload is not None:
            note = "" if cost.delivered == cost.transfers else f"{cost.delivered} of {cost.transfers}"
            lines.setdefault(cost.entity, []).append(
                Point(loss=cost.frame_loss, ratio=cost.down_over_payload, note=note)
            )
    lines["whole stack"] = [Point(loss=cost.frame_loss, ratio=cost.over_payload) for cost in stack]
    width, height = LEFT + 2 * WIDTH + GAP + 24, TOP + HEIGHT + 140
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *_panel("bytes sent over bytes of payload", lines, lambda point: point.ratio, LEFT, base=1.0, unit=""),
        *_panel(
            "beyond the ideal",
            {name: points for name, points in lines.items() if name != "ideal"},
            lambda point: point.excess_percent,
            LEFT + WIDTH + GAP,
            base=0.0,
            unit=" %",
        ),
        *_legend(TOP + HEIGHT + 70),
        f'<text x="{LEFT}" y="{TOP + HEIGHT + 120}" font-size="11" fill="{INK}">hollow mark: so many transfers were '
        "delivered; the others never ended and are left out</text>",
        "</svg>",
        "",
    ]
    return "\n".join(parts)


def _panel(
    title: str,
    lines: dict[str, list[Point]],
    value: Callable[[Point], float],
    left: int,
    *,
    base: float,
    unit: str,
) -> list[str]:
    most_loss = max(point.loss for points in lines.values() for point in points)
    most = max(value(point) for points in lines.values() for point in points)
    least = min(value(point) for points in lines.values() for point in points)
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if (most - base) / step <= 8)
    # Transfers that did not end are left out: what remains may lie below the ideal.
    bottom, top = base - step * max(0, -((least - base) // step)), base + step * -(-(most - base) // step)

    def x(point: Point) -> float:
        return left + WIDTH * point.loss / most_loss

    def y(amount: float) -> float:
        return TOP + HEIGHT * (1 - (amount - bottom) / (top - bottom))

    parts = [f'<text x="{left}" y="{TOP - 18}" font-weight="bold" fill="{INK}">{title}</text>']
    for number in range(round((top - bottom) / step) + 1):
        level = bottom + number * step
        parts.append(f'<line x1="{left}" x2="{left + WIDTH}" y1="{y(level):.1f}" y2="{y(level):.1f}" stroke="{GRID}"/>')
        parts.append(
            f'<text x="{left - 8}" y="{y(level) + 4:.1f}" text-anchor="end" fill="{INK}">{level:.3g}{unit}</text>'
        )
    for loss in sorted({point.loss for points in lines.values() for point in points}):
        parts.append(
            f'<text x="{left + WIDTH * loss / most_loss:.1f}" y="{TOP + HEIGHT + 20}" text-anchor="middle" '
            f'fill="{INK}">{loss:.0%}</text>'
        )
    parts.append(
        f'<text x="{left + WIDTH / 2}" y="{TOP + HEIGHT + 42}" text-anchor="middle" fill="{INK}">frames lost</text>'
    )
    for name, (colour, dash, _) in STYLES.items():
        marks = [(x(point), y(value(point)), point.note) for point in lines.get(name, ())]
        shape = " ".join(f"{across:.1f},{down:.1f}" for across, down, _ in marks)
        parts.append(f'<polyline points="{shape}" fill="none" stroke="{colour}" stroke-width="2.5" {dash}/>')
        for across, down, note in marks if not dash else ():
            fill = "#ffffff" if note else colour
            parts.append(
                f'<circle cx="{across:.1f}" cy="{down:.1f}" r="3.5" fill="{fill}" stroke="{colour}" stroke-width="2"/>'
            )
            if note and unit:
                parts.append(
                    f'<text x="{across:.1f}" y="{down - 9:.1f}" text-anchor="middle" font-size="11" '
                    f'fill="{colour}">{note}</text>'
                )
    return parts


def _legend(top: int) -> list[str]:
    parts = []
    for place, (colour, dash, name) in enumerate(STYLES.values()):
        left, line = LEFT + 270 * (place % 3), top + 24 * (place // 3)
        parts.append(
            f'<line x1="{left}" x2="{left + 30}" y1="{line - 4}" y2="{line - 4}" stroke="{colour}" stroke-width="2.5" {dash}/>'
        )
        parts.append(f'<text x="{left + 38}" y="{line}" fill="{INK}">{name}</text>')
    return parts
