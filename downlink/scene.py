"""What both ends know of a scene: windows of its pixels, where it lies on Earth, and the summary that travels first.

Pixel frame: x is the column, y the row; pixel (row 0, col 0) covers [0, 1) x [0, 1).

The summary on the wire is one version byte, then a zstd frame (RFC 8878, content size written) of compact JSON.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

import zstandard
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, model_validator

from downlink.errors import LayerError

SUMMARY_VERSION: Final = 1
"""First byte of an encoded summary; a reader refuses every other value."""

SUMMARY_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""Largest summary JSON that is written or unpacked, so that a hostile frame cannot fill the memory of the ground."""

MAX_BANDS: Final = 13
"""Bands of one scene at most: the count of a full Sentinel-2 MSI product."""

ZSTD_LEVEL: Final = 19
"""A summary is a few kilobytes and made once per scene: time does not matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A rectangle of whole pixels of a scene. It may reach outside the scene (a halo at the border does)."""

    row: int
    """Top row, in scene pixels; negative above the scene."""
    col: int
    """Left column, in scene pixels; negative left of the scene."""
    height: int
    """Rows, at least 1."""
    width: int
    """Columns, at least 1."""

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise LayerError(f"window of {self.height} x {self.width} px is empty; give at least 1 x 1 px")

    @property
    def row_stop(self) -> int:
        """First row below the window."""
        return self.row + self.height

    @property
    def col_stop(self) -> int:
        """First column right of the window."""
        return self.col + self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """(rows, columns) to index a (height, width) array of the scene. Raises LayerError for a negative origin."""
        if self.row < 0 or self.col < 0:
            raise LayerError(f"window at row {self.row}, col {self.col} starts outside the scene; intersect it first")
        return slice(self.row, self.row_stop), slice(self.col, self.col_stop)

    def shifted(self, rows: int, cols: int) -> Window:
        """The same rectangle moved down by `rows` and right by `cols`."""
        return Window(row=self.row + rows, col=self.col + cols, height=self.height, width=self.width)

    def contains(self, x: float, y: float) -> bool:
        """Whether the point (x = column, y = row) lies inside; the right and lower edges are outside."""
        return self.col <= x < self.col_stop and self.row <= y < self.row_stop

    def intersection(self, other: Window) -> Window | None:
        """The shared rectangle, or None when the two share no pixel."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = min(self.row_stop, other.row_stop) - row
        width = min(self.col_stop, other.col_stop) - col
        if height < 1 or width < 1:
            return None
        return Window(row=row, col=col, height=height, width=width)


class TileOutcome(StrEnum):
    """What became of one tile on board."""

    KEPT = "kept"
    """Screened and searched for objects."""
    SCREENED = "screened"
    """Screened and kept, but not searched: the governor saved the energy, or no detector reads these bands."""
    NODATA = "nodata"
    """Too few valid pixels."""
    BLANK = "blank"
    """No texture in any band."""
    SATURATED = "saturated"
    """Too many pixels at the top of the range."""
    CLOUD = "cloud"
    """Too cloudy to show the ground."""
    POWER = "power"
    """Not looked at: no energy."""
    UNREADABLE = "unreadable"
    """The file could not be read here."""


FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
AffineSix = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
LonLat = tuple[Annotated[float, Field(ge=-360, le=360)], Annotated[float, Field(ge=-90, le=90)]]


class _ReceivedModel(BaseModel):
    """Refuses keys that it does not have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _no_more_keys_than_fields(cls, data: Any) -> Any:
        # Unknown keys are reported one by one, and a hostile summary may have hundreds of thousands.
        if isinstance(data, dict) and len(data) > len(cls.model_fields):
            raise ValueError(f"{len(data)} keys, at most {len(cls.model_fields)} are known")
        return data


class Georeference(_ReceivedModel):
    """Where the pixels of a scene lie on Earth."""

    crs_wkt: str | None = Field(max_length=65_536)
    """Coordinate reference system as well-known text; None when the scene has none."""
    transform: AffineSix
    """(a, b, c, d, e, f): x_map = a*col + b*row + c, y_map = d*col + e*row + f, at pixel corners, in CRS units."""


