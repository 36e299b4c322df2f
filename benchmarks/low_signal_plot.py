"""The plot of the low-signal comparison: three qualities over Es/N0, as SVG."""

from collections.abc import Callable, Sequence
from html import escape

from benchmarks.low_signal_curves import LEVELS_DB, Comparison, Curve
from benchmarks.low_signal_scene import Quality

PANEL_WIDTH, PANEL_HEIGHT, GAP, LEFT, TOP = 330, 300, 62, 52, 44
OURS = ("#0b6e4f", "#59b38a")
FILES = ("#8c2d04", "#d94801", "#fd8d3c", "#e6a817")
KNOWN = "#6b7280"
INK, GRID = "#1f2937", "#e5e7eb"


def draw(comparison: Comparison) -> str:
    """The whole figure, without the all-or-nothing curves: they differ from the prefix of the same file by tenths of a dB."""
    curves = [curve for curve in comparison.curves if not curve.name.endswith("all or nothing")]
    panels: tuple[tuple[str, Callable[[Quality], float], tuple[float, ...]], ...] = (
        ("objects known on the ground (recall)", lambda one: one.recall, (0.0, 0.2, 0.4, 0.6)),
        ("ROI PSNR, dB", lambda one: one.roi_psnr_db, (20.0, 30.0, 40.0, 50.0, 60.0)),
        ("scene PSNR, dB", lambda one: one.scene_psnr_db, (20.0, 30.0, 40.0, 50.0, 60.0)),
    )
    width = LEFT + 3 * PANEL_WIDTH + 2 * GAP + 20
    rows = (len(curves) + 2) // 3
    height = TOP + PANEL_HEIGHT + 58 + 22 * rows
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, (title, value, ticks) in enumerate(panels):
        parts += _panel(title, value, ticks, curves, LEVELS_DB, LEFT + number * (PANEL_WIDTH + GAP))
    parts += _legend(curves, TOP + PANEL_HEIGHT + 62)
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    title: str,
    value: Callable[[Quality], float],
    ticks: Sequence[float],
    curves: Sequence[Curve],
    levels_db: Sequence[float],
    left: int,
) -> list[str]:
    low, high = ticks[0], max(ticks[-1], max(value(point) for curve in curves for point in curve.points))

    def x(level_db: float) -> float:
        return left + PANEL_WIDTH * (level_db - levels_db[0]) / (levels_db[-1] - levels_db[0])

    def y(amount: float) -> float:
        return TOP + PANEL_HEIGHT * (1 - (max(amount, low) - low) / (high - low))

    parts = [f'<text x="{left}" y="{TOP - 14}" font-weight="bold" fill="{INK}">{escape(title)}</text>']
    for tick in ticks:
        parts.append(
            f'<line x1="{left}" x2="{left + PANEL_WIDTH}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="{GRID}"/>'
        )
        parts.append(f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end" fill="{INK}">{tick:g}</text>')
    for level in range(-4, 11, 2):
        parts.append(
            f'<text x="{x(level):.1f}" y="{TOP + PANEL_HEIGHT + 18}" text-anchor="middle" fill="{INK}">{level}</text>'
        )
    parts.append(
        f'<text x="{left + PANEL_WIDTH / 2:.0f}" y="{TOP + PANEL_HEIGHT + 36}" text-anchor="middle" fill="{INK}">'
        "Es/N0, dB</text>"
    )
    for curve, (colour, dash, stroke_px) in reversed(list(zip(curves, _styles(curves), strict=True))):
        line = " ".join(
            f"{x(level):.1f},{y(value(point)):.1f}" for level, point in zip(levels_db, curve.points, strict=True)
        )
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{stroke_px}" '
            f'stroke-linejoin="round"{dash}/>'
        )
    return parts


def _legend(curves: Sequence[Curve], top: int) -> list[str]:
    parts = []
    for number, (curve, (colour, dash, stroke_px)) in enumerate(zip(curves, _styles(curves), strict=True)):
        left, line = LEFT + (number % 3) * (PANEL_WIDTH + GAP), top + 22 * (number // 3)
        parts.append(
            f'<line x1="{left}" x2="{left + 34}" y1="{line - 4}" y2="{line - 4}" stroke="{colour}" '
            f'stroke-width="{stroke_px}"{dash}/>'
        )
        parts.append(f'<text x="{left + 42}" y="{line}" fill="{INK}">{escape(curve.name)}</text>')
    return parts


def _styles(curves: Sequence[Curve]) -> list[tuple[str, str, float]]:
    """Colour, dash and width of every curve."""
    ours, files = iter(OURS), iter(FILES)
    styles = []
    for curve in curves:
        if curve.ours:
            styles.append((next(ours), "", 3.2))
        elif curve.name.endswith("signal known"):
            styles.append((KNOWN, ' stroke-dasharray="3 4"', 2.0))
        else:
            styles.append((next(files), ' stroke-dasharray="8 4"', 2.0))
    return styles
