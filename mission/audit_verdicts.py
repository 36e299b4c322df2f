"""The verdict file of a discard audit: what is in each unit that was drawn, as a run, a person or a script has said it (edge: files).

JSON, with everything that is known of a unit, or CSV with the columns `scene`, `unit` and `objects`. `objects` is the number of objects
in the cell that the satellite did not report; null or nothing where nobody has looked yet.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ground.atomic_file import replace_file
from ground.discard_audit import Judge, SceneAudit, UnitName, Verdict
from mission.errors import VerdictError

VERDICTS_FILE: Final = "audit_verdicts.json"
REMEDY: Final = (
    "give the file that a run or `tianshu audit --review` has written, or CSV with the columns scene, unit, objects"
)


class UnitVerdict(BaseModel):
    """One unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scene: Annotated[int, Field(ge=0, le=0xFFFF_FFFF)]
    """Number of the scene."""
    unit: Annotated[int, Field(ge=0)]
    """Its place in the audit of the scene, from 0."""
    objects: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Objects in it that were not reported; null: nobody has looked."""
    judge: Judge | None = None
    """Who says so; null with a number: a person."""
    kind: str = ""
    """Why it was thrown away, for people."""
    row: int | None = None
    """Top row of its cell in the scene, for people."""
    col: int | None = None
    """Left column."""


class VerdictSheet(BaseModel):
    """The file as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    units: tuple[UnitVerdict, ...]
    """Every unit that was drawn, judged or not."""


def verdict_sheet(audits: Sequence[SceneAudit], verdicts: Mapping[UnitName, Verdict]) -> VerdictSheet:
    """All units of these audits with what has been said of them."""
    return VerdictSheet(
        units=tuple(
            UnitVerdict(
                scene=name[0],
                unit=name[1],
                objects=None if (said := verdicts.get(name)) is None else said.objects,
                judge=None if said is None else said.judge,
                kind=kind.label,
                row=unit.row,
                col=unit.col,
            )
            for audit in audits
            for name, kind, unit in audit.units()
        )
    )


def write_verdicts(path: Path, audits: Sequence[SceneAudit], verdicts: Mapping[UnitName, Verdict]) -> None:
    """Write the sheet as JSON, whole or not at all."""
    text = verdict_sheet(audits, verdicts).model_dump_json(by_alias=True, indent=1)
    replace_file(path, f"{text}\n".encode())


def read_verdicts(path: Path, drawn: frozenset[UnitName]) -> dict[UnitName, Verdict]:
    """What a verdict file says of the units that were `drawn`. Raises VerdictError, naming file and place.

    A unit that was not drawn is refused: the file belongs to another run then.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VerdictError(f"cannot read verdicts {path}: {error}; {REMEDY}") from error
    rows = _csv_rows(path, text) if path.suffix.lower() == ".csv" else _json_rows(path, text)
    verdicts: dict[UnitName, Verdict] = {}
    for place, row in rows:
        name = row.scene, row.unit
        if name not in drawn:
            raise VerdictError(
                f"verdicts {path}, {place}: unit {row.unit} of scene {row.scene} was never drawn here; name the verdicts of this run"
            )
        if name in verdicts:
            raise VerdictError(f"verdicts {path}, {place}: a second verdict on unit {row.unit} of scene {row.scene}")
        if row.objects is not None:
            verdicts[name] = Verdict(objects=row.objects, judge=row.judge or Judge.PERSON)
    return verdicts


Row = tuple[str, UnitVerdict]
"""Where it stands, and what it says."""


def _json_rows(path: Path, text: str) -> list[Row]:
    try:
        sheet = VerdictSheet.model_validate(json.loads(text), strict=False)
    except (ValueError, ValidationError) as error:
        raise VerdictError(f"verdicts {path} cannot be used: {_first(error)}; {REMEDY}") from error
    return [(f"entry {number}", row) for number, row in enumerate(sheet.units, start=1)]


def _csv_rows(path: Path, text: str) -> list[Row]:
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in ("scene", "unit", "objects") if name not in (reader.fieldnames or ())]
    if missing:
        raise VerdictError(f"verdicts {path} have no column {', '.join(missing)}; {REMEDY}")
    rows = []
    for found in reader:
        place = f"line {reader.line_num}"
        said = {name: (found[name] or "").strip() or None for name in ("scene", "unit", "objects")}
        try:
            rows.append((place, UnitVerdict.model_validate(said)))
        except ValidationError as error:
            raise VerdictError(f"verdicts {path}, {place}: {_first(error)}; {REMEDY}") from error
    return rows


def _first(error: ValueError) -> str:
    """The first complaint, short."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
