"""The networks beside a model that did not see all of its training scenes: `folds/folds.json` and one file for each fold.

A model that is judged on what it was trained on looks better than it is. Cross-validation leaves, for each training scene, a
network that never saw that scene nor its place; kept beside the model, it is what the scene is judged with. Each carries the
calibration and the threshold that the verdicts on the other folds give, so that its own scenes have no part in them either.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from onboard.detector import (
    Detector,
    DetectorModel,
    PlattCalibration,
    TileDetector,
    open_engine,
    verified_file,
)
from onboard.engine_names import EngineName
from onboard.errors import EngineError, ModelFileError
from onboard.training.labelled_scene import LabelledScene

FOLDS_FILE = Path("folds") / "folds.json"
"""Below the model folder."""

Relation = Literal["held out", "seen in training", "new"]
"""Of a scene to the network that judges it: trained on others but not on this scene nor its place; trained on it; neither the
model nor its folds know the place."""


class HeldOutNetwork(BaseModel):
    """One fold's network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    """Name beside `folds.json`."""
    sha256: str
    int8_file: str | None = None
    """The same network in 8-bit integers."""
    int8_sha256: str | None = None
    scenes: dict[str, str]
    """Scenes that it has not seen: name to SHA-256 of the pixels in the model's bands."""
    calibration: PlattCalibration
    threshold: float = Field(ge=0, le=1)


class HeldOutNetworks(BaseModel):
    """`folds.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folds: tuple[HeldOutNetwork, ...] = ()

    def fold_for(self, scene: LabelledScene) -> int | None:
        """The fold that never saw a scene that the model was trained on, by name, by pixels, or by place; None for any other scene."""
        pixels = scene.pixels_sha256 if self.folds else ""
        by_name = [index for index, fold in enumerate(self.folds) if scene.name in fold.scenes]
        by_pixels = [index for index, fold in enumerate(self.folds) if pixels in fold.scenes.values()]
        places = {index: {name.split("_")[0] for name in fold.scenes} for index, fold in enumerate(self.folds)}
        by_place = [index for index, known in places.items() if scene.port in known]
        # Two folds may share a place where folds were made of single scenes: then neither is blind to it.
        found = by_pixels or by_name or (by_place if len(by_place) == 1 else [])
        return found[0] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingNetwork:
    """What judges a scene, and how much it knows of it."""

    detector: Detector
    """Reports everything down to the lowest confidence asked for."""
    threshold: float
    """Confidence from which a detection counts."""
    relation: Relation
    name: str
    """`ship_s2@1.0.0`, with the fold's file where it is one."""


def read_held_out_networks(model_dir: Path) -> HeldOutNetworks:
    """`folds.json` of a model folder; without one, no folds. Raises ModelFileError when it is not one."""
    path = model_dir / FOLDS_FILE
    if not path.exists():
        return HeldOutNetworks()
    try:
        return HeldOutNetworks.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise ModelFileError(
            f"{path} does not describe held-out networks ({error}); export the model with its folds again", path=path
        ) from error


def fold_detector(
    model_dir: Path, model: DetectorModel, fold: HeldOutNetwork, engine: EngineName, *, threshold: float
) -> Detector:
    """The network of a fold with its own calibration, reporting from `threshold` on.

    Raises ModelFileError for a file that is absent or altered, EngineError for an engine that has no file here.
    """
    if engine == "ultralytics":
        raise EngineError(
            "the held-out networks are ONNX files, which the engine ultralytics does not open here; choose openvino or "
            "onnxruntime, or judge the shipped network with --as-shipped",
            engine=engine,
        )
    name, sha256 = (fold.int8_file, fold.int8_sha256) if engine == "openvino_int8" else (fold.file, fold.sha256)
    if name is None or sha256 is None:
        raise EngineError(
            f"{fold.file} has no network in 8-bit integers beside it; choose openvino or onnxruntime, or export the model again",
            engine=engine,
        )
    path = verified_file(model_dir / FOLDS_FILE.parent / name, sha256)
    own = model.model_copy(update={"calibration": fold.calibration, "threshold": fold.threshold})
    return TileDetector(own, open_engine(path, engine, threads=2), threshold=threshold)


def is_named_in(training_data: str, scene: LabelledScene) -> bool:
    """Whether a model's `training_data` names the scene or another date of its place."""
    words = training_data.replace(",", " ").replace(":", " ").replace(";", " ").split()
    return any(word == scene.name or (word.split("_")[0] == scene.port and "_" in word) for word in words)
