"""The plot of the one-way comparison: value delivered over frame loss, a panel per kind of loss, as SVG."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.erasure import OneWayRow

COLOURS = {"files": "#8c2d04", "uniform": "#e6a817", "unequal": "#0b6e4f"}
NAMES = {"files": "files without feedback", "uniform": "uniform RaptorQ", "unequal": "unequal protection"}
INK, GRID = "#1f2937", "#e5e7eb"
WIDTH, HEIGHT, LEFT, TOP, GAP = 320, 240, 48, 36, 60
CAPACITY = 1.0


def draw(rows: Sequence["OneWayRow"]) -> str:
    """Passes whose frames carry every layer once, and whose loss was expected."""
    shown = [row for row in rows if row.capacity == CAPACITY and row.expected_loss == row.frame_loss]
    width, height = LEFT + 2 * WIDTH + GAP + 20, TOP + HEIGHT + 70
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    bursts = sorted({row.burst_frames for row in shown}, key=lambda burst: burst or 0.0)
    for place, burst in enumerate(bursts):
        title = "independent losses" if burst is None else f"bursts of {burst:g} frames on average"
        panel = [row for row in shown if row.burst_frames == burst]
        parts += _panel(title, panel, LEFT + place * (WIDTH + GAP))
    for place, (scheme, name) in enumerate(NAMES.items()):
        x, y = LEFT + 190 * place, TOP + HEIGHT + 56
        parts.append(f'<line x1="{x}" x2="{x + 22}" y1="{y}" y2="{y}" stroke="{COLOURS[scheme]}" stroke-width="2.5"/>')
        parts.append(f'<text x="{x + 28}" y="{y + 4}" fill="{INK}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(title: str, rows: Sequence["OneWayRow"], left: int) -> list[str]:
    most = max(row.frame_loss for row in rows)
    parts = [f'<text x="{left}" y="{TOP - 14}" font-weight="bold" fill="{INK}">value delivered, {title}</text>']
    for tenth in range(0, 11, 2):
        y = TOP + HEIGHT * (1 - tenth / 10)
        parts.append(f'<line x1="{left}" x2="{left + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" fill="{INK}">{tenth / 10:g}</text>')
    for loss in sorted({row.frame_loss for row in rows}):
        if loss in (0.0, 0.05) or loss >= 0.1:
            x = left + WIDTH * loss / most
            parts.append(
                f'<text x="{x:.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle" fill="{INK}">{loss:.0%}</text>'
            )
    parts.append(
        f'<text x="{left + WIDTH / 2}" y="{TOP + HEIGHT + 34}" text-anchor="middle" fill="{INK}">frames lost</text>'
    )
    for scheme, colour in COLOURS.items():
        points = " ".join(
            f"{left + WIDTH * row.frame_loss / most:.1f},{TOP + HEIGHT * (1 - row.value_share):.1f}"
            for row in sorted(rows, key=lambda row: row.frame_loss)
            if row.scheme == scheme
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
    return parts
