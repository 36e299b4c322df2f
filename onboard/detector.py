"""The detector port, the description of a model, and the loader that picks an engine.

A model folder holds `model.json` and, per engine, the files it loads. The engines differ, the way from digital numbers
to detections does not: `TileDetector` does it for all of them.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from downlink.scene import Window
from onboard.detection import Detection
from onboard.engine_names import ENGINES, EngineName
from onboard.errors import DetectorInputError, EngineError, ModelFileError
from onboard.network_input import InputKind, network_input, window_inputs
from onboard.rotated_boxes import corners_of
from onboard.seam_merge import suppress_duplicates

_ENGINE_MODULES = {
    "openvino_int8": ("onboard.detector_openvino", "OpenVinoEngine"),
    "openvino": ("onboard.detector_openvino", "OpenVinoEngine"),
    "onnxruntime": ("onboard.detector_onnxruntime", "OnnxRuntimeEngine"),
    "ultralytics": ("onboard.detector_ultralytics", "UltralyticsEngine"),
}


FILLED_SIDES_PX: Final = (64, 128, 192, 320, 576, 640)
"""Sides of windows with their halos. Images that the edge of a scene cuts are filled to these squares: an engine compiles a network
for each size that it meets, which takes as long as searching twenty tiles."""


class PlattCalibration(BaseModel):
    """Confidence = 1 / (1 + exp(-(slope * logit(score) + intercept))) (Platt 1999, on the logit of the raw score)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: float = Field(default=1.0, gt=0)
    intercept: float = 0.0

    def confidence_of(self, scores: np.ndarray) -> np.ndarray:
        """(n,) raw scores 0..1 to (n,) calibrated probabilities."""
        clipped = np.clip(np.asarray(scores, dtype=np.float64), 1e-6, 1 - 1e-6)
        return 1.0 / (1.0 + np.exp(-(self.slope * np.log(clipped / (1 - clipped)) + self.intercept)))

    def score_of(self, confidence: float) -> float:
        """The raw score that calibrates to `confidence`."""
        bounded = min(max(confidence, 1e-6), 1 - 1e-6)
        return float(1.0 / (1.0 + np.exp(-(np.log(bounded / (1 - bounded)) - self.intercept) / self.slope)))


class DetectorModel(BaseModel):
    """`model.json`: what the model is, what it needs, and which files it consists of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    classes: tuple[str, ...] = Field(min_length=1)
    bands: tuple[str, ...] = Field(min_length=1)
    """Required bands by Sentinel-2 name, in the order of the network's channels."""
    dn_to_input: InputKind
    """How digital numbers reach the network; see `onboard.network_input`."""
    training_gsd_m: float = Field(gt=0)
    """Ground sampling distance of the training scenes, metres per pixel."""
    input_px: int = Field(gt=0)
    """Largest side of what the exported network is given."""
    input_multiple_px: int | None = Field(default=None, gt=0)
    """The network takes any height and width that are multiples of this; None: input_px by input_px alone."""
    threshold: float = Field(ge=0, le=1)
    """Calibrated confidence from which a detection is reported."""
    calibration: PlattCalibration
    files: dict[EngineName, dict[str, str]]
    """Per engine: file name to SHA-256 in hexadecimal. The first file is the one the engine opens."""
    training_data: str
    licence: str

    @property
    def label(self) -> str:
        """`name@version`, as provenance records carry it."""
        return f"{self.name}@{self.version}"


class Detector(Protocol):
    """Finds objects in one tile."""

    @property
    def model(self) -> DetectorModel:
        """What is doing the looking."""
        ...

    def detect(self, pixels: np.ndarray, band_names: tuple[str, ...]) -> list[Detection]:
        """(bands, height, width) uint8 or uint16 to detections in that array's pixel frame, most confident first.

        Raises DetectorInputError if required bands are missing or the array is larger than the network's input.
        """
        ...


