"""Tables of precision, recall, F1 and calibration error, per scene and pooled."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from onboard.detector import Detector, load_detector, preferred_engine, read_model
from onboard.engine_names import EngineName
from onboard.training.calibrate import compare_calibrations, leave_fold_out
from onboard.training.crossval import HeldOutPort
from onboard.training.held_out_networks import (
    HeldOutNetworks,
    JudgingNetwork,
    Relation,
    fold_detector,
    is_named_in,
    read_held_out_networks,
)
from onboard.training.labelled_scene import LabelledScene
from onboard.training.matching import F1_GIVEN_UP, JudgedDetection, Score, calibration_error, score_at
from onboard.training.scene_judgement import SceneJudgement, judge_scene

Table = dict[str, Score]

LOWEST_CONFIDENCE = 0.02
"""Detections are asked for down to this confidence: calibration is judged on the doubtful ones too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneScore:
    """How one scene, or a set of them, fares."""

    ships: int
    found: int
    """Detections from the threshold on."""
    hits: int
    precision: float
    recall: float
    f1: float
    ece: float
    """Expected calibration error, ten equal bins, over the detections from the threshold on."""
    ece_all: float
    """The same over all detections down to LOWEST_CONFIDENCE."""
    candidates: int
    """How many those are."""
    away_from_land_ships: int | None
    """Ships 100 m or more from land; None where the bands do not tell water."""
    away_from_land_recall: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneResult:
    """A scene with its score and with what judged it."""

    name: str
    score: SceneScore
    judgement: SceneJudgement
    network: str
    relation: Relation
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All scenes, and all of them together."""

    model: str
    threshold: float
    """Of the shipped network; folds have their own."""
    classes: tuple[str, ...]
    scenes: tuple[SceneResult, ...]
    pooled: SceneScore
    by_class: dict[str, SceneScore] = field(default_factory=dict)
    """Pooled by class, where there are several."""


@dataclass(slots=True, kw_only=True)
class NetworkChoice:
    """Which network judges which scene; engines are opened once."""

    shipped: Detector
    """Reports from LOWEST_CONFIDENCE on."""
    folds: HeldOutNetworks
    open_fold: Callable[[int], Detector]
    as_shipped: bool = False
    """The shipped network for every scene."""
    _opened: dict[int, Detector] = field(default_factory=dict)

    def network_for(self, scene: LabelledScene) -> JudgingNetwork:
        """The fold that never saw a scene of the training, else the shipped network."""
        model = self.shipped.model
        fold = self.folds.fold_for(scene)
        if fold is not None and not self.as_shipped:
            if fold not in self._opened:
                self._opened[fold] = self.open_fold(fold)
            detector = self._opened[fold]
            return JudgingNetwork(
                detector=detector,
                threshold=detector.model.threshold,
                relation="held out",
                name=f"{model.label} {Path(self.folds.folds[fold].file).stem}",
            )
        seen = fold is not None or is_named_in(model.training_data, scene)
        return JudgingNetwork(
            detector=self.shipped,
            threshold=model.threshold,
            relation="seen in training" if seen else "new",
            name=model.label,
        )


def networks_of(model_dir: Path, engine: EngineName | None = None, *, as_shipped: bool = False) -> NetworkChoice:
    """The networks of a model folder, in the preferred engine where none is named.

    Raises ModelFileError and EngineError as `load_detector` does.
    """
    model, folds = read_model(model_dir), read_held_out_networks(model_dir)
    engine = engine or preferred_engine(model)
    return NetworkChoice(
        shipped=load_detector(model_dir, engine, threshold=LOWEST_CONFIDENCE),
        folds=folds,
        open_fold=lambda fold: fold_detector(model_dir, model, folds.folds[fold], engine, threshold=LOWEST_CONFIDENCE),
        as_shipped=as_shipped,
    )


def evaluate(
    networks: NetworkChoice,
    scenes: Sequence[LabelledScene],
    *,
    ignored_classes: Collection[int] = (),
    report: Callable[[SceneResult], None] = lambda result: None,
) -> Evaluation:
    """Judge each scene with the network that `networks` chooses for it; `report` hears of each as it is done."""
    results = []
    for scene in scenes:
        network = networks.network_for(scene)
        judgement = judge_scene(network.detector, scene, ignored_classes=ignored_classes)
        result = SceneResult(
            name=scene.name,
            score=scene_score([(judgement, network.threshold)]),
            judgement=judgement,
            network=network.name,
            relation=network.relation,
            threshold=network.threshold,
        )
        results.append(result)
        report(result)
    model = networks.shipped.model
    parts = [(result.judgement, result.threshold) for result in results]
    counted = {i: name for i, name in enumerate(model.classes) if i not in ignored_classes}
    return Evaluation(
        model=model.label,
        threshold=model.threshold,
        classes=model.classes,
        scenes=tuple(results),
        pooled=scene_score(parts),
        by_class={
            name: scene_score([(part.of_class(i), limit) for part, limit in parts]) for i, name in counted.items()
        }
        if len(counted) > 1
        else {},
    )


def scene_score(parts: Sequence[tuple[SceneJudgement, float]]) -> SceneScore:
    """Scenes, each at its own threshold, as one."""
    above = [item for part, limit in parts for item in part.judged if item.score >= limit]
    every = [item for part, _ in parts for item in part.judged]
    score = score_at(above, sum(len(part.found_with) for part, _ in parts), 0.0)
    # Without a threshold of its own a ship found with confidence 0 is one that was not found.
    away = [
        found >= limit and found > 0
        for part, limit in parts
        if part.away_from_land is not None
        for found, far in zip(part.found_with, part.away_from_land, strict=True)
        if far
    ]
    told = any(part.away_from_land is not None for part, _ in parts)
    return SceneScore(
        **asdict(score),
        ece_all=calibration_error(every),
        candidates=len(every),
        away_from_land_ships=len(away) if told else None,
        away_from_land_recall=sum(away) / len(away) if away else None,
    )


def evaluation_json(evaluation: Evaluation) -> str:
    """The evaluation as JSON: `pooled`, and `scenes` by name."""
    shown: dict[str, object] = {
        "model": evaluation.model,
        "threshold": evaluation.threshold,
        "classes": evaluation.classes,
        "lowest_confidence": LOWEST_CONFIDENCE,
        "pooled": asdict(evaluation.pooled),
        "scenes": {
            result.name: {
                **asdict(result.score),
                "relation": result.relation,
                "network": result.network,
                "threshold": result.threshold,
            }
            for result in evaluation.scenes
        },
    }
    if evaluation.by_class:
        shown["by_class"] = {name: asdict(score) for name, score in evaluation.by_class.items()}
    return json.dumps(shown, indent=1)


def held_out_table(ports: Sequence[HeldOutPort], *, f1_given_up: float = F1_GIVEN_UP) -> Table:
    """Scores of ports never seen; confidence and threshold of each fold come from the other folds."""
    calibrated, thresholds = leave_fold_out(ports, f1_given_up=f1_given_up)
    table = {port.port: score_at(port.judged, port.ships, thresholds[port.fold]) for port in calibrated}
    above = [item for port in calibrated for item in port.judged if item.score >= thresholds[port.fold]]
    table["pooled"] = score_at(above, sum(port.ships for port in ports), 0.0)
    return table


def model_table(detector: Detector, scenes: Sequence[LabelledScene]) -> Table:
    """Scores of a model as it is shipped, threshold included. On its own training scenes this is no test."""
    table: Table = {}
    pooled: list[JudgedDetection] = []
    for scene in scenes:
        judged = judge(detector, scene)
        table[scene.name] = score_at(judged, len(scene.ships_px), 0.0)
        pooled += judged
    table["pooled"] = score_at(pooled, sum(len(scene.ships_px) for scene in scenes), 0.0)
    return table


def judge(detector: Detector, scene: LabelledScene) -> list[JudgedDetection]:
    """A scene's detections with their verdicts."""
    return list(judge_scene(detector, scene).judged)


def calibration_lines(ports: Sequence[HeldOutPort]) -> list[str]:
    """How far each calibration is off, over every held-out detection."""
    errors = compare_calibrations(ports)
    count = sum(len(port.judged) for port in ports)
    return [f"calibration error over {count} held-out detections: "] + [
        f"  {name:9s}{error:.3f}" for name, error in errors.items()
    ]


def table_lines(table: Table) -> list[str]:
    """The table as aligned text."""
    width = max(len(name) for name in table)
    lines = [f"{'':{width}s}  ships  found   hits  precision  recall     F1    ECE"]
    lines += [
        f"{name:{width}s}  {s.ships:5d}  {s.found:5d}  {s.hits:5d}  "
        f"{s.precision:9.3f}  {s.recall:6.3f}  {s.f1:5.3f}  {s.ece:5.3f}"
        for name, s in table.items()
    ]
    return lines


def table_json(table: Table) -> str:
    """The table as JSON, one object per row."""
    return json.dumps({name: asdict(score) for name, score in table.items()}, indent=1)
