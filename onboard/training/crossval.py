"""Cross-validation by port: five folds of two ports; what a fold's network says of its own ports is held out.

No port is in both training and test, so the figures are those of a place never seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from onboard.detector import DetectorModel, PlattCalibration, TileDetector
from onboard.training.labelled_scene import LabelledScene
from onboard.training.matching import JudgedDetection, match
from onboard.training.plan import BANDS, INPUT_KIND, TrainingPlan
from onboard.training.scene_detection import detect_scene

FOLDS = (
    ("athens", "valencia"),
    ("santos", "casablanca"),
    ("genoa", "cartagena"),
    ("algiers", "hedland"),
    ("gdynia", "marseille"),
)
"""Ports tested together: many ships with few, so that the folds weigh alike."""

LOWEST_SCORE = 0.02
"""Held-out detections are kept down to this raw score: calibration needs the doubtful ones too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutPort:
    """What a network that never saw this port says of it."""

    port: str
    fold: int
    ships: int
    """Labelled ships."""
    judged: tuple[JudgedDetection, ...]
    """Every detection down to LOWEST_SCORE, with its raw score and verdict."""


def raw_score_model() -> DetectorModel:
    """A model description that passes raw scores through: for networks not yet calibrated."""
    return DetectorModel(
        name="uncalibrated", version="0", classes=("ship",), bands=BANDS, dn_to_input=INPUT_KIND,
        training_gsd_m=10.0, input_px=640, threshold=LOWEST_SCORE, calibration=PlattCalibration(), files={},
        training_data="", licence="AGPL-3.0-or-later",
    )  # fmt: skip


def cross_validate(
    scenes: Sequence[LabelledScene],
    extra: Sequence[LabelledScene],
    plan: TrainingPlan,
    work_dir: Path,
    *,
    folds: Sequence[int] = tuple(range(len(FOLDS))),
    start_from: Path | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Train one network per fold (kept as `fold_N.pt`; a finished fold is not trained again) and judge its ports.

    `extra` scenes join every fold's training. With `start_from`, another work folder, each fold goes on from its own
    checkpoint there: its held-out ports stay held out. Verdicts go to `held_out_N.json`, see `read_held_out`.
    """
    for fold in folds:
        ports = FOLDS[fold]
        checkpoint = work_dir / f"fold_{fold}.pt"
        if not checkpoint.exists():
            from onboard.training.network import save_checkpoint
            from onboard.training.train import train

            report(f"fold {fold}: testing {', '.join(ports)}")
            seen = [scene for scene in scenes if scene.port not in ports]
            first = start_from / checkpoint.name if start_from else None
            network = train([*seen, *extra], replace(plan, seed=plan.seed + fold), start_from=first, report=report)
            save_checkpoint(network, checkpoint, notes={"held_out_ports": ports, "plan": repr(plan)})
        judged = [judge_port(checkpoint, scene, fold) for scene in scenes if scene.port in ports]
        write_held_out(judged, work_dir / f"held_out_{fold}.json")


def judge_port(checkpoint: Path, scene: LabelledScene, fold: int) -> HeldOutPort:
    """Detections of one scene by one fold's network, matched with its ships."""
    from onboard.detector_ultralytics import UltralyticsEngine

    detector = TileDetector(raw_score_model(), UltralyticsEngine(checkpoint, threads=2))
    found = detect_scene(detector, scene, BANDS)
    scores = np.array([item.confidence for item in found])
    hits = match(np.array([item.corners_px for item in found]).reshape(-1, 4, 2), scores, scene.ships_px)
    return HeldOutPort(
        port=scene.port,
        fold=fold,
        ships=len(scene.ships_px),
        judged=tuple(JudgedDetection(score=float(s), hit=bool(h)) for s, h in zip(scores, hits, strict=True)),
    )


def write_held_out(ports: Sequence[HeldOutPort], path: Path) -> None:
    """Keep held-out verdicts as JSON: per port the fold, the ships, and [score, hit] pairs."""
    rows = [
        {
            "port": port.port,
            "fold": port.fold,
            "ships": port.ships,
            "judged": [[round(item.score, 5), int(item.hit)] for item in port.judged],
        }
        for port in ports
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")


def read_held_out(work_dir: Path) -> list[HeldOutPort]:
    """The verdicts of every finished fold below `work_dir`; raises FileNotFoundError when there is none."""
    paths = sorted(work_dir.glob("held_out_*.json"))
    if not paths:
        raise FileNotFoundError(f"no held_out_*.json in {work_dir}; run `python -m onboard.training crossval` first")
    return [
        HeldOutPort(
            port=row["port"],
            fold=row["fold"],
            ships=row["ships"],
            judged=tuple(JudgedDetection(score=score, hit=bool(hit)) for score, hit in row["judged"]),
        )
        for path in paths
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]
