"""Who looks at the units of a discard audit: the truth of a run, or a detector on the ground at a low threshold.

Neither is there: the unit waits for a person.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from downlink.alerts import AlertDetection
from downlink.audit_sample import AuditUnit, DiscardKind
from ground.discard_audit import Judge, SceneAudit, UnitName, Verdict, reported_around
from ground.scene_layers import SceneLayers
from ground.store import LayerStore
from mission.truth import Truth, matched
from onboard.detector import Detector
from onboard.errors import DetectorInputError
from onboard.tile_look import reflectance_of

MARGIN_PX: Final = 16
"""Around each cell on the sheet that the detector is shown, its own edge repeated, so that cells do not meet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What the satellite has told of one scene."""

    corners_px: np.ndarray
    """(n, 4, 2) boxes in scene pixels."""
    confidences: np.ndarray
    """(n,)."""

    @classmethod
    def of(cls, detections: Sequence[AlertDetection]) -> "Reported":
        """Detections as rows."""
        corners = np.array([one.corners_px for one in detections], np.float64).reshape(-1, 4, 2)
        return cls(corners_px=corners, confidences=np.array([one.confidence for one in detections], np.float64))


def audits_of(store: LayerStore) -> tuple[SceneAudit, ...]:
    """The audits that have come down, of scenes whose summary has. Raises LayerError, CodestreamError and JournalError."""
    audits = []
    for scene in store.scenes:
        layers = SceneLayers.of(store, scene)
        summary = layers.summary()
        if summary is not None and (audit := layers.audit(summary)) is not None:
            audits.append(audit)
    return tuple(audits)


def judged_by_truth(audit: SceneAudit, truth: Truth, reported: Reported) -> dict[UnitName, Verdict]:
    """Every unit of a scene: objects that are known to be there and that no reported detection matches."""
    _, found = matched(reported.corners_px, reported.confidences, truth)
    names = tuple(name for name, is_found in zip(truth.class_names, found, strict=True) if not is_found)
    unseen = Truth(corners_px=truth.corners_px[~found], class_names=names)
    return {
        name: Verdict(objects=_objects_in(audit, kind, unit, unseen), judge=Judge.TRUTH)
        for name, kind, unit in audit.units()
    }


def judged_by_detector(
    audit: SceneAudit, detector: Detector, reported: Sequence[AlertDetection], *, dn_offset: int
) -> dict[UnitName, Verdict]:
    """The cells of a scene: whatever this detector names, down to its own threshold, in the pictures that came down.

    Candidates that the same detector was not certain enough of on board are left to a person, and so are cells without valid pixels.
    Empty where the detector cannot read the scene's bands.
    """
    cells = {
        place: cell[0]
        for place, (kind, _) in enumerate(audit.manifest.units)
        if kind is not DiscardKind.BELOW_THRESHOLD and (cell := audit.cell(place)) is not None and cell[1].any()
    }
    verdicts: dict[UnitName, Verdict] = {}
    units = audit.manifest.units
    for sheet in _sheets(cells, audit.manifest.cell_px, side=detector.model.input_px):
        try:
            seen = detector.detect(reflectance_of(sheet.pixels, dn_offset), audit.summary.band_names)
        except DetectorInputError:
            return {}
        for place, (top, left) in sheet.places.items():
            unit = units[place][1]
            window = audit.window(unit)
            centres = [(unit.col + x - left, unit.row + y - top) for x, y in (one.center_px for one in seen)]
            unreported = [
                centre for centre in centres if window.contains(*centre) and not reported_around(*centre, reported)
            ]
            verdicts[audit.summary.scene, place] = Verdict(objects=len(unreported), judge=Judge.DETECTOR)
    return verdicts


def _objects_in(audit: SceneAudit, kind: DiscardKind, unit: AuditUnit, unseen: Truth) -> int:
    if unit.candidate is not None:
        hits, _ = matched(np.array([unit.candidate.corners_px]), np.array([unit.candidate.confidence]), unseen)
        return int(hits.sum())
    window = audit.window(unit)
    return sum(window.contains(x, y) for x, y in unseen.corners_px.mean(axis=1).tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    """Cells side by side, as large as the network's input at most."""

    pixels: np.ndarray
    """(bands, height, width)."""
    places: Mapping[int, tuple[int, int]]
    """By unit: (row, column) of its cell."""


def _sheets(cells: Mapping[int, np.ndarray], cell_px: int, *, side: int) -> Iterator[_Sheet]:
    pitch = cell_px + 2 * MARGIN_PX
    across = max(1, side // pitch)
    names = list(cells)
    for start in range(0, len(names), across * across):
        shown = names[start : start + across * across]
        margin = MARGIN_PX if pitch <= side else 0
        padded = [np.pad(cells[name], ((0, 0), (margin, margin), (margin, margin)), mode="edge") for name in shown]
        width = min(across, len(padded))
        rows = [*padded, *[padded[0]] * (-len(padded) % width)]
        pixels = np.concatenate(
            [np.concatenate(rows[at : at + width], axis=2) for at in range(0, len(rows), width)], axis=1
        )
        step = cell_px + 2 * margin
        places = {name: (at // width * step + margin, at % width * step + margin) for at, name in enumerate(shown)}
        yield _Sheet(pixels=pixels, places=places)
