"""The figures of a discard audit, for report.json and for `tianshu audit`, and its judging at the end of a run."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from downlink.alerts import AlertDetection
from downlink.audit_sample import DiscardKind
from downlink.scene import SceneSummary
from ground.discard_audit import MissRate, SceneAudit, UnitName, Verdict, miss_rates, pooled_rate
from ground.scene_layers import SceneLayers
from ground.store import LayerStore
from mission.audit_judges import Reported, audits_of, judged_by_detector, judged_by_truth
from mission.report_model import AuditFigures, MissFigures
from mission.truth import Truth
from onboard.detection import Detection
from onboard.detector import Detector

CELL_KINDS: Final = tuple(kind for kind in DiscardKind if kind is not DiscardKind.BELOW_THRESHOLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedAudit:
    """The audits of a run or of a ground service, and what has been said of their units."""

    audits: tuple[SceneAudit, ...]
    """In order of scene."""
    verdicts: Mapping[UnitName, Verdict]
    """By unit; one without a verdict waits for a person."""
    scenes_without: int
    """Scenes on the ground whose audit is not."""

    @property
    def figures(self) -> AuditFigures | None:
        """None where no audit came down."""
        if not self.audits:
            return None
        names = [name for audit in self.audits for name, _, _ in audit.units()]
        judges = Counter(self.verdicts[name].judge.value for name in names if name in self.verdicts)
        return AuditFigures(
            scenes=len(self.audits),
            scenes_without=self.scenes_without,
            size_bytes=sum(audit.size_bytes for audit in self.audits),
            cells=_figures(pooled_rate(self.audits, self.verdicts, CELL_KINDS)),
            by_kind={
                kind.label: _figures(rate) for kind, rate in sorted(miss_rates(self.audits, self.verdicts).items())
            },
            judged_by=dict(sorted(judges.items())),
            awaiting=len(names) - sum(judges.values()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownScene:
    """What a run knows of a scene beside its audit."""

    detections: tuple[Detection, ...]
    """Reported on board, in scene pixels."""
    truth: Truth | None
    """What is there; None where nobody knows."""


def unjudged_audit(store: LayerStore) -> JudgedAudit:
    """What came down, before anybody has looked. Raises LayerError, CodestreamError and JournalError."""
    audits = audits_of(store)
    audited = {audit.summary.scene for audit in audits}
    summaries = [_summary(store, scene) for scene in store.scenes if scene not in audited]
    return JudgedAudit(audits=audits, verdicts={}, scenes_without=sum(summary is not None for summary in summaries))


def judged_audit(
    store: LayerStore, known: Mapping[int, KnownScene], detector: Detector, *, dn_offset: int
) -> JudgedAudit:
    """The audits of a run: judged by the truth of a scene where there is one, else by the detector, as far as it can."""
    found = unjudged_audit(store)
    verdicts: dict[UnitName, Verdict] = {}
    for audit in found.audits:
        scene = known[audit.summary.scene]
        told = [_told(detection) for detection in scene.detections]
        if scene.truth is not None:
            verdicts |= judged_by_truth(audit, scene.truth, Reported.of(told))
        elif audit.summary.model is not None:
            offset = dn_offset if audit.summary.dtype == np.dtype(np.uint16).name else 0
            verdicts |= judged_by_detector(audit, detector, told, dn_offset=offset)
    return JudgedAudit(audits=found.audits, verdicts=verdicts, scenes_without=found.scenes_without)


def with_verdicts(judged: JudgedAudit, said: Mapping[UnitName, Verdict]) -> JudgedAudit:
    """The same where `said` goes before what was said so far."""
    return JudgedAudit(audits=judged.audits, verdicts={**judged.verdicts, **said}, scenes_without=judged.scenes_without)


def _summary(store: LayerStore, scene: int) -> SceneSummary | None:
    return SceneLayers.of(store, scene).summary()


def _told(detection: Detection) -> AlertDetection:
    return AlertDetection(class_id=detection.class_id, confidence=detection.confidence, corners_px=detection.corners_px)


def _figures(rate: MissRate) -> MissFigures:
    return MissFigures(
        population=rate.population,
        drawn=rate.drawn,
        judged=rate.judged,
        missed=rate.missed,
        rate=None if rate.rate is None else min(1.0, rate.rate),
        low=rate.interval.low,
        high=rate.interval.high,
        at_most=rate.at_most,
        objects=rate.objects,
    )
