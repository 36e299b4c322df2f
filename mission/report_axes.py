"""The frame of a plot in SVG: scales, ticks, grid and labels.

A figure is drawn at a given width in CSS pixels and never scaled, so its text stays readable; the page carries a wide
and a narrow drawing and shows the one that fits. Colours are CSS classes: the page's theme decides light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mission.report_markup import Markup, element, join

WIDE_PX = 860
NARROW_PX = 340
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 58, 14, 22, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Maps data from `low`..`high` to pixels `start`..`stop`; logarithmic where asked."""

    low: float
    high: float
    start: float
    stop: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.logarithmic:
            low, high, at = math.log10(low), math.log10(high), math.log10(max(value, self.low))
        span = high - low
        share = 0.0 if span == 0 else (at - low) / span
        return self.start + min(max(share, 0.0), 1.0) * (self.stop - self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """The drawing area of a figure of `width_px` x `height_px` and its two scales."""

    width_px: int
    height_px: int
    x: Scale
    y: Scale


def plot(
    width_px: int, height_px: int, *, x: tuple[float, float], y: tuple[float, float], left_px: int = LEFT_PX
) -> Plot:
    """A plot whose x and y run over the given spans."""
    return Plot(
        width_px=width_px,
        height_px=height_px,
        x=Scale(low=x[0], high=x[1] if x[1] > x[0] else x[0] + 1, start=left_px, stop=width_px - RIGHT_PX),
        y=Scale(low=y[0], high=y[1] if y[1] > y[0] else y[0] + 1, start=height_px - BOTTOM_PX, stop=TOP_PX),
    )


def nice_ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    """About `count` round values within low..high, spaced 1, 2 or 5 times a power of ten."""
    if not high > low:
        return (low,)
    rough = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return tuple(index * step for index in range(first, math.floor(high / step + 1e-9) + 1))


def time_ticks(high_s: float, count: int) -> tuple[float, ...]:
    """About `count` round times within 0..high_s: seconds, minutes, hours or days."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
    rough = high_s / max(count, 1)
    if rough < 1:
        return nice_ticks(0, high_s, count)
    step = next((step for step in steps if step >= rough * 0.999), steps[-1])
    return tuple(float(index * step) for index in range(int(high_s // step) + 1))


def time_label(seconds: float, high_s: float) -> str:
    """A tick of a time axis that ends at `high_s`: 0.5 s, 40 s, 12 min, 3 h, 2 d."""
    for unit_s, unit, needed_s in ((86400, "d", 3 * 86400), (3600, "h", 2 * 3600), (60, "min", 120)):
        if high_s > needed_s:
            return f"{seconds / unit_s:.4g} {unit}" if seconds else "0"
    return f"{seconds:.3g} s" if seconds else "0"


def frame(
    area: Plot,
    *,
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    x_text: Callable[[float], str],
    y_text: Callable[[float], str],
    x_label: str = "",
    y_label: str = "",
) -> Markup:
    """Grid lines, tick labels, the base line and the two axis labels."""
    left, right, base = area.x.start, area.x.stop, area.y.start
    parts: list[Markup] = []
    for tick in y_ticks:
        y = area.y(tick)
        parts.append(element("line", class_="grid", x1=left, x2=right, y1=y, y2=y))
        parts.append(element("text", y_text(tick), class_="tick", x=left - 8, y=y + 4, text_anchor="end"))
    for tick in x_ticks:
        x = area.x(tick)
        parts.append(element("line", class_="axis", x1=x, x2=x, y1=base, y2=base + 4))
        parts.append(element("text", x_text(tick), class_="tick", x=x, y=base + 17, text_anchor="middle"))
    parts.append(element("line", class_="axis", x1=left, x2=right, y1=base, y2=base))
    parts.append(element("text", x_label, class_="label", x=right, y=base + 34, text_anchor="end"))
    parts.append(element("text", y_label, class_="label", x=left, y=TOP_PX - 9, text_anchor="start"))
    return join(parts)


def drawing(width_px: int, height_px: float, title: str, *content: Markup, kind: str = "") -> Markup:
    """An inline <svg> with its accessible name."""
    view = f"0 0 {width_px} {height_px:g}"
    return element(
        "svg", *content,
        viewBox=view, width=width_px, height=height_px, role="img", aria_label=title, class_=f"figure {kind}".strip(),
    )  # fmt: skip


def both_widths(draw: Callable[[int], Markup]) -> Markup:
    """The figure drawn wide and narrow; the page shows the one that fits."""
    wide, narrow = draw(WIDE_PX), draw(NARROW_PX)
    return join([element("div", wide, class_="wide"), element("div", narrow, class_="narrow")])
