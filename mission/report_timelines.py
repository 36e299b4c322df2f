"""Figures over time: the battery through sunlight, eclipse and contacts, and how long each detection took to arrive."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mission.report_axes import (
    BOTTOM_PX,
    NARROW_PX,
    TOP_PX,
    Plot,
    Scale,
    drawing,
    frame,
    nice_ticks,
    plot,
    time_label,
    time_ticks,
)
from mission.report_markup import Markup, element, join, points
from mission.report_rows import DetectionRow, EnergyPoint, RunReport
from mission.report_units import duration, energy, percent

MOST_DOTS = 400
"""Detections drawn as dots of their own; above that the line alone tells."""


def battery_figure(run: RunReport, width_px: int) -> Markup:
    """Charge over mission time; eclipse shaded, contacts marked along the top, the capacity as a dashed line."""
    series = [((point.at_ms - run.start_ms) / 1000, point) for point in run.energy]
    end_s = max((run.end_ms - run.start_ms) / 1000, series[-1][0] if series else 0.0)
    most_j = max([point.charge_j for point in run.energy] + [run.battery_capacity_j or 0.0], default=1.0)
    narrow = width_px <= NARROW_PX
    area = plot(width_px, 230 if narrow else 280, x=(0, end_s), y=(0, most_j * 1.08))
    parts = [_eclipses(series, end_s, area)]
    parts.append(
        frame(
            area,
            x_ticks=time_ticks(end_s, 4 if narrow else 9),
            y_ticks=nice_ticks(0, most_j, 4),
            x_text=lambda tick: time_label(tick, end_s),
            y_text=energy,
            x_label="mission time",
            y_label="charge",
        )
    )
    if run.battery_capacity_j:
        y = area.y(run.battery_capacity_j)
        parts.append(element("line", class_="boundary", x1=area.x.start, x2=area.x.stop, y1=y, y2=y))
    for contact in run.report.contacts:
        left, right = area.x(contact.aos_s), area.x(contact.los_s)
        tip = element("title", f"contact {contact.id}: {contact.station}")
        parts.append(element("rect", tip, class_="contact", x=left, y=TOP_PX, width=max(right - left, 2), height=6))
    line = _thinned([(area.x(at_s), area.y(point.charge_j)) for at_s, point in series])
    parts.append(element("polyline", class_="curve charge", points=points(line)))
    lowest = min((point.charge_j for point in run.energy), default=0.0)
    return drawing(width_px, area.height_px, f"Battery charge over the mission, lowest {energy(lowest)}", *parts)


def latency_figure(run: RunReport, width_px: int) -> Markup:
    """Share of the detections made on board that the ground had, over the time since their capture; a dot for each.

    A detection that never arrived keeps the line below 100 %. The axis is logarithmic where latencies span decades.
    """
    arrived = sorted(
        ((row.latency_s, row) for row in run.detections if row.latency_s is not None), key=lambda pair: pair[0]
    )
    total = len(run.detections)
    x = _latency_scale([latency_s for latency_s, _ in arrived], width_px)
    narrow = width_px <= NARROW_PX
    area = Plot(
        width_px=width_px,
        height_px=230 if narrow else 280,
        x=x,
        y=Scale(low=0, high=1, start=(230 if narrow else 280) - BOTTOM_PX, stop=TOP_PX),
    )
    ticks = _decade_ticks(x) if x.logarithmic else time_ticks(x.high, 4 if narrow else 8)
    parts = [
        frame(
            area,
            x_ticks=ticks,
            y_ticks=(0, 0.25, 0.5, 0.75, 1),
            x_text=_short if x.logarithmic else (lambda tick: time_label(tick, x.high)),
            y_text=lambda tick: f"{tick * 100:.0f} %",
            x_label="from capture to the ground",
            y_label="detections on the ground",
        )
    ]
    line, dots = _arrival_steps(arrived, total, area)
    parts.append(element("polyline", class_="curve arrivals", points=points(_thinned(line))))
    parts.extend(dots)
    parts.append(_quantile_marks(run, area))
    spoken = f"{percent(len(arrived) / total if total else None)} of {total} detections arrived"
    return drawing(width_px, area.height_px, f"Latency per detection: {spoken}", *parts)


def _eclipses(series: Sequence[tuple[float, EnergyPoint]], end_s: float, area: Plot) -> Markup:
    parts: list[Markup] = []
    since: float | None = None
    for at_s, sunlit in [*((at_s, point.sunlit) for at_s, point in series), (end_s, True)]:
        if not sunlit and since is None:
            since = at_s
        elif sunlit and since is not None:
            left, right = area.x(since), area.x(at_s)
            tip = element("title", f"eclipse, {duration(at_s - since)}")
            height = area.y.start - TOP_PX
            parts.append(element("rect", tip, class_="eclipse", x=left, y=TOP_PX, width=right - left, height=height))
            since = None
    return join(parts)


def _thinned(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """First, last, lowest and highest point per pixel column, in order: a line of any length keeps its look."""
    columns: dict[int, list[int]] = {}
    for index, (x, _) in enumerate(line):
        columns.setdefault(int(x), []).append(index)
    kept: list[int] = []
    for indexes in columns.values():
        extremes = {min(indexes, key=lambda one: line[one][1]), max(indexes, key=lambda one: line[one][1])}
        kept.extend(sorted({indexes[0], indexes[-1], *extremes}))
    return [line[index] for index in kept]


def _latency_scale(latencies_s: Sequence[float], width_px: int) -> Scale:
    least, most = (latencies_s[0], latencies_s[-1]) if latencies_s else (0.0, 1.0)
    start, stop = 58, width_px - 14
    if least > 0 and most / least > 30:
        low, high = 10 ** math.floor(math.log10(least)), 10 ** math.ceil(math.log10(most) + 1e-9)
        return Scale(low=low, high=high, start=start, stop=stop, logarithmic=True)
    return Scale(low=0, high=max(most * 1.08, 1e-3), start=start, stop=stop)


def _decade_ticks(x: Scale) -> tuple[float, ...]:
    usual = (0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 21600, 86400, 604800)
    return tuple(tick for tick in usual if x.low <= tick <= x.high)


def _short(seconds: float) -> str:
    for unit_s, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:g} {unit}"
    return f"{seconds * 1000:g} ms"


def _arrival_steps(
    arrived: Sequence[tuple[float, DetectionRow]], total: int, area: Plot
) -> tuple[list[tuple[float, float]], list[Markup]]:
    line = [(area.x.start, area.y(0))]
    dots: list[Markup] = []
    for rank, (latency_s, row) in enumerate(arrived, start=1):
        x, y = area.x(latency_s), area.y(rank / total)
        line.extend([(x, line[-1][1]), (x, y)])
        if len(arrived) <= MOST_DOTS:
            tip = element("title", f"{row.class_name} {row.confidence:.2f}: {duration(latency_s)}")
            dots.append(element("circle", tip, class_="arrival", cx=x, cy=y, r=3))
    line.append((area.x.stop, line[-1][1]))
    return line, dots


def _quantile_marks(run: RunReport, area: Plot) -> Markup:
    figures = run.report.latency_s
    parts: list[Markup] = []
    for name, at_s in (("p50", figures.alerts_p50), ("p90", figures.alerts_p90)):
        if at_s is None:
            continue
        x = area.x(at_s)
        parts.append(element("line", class_="boundary", x1=x, x2=x, y1=area.y.start, y2=TOP_PX))
        anchor, shift = ("end", -5) if x > area.width_px / 2 else ("start", 5)
        y = area.y.start - (8 if name == "p50" else 24)
        parts.append(
            element("text", f"{name} {duration(at_s)}", class_="tick strong", x=x + shift, y=y, text_anchor=anchor)
        )
    return join(parts)
