"""The plot of delivered value over capacity, one line per way to choose, as SVG."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.scheduler import DeliveryRow

COLOURS = {
    "fifo": "#8c2d04",
    "priority classes": "#e6a817",
    "whole products": "#7a5195",
    "planned": "#0b6e4f",
    "myopic greedy": "#4b9cd3",
}
DASHED = {"myopic greedy"}
"""Lies on the line of the planner at this scale, so that both show."""
INK, GRID = "#1f2937", "#e5e7eb"
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 620, 340, 56, 44, 150, 56


def draw(rows: Sequence["DeliveryRow"]) -> str:
    """Value on the ground over the value captured, against the capacity of all contacts as a share of the bytes captured."""
    capacities = sorted({row.capacity_share for row in rows})
    low, high = math.log(capacities[0]), math.log(capacities[-1])
    top = math.ceil(10 * max(row.value_share for row in rows)) / 10

    def x(capacity: float) -> float:
        return LEFT + WIDTH * (math.log(capacity) - low) / max(high - low, 1e-9)

    def y(value: float) -> float:
        return TOP + HEIGHT * (1 - value / top)

    width, height = LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="{TOP - 20}" font-weight="bold" fill="{INK}">value delivered over value captured</text>',
    ]
    for tenth in range(round(top * 10) + 1):
        level = y(tenth / 10)
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{level:.1f}" y2="{level:.1f}" stroke="{GRID}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{level + 4:.1f}" text-anchor="end" fill="{INK}">{tenth / 10:g}</text>')
    for capacity in capacities:
        at = x(capacity)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP + HEIGHT}" y2="{TOP + HEIGHT + 4}" stroke="{INK}"/>')
        parts.append(
            f'<text x="{at:.1f}" y="{TOP + HEIGHT + 19}" text-anchor="middle" fill="{INK}">{100 * capacity:g} %</text>'
        )
    parts.append(
        f'<text x="{LEFT + WIDTH}" y="{TOP + HEIGHT + 42}" text-anchor="end" fill="{INK}">'
        "capacity of all contacts over bytes captured</text>"
    )
    ends: list[tuple[float, str]] = []
    for name, colour in COLOURS.items():
        line = sorted((row for row in rows if row.choice == name), key=lambda row: row.capacity_share)
        points = " ".join(f"{x(row.capacity_share):.1f},{y(row.value_share):.1f}" for row in line)
        dashes = ' stroke-dasharray="5 7"' if name in DASHED else ""
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"{dashes}/>')
        ends.append((y(line[-1].value_share), name))
    below = -math.inf
    for level, name in sorted(ends):
        below = max(level, below + 16)
        parts.append(f'<text x="{LEFT + WIDTH + 8}" y="{below + 4:.1f}" fill="{COLOURS[name]}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])
