"""The discard audit of a folder read back, shown, and laid out for a person to look at: what `tianshu audit` does (edge: files)."""

from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from downlink.journal import FileJournal
from ground.atomic_file import replace_file
from ground.discard_audit import UnitName
from ground.journal_snapshot import JournalSnapshot
from ground.store import LayerStore
from mission.audit_figures import JudgedAudit, unjudged_audit, with_verdicts
from mission.audit_units import audited_units, painted_units
from mission.audit_verdicts import VERDICTS_FILE, read_verdicts, write_verdicts
from mission.report_audit import HEADS, cells_of, named_rates, notes_of
from mission.report_model import AuditFigures
from mission.report_pictures import png
from mission.scene_export import layer_journal_file

ENLARGED: Final = 4
"""Screen pixels per pixel of a cell, on a side."""


def read_audit(folder: Path, verdicts: Path | None) -> JudgedAudit:
    """What came down in the folder of a run or of a ground service, with the verdicts that lie there and those of the file.

    Never writes to the journal. Raises RunError, VerdictError, and the errors of the rooms.
    """
    with closing(FileJournal(JournalSnapshot(layer_journal_file(folder)))) as journal:
        judged = unjudged_audit(LayerStore(journal))
    drawn: frozenset[UnitName] = frozenset(name for audit in judged.audits for name, _, _ in audit.units())
    files = [path for path in (folder / VERDICTS_FILE,) if path.is_file()]
    files += [] if verdicts is None else [verdicts]
    for path in files:
        judged = with_verdicts(judged, read_verdicts(path, drawn))
    return judged


def write_review(judged: JudgedAudit, folder: Path) -> None:
    """Every cell as a PNG named after its unit, and the verdict file beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    for unit, rgb in painted_units(audited_units(judged)):
        large = np.repeat(np.repeat(rgb, ENLARGED, axis=1), ENLARGED, axis=2)
        replace_file(folder / f"scene-{unit.scene}-unit-{unit.unit}-{unit.kind}.png", png(large))
    write_verdicts(folder / VERDICTS_FILE, judged.audits, judged.verdicts)


def show_audit(figures: AuditFigures, console: Console) -> None:
    """A row per kind, and what a reader must know."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column()
    for head in HEADS:
        table.add_column(head, justify="right")
    for name, rate in named_rates(figures):
        table.add_row(name, *cells_of(rate))
    console.print(table)
    for note in notes_of(figures):
        console.print(f"  {note}", soft_wrap=True, highlight=False, markup=False)
