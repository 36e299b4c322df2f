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
from onboard.training.plan import INPUT_KIND, TrainingPlan
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
    """Name of the scene."""
    fold: int
    ships: int
    """Labelled ships."""
    judged: tuple[JudgedDetection, ...]
    """Every detection down to LOWEST_SCORE, with its raw score and verdict."""


def folds_of(scenes: Sequence[LabelledScene], count: int) -> tuple[tuple[str, ...], ...]:
    """The places of `scenes` in at most `count` folds of about as many objects each; a place is never split.

    Raises ValueError for fewer than two places: there is nothing to hold out.
    """
    objects: dict[str, int] = {}
    for scene in scenes:
        objects[scene.port] = objects.get(scene.port, 0) + len(scene.ships_px)
    if len(objects) < 2 or count < 2:
        raise ValueError(
            f"{len(objects)} place(s) in {count} folds: nothing can be held out; name scenes PLACE_DATE so that at least two places "
            "are told apart, or train without folds"
        )
    folds: list[list[str]] = [[] for _ in range(min(count, len(objects)))]
    for place in sorted(objects, key=lambda name: (-objects[name], name)):
        lightest = min(folds, key=lambda fold: (sum(objects[name] for name in fold), len(fold)))
        lightest.append(place)
    return tuple(tuple(fold) for fold in folds)


def raw_score_model(plan: TrainingPlan) -> DetectorModel:
    """A model description that passes raw scores through: for networks not yet calibrated."""
    return DetectorModel(
        name="uncalibrated", version="0", classes=plan.classes, bands=plan.bands, dn_to_input=INPUT_KIND,
        training_gsd_m=10.0, input_px=640, threshold=LOWEST_SCORE, calibration=PlattCalibration(), files={},
        training_data="", licence="AGPL-3.0-or-later",
    )  # fmt: skip


def cross_validate(
    scenes: Sequence[LabelledScene],
    extra: Sequence[LabelledScene],
    plan: TrainingPlan,
    work_dir: Path,
    *,
    folds: Sequence[tuple[str, ...]] = FOLDS,
    numbers: Sequence[int] | None = None,
    start_from: Path | None = None,
    report: Callable[[str], None] = print,
    on_step: Callable[[int], None] | None = None,
) -> None:
    """Train one network per fold (kept as `fold_N.pt`; a finished fold is not trained again) and judge its places.

    `folds` says which places are tested together, `numbers` which folds to do (default: all). `extra` scenes join every fold's
    training. `start_from` is a checkpoint that has seen none of the places, or another work folder: then each fold goes on from
    its own checkpoint there, and its places stay held out. Verdicts go to `held_out_N.json`, see `read_held_out`.
    `report` and `on_step` are passed to `train`.
    """
    for fold in range(len(folds)) if numbers is None else numbers:
        places = folds[fold]
        checkpoint = work_dir / f"fold_{fold}.pt"
        if not checkpoint.exists():
            from onboard.training.network import save_checkpoint
            from onboard.training.train import train

            report(f"fold {fold}: testing {', '.join(places)}")
            seen = [scene for scene in scenes if scene.port not in places]
            first = start_from / checkpoint.name if start_from and start_from.is_dir() else start_from
            network = train(
                [*seen, *extra], replace(plan, seed=plan.seed + fold), start_from=first, report=report, on_step=on_step
            )
            save_checkpoint(network, checkpoint, notes={"held_out_ports": places, "plan": repr(plan)})
        judged = [judge_port(checkpoint, scene, fold, plan=plan) for scene in scenes if scene.port in places]
        write_held_out(judged, work_dir / f"held_out_{fold}.json")


def judge_port(checkpoint: Path, scene: LabelledScene, fold: int, *, plan: TrainingPlan) -> HeldOutPort:
    """Detections of one scene by one fold's network, matched with its ships; what lies on an ignored object counts for nothing."""
    from onboard.detector_ultralytics import UltralyticsEngine

    detector = TileDetector(raw_score_model(plan), UltralyticsEngine(checkpoint, threads=plan.threads))
    found = detect_scene(detector, scene, plan.bands)
    judged: list[JudgedDetection] = []
    wanted = ~np.isin(scene.classes, list(plan.ignored_classes))
    for class_id in range(len(plan.classes)):
        of_class = [item for item in found if item.class_id == class_id]
        corners = np.array([item.corners_px for item in of_class]).reshape(-1, 4, 2)
        scores = np.array([item.confidence for item in of_class])
        hits = match(corners, scores, scene.ships_px[wanted & (scene.classes == class_id)])
        aside = ~hits & match(corners, scores, scene.ships_px[~wanted])
        judged += [
            JudgedDetection(score=float(s), hit=bool(h)) for s, h, a in zip(scores, hits, aside, strict=True) if not a
        ]
    return HeldOutPort(port=scene.name, fold=fold, ships=int(wanted.sum()), judged=tuple(judged))


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