class SceneSummary(_ReceivedModel):
    """The first thing that travels of a scene; the ground knows nothing else of it."""

    scene: int = Field(ge=0, le=0xFFFF_FFFF)
    """Scene number, unique within the mission (32 bits)."""
    name: str = Field(min_length=1, max_length=255)
    """Name for people and for file names on the ground."""
    captured_ms: int = Field(ge=0)
    """Time of capture in the mission, Unix time UTC in milliseconds; latencies count from here."""
    acquired_ms: int | None = Field(default=None, ge=0)
    """Time of acquisition as the scene file states it, Unix time UTC in milliseconds; None where it states none."""
    height: int = Field(ge=1, le=0x7FFF_FFFF)
    """Rows."""
    width: int = Field(ge=1, le=0x7FFF_FFFF)
    """Columns."""
    dtype: Literal["uint8", "uint16"]
    """Type of a sample."""
    band_names: Annotated[tuple[str, ...], FailFast()] = Field(min_length=1, max_length=MAX_BANDS)
    """One name per image band, in file order."""
    nodata: FiniteFloat | None
    """Sample value that marks a missing pixel; None when the file declares none."""
    georeference: Georeference
    """Pixel to map."""
    peak_dn: int = Field(ge=1, le=65_535)
    """Digital number that counts as full scale in every PSNR of this scene."""
    tile_px: int = Field(default=512, ge=16, le=65_536)
    """Edge of a tile core, in pixels."""
    tile_outcomes: Annotated[tuple[TileOutcome, ...], FailFast()]
    """One outcome per tile, row-major over the grid of ceil(height / tile_px) x ceil(width / tile_px) tiles."""
    gsd_m: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    """Ground sampling distance in metres; None when it is not known."""
    footprint_lonlat: tuple[LonLat, LonLat, LonLat, LonLat] | None
    """Corners (longitude, latitude) in degrees: upper left, upper right, lower right, lower left; not closed."""
    model: str | None
    """Detector as "name@version"; None when no detector ran."""
    classes: Annotated[tuple[str, ...], FailFast()]
    """Class names, indexed by the class number of a detection."""
    policy: str
    """Name of the policy that valued the layers."""

    @property
    def tile_rows(self) -> int:
        """Rows of the tile grid."""
        return math.ceil(self.height / self.tile_px)

    @property
    def tile_cols(self) -> int:
        """Columns of the tile grid."""
        return math.ceil(self.width / self.tile_px)

    @model_validator(mode="after")
    def _one_outcome_per_tile(self) -> Self:
        tiles = self.tile_rows * self.tile_cols
        if len(self.tile_outcomes) != tiles:
            raise ValueError(
                f"{len(self.tile_outcomes)} tile outcomes for a grid of {self.tile_rows} x {self.tile_cols} tiles; "
                f"give {tiles}"
            )
        return self


def encode_summary(summary: SceneSummary) -> bytes:
    """Pack a summary: version byte, then zstd of compact JSON. The same summary gives the same bytes.

    Raises LayerError when the JSON is larger than `SUMMARY_LIMIT_BYTES`: no reader would take it.
    """
    text = summary.model_dump_json().encode()
    if len(text) > SUMMARY_LIMIT_BYTES:
        raise LayerError(
            f"summary of scene {summary.scene} is {len(text)} bytes of JSON; at most {SUMMARY_LIMIT_BYTES}"
        )
    return bytes([SUMMARY_VERSION]) + zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(text)


def decode_summary(data: bytes) -> SceneSummary:
    """Unpack what `encode_summary` wrote.

    Raises LayerError on any other input: unknown version, damaged or oversized zstd frame, trailing bytes, JSON that
    does not describe a scene. Never allocates more than `SUMMARY_LIMIT_BYTES` for the text.
    """
    if not data:
        raise LayerError("scene summary is empty; ask for it again")
    if data[0] != SUMMARY_VERSION:
        raise LayerError(f"scene summary has version {data[0]}, this ground reads {SUMMARY_VERSION}; update the ground")
    frame = data[1:]
    try:
        size = zstandard.get_frame_parameters(frame).content_size
        if size > SUMMARY_LIMIT_BYTES:  # an unknown size reads as 2**64 - 1 and is refused here too
            raise LayerError(f"scene summary declares {size} bytes of JSON; at most {SUMMARY_LIMIT_BYTES} are unpacked")
        text = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise LayerError(f"scene summary of {len(data)} bytes is damaged ({error}); ask for it again") from error
    try:
        return SceneSummary.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "summary"
        raise LayerError(f"scene summary does not describe a scene: {where}: {first['msg']}") from error
