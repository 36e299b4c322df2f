"""Errors of the onboard room. A message names the thing, the value and the remedy; the numbers are attributes.

OnboardError
+-- DetectorError
    +-- DetectorInputError   a scene lacks bands the detector needs, or has another type of number
    +-- ModelFileError       a model file is absent, or its hash is not the one model.json promises
    +-- EngineError          an inference engine is unknown, or not installed
"""

from __future__ import annotations

from pathlib import Path


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
