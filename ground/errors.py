"""Errors of the ground room. A message names the thing, the value and the remedy; the numbers are attributes.

GroundError
├── ImageMismatchError   a received image that does not fit the scene it is said to belong to
├── GeolocationError     pixels that cannot be placed on Earth
├── QualityError         numbers from which no quality can be told
├── ComparisonError      arrays that cannot be compared
├── CatalogueError       a folder of published scenes that cannot be written or read
├── CommandDeskError     an order that cannot be taken, or a desk's journal that cannot be read
└── UnkeptFileError      a station that would acknowledge a file which its store did not keep
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from downlink.scene import Window


class GroundError(Exception):
    """Root of everything the ground room raises on purpose."""


class ImageMismatchError(GroundError):
    """A received image does not fit its scene."""

    def __init__(self, message: str, *, scene: int, window: "Window", found: object, expected: object) -> None:
        super().__init__(message)
        self.scene = scene
        self.window = window
        self.found = found
        self.expected = expected


class GeolocationError(GroundError):
    """Pixels cannot be placed on Earth."""

    def __init__(self, message: str, *, crs_wkt: str | None) -> None:
        super().__init__(message)
        self.crs_wkt = crs_wkt


class QualityError(GroundError):
    """No quality can be told from these numbers."""

    def __init__(self, message: str, *, value: float) -> None:
        super().__init__(message)
        self.value = value


class ComparisonError(GroundError):
    """Two arrays cannot be compared pixel by pixel."""

    def __init__(self, message: str, *, found: object, expected: object) -> None:
        super().__init__(message)
        self.found = found
        self.expected = expected


class CatalogueError(GroundError):
    """The folder of published scenes cannot be written or read; what was published before is intact."""

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class CommandDeskError(GroundError):
    """The command desk cannot take an order now, or cannot read its journal."""

    def __init__(self, message: str, *, outstanding: int = 0) -> None:
        super().__init__(message)
        self.outstanding = outstanding
        """Commands that the satellite has not reported executed."""


class UnkeptFileError(GroundError):
    """The store did not keep a whole file, so that the station must say no more: file delivery counts it as arrived."""

    def __init__(self, message: str, *, transaction_seq: int) -> None:
        super().__init__(message)
        self.transaction_seq = transaction_seq
