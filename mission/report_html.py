"""report.html: one file that opens without a network, its pictures, plots, style and script all inside."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

from downlink.products import Rung
from mission.report_audit import audit_section
from mission.report_axes import both_widths
from mission.report_figures import value_figure
from mission.report_headline import headline_section
from mission.report_markup import Markup, element, join
from mission.report_rows import RUNG_NAMES, RunReport
from mission.report_scenes import scene_section
from mission.report_strips import MOST_CONTACTS, strip_figure
from mission.report_tables import (
    MOST_DETECTIONS,
    MOST_LAYERS,
    coding_table,
    contact_table,
    detection_table,
    ledger_table,
    reason_table,
    rung_table,
    sent_table,
    step_table,
)
from mission.report_timelines import battery_figure, latency_figure
from mission.report_units import duration, energy, percent, plural, utc, whole

PICTURE_LIMIT_BYTES: Final = 3_600_000
"""All pictures before base64 adds a third: the page stays below about 6 MB."""
MOST_SCENES: Final = 40
"""Scenes that get a section of their own; further ones are only in the figures."""

_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The browser itself refuses anything from outside the file."""


def write_html(run: RunReport, path: Path) -> None:
    """Write the page whole or not at all. Raises ReportError when a scene's files cannot be read."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(render_html(run), encoding="utf-8")
    partial.replace(path)


def render_html(run: RunReport) -> str:
    """The page as text."""
    shown = run.scenes[:MOST_SCENES]
    limit_bytes = PICTURE_LIMIT_BYTES // max(len(shown), 1)
    main = element(
        "main",
        headline_section(run.report),
        (scene_section(run, view, limit_bytes) for view in shown),
        _unshown(len(run.scenes) - len(shown)),
        _link_section(run),
        _value_section(run),
        _coding_section(run),
        _energy_section(run),
        _latency_section(run),
        audit_section(run),
        _ledger_section(run),
        _provenance_section(run),
    )
    page = element("html", _head(run), element("body", _header(run), main, _footer(), _script()), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _head(run: RunReport) -> Markup:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", f"{run.title} · Tianshu"),
        element("style", Markup(_template("report.css"))),
    )


def _script() -> Markup:
    return element("script", Markup(_template("report.js")))


def _template(name: str) -> str:
    return resources.files("mission").joinpath("templates", name).read_text(encoding="utf-8")


def _header(run: RunReport) -> Markup:
    names = ", ".join(view.name for view in run.scenes[:4])
    more = f" and {len(run.scenes) - 4} more" if len(run.scenes) > 4 else ""
    span = f"{utc(run.start_ms)}, {duration((run.end_ms - run.start_ms) / 1000)} of mission time"
    return element(
        "header",
        element("p", "Tianshu 天数", class_="mark"),
        element("h1", run.title),
        element("p", f"{names}{more}", class_="subtitle"),
        element("p", f"{span}, seed {run.report.seed}", class_="subtitle"),
    )


def _unshown(count: int) -> Markup | None:
    return element("p", f"{plural(count, 'further scene')} not pictured here.", class_="note") if count > 0 else None


def _section(title: str, *children: Markup | str | None, lead: str = "") -> Markup:
    return element("section", element("h2", title), element("p", lead, class_="note") if lead else None, *children)


def _figure(drawing: Markup, *, caption: str = "", legend: Markup | None = None) -> Markup:
    return element("figure", drawing, legend, element("figcaption", caption) if caption else None)


def _rung_legend(run: RunReport) -> Markup:
    used = {layer.rung for layer in run.sent}
    items = []
    for rung in Rung:
        if rung in used:
            square = element("rect", class_=f"rung-{rung.name.lower()}", width=14, height=14, rx=3)
            swatch = element("svg", square, width=14, height=14, viewBox="0 0 14 14", aria_hidden="true")
            items.append(element("li", swatch, RUNG_NAMES[rung]))
    return element("ul", items, class_="legend")


def _uplink_note(run: RunReport) -> str:
    """What went up, in a sentence or two."""
    uplink = None if run.report.link is None else run.report.link.uplink
    if uplink is None:
        return ""
    said = f"Up: {plural(uplink.frames_accepted, 'authentic frame')}, {uplink.frames_refused:,} refused"
    orders = f"; {uplink.orders_acknowledged} of {plural(uplink.orders_given, 'order')} executed"
    return said + (orders if uplink.orders_given else "") + "."


def _link_section(run: RunReport) -> Markup | None:
    if not run.sent:
        return _section("What was sent, in which order", lead="Nothing was sent.")
    lead = "Every layer competes on value per byte; a contact that ends early has already carried what is worth most."
    hidden = len(run.report.contacts) - MOST_CONTACTS
    caption = (
        "The height of a strip is the capacity of the link; what stays empty was headers, repeats, idle time, "
        "or the rest of a layer begun in the contact before."
    )
    if hidden > 0:
        caption += f" {plural(hidden, 'contact')} that carried less not drawn."
    strips = _figure(both_widths(lambda width: strip_figure(run, width)), caption=caption, legend=_rung_legend(run))
    rest = len(run.sent) - MOST_LAYERS
    first = f"The first {MOST_LAYERS} layers" if rest > 0 else "The layers"
    return _section(
        "What was sent, in which order",
        strips if run.report.contacts else None,
        element("h3", "By rung of the ladder"),
        rung_table(run),
        element("h3", f"{first}, in order of sending"),
        sent_table(run),
        element("h3", "Contacts") if run.report.contacts else None,
        contact_table(run.report) if run.report.contacts else None,
        element("p", f"A layer counts in the contact in which it became whole. {_uplink_note(run)}", class_="note")
        if run.report.contacts
        else None,
        lead=lead,
    )


def _value_section(run: RunReport) -> Markup | None:
    if not run.sent:
        return None
    caption = (
        "Value counts once a layer is whole and verified on the ground. Dotted verticals: the next contact begins."
    )
    if run.fifo_curve:
        caption += " Dashed: the same layers in the order of their making."
    drawing = both_widths(lambda width: value_figure(run, width))
    return _section("Value per byte", _figure(drawing, caption=caption, legend=_rung_legend(run)))


def _coding_section(run: RunReport) -> Markup | None:
    coding = run.report.coding
    if coding is None or not coding.tiles.kept:
        return None
    tiles = coding.tiles
    lead = (
        f"The survey kept {plural(tiles.kept, 'tile')} raw; {whole(tiles.coded)} of them became layers, those that promised most "
        "per byte first, as far as the coming contacts could carry."
    )
    saved = (
        f"Coding the others too would have taken {energy(coding.encode_j_saved)} more than the {energy(coding.encode_j)} spent."
        if coding.encode_j_saved
        else f"Coding took {energy(coding.encode_j)}."
    )
    if coding.tiles_gated:
        saved += f" {plural(coding.tiles_gated, 'tile')} of open sea needed no search."
    return _section("Coding", coding_table(coding), element("p", saved, class_="note"), lead=lead)


def _energy_section(run: RunReport) -> Markup:
    spent, budget = run.report.energy_j.spent, run.report.energy_j.budget
    share = f" ({percent(spent / budget)} of the budget)" if budget else ""
    caption = "Shaded: eclipse. Bars along the top: contacts. Dotted: capacity of the battery."
    drawing = _figure(both_widths(lambda width: battery_figure(run, width)), caption=caption) if run.energy else None
    unmet = run.report.energy_j.unmet
    empty = f" {energy(unmet)} of it was not there: the battery was empty." if unmet else ""
    return _section("Energy", drawing, step_table(run.report), lead=f"{energy(spent)} spent{share}.{empty}")


def _latency_section(run: RunReport) -> Markup:
    if not run.detections:
        return _section("Detections", lead="No detection was made on board.")
    caption = "Each dot is a detection; p50 and p90 are over the alerts that arrived."
    rest = len(run.detections) - MOST_DETECTIONS
    note = f"The {MOST_DETECTIONS} most confident; {rest} more are in the GeoJSON." if rest > 0 else ""
    return _section(
        "Detections",
        _figure(both_widths(lambda width: latency_figure(run, width)), caption=caption),
        detection_table(run),
        element("p", note, class_="note") if note else None,
    )


def _ledger_section(run: RunReport) -> Markup:
    lead = "captured = delivered + queued + evicted + discarded, recomputed when this report was made."
    return _section("Ledger", ledger_table(run.report), reason_table(run.report), lead=lead)


def _provenance_section(run: RunReport) -> Markup:
    software = run.report.software
    facts: list[tuple[str, str | None]] = [("Seed", str(run.report.seed))]
    if software is not None:
        facts += [("Tianshu", software.version), ("Model", software.model), ("Model SHA-256", software.model_sha256)]
        facts += [("Engine", software.engine), ("Policy", software.policy), ("Scenario", software.scenario)]
        libraries = ", ".join(f"{name} {version}" for name, version in sorted(software.libraries.items()))
        facts += [("Libraries", libraries or None), ("Command", software.command)]
    rows = [
        [element("dt", name), element("dd", element("code", text) if name in ("Command", "Model SHA-256") else text)]
        for name, text in facts
        if text is not None
    ]
    return _section("Provenance", element("dl", rows, class_="provenance"), lead="Enough to run it again.")


def _footer() -> Markup:
    return join([element("footer", "Made by Tianshu. This file is complete in itself and fetches nothing.")])
