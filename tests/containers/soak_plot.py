"""A plot of the soak's samples as SVG: one panel for each figure, one line for each service."""

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

COLOURS = {"onboard": "#0072b2", "channel": "#e69f00", "ground": "#009e73", "eps": "#cc79a7", "sensor": "#56b4e9"}
WIDTH, PANEL, MARGIN, LEFT = 860, 200, 46, 70

Points = Sequence[tuple[float, float]]


def soak_plot(panels: Mapping[str, Mapping[str, Points]], *, title: str) -> str:
    """`panels`: by its heading, the (minute, value) points of every service."""
    height = MARGIN + len(panels) * (PANEL + MARGIN)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/><text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
    ]
    for name, colour in COLOURS.items():
        x = WIDTH - 90 * (len(COLOURS) - list(COLOURS).index(name))
        parts.append(f'<text x="{x}" y="22" fill="{colour}">{name}</text>')
    for row, (heading, lines) in enumerate(panels.items()):
        parts.append(_panel(heading, lines, top=MARGIN + row * (PANEL + MARGIN)))
    return "\n".join([*parts, "</svg>\n"])


def _panel(heading: str, lines: Mapping[str, Points], *, top: float) -> str:
    """Axes from zero, and a line for each service."""
    points = [point for line in lines.values() for point in line]
    last = max((minute for minute, _ in points), default=1) or 1
    most = max((value for _, value in points), default=1) * 1.1 or 1
    across, bottom = WIDTH - LEFT - 20, top + PANEL
    parts = [f'<text x="{LEFT}" y="{top - 6}">{escape(heading)}</text>']
    for share in (0, 0.5, 1):
        y = bottom - share * PANEL
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + across}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end" fill="#555">{share * most:.3g}</text>')
        parts.append(
            f'<text x="{LEFT + share * across}" y="{bottom + 16}" text-anchor="middle" fill="#555">{share * last:.0f} min</text>'
        )
    for name, line in lines.items():
        path = " ".join(f"{LEFT + m / last * across:.1f},{bottom - v / most * PANEL:.1f}" for m, v in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[name]}" stroke-width="1.5"/>')
    return "\n".join(parts)
