"""Tables of the report: what was sent, the detections, the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from downlink.products import ALERTS_PRODUCT, AUDIT_PRODUCT, FIRST_BLOCK, FIRST_CHIP, Rung
from mission.report_markup import Markup, element
from mission.report_model import CodingFigures, LedgerAccount, Report
from mission.report_rows import RUNG_NAMES, DetectionRow, RunReport, SentLayer
from mission.report_units import ABSENT, degrees, duration, percent, significant, size, whole

MOST_LAYERS: Final = 40
MOST_DETECTIONS: Final = 1000

CHOICE_NAMES: Final = {
    "alone": "coded alone",
    "difference": "as the difference from an earlier scene",
    "unchanged": "unchanged since an earlier scene",
}

Cell = Markup


def table(heads: Sequence[str], rows: Iterable[Sequence[Cell]], *, numbers_from: int, sortable: bool = False) -> Markup:
    """A table whose columns from `numbers_from` on hold numbers (right-aligned heads)."""
    head_cells = [
        element(
            "th",
            element("button", head, type="button") if sortable else head,
            scope="col",
            class_="number" if index >= numbers_from else None,
        )
        for index, head in enumerate(heads)
    ]
    body = [element("tr", row) for row in rows]
    return element("table", element("thead", element("tr", head_cells)), element("tbody", body))


def words(text: str | Markup, *, wrap: bool = False) -> Cell:
    """A cell of text."""
    return element("td", text, class_="wrap" if wrap else None)


def figure(text: str) -> Cell:
    """A right-aligned number."""
    return element("td", text, class_="number")


def keyed(text: str, key: float | None) -> Cell:
    """A right-aligned number of a sortable table, sorted by `key` rather than by its text; None comes last."""
    return element("td", text, class_="number", data_key="" if key is None else repr(key))


def rung_table(run: RunReport) -> Markup:
    """Per rung: layers, bytes, value, and value per kilobyte."""
    layers: dict[Rung, list[SentLayer]] = defaultdict(list)
    for layer in run.sent:
        layers[layer.rung].append(layer)
    total = sum(layer.size_bytes for layer in run.sent)
    rows = []
    for rung in sorted(layers):
        group = layers[rung]
        sent_bytes = sum(layer.size_bytes for layer in group)
        value = sum(layer.value for layer in group if layer.arrived_ms is not None)
        arrived = sum(layer.arrived_ms is not None for layer in group)
        rows.append(
            [
                element("th", _swatch(rung), f" {RUNG_NAMES[rung]}", scope="row"),
                figure(whole(len(group))),
                figure(whole(arrived)),
                figure(size(sent_bytes)),
                figure(percent(sent_bytes / total if total else 0.0)),
                figure(significant(value)),
                figure(significant(1000 * value / sent_bytes) if sent_bytes else ABSENT),
            ]
        )
    heads = ("Rung", "Layers sent", "Arrived", "Bytes", "Share", "Value on the ground", "Value per kB")
    return element("div", table(heads, rows, numbers_from=1), class_="scroll")


def sent_table(run: RunReport) -> Markup:
    """The first layers in the order of sending."""
    contacts, names = run.report.contacts, {view.scene: view.name for view in run.scenes}
    rows = []
    for layer in run.sent[:MOST_LAYERS]:
        known = layer.contact < len(contacts)
        arrived = None if layer.arrived_ms is None else (layer.arrived_ms - run.start_ms) / 1000
        rows.append(
            [
                element("th", str(layer.order + 1), scope="row"),
                words(str(contacts[layer.contact].id if known else layer.contact)),
                element("td", _swatch(layer.rung), f" {RUNG_NAMES[layer.rung]}"),
                words(
                    f"{product_name(layer.product)}, step {layer.step}, {names.get(layer.scene, layer.scene)}",
                    wrap=True,
                ),
                figure(size(layer.size_bytes)),
                figure(significant(layer.value)),
                figure(f"T+{duration((layer.sent_ms - run.start_ms) / 1000)}"),
                figure("never" if arrived is None else f"T+{duration(arrived)}"),
            ]
        )
    heads = ("#", "Contact", "Rung", "Layer", "Bytes", "Value", "Sent", "Arrived")
    return element("div", table(heads, rows, numbers_from=4), class_="scroll tall", tabindex=0)


def detection_table(run: RunReport) -> Markup:
    """Every detection made on board (the most confident ones of a great many), sortable."""
    names = {view.scene: view.name for view in run.scenes}
    judged = any(row.matched is not None for row in run.detections)
    rows = [
        [
            words(names.get(row.scene, str(row.scene))),
            words(row.class_name),
            *([_verdict(row.matched)] if judged else []),
            keyed(f"{row.confidence:.2f}", row.confidence),
            keyed(degrees(row.lon), row.lon),
            keyed(degrees(row.lat), row.lat),
            keyed("never arrived" if row.latency_s is None else duration(row.latency_s), row.latency_s),
        ]
        for row in _most_confident(run.detections)
    ]
    heads = [
        "Scene",
        "Class",
        *(["Truth"] if judged else []),
        "Confidence",
        "Longitude",
        "Latitude",
        "Capture to ground",
    ]
    filled = table(heads, rows, numbers_from=3 if judged else 2, sortable=True)
    return element("div", filled, class_="scroll tall", tabindex=0)


def ledger_table(report: Report) -> Markup:
    """The equation of the ledger in tiles, raw bytes and layer bytes."""
    accounts = [("tiles", report.ledger, False), ("raw bytes", report.ledger.raw_bytes, True)]
    accounts.append(("layer bytes", report.ledger.layer_bytes, True))
    rows = [_ledger_row(name, account, in_bytes) for name, account, in_bytes in accounts if account is not None]
    heads = ("", "Captured", "Delivered", "Queued", "Evicted", "Discarded", "Balance")
    return element("div", table(heads, rows, numbers_from=1), class_="scroll")


def reason_table(report: Report) -> Markup | None:
    """Tiles by the reason recorded for them."""
    if not report.ledger.reasons:
        return None
    ordered = sorted(report.ledger.reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = [[words(reason, wrap=True), figure(whole(count))] for reason, count in ordered]
    return element("div", table(("Reason", "Tiles"), rows, numbers_from=1), class_="scroll")


def contact_table(report: Report) -> Markup:
    """Every contact with its times and what the link did."""
    rows = [
        [
            element("th", f"{contact.id} {contact.station}", scope="row"),
            figure(f"T+{duration(contact.aos_s)}"),
            figure(duration(contact.los_s - contact.aos_s)),
            figure(size(contact.capacity_bytes)),
            figure(size(contact.planned_bytes)),
            figure(size(contact.carried_bytes)),
            figure(size(contact.sent_bytes)),
            figure(whole(contact.frames)),
            figure(percent(contact.frames_lost / contact.frames if contact.frames else None)),
            figure(size(contact.retransmitted_bytes)),
            figure(size(contact.idle_bytes)),
        ]
        for contact in report.contacts
    ]
    heads = (
        "Contact",
        "AOS",
        "Length",
        "Capacity",
        "Layers planned",
        "Layers arrived",
        "Sent",
        "Frames",
        "Lost",
        "Sent again",
        "Idle",
    )
    return element("div", table(heads, rows, numbers_from=1), class_="scroll")


def coding_table(coding: CodingFigures) -> Markup:
    """Where the tiles that the survey kept are, in tiles and in bytes of the raw store; how coded blocks lean on earlier scenes."""
    accounts = (("tiles", coding.tiles, whole), ("bytes of the raw store", coding.raw_store_bytes, size))
    rows = [
        [
            element("th", name, scope="row"),
            *(
                figure(shown(count))
                for count in (account.kept, account.coded, account.waiting, account.discarded, account.damaged)
            ),
        ]
        for name, account, shown in accounts
    ]
    tables = [table(("", "Kept raw", "Coded", "Still raw", "Given up", "Damaged"), rows, numbers_from=1)]
    if set(coding.blocks) - {"alone"}:
        kinds = [
            [words(CHOICE_NAMES.get(choice, choice)), figure(whole(count))] for choice, count in coding.blocks.items()
        ]
        if coding.reference_saved_bytes is not None:
            kinds.append([words("saved, where both ways were tried"), figure(size(coding.reference_saved_bytes))])
        tables.append(table(("Coded blocks", ""), kinds, numbers_from=1))
    return element("div", tables, class_="scroll")


def step_table(report: Report) -> Markup:
    """Joules per step with its share."""
    spent = report.energy_j.spent
    rows = []
    for step, joules in sorted(report.energy_j.by_step.items(), key=lambda pair: -pair[1]):
        part = joules / spent if spent else 0.0
        bar = element("span", element("i", style=f"width:{part * 100:.1f}%"), class_="bar", aria_hidden="true")
        rows.append(
            [element("th", step, scope="row"), figure(f"{significant(joules)} J"), figure(percent(part)), words(bar)]
        )
    return element("div", table(("Step", "Energy", "Share", ""), rows, numbers_from=1), class_="scroll")


def product_name(product: int) -> str:
    """What a product number of the downlink names."""
    if product == ALERTS_PRODUCT:
        return "alert batch"
    if product == AUDIT_PRODUCT:
        return "audit"
    if product >= FIRST_CHIP:
        return f"chip {product - FIRST_CHIP}"
    return f"block of tile {product - FIRST_BLOCK}" if product >= FIRST_BLOCK else "summary"


def _ledger_row(name: str, account: LedgerAccount, in_bytes: bool) -> list[Cell]:
    entries = (account.captured, account.delivered, account.queued, account.evicted, account.discarded)
    verdict = ("✓ balanced", "yes") if account.adds_up else ("✗ does not balance", "no")
    balance = element("td", element("span", verdict[0], class_=verdict[1]), class_="number")
    figures = [figure(size(entry) if in_bytes else whole(entry)) for entry in entries]
    return [element("th", name, scope="row"), *figures, balance]


def _most_confident(rows: Sequence[DetectionRow]) -> list[DetectionRow]:
    return sorted(rows, key=lambda row: -row.confidence)[:MOST_DETECTIONS]


def _verdict(matched: bool | None) -> Cell:
    if matched is None:
        return words(ABSENT)
    return words(element("span", "✓ true" if matched else "✗ false", class_="yes" if matched else "no"))


def _swatch(rung: Rung) -> Markup:
    square = element("rect", class_=f"rung-{rung.name.lower()}", width=11, height=11, rx=2)
    return element("svg", square, width=11, height=11, viewBox="0 0 11 11", aria_hidden="true")