@runtime_checkable
class WindowDetector(Detector, Protocol):
    """A detector that searches parts of a tile, and more than one at a time."""

    def begin(
        self, pixels: np.ndarray, band_names: tuple[str, ...], windows: Sequence[Window]
    ) -> Callable[[], list[list[Detection]]]:
        """Start on `windows` of (bands, height, width) pixels; what comes back waits, and gives for each of them what `detect` would.

        Detections are in the pixel frame of `pixels`, and the digital numbers of all of it set the level of every window. `pixels`
        must not change until the result has been waited for. Raises DetectorInputError as `detect` does.
        """
        ...


class InferenceEngine(Protocol):
    """Runs the network on images."""

    def candidates(self, image: np.ndarray, min_score: float) -> np.ndarray:
        """(channels, height, width) float32 to (n, 7): centre x, centre y, width, height, angle in radians, raw score, class.

        Only candidates of at least `min_score`; duplicates may remain.
        """
        ...

    def submit(self, image: np.ndarray, min_score: float) -> Callable[[], np.ndarray]:
        """Start on an image, which must not change meanwhile; what comes back waits for its `candidates`.

        Waits itself while as many images are in work as the engine takes at a time.
        """
        ...


class TileDetector:
    """The way from digital numbers to detections around any engine."""

    def __init__(self, model: DetectorModel, engine: InferenceEngine, *, threshold: float | None = None) -> None:
        self._model = model
        self._engine = engine
        self._threshold = model.threshold if threshold is None else threshold
        self._min_score = model.calibration.score_of(self._threshold)

    @property
    def model(self) -> DetectorModel:
        return self._model

    def detect(self, pixels: np.ndarray, band_names: tuple[str, ...]) -> list[Detection]:
        image = network_input(pixels, band_names, self._model.bands, kind=self._model.dn_to_input)
        height, width = self._checked_size(image.shape[1:])
        window = Window(row=0, col=0, height=height, width=width)
        return self._detections(self._engine.candidates(self._filled(image), self._min_score), window)

    def begin(
        self, pixels: np.ndarray, band_names: tuple[str, ...], windows: Sequence[Window]
    ) -> Callable[[], list[list[Detection]]]:
        model = self._model
        images = window_inputs(pixels, band_names, model.bands, kind=model.dn_to_input, windows=windows)
        begun = [self._engine.submit(self._filled(image), self._min_score) for image in images]

        def wait() -> list[list[Detection]]:
            return [self._detections(candidates(), window) for candidates, window in zip(begun, windows, strict=True)]

        return wait

    def _detections(self, candidates: np.ndarray, window: Window) -> list[Detection]:
        """Candidates in the frame of a window to detections in the frame that the window lies in."""
        inside = (candidates[:, 0] < window.width) & (candidates[:, 1] < window.height)
        candidates = candidates[inside & (candidates[:, 5] >= self._min_score)]
        # Stable: engines that agree to the last digit also agree on the order.
        candidates = candidates[np.argsort(-candidates[:, 5], kind="stable")]
        if not len(candidates):
            return []
        corners = corners_of(candidates[:, :5])
        kept = suppress_duplicates(corners, candidates[:, 6].astype(np.int64))
        confidences = self._model.calibration.confidence_of(candidates[kept, 5])
        found = zip(corners[kept] + (window.col, window.row), confidences, candidates[kept, 6], strict=True)
        return [_detection(box, confidence, int(class_id)) for box, confidence, class_id in found]

    def _filled(self, image: np.ndarray) -> np.ndarray:
        """Repeat the last row and column of an image that is smaller than what the network takes."""
        height, width = self._checked_size(image.shape[1:])
        side_px = self._filled_px(max(height, width))
        below, beside = side_px - height, side_px - width
        return np.pad(image, ((0, 0), (0, below), (0, beside)), mode="edge") if below or beside else image

    def _filled_px(self, side_px: int) -> int:
        """The side of the square that an image of this longer side is filled to."""
        largest, multiple = self._model.input_px, self._model.input_multiple_px
        if multiple is None:
            return largest
        fitting = [side for side in FILLED_SIDES_PX if side_px <= side <= largest and side % multiple == 0]
        return min(fitting, default=-(-side_px // multiple) * multiple)

    def _checked_size(self, size_px: tuple[int, ...]) -> tuple[int, int]:
        """(height, width), if the network takes it."""
        height, width = size_px
        side = self._model.input_px
        if not 0 < height <= side or not 0 < width <= side:
            raise DetectorInputError(
                f"the network {self._model.label} takes tiles of up to {side} x {side} px, not {height} x {width}; "
                "cut the scene into tiles first",
                present=(f"{height} x {width} px",),
                needed=(f"{side} x {side} px",),
            )
        return height, width


def read_model(model_dir: Path) -> DetectorModel:
    """Read and check `model.json` of a model folder; raises ModelFileError."""
    path = model_dir / "model.json"
    try:
        return DetectorModel.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read ({error}); name a folder with a model.json", path=path) from error
    except ValidationError as error:
        raise ModelFileError(f"{path} is not a model description: {error}", path=path) from error


def verified_files(model_dir: Path, model: DetectorModel, engine: EngineName) -> list[Path]:
    """The files of `engine`, each checked against its SHA-256; the first is the one to open. Raises ModelFileError."""
    listed = model.files.get(engine)
    if not listed:
        raise EngineError(
            f"the model {model.label} in {model_dir} has no files for the engine {engine}; "
            f"choose one of {', '.join(sorted(model.files))} or export it with `python -m onboard.training export`",
            engine=engine,
        )
    return [verified_file(model_dir / name, expected) for name, expected in listed.items()]


def preferred_engine(model: DetectorModel) -> EngineName:
    """What flies where nothing else is said: 8-bit integers if the model has them (docs/decisions/0021-integers-fly.md)."""
    return "openvino_int8" if "openvino_int8" in model.files else "openvino"


def load_detector(
    model_dir: Path, engine: EngineName | None = None, threads: int = 2, *, threshold: float | None = None
) -> Detector:
    """Open a model folder with one engine, None for the preferred one; `threshold` replaces the model's own.

    Raises ModelFileError for a file that is absent or altered, EngineError for an engine that is unknown or absent.
    """
    if engine is not None and engine not in ENGINES:
        raise EngineError(f"unknown inference engine {engine!r}; choose one of {', '.join(ENGINES)}", engine=engine)
    model = read_model(model_dir)
    engine = engine or preferred_engine(model)
    path = verified_files(model_dir, model, engine)[0]
    return TileDetector(model, open_engine(path, engine, threads=threads), threshold=threshold)


def open_engine(path: Path, engine: EngineName, *, threads: int) -> InferenceEngine:
    """One network file in an engine that takes its format. Raises EngineError when the engine is not installed."""
    module_name, class_name = _ENGINE_MODULES[engine]
    opened: InferenceEngine = getattr(importlib.import_module(module_name), class_name)(path, threads=threads)
    return opened


def verified_file(path: Path, expected: str) -> Path:
    """`path`, if its SHA-256 is the expected one; raises ModelFileError."""
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelFileError(
            f"the model file {path} cannot be read ({error}); restore it from the release, its SHA-256 is {expected}",
            path=path,
            expected_sha256=expected,
        ) from error
    if found != expected:
        raise ModelFileError(
            f"the model file {path} is not the one model.json promises: SHA-256 {found}, expected {expected}. "
            "Restore the file, or export the model again so that model.json is written anew",
            path=path,
            expected_sha256=expected,
            found_sha256=found,
        )
    return path


def _detection(corners: np.ndarray, confidence: float, class_id: int) -> Detection:
    first, second, third, fourth = ((float(x), float(y)) for x, y in corners)
    return Detection(class_id=class_id, confidence=float(confidence), corners_px=(first, second, third, fourth))
