"""Errors of the onboard room. A message names the thing, the value and the remedy; the numbers are attributes.

OnboardError
+-- DetectorError
    +-- DetectorInputError   a scene lacks bands the detector needs, or has another type of number
    +-- ModelFileError       a model file is absent, or its hash is not the one model.json promises
    +-- EngineError          an inference engine is unknown, or not installed
+-- LabelledDataError    labelled images that cannot be judged or learned from
+-- WaterBandsError      a scene lacks the bands that tell water from land
+-- PolicyError              a policy file is absent, not TOML, or asks for what does not exist
+-- StoreError               a store on board was asked for something it does not hold
    +-- SurveyNoteError         the note of a scene in the raw store cannot be read
+-- EnergyError              energy asked for in impossible amounts, or time running backwards
    +-- MeterError              an energy meter that does not work on this machine
+-- IngestError
    +-- SceneFileError          a scene file is absent, not a raster, or damaged all over
    +-- SceneFormatError        its pixels are of a kind this pipeline does not take
    +-- SceneGeoreferenceError  nothing says where it lies, or what says so is too inexact
    +-- TileReadError           one window of an open scene cannot be read; the rest may be
    +-- WindowOutsideError      a window that shares no pixel with the scene was asked for
    +-- SceneTooLargeError      a scene with more tiles or pixels than layers and alerts can name
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a command that asks for errors alone starts without what scenes need
    from downlink.scene import Window


class OnboardError(Exception):
    """Root of everything the onboard room raises on purpose."""


class DetectorError(OnboardError):
    """Root of the detector's errors."""


class DetectorInputError(DetectorError):
    """The pixels are not what the detector was trained for."""

    def __init__(self, message: str, *, present: tuple[str, ...], needed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.present = present
        self.needed = needed


class LabelledDataError(OnboardError):
    """Images, labels or classes of a labelled folder are absent or wrong."""

    def __init__(self, message: str, *, path: Path, line: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.line = line


class WaterBandsError(OnboardError):
    """The bands do not tell water from land."""

    def __init__(self, message: str, *, present: tuple[str, ...]) -> None:
        super().__init__(message)
        self.present = present


class ModelFileError(DetectorError):
    """A file of the model folder cannot be trusted or is not there."""

    def __init__(self, message: str, *, path: Path, expected_sha256: str = "", found_sha256: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.expected_sha256 = expected_sha256
        self.found_sha256 = found_sha256


class EngineError(DetectorError):
    """An inference engine cannot be had."""

    def __init__(self, message: str, *, engine: str) -> None:
        super().__init__(message)
        self.engine = engine


class PolicyError(OnboardError):
    """A policy file cannot be used."""

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class StoreError(OnboardError):
    """A store does not hold what was asked for, has no room for what was given, or its disk refuses."""


class RawTileError(StoreError):
    """Bytes that should be an encoded raw tile are damaged, or of something else."""


class SurveyNoteError(StoreError):
    """The note that lies beside the raw tiles of a scene is damaged, or of another version."""

    def __init__(self, message: str, *, scene: int) -> None:
        super().__init__(message)
        self.scene = scene


class RawStoreFullError(StoreError):
    """The raw store would grow beyond its capacity; nothing was kept, nothing lost."""

    def __init__(self, message: str, *, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(message)
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


class EnergyError(OnboardError):
    """Energy is asked for in impossible amounts."""


class MeterError(EnergyError):
    """An energy meter does not work on this machine."""


class IngestError(OnboardError):
    """Root of what can go wrong between a scene file and its pixels."""


class SceneFileError(IngestError):
    """The file is absent, not a raster, or damaged all over."""

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class SceneFormatError(IngestError):
    """The file opens, but its pixels are of a kind this pipeline does not take."""

    def __init__(self, message: str, *, path: Path, found: str, accepted: str) -> None:
        super().__init__(message)
        self.path = path
        self.found = found
        self.accepted = accepted


class SceneGeoreferenceError(IngestError):
    """Nothing says where the scene lies on Earth, or what says so is too inexact."""

    def __init__(self, message: str, *, path: Path, residual_px: float | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.residual_px = residual_px


class TileReadError(IngestError):
    """One window of an open scene cannot be read. Record it and go on with the rest."""

    def __init__(self, message: str, *, scene: str, window: Window) -> None:
        super().__init__(message)
        self.scene = scene
        self.window = window


class WindowOutsideError(IngestError):
    """A window that shares no pixel with the scene was asked for."""

    def __init__(self, message: str, *, window: Window, height: int, width: int) -> None:
        super().__init__(message)
        self.window = window
        self.height = height
        self.width = width


class SceneTooLargeError(IngestError):
    """The scene has more tiles, or longer sides, than layers and alerts can name."""

    def __init__(self, message: str, *, height: int, width: int, tiles: int) -> None:
        super().__init__(message)
        self.height = height
        self.width = width
        self.tiles = tiles
