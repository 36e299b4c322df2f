"""The note that lies beside the raw tiles of a scene: all that coding needs to know of it after a restart (JSON, versioned)."""

from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    InstanceOf,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from downlink.audit_sample import AuditManifest, decode_manifest, encode_manifest
from downlink.errors import LayerError
from downlink.scene import FiniteFloat, SceneSummary, TileOutcome
from onboard.coding_forecast import BlockForecast
from onboard.detection import Detection
from onboard.errors import SurveyNoteError
from onboard.processed_scene import GateName, ProcessedScene

NOTE_VERSION: Final = 1

Point = tuple[FiniteFloat, FiniteFloat]
Share = Annotated[float, Field(ge=0, le=1)]


def _read_drawn(value: object) -> object:
    """The draw of an audit from the hexadecimal digits in which it stands in a note. Raises ValueError."""
    if not isinstance(value, str):
        return value
    try:
        return decode_manifest(bytes.fromhex(value))
    except LayerError as error:
        raise ValueError(str(error)) from error


DrawnAudit = Annotated[
    AuditManifest,
    InstanceOf[AuditManifest],
    BeforeValidator(_read_drawn),
    PlainSerializer(lambda drawn: encode_manifest(drawn).hex(), return_type=str),
]


class _NotePart(BaseModel):
    """Refuses keys that it does not have."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NotedDetection(_NotePart):
    """One object, in scene pixels."""

    class_id: Annotated[int, Field(ge=0, le=0xFFFF)]
    confidence: Share
    corners_px: tuple[Point, Point, Point, Point]

    @classmethod
    def of(cls, detection: Detection) -> Self:
        return cls(
            class_id=detection.class_id,
            confidence=detection.confidence,
            corners_px=tuple((float(x), float(y)) for x, y in detection.corners_px),  # type: ignore[arg-type]
        )

    def detection(self) -> Detection:
        """What was noted."""
        return Detection(class_id=self.class_id, confidence=self.confidence, corners_px=self.corners_px)


class NotedForecast(_NotePart):
    """What coding a raw tile is expected to bring."""

    size_bytes: Annotated[tuple[Annotated[int, Field(ge=0)], ...], FailFast()] = Field(min_length=1, max_length=64)
    """Of each step."""
    mse: Annotated[tuple[Annotated[FiniteFloat, Field(ge=0)], ...], FailFast()] = Field(min_length=1, max_length=64)
    """After each step, DN squared."""
    points: Annotated[FiniteFloat, Field(ge=0)]
    """What the block is worth at full quality."""

    @model_validator(mode="after")
    def _one_error_per_step(self) -> Self:
        if len(self.size_bytes) != len(self.mse):
            raise ValueError(f"{len(self.size_bytes)} sizes and {len(self.mse)} errors: give one of each per step")
        return self

    @property
    def forecast(self) -> BlockForecast:
        """As the forecast made it."""
        return BlockForecast(size_bytes=self.size_bytes, mse=self.mse)


class NotedTile(_NotePart):
    """What the survey found in one tile."""

    reason: str = Field(max_length=2000)
    """The numbers that decided."""
    outcome: TileOutcome
    """As in the summary."""
    cloud_fraction: Share | None = None
    detections: Annotated[int, Field(ge=0)] = 0
    gate: GateName | None = None
    """Which gate left nothing of it to search."""
    forecast: NotedForecast | None = None
    """Of a tile that was put into the raw store."""


class SurveyNote(_NotePart):
    """A surveyed scene."""

    version: Literal[1] = NOTE_VERSION
    summary: SceneSummary
    """What travelled first: place, size, bands, outcomes, time."""
    detections: Annotated[tuple[NotedDetection, ...], FailFast()]
    """Seams merged, most confident first."""
    tiles: Annotated[tuple[NotedTile, ...], FailFast()]
    """Row-major over the tile grid of the summary."""
    notes: tuple[str, ...] = ()
    """What a reader should know."""
    dn_offset: Annotated[int, Field(ge=0, le=0xFFFF)] = 0
    """Digital number of reflectance 0 in its pixels."""
    drawn: DrawnAudit | None = None
    """What the audit draws of the scene; None where the policy audits nothing."""

    @model_validator(mode="after")
    def _one_note_per_tile(self) -> Self:
        if len(self.tiles) != len(self.summary.tile_outcomes):
            raise ValueError(f"{len(self.tiles)} tiles for a grid of {len(self.summary.tile_outcomes)}")
        return self

    @classmethod
    def of(cls, scene: ProcessedScene, forecasts: dict[int, NotedForecast], *, dn_offset: int) -> Self:
        """The note of a scene; `forecasts` by tile, of those in the raw store."""
        return cls(
            summary=scene.summary,
            detections=tuple(NotedDetection.of(detection) for detection in scene.detections),
            tiles=tuple(
                NotedTile(
                    reason=report.reason[:2000],
                    outcome=report.outcome,
                    cloud_fraction=report.cloud_fraction,
                    detections=report.detections,
                    gate=report.gate,
                    forecast=forecasts.get(report.tile.index),
                )
                for report in scene.tiles
            ),
            notes=scene.notes,
            dn_offset=dn_offset,
            drawn=scene.audit,
        )

    def encode(self) -> bytes:
        """JSON, UTF-8."""
        return self.model_dump_json().encode()


def decode_note(data: bytes, *, scene: int) -> SurveyNote:
    """Inverse of `SurveyNote.encode` for the note of `scene`. Raises SurveyNoteError for anything else."""
    try:
        note = SurveyNote.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "note"
        raise SurveyNoteError(
            f"the note of scene {scene} in the raw store, {len(data)} bytes, cannot be read: {where}: {first['msg']}; "
            "its raw tiles are given up",
            scene=scene,
        ) from error
    if note.summary.scene != scene:
        raise SurveyNoteError(
            f"the note of scene {scene} in the raw store speaks of scene {note.summary.scene}; its raw tiles are given up",
            scene=scene,
        )
    return note
