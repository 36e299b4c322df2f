"""The run in the terminal: one calm table with the headline of the page, or report.json alone for scripts."""

from __future__ import annotations

from collections import Counter
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mission.report_headline import price_lines, saved_lines
from mission.report_model import Report
from mission.report_units import ABSENT, duration, energy, percent, plural, size, whole

WIDEST = 100
"""Columns: a wider terminal does not spread the table further."""

_LEFT_COLUMNS = 31
"""Cells taken by the first two columns of the table and all padding."""
_GREEN, _AMBER, _RED, _DIM = "green", "dark_orange3", "red", "dim"


def show_summary(report: Report, console: Console, *, page: str | None = None) -> None:
    """Print the summary; `page` names the report.html that holds the rest."""
    width = min(console.width, WIDEST)
    console.print(summary_table(report, width), width=width)
    if page is not None:
        console.print(Text(f"  {page}", style=_DIM), soft_wrap=True)


def write_json(report: Report, stream: TextIO) -> None:
    """report.json and nothing else, for `--json`."""
    stream.write(report.to_json())
    stream.flush()


def summary_table(report: Report, width: int = WIDEST) -> Table:
    """Three columns: what, the figure, the numbers behind it; a saving never without its price below it.

    Where `width` columns do not hold a figure's text and numbers on one line, the numbers take a line of their own.
    """
    table = Table(box=box.SIMPLE_HEAD, show_header=False, expand=True, pad_edge=False, padding=(0, 2))
    table.add_column(no_wrap=True, width=6, style=_DIM)
    table.add_column(justify="right", no_wrap=True, width=12)
    table.add_column(ratio=1, overflow="fold")
    room = width - _LEFT_COLUMNS

    def add(group: str, rows: list[Row]) -> None:
        _add(table, group, rows, room)

    table.title = Text(_title(report), style="bold")
    table.title_justify = "left"
    add("Saved", [(f, t, n, _RED if t.startswith("more") else _GREEN) for f, t, n in saved_lines(report)])
    add("Price", [(f, t, n, _AMBER) for f, t, n in price_lines(report)])
    add("Link", _link_lines(report))
    add("Time", _time_lines(report))
    add("Energy", _energy_lines(report))
    add("Coding", _coding_lines(report))
    add("Audit", _audit_lines(report))
    add("Ledger", _ledger_lines(report))
    add("Notes", _note_lines(report))
    return table


Row = tuple[str, str, str, str]
"""(figure, what it says, the numbers behind it, style of the figure)"""


def _add(table: Table, group: str, rows: list[Row], room: int) -> None:
    for index, (figure, text, numbers, style) in enumerate(rows):
        explained = Text(_plain(text))
        if numbers:
            gap = "  " if len(text) + 2 + len(numbers) <= room else "\n"
            explained.append(gap + _plain(numbers), style=_DIM)
        label = group if index == 0 else ""
        shown = Text(_plain(figure), style=f"bold {style}")
        table.add_row(label, shown, explained, end_section=index == len(rows) - 1)


def _plain(text: str) -> str:
    """Ordinary spaces: a terminal may draw the narrow and the no-break ones in odd widths."""
    return text.replace("\u202f", " ").replace("\u00a0", " ")


def _title(report: Report) -> str:
    pixels = sum(scene.height * scene.width for scene in report.scenes)
    names = report.scenes[0].name if len(report.scenes) == 1 else plural(len(report.scenes), "scene")
    return f"Tianshu  {names}, {pixels / 1e6:.2f} Mpix, seed {report.seed}"


def _link_lines(report: Report) -> list[Row]:
    sizes = report.bytes
    rows = [(size(sizes.downlinked), "on the link, all told", f"{size(sizes.overhead)} of it overhead", "")]
    if report.contacts:
        capacity = sum(contact.capacity_bytes for contact in report.contacts)
        frames = sum(contact.frames for contact in report.contacts)
        lost = sum(contact.frames_lost for contact in report.contacts)
        counts = f"{size(capacity)} of capacity; {whole(lost)} of {plural(frames, 'frame')} lost"
        noun = "contact" if len(report.contacts) == 1 else "contacts"
        rows.append((whole(len(report.contacts)), noun, counts, ""))
    return rows


