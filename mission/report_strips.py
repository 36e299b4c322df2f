"""What each contact carried over its time: one strip per contact, as high as the link's capacity, coloured by rung."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from downlink.products import Rung
from mission.report_axes import NARROW_PX, Scale, drawing, time_label, time_ticks
from mission.report_markup import Markup, element, number
from mission.report_model import ContactFigures
from mission.report_rows import RUNG_NAMES, RunReport, SentLayer
from mission.report_units import percent, size

MOST_CONTACTS = 16
"""Contacts drawn as strips; a longer mission shows those that carried most."""
_STRIP_PX = 26
_STRIP_STEP_PX = 52
_LEFT_PX = 4
_COLUMNS = 240

Columns = list[dict[Rung, float]]
"""Per column of time the share of its capacity that each rung used."""


def strip_figure(run: RunReport, width_px: int) -> Markup:
    """A strip per contact over its own time; its height is the link's capacity, its colours the rungs that used it."""
    contacts = run.report.contacts
    carried: dict[int, list[SentLayer]] = defaultdict(list)
    for layer in run.sent:
        carried[layer.contact].append(layer)
    shown = sorted(sorted(range(len(contacts)), key=lambda index: -contacts[index].sent_bytes)[:MOST_CONTACTS])
    longest_s = max((contacts[index].los_s - contacts[index].aos_s for index in shown), default=1.0)
    x = Scale(low=0, high=longest_s, start=_LEFT_PX, stop=width_px - 4)
    height = 10 + _STRIP_STEP_PX * len(shown) + 26
    parts: list[Markup] = []
    for position, index in enumerate(shown):
        parts.append(
            _strip(
                contacts[index],
                _filled(contacts[index], carried[index], run.start_ms),
                x,
                26 + position * _STRIP_STEP_PX,
            )
        )
    base = height - 22
    for tick in time_ticks(longest_s, 4 if width_px <= NARROW_PX else 8):
        parts.append(element("line", class_="axis", x1=x(tick), x2=x(tick), y1=base, y2=base + 4))
        anchor = "start" if tick == 0 else "middle" if x(tick) < width_px - 24 else "end"
        text = f"{time_label(tick, longest_s)} after AOS" if tick == 0 else time_label(tick, longest_s)
        parts.append(element("text", text, class_="tick", x=x(tick), y=base + 17, text_anchor=anchor))
    return drawing(width_px, height, "What each contact carried over its time, by rung of the ladder", *parts)


def _strip(contact: ContactFigures, filled: Columns, x: Scale, top: float) -> Markup:
    right = x(contact.los_s - contact.aos_s)
    used = 0 if not contact.capacity_bytes else contact.sent_bytes / contact.capacity_bytes
    heading = f"{contact.station} · contact {contact.id}"
    facts = f"{size(contact.sent_bytes)} of {size(contact.capacity_bytes)} ({percent(used)})"
    parts = [
        element("text", heading, class_="row-name", x=x.start, y=top - 6),
        element("text", facts, class_="tick", x=x.stop, y=top - 6, text_anchor="end"),
        element("rect", class_="strip", x=x.start, y=top, width=max(right - x.start, 1), height=_STRIP_PX),
    ]
    for rung in Rung:
        path = _rung_path(rung, filled, (right - x.start) / len(filled), top)
        if path:
            tip = element("title", RUNG_NAMES[rung])
            parts.append(element("path", tip, class_=f"rung-{rung.name.lower()}", d=path))
    return element("g", parts)


def _rung_path(rung: Rung, filled: Columns, width: float, top: float) -> str:
    """One path for all columns of a rung, stacked on the rungs below it."""
    pieces: list[str] = []
    for column, shares in enumerate(filled):
        amount = shares.get(rung, 0.0)
        if amount > 0.004:
            below = sum(share for other, share in shares.items() if other < rung)
            y = top + _STRIP_PX * (1 - below - amount)
            wide = number(width + 0.2)
            pieces.append(
                f"M{number(_LEFT_PX + column * width)} {number(y)}h{wide}v{number(amount * _STRIP_PX)}h-{wide}z"
            )
    return "".join(pieces)


def _filled(contact: ContactFigures, layers: Sequence[SentLayer], start_ms: int) -> Columns:
    """Columns of equal time. The link sends one layer after another at the contact's mean rate."""
    filled: Columns = [defaultdict(float) for _ in range(_COLUMNS)]
    duration_ms = (contact.los_s - contact.aos_s) * 1000
    if contact.capacity_bytes == 0 or duration_ms <= 0:
        return filled
    aos_ms = start_ms + contact.aos_s * 1000
    cursor = 0.0
    for layer in sorted(layers, key=lambda one: (one.sent_ms, one.order)):
        cursor = max(cursor, (layer.sent_ms - aos_ms) / duration_ms)
        left = layer.size_bytes / contact.capacity_bytes
        while left > 0 and cursor < 1 - 1e-9:
            column = min(int(cursor * _COLUMNS + 1e-9), _COLUMNS - 1)
            piece = min(left, max((column + 1) / _COLUMNS - cursor, 1e-9))
            filled[column][layer.rung] += piece * _COLUMNS
            cursor, left = cursor + piece, left - piece
    return filled
