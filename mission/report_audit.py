"""The report's section on the discard audit: what was missed, kind by kind, with its interval, and the cells that say so."""

from __future__ import annotations

from typing import Final

from downlink.audit_sample import DiscardKind
from mission.audit_units import KIND_NAMES, painted_units
from mission.report_markup import Markup, element
from mission.report_model import AuditFigures, MissFigures
from mission.report_pictures import encoded
from mission.report_rows import AuditedUnit, RunReport
from mission.report_tables import figure, table
from mission.report_units import ABSENT, percent, plural, significant, size, whole

MOST_SHOWN: Final = 120
PICTURE_BYTES: Final = 4000

ALL_CELLS: Final = "all cells together"
CANDIDATES: Final = DiscardKind.BELOW_THRESHOLD.label


def audit_section(run: RunReport) -> Markup | None:
    """None where no audit came down."""
    audit = run.report.audit
    if audit is None:
        return None
    lead = (
        f"Of what was thrown away on board, units drawn by chance alone came down in {size(audit.size_bytes)}, so that it can be said how "
        "much was missed. A cell is missed where it holds an object that was not reported; a candidate below the threshold where it is one."
    )
    return element(
        "section",
        element("h2", "The discard audit"),
        element("p", lead, class_="note"),
        miss_table(audit),
        element("p", " ".join(notes_of(audit)), class_="note"),
        _strip(run.audited),
    )


def miss_table(audit: AuditFigures) -> Markup:
    """A row per kind, and one for all cells."""
    rows = [[element("th", name, scope="row"), *map(figure, cells_of(rate))] for name, rate in named_rates(audit)]
    return element("div", table(("", *HEADS), rows, numbers_from=1), class_="scroll")


def named_rates(audit: AuditFigures) -> list[tuple[str, MissFigures]]:
    """The kinds in words; all cells together behind those that are cells, where there are several of these."""
    cells = [(KIND_NAMES.get(kind, kind), rate) for kind, rate in audit.by_kind.items() if kind != CANDIDATES]
    others = [(KIND_NAMES.get(kind, kind), rate) for kind, rate in audit.by_kind.items() if kind == CANDIDATES]
    return [*cells, *([(ALL_CELLS, audit.cells)] if len(cells) > 1 else []), *others]


HEADS: Final = ("Thrown away", "Drawn", "Judged", "Missed", "Miss rate", "95 % interval", "Objects, estimated")


def cells_of(rate: MissFigures) -> tuple[str, ...]:
    """A row of figures under `HEADS`."""
    return (
        whole(rate.population),
        whole(rate.drawn),
        whole(rate.judged),
        whole(rate.missed),
        percent(rate.rate),
        f"{percent(rate.low)} to {percent(rate.high)}" if rate.judged else "not known",
        ABSENT if rate.objects is None else significant(rate.objects),
    )


def notes_of(audit: AuditFigures) -> list[str]:
    """What a reader must know of the figures, a sentence each."""
    notes = ["Intervals: Clopper and Pearson."]
    for kind, rate in audit.by_kind.items():
        if rate.at_most is not None and rate.judged:
            notes.append(
                f"{KIND_NAMES.get(kind, kind).capitalize()}: none missed of {plural(rate.judged, 'unit')}, so fewer than "
                f"{percent(rate.at_most)} at 95 % (rule of three)."
            )
    judges = {"truth": "by the truth of the scene", "person": "by a person"}
    judges["detector"] = "by the detector at a low threshold, which counts all that it suspects"
    judged = [f"{whole(count)} {judges[judge]}" for judge, count in audit.judged_by.items() if judge in judges]
    if judged:
        notes.append(f"Judged: {', '.join(judged)}.")
    if audit.awaiting:
        notes.append(f"{plural(audit.awaiting, 'unit')} awaiting review: the rates speak of the others.")
    if audit.scenes_without:
        notes.append(f"The audit of {plural(audit.scenes_without, 'scene')} has not come down.")
    return notes


def _strip(units: tuple[AuditedUnit, ...]) -> Markup | None:
    if not units:
        return None
    # Whoever has little time looks at what waits, then at what was missed.
    ordered = sorted(units, key=lambda one: (one.objects is not None, -(one.objects or 0), one.scene, one.unit))
    shown = tuple(ordered[:MOST_SHOWN])
    cells = [
        element(
            "figure",
            element(
                "img",
                src=encoded(rgb, unit.valid, limit_bytes=PICTURE_BYTES),
                alt=f"{KIND_NAMES.get(unit.kind, unit.kind)}, {verdict_in_words(unit)}",
                width=rgb.shape[2],
                height=rgb.shape[1],
            ),
            element(
                "figcaption",
                element("b", f"{unit.scene}/{unit.unit}"),
                f" {KIND_NAMES.get(unit.kind, unit.kind)}" + (f" {unit.confidence:.2f}" if unit.confidence else ""),
                element("span", verdict_in_words(unit), class_=_style(unit)),
                title=unit.scene_name,
            ),
        )
        for unit, rgb in painted_units(shown)
    ]
    rest = len(units) - len(shown)
    more = f" {plural(rest, 'unit')} more not shown." if rest > 0 else ""
    return element(
        "figure",
        element("div", cells, class_="audit"),
        element(
            "figcaption",
            "The cells as they came down, scene / unit; those awaiting review first. A candidate is in the middle of its cell. Verdicts "
            f"go into audit_verdicts.json; `tianshu audit` reads them.{more}",
        ),
    )


def verdict_in_words(unit: AuditedUnit) -> str:
    """What has been said of a unit."""
    if unit.objects is None:
        return "awaiting review"
    return "nothing missed" if not unit.objects else f"{plural(unit.objects, 'object')} missed"


def _style(unit: AuditedUnit) -> str | None:
    return None if unit.objects is None else "no" if unit.objects else "yes"
