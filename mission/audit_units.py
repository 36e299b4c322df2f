"""The units of a discard audit as somebody looks at them: pictures of the cells that came down."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from downlink.audit_sample import DiscardKind
from mission.audit_figures import JudgedAudit
from mission.report_pictures import Limits, Rgb, detail_limits, rgb_bands, stretch_limits, stretched
from mission.report_rows import AuditedUnit

KIND_NAMES: Final = {
    DiscardKind.CLOUD.label: "set aside as cloud",
    DiscardKind.BLANK.label: "set aside as blank",
    DiscardKind.SATURATED.label: "set aside as saturated",
    DiscardKind.SEA_GATE.label: "not searched: open sea",
    DiscardKind.LAND_GATE.label: "not searched: land",
    DiscardKind.POWER.label: "not searched: power",
    DiscardKind.GATED_PART.label: "not searched: part of a tile",
    DiscardKind.BELOW_THRESHOLD.label: "candidate below the threshold",
}
"""What a reader calls the kinds of discard."""


def audited_units(judged: JudgedAudit) -> tuple[AuditedUnit, ...]:
    """All units with a picture, scene by scene."""
    units = []
    for audit in judged.audits:
        indexes = [band - 1 for band in rgb_bands(audit.summary.band_names, len(audit.summary.band_names))]
        for name, kind, unit in audit.units():
            cell, verdict = audit.cell(name[1]), judged.verdicts.get(name)
            if cell is None:
                continue
            units.append(
                AuditedUnit(
                    scene=name[0],
                    scene_name=audit.summary.name,
                    unit=name[1],
                    kind=kind.label,
                    confidence=None if unit.candidate is None else unit.candidate.confidence,
                    rgb=cell[0][indexes].astype(np.float32),
                    valid=cell[1],
                    objects=None if verdict is None else verdict.objects,
                    judge=None if verdict is None else verdict.judge.value,
                )
            )
    return tuple(units)


def painted_units(units: tuple[AuditedUnit, ...]) -> Iterator[tuple[AuditedUnit, Rgb]]:
    """Each unit with its picture (3, side, side), stretched as a detail of all that its scene has sent."""
    limits: dict[int, Limits] = {}
    for unit in units:
        if unit.scene not in limits:
            same = [one for one in units if one.scene == unit.scene]
            limits[unit.scene] = stretch_limits(
                np.concatenate([one.rgb for one in same], axis=1), np.concatenate([one.valid for one in same])
            )
        yield unit, stretched(unit.rgb, detail_limits(_up_to_the_brightest(unit), limits[unit.scene]))


def _up_to_the_brightest(unit: AuditedUnit) -> Limits:
    """The limits of one cell. Its brightest pixel is inside: it may be all that there is of a boat."""
    limits = stretch_limits(unit.rgb, unit.valid)
    if unit.valid.any():
        limits[:, 1] = np.maximum(limits[:, 1], unit.rgb[:, unit.valid].max(axis=1))
    return limits
