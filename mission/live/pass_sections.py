"""Contacts on the ground's page: around now on a strip, and the latest as a table (pure)."""

from typing import Final

from mission.live.ground_status import GroundStatus, PassStatus
from mission.live.onboard_status import ContactStatus
from mission.live.status_times import ago, clock
from mission.report_markup import Markup, element, join
from mission.report_units import duration, plural, size, whole

PASSES_LISTED: Final = 8
SHORTEST_HORIZON_MS: Final = 60_000


def passes_section(status: GroundStatus) -> Markup:
    """Contacts around now: the last, the one that goes on, the next."""
    last = next((one for one in reversed(status.passes) if one.los_ms <= status.at_ms), None)
    lines: list[Markup] = []
    if status.contact is not None and status.passes:
        lines.append(_pass_line("Now", status.passes[-1], status.at_ms))
    if last is not None:
        lines.append(_pass_line("Last", last, status.at_ms))
    if status.next_contact is not None:
        coming = status.next_contact
        told = f"{coming.station}, {clock(coming.aos_ms)} for {duration((coming.los_ms - coming.aos_ms) / 1000)}"
        lines.append(element("div", element("dt", "Next"), element("dd", told)))
    if last is None and status.contact is None:
        lines.insert(0, element("div", element("dt", "Last"), element("dd", "none since this service started")))
    return element(
        "section",
        element("h2", "Passes"),
        _strip(status),
        element("dl", lines, class_="lines"),
        class_="panel",
        data_part="passes",
    )


def _pass_line(name: str, one: PassStatus, now_ms: int) -> Markup:
    arrived = f"{plural(one.arrived_layers, 'new layer')}, {plural(one.heard_frames, 'frame')} heard"
    lost = f", {whole(one.lost_frames)} lost" if one.lost_frames else ""
    when = "" if name == "Now" else f"{ago(one.los_ms, now_ms)}: "
    return element("div", element("dt", name), element("dd", f"{when}{arrived}{lost}"))


def _strip(status: GroundStatus) -> Markup:
    """Contacts around now, as far as the second one to come."""
    now_ms = status.at_ms
    ahead = [one.los_ms - now_ms for one in status.coming[:2]] + [SHORTEST_HORIZON_MS]
    if status.contact is not None:
        ahead.append(status.contact.los_ms - now_ms)
    horizon_ms = round(1.05 * max(ahead))
    known: list[PassStatus | ContactStatus] = [*status.passes, *status.coming]
    blocks = []
    for one in known:
        start, end = (max(-1.0, min(1.0, (at_ms - now_ms) / horizon_ms)) for at_ms in (one.aos_ms, one.los_ms))
        if start < end:
            kind = "past" if one.los_ms <= now_ms else "now" if one.aos_ms <= now_ms else "coming"
            style = f"left:{50 + 50 * start:.2f}%;width:{50 * (end - start):.2f}%"
            title = f"{one.station} {clock(one.aos_ms)} to {clock(one.los_ms)}"
            blocks.append(element("i", class_=kind, style=style, title=title))
    reach = duration(horizon_ms / 1000)
    scale = element(
        "div", element("span", f"−{reach}"), element("span", "now"), element("span", f"+{reach}"), class_="scale"
    )
    return join(
        [element("div", blocks, element("u"), class_="strip", role="img", aria_label="Contacts around now"), scale]
    )


def pass_table(status: GroundStatus) -> Markup:
    """The latest contacts as a table."""
    listed = list(reversed(status.passes))[:PASSES_LISTED]
    heads = ("Began", "Station", "Layers", "Frames", "Lost", "Bytes")
    rows = [
        element(
            "tr",
            element("td", clock(one.aos_ms)),
            element("td", one.station, class_="wrap"),
            *(
                element("td", text, class_="number")
                for text in (
                    whole(one.arrived_layers),
                    whole(one.heard_frames),
                    whole(one.lost_frames),
                    size(one.heard_bytes),
                )
            ),
        )
        for one in listed
    ]
    head = element(
        "tr", (element("th", name, class_="number" if index > 1 else None) for index, name in enumerate(heads))
    )
    table = element("div", element("table", element("thead", head), element("tbody", rows)), class_="scroll passes")
    none = element("p", "None since this service started.", class_="note")
    return element(
        "section", element("h2", "Latest passes"), table if rows else none, class_="panel", data_part="passes-table"
    )