def _time_lines(report: Report) -> list[Row]:
    latency, speed = report.latency_s, report.throughput
    return [
        (duration(latency.first_alert), "from capture to the first alert", _quantiles(report), ""),
        (f"{speed.mpix_per_s:.2f} Mpix/s", "on this machine", f"{duration(speed.wall_s)} in all", ""),
    ]


def _quantiles(report: Report) -> str:
    latency = report.latency_s
    if latency.alerts_p50 is None or latency.alerts_p90 is None:
        return ""
    return f"p50 {duration(latency.alerts_p50)}, p90 {duration(latency.alerts_p90)}"


def _energy_lines(report: Report) -> list[Row]:
    spent = report.energy_j
    most = sorted(spent.by_step.items(), key=lambda pair: -pair[1])[:3]
    steps = ", ".join(f"{step} {percent(joules / spent.spent)}" for step, joules in most if spent.spent)
    rows = [(energy(spent.spent), f"of {energy(spent.budget)}", steps, "")]
    if spent.unmet:
        rows.append((energy(spent.unmet), "of it was not there", "the battery was empty", _RED))
    return rows


def _coding_lines(report: Report) -> list[Row]:
    coding = report.coding
    if coding is None or not coding.tiles.kept:
        return []
    tiles = coding.tiles
    left = ((tiles.waiting, "kept raw"), (tiles.discarded, "given up"), (tiles.damaged, "damaged"))
    rest = ", ".join(f"{whole(count)} {name}" for count, name in left if count)
    rows = [(f"{whole(tiles.coded)} of {whole(tiles.kept)}", "kept tiles coded", rest, "")]
    if coding.encode_j_saved:
        rows.append(
            (energy(coding.encode_j_saved), "saved by not coding the rest", f"{energy(coding.encode_j)} spent", "")
        )
    leaning = sum(count for choice, count in coding.blocks.items() if choice != "alone")
    if leaning:
        kinds = ", ".join(f"{whole(count)} {choice}" for choice, count in coding.blocks.items())
        rows.append((whole(leaning), "blocks lean on an earlier scene", kinds, ""))
    return rows


def _audit_lines(report: Report) -> list[Row]:
    """The miss rates of what was thrown away, kind by kind."""
    audit = report.audit
    if audit is None or not audit.by_kind:
        return []
    rows = []
    for kind, rate in audit.by_kind.items():
        unit = "candidates" if kind == "below_threshold" else "cells"
        counts = f"{whole(rate.missed)} of {whole(rate.judged)} judged, {whole(rate.population)} {unit} thrown away"
        interval = f"{percent(rate.low)} to {percent(rate.high)}" if rate.judged else "awaiting review"
        rows.append((percent(rate.rate), f"missed, {kind.replace('_', ' ')}: {interval}", counts, _AMBER))
    return rows


def _note_lines(report: Report) -> list[Row]:
    """Each note once, with the scenes it is about: why nothing was searched, what was assumed."""
    about = Counter(note for scene in report.scenes for note in scene.notes)
    return [(plural(scenes, "scene"), note, "", _AMBER) for note, scenes in about.items()]


def _ledger_lines(report: Report) -> list[Row]:
    ledger = report.ledger
    parts = ((ledger.delivered, "delivered"), (ledger.queued, "queued"), (ledger.evicted, "evicted"))
    counts = ", ".join(f"{whole(count)} {name}" for count, name in (*parts, (ledger.discarded, "discarded")))
    verdict, style = ("balanced", _GREEN) if ledger.balanced else ("not balanced", _RED)
    noun = "tile captured" if ledger.captured == 1 else "tiles captured"
    return [(verdict, f"{whole(ledger.captured) or ABSENT} {noun}", counts, style)]
