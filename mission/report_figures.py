"""Figures of the saving: the sizes compared, and the value on the ground per byte sent."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from downlink.products import Rung
from mission.report_axes import (
    NARROW_PX,
    TOP_PX,
    Scale,
    drawing,
    frame,
    nice_ticks,
    plot,
)
from mission.report_markup import Markup, element, points
from mission.report_model import ByteFigures
from mission.report_rows import CurvePoint, RunReport, SentLayer
from mission.report_units import plural, significant, size


def size_figure(sizes: ByteFigures, width_px: int) -> Markup:
    """Each size as a dot on a logarithmic axis, its exact distance to the others readable as a factor."""
    rows = [
        ("raw pixels", sizes.raw, "baseline"),
        ("lossless", sizes.lossless, "baseline"),
        ("JPEG 2000, equal quality", sizes.lossy_equal_quality, "baseline"),
        ("chips alone", sizes.crops_only, "baseline"),
        ("downlinked, all told", sizes.downlinked, "ours"),
    ]
    known = [(name, count, kind) for name, count, kind in rows if count]
    narrow = width_px <= NARROW_PX
    left, step, top = (12, 46, 26) if narrow else (190, 34, 12)
    height = top + step * len(known) + 34
    low = 10 ** math.floor(math.log10(min((count for _, count, _ in known), default=1)))
    high = 10 ** math.ceil(math.log10(max((count for _, count, _ in known), default=10)) + 1e-9)
    x = Scale(low=low, high=max(high, 10 * low), start=left, stop=width_px - (20 if narrow else 90), logarithmic=True)
    parts = list(_decades(x, top - 8, height - 26))
    for index, (name, count, kind) in enumerate(known):
        y = top + step * index + (22 if narrow else 14)
        at = x(count)
        name_y, name_x, anchor = (y - 11, left, "start") if narrow else (y + 4, left - 14, "end")
        parts.append(element("text", name, class_=f"row-name {kind}", x=name_x, y=name_y, text_anchor=anchor))
        parts.append(element("line", class_=f"stem {kind}", x1=left, x2=at, y1=y, y2=y))
        parts.append(element("circle", class_=f"dot {kind}", cx=at, cy=y, r=5))
        beside = narrow and at > width_px - 100
        text_y, text_x, text_anchor = (y - 11, width_px - 8, "end") if beside else (y + 4, at + 11, "start")
        parts.append(
            element("text", size(count), class_=f"row-value {kind}", x=text_x, y=text_y, text_anchor=text_anchor)
        )
    spoken = "; ".join(f"{name} {size(count)}" for name, count, _ in known)
    return drawing(width_px, height, f"Sizes on a logarithmic scale: {spoken}", *parts)


def value_figure(run: RunReport, width_px: int) -> Markup:
    """Value on the ground over bytes on the link, coloured by rung, with the first-in-first-out order beside it."""
    sent, contacts, fifo = run.sent, run.report.contacts, run.fifo_curve
    curve = _value_curve(sent)
    last = curve[-1] if curve else _CurveStep(link_bytes=0, value=0.0, gained=0.0, rung=Rung.SUMMARY, contact=0)
    most_bytes = max([last.link_bytes, *(point.link_bytes for point in fifo), 1])
    most_value = max([last.value, *(point.value for point in fifo), 1e-9])
    area = plot(width_px, 250 if width_px <= NARROW_PX else 320, x=(0, most_bytes), y=(0, most_value * 1.05))
    parts = [
        frame(
            area,
            x_ticks=nice_ticks(0, most_bytes, 3 if width_px <= NARROW_PX else 7),
            y_ticks=nice_ticks(0, most_value * 1.05, 5),
            x_text=lambda tick: size(round(tick)),
            y_text=significant,
            x_label="bytes of layers, in the order of sending, repeats not counted",
            y_label="value on the ground",
        )
    ]
    for contact, start in _contact_starts(sent)[1:]:
        at = area.x(start)
        name = contacts[contact].station if contact < len(contacts) else str(contact)
        tip = element("title", f"contact {contacts[contact].id if contact < len(contacts) else contact}: {name}")
        parts.append(element("line", tip, class_="boundary", x1=at, x2=at, y1=area.y.start, y2=TOP_PX))
    if fifo:
        parts.append(_fifo_line(fifo, area.x, area.y))
    for rung, piece in _coloured_runs(curve, area.x, area.y):
        parts.append(element("polyline", class_=f"curve rung-{rung.name.lower()}-stroke", points=points(piece)))
    spoken = f"Value per byte: {last.value:.4g} after {size(last.link_bytes)} in {plural(len(sent), 'layer')}"
    if fifo:
        spoken += f"; in order of making {fifo[-1].value:.4g} after {size(fifo[-1].link_bytes)}"
    return drawing(width_px, area.height_px, spoken, *parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _CurveStep:
    link_bytes: int
    value: float
    gained: float
    rung: Rung
    contact: int


def _decades(x: Scale, top: float, base: float) -> Iterator[Markup]:
    first, last = round(math.log10(x.low)), round(math.log10(x.high))
    for power in range(first, last + 1):
        at = x(10**power)
        yield element("line", class_="grid", x1=at, x2=at, y1=top, y2=base)
        if (power - first) % (1 if last - first <= 5 else 2) == 0:
            anchor = "start" if at <= x.start + 1 and x.start < 20 else "middle"
            yield element("text", size(10**power), class_="tick", x=at, y=base + 17, text_anchor=anchor)


def _value_curve(sent: Iterable[SentLayer]) -> list[_CurveStep]:
    link_bytes, value, steps = 0, 0.0, []
    for layer in sent:
        gained = layer.value if layer.arrived_ms is not None else 0.0
        link_bytes += layer.size_bytes
        value += gained
        steps.append(
            _CurveStep(link_bytes=link_bytes, value=value, gained=gained, rung=layer.rung, contact=layer.contact)
        )
    return steps


def _contact_starts(sent: Iterable[SentLayer]) -> list[tuple[int, int]]:
    """(contact, bytes on the link when its first layer was sent), in order."""
    starts: list[tuple[int, int]] = []
    link_bytes = 0
    for layer in sent:
        if not starts or starts[-1][0] != layer.contact:
            starts.append((layer.contact, link_bytes))
        link_bytes += layer.size_bytes
    return starts


def _coloured_runs(curve: Sequence[_CurveStep], x: Scale, y: Scale) -> Iterator[tuple[Rung, list[tuple[float, float]]]]:
    """The curve in pieces of one colour, one point per pixel column, coloured by the rung that gained most there."""
    columns: dict[int, list[_CurveStep]] = defaultdict(list)
    for step in curve:
        columns[int(x(step.link_bytes))].append(step)
    at = (x(0), y(0))
    run: list[tuple[float, float]] = [at]
    current: Rung | None = None
    for column in sorted(columns):
        steps = columns[column]
        gained: dict[Rung, float] = defaultdict(float)
        for step in steps:
            gained[step.rung] += step.gained
        rung = max(gained, key=lambda one: gained[one])
        if current is not None and rung is not current:
            yield current, run
            run = [at]
        current = rung
        at = (x(steps[-1].link_bytes), y(steps[-1].value))
        run.append(at)
    if current is not None:
        yield current, run


def _fifo_line(fifo: Sequence[CurvePoint], x: Scale, y: Scale) -> Markup:
    by_column = {int(x(point.link_bytes)): (x(point.link_bytes), y(point.value)) for point in fifo}
    line = [(x(0), y(0)), *(by_column[column] for column in sorted(by_column))]
    return element("polyline", class_="curve fifo", points=points(line))
