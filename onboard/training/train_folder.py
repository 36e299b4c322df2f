"""From a folder of labelled scenes to a model folder that flies: folds, calibration, the network on all scenes, export."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onboard.detector import DetectorModel
from onboard.errors import LabelledDataError
from onboard.training.calibrate import operating_point
from onboard.training.crossval import HeldOutPort, cross_validate, folds_of, read_held_out
from onboard.training.labelled_scene import LabelledScene
from onboard.training.plan import TrainingPlan

INPUTS_FILE = "inputs.json"
"""In the work folder: what its checkpoints were trained from and how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderTraining:
    """What is trained, from what, and where to."""

    plan: TrainingPlan
    """Bands, classes, steps."""
    model_dir: Path
    """Folder to write; its name is the model's."""
    work_dir: Path
    """Where checkpoints and verdicts are kept: what is finished is not done again."""
    folds: int = 5
    """Networks that are each tested on places they have not seen; no more than there are places."""
    start_from: Path | None = None
    """Checkpoint to go on from; it must have seen none of the scenes."""
    version: str = "1.0.0"
    gsd_m: float | None = None
    """Metres to a pixel; None takes the middle of what the files say."""
    origin: str = ""
    """Where the pixels come from and their licence, for model.json."""
    licence: str = "AGPL-3.0-or-later"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEars:
    """Who is told how far the training is."""

    report: Callable[[str], None]
    """Takes a line now and then."""
    on_network: Callable[[str], None]
    """Takes the name of each network that is begun or found finished."""
    on_step: Callable[[int], None]
    """Takes how many of the plan's steps the network at hand has behind it."""


def train_folder(
    scenes: Sequence[LabelledScene], training: FolderTraining, ears: TrainingEars
) -> tuple[DetectorModel, list[HeldOutPort]]:
    """Train, calibrate and export; returns the model and what its folds said of scenes they had not seen.

    Raises LabelledDataError where there is nothing to learn, where no file and no option tells the size of a pixel, and where the
    work folder holds networks of another training.
    """
    from onboard.training.export import ModelAbout, export, export_folds
    from onboard.training.quantise import quantise_model

    plan = training.plan
    names = ", ".join(scene.name for scene in scenes)
    about = ModelAbout(
        version=training.version,
        training_data=f"{training.origin}: {names}" if training.origin else names,
        gsd_m=training.gsd_m or _gsd_m(scenes),
        licence=training.licence,
    )
    folds = _folds(scenes, training)
    _claim_work_dir(scenes, training, folds)
    for number, places in enumerate(folds):
        ears.on_network(f"fold {number + 1} of {len(folds)}, not seeing {', '.join(places)}")
        cross_validate(scenes, (), plan, training.work_dir, folds=folds, numbers=[number],
                       start_from=training.start_from, report=ears.report, on_step=ears.on_step)  # fmt: skip
    ears.on_network("all scenes")
    checkpoint = _train_on_all(scenes, training, ears)
    held_out = read_held_out(training.work_dir)
    if not any(item.hit for port in held_out for item in port.judged):
        ears.report("no object that was held out has been found: train longer (--steps), or label more")
    export(checkpoint, training.model_dir, operating_point(held_out), plan=plan, about=about)
    export_folds(training.work_dir, training.model_dir, held_out, scenes)
    return quantise_model(training.model_dir, scenes), held_out


def _train_on_all(scenes: Sequence[LabelledScene], training: FolderTraining, ears: TrainingEars) -> Path:
    from onboard.training.network import save_checkpoint
    from onboard.training.train import train

    checkpoint = training.work_dir / "all.pt"
    if not checkpoint.exists():
        network = train(scenes, training.plan, start_from=training.start_from, report=ears.report, on_step=ears.on_step)
        notes = {"scenes": [scene.name for scene in scenes], "plan": repr(training.plan)}
        save_checkpoint(network, checkpoint, notes=notes)
    return checkpoint


def _folds(scenes: Sequence[LabelledScene], training: FolderTraining) -> tuple[tuple[str, ...], ...]:
    try:
        return folds_of(scenes, training.folds)
    except ValueError as error:
        raise LabelledDataError(f"{error}; --group-by scene holds out single scenes", path=training.work_dir) from error


def _claim_work_dir(
    scenes: Sequence[LabelledScene], training: FolderTraining, folds: Sequence[tuple[str, ...]]
) -> None:
    """Note the inputs in a new work folder; refuse one whose networks came of others."""
    inputs = {
        "plan": repr(training.plan),
        "folds": [list(places) for places in folds],
        "start_from": hashlib.sha256(training.start_from.read_bytes()).hexdigest() if training.start_from else None,
        "scenes": {scene.name: _digest(scene) for scene in scenes},
    }
    path = training.work_dir / INPUTS_FILE
    held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if held is not None and held != inputs:
        changed = ", ".join(name for name in inputs if held.get(name) != inputs[name])
        raise LabelledDataError(
            f"{training.work_dir} holds networks of another training ({changed} differ); remove it, or name another with --work",
            path=training.work_dir,
        )
    training.work_dir.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(inputs, indent=1) + "\n", encoding="utf-8")


def _digest(scene: LabelledScene) -> str:
    labels = np.column_stack([scene.classes, scene.ships_px.reshape(-1, 8)])
    return hashlib.sha256(scene.pixels_sha256.encode() + labels.tobytes()).hexdigest()


def _gsd_m(scenes: Sequence[LabelledScene]) -> float:
    told = [scene.gsd_m for scene in scenes if scene.gsd_m is not None]
    if not told:
        raise LabelledDataError(
            "no image is georeferenced, so nothing tells the size of a pixel; name it with --gsd-m METRES", path=Path()
        )
    return float(np.median(told))
