"""The figures of one run, as they are written to report.json.

The model is the border: an unknown key, a NaN, a saving that its bytes do not bear out, or a ledger that calls itself
balanced and is not, is refused here and never reaches a reader. Sizes are integer bytes, times seconds since the
mission's start, energies joules, savings and shares fractions. A figure that does not exist is null: a precision
without truth, a PSNR of identical pixels (its `*_lossless` flag says so), a saving against a baseline not measured.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, computed_field, model_validator

SCHEMA_VERSION = 1
_RELATIVE_TOLERANCE = 1e-6

Count = Annotated[int, Field(ge=0, strict=True)]
"""A whole number of things or of bytes."""
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Amount = Annotated[float, Field(ge=0.0)]
Saving = Annotated[float, Field(le=1.0)]
"""1 - downlinked / baseline: negative where more was sent than the baseline holds."""


class ReportPart(BaseModel):
    """What every part of the report has in common: frozen, no unknown keys, no NaN and no infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


class SceneFigures(ReportPart):
    """One scene: `bands` x `height` x `width` pixels of `dtype`."""

    name: str
    bands: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]
    dtype: str
    captured_s: float | None = None
    detections_onboard: Count | None = None
    detections_delivered: Count | None = None
    psnr_db: float | None = None
    lossless: bool = False
    valid_fraction: Share | None = None
    tiles: dict[str, Count] = {}
    """Tiles by outcome (`kept`, `nodata`, `cloud`, ...)."""
    notes: tuple[str, ...] = ()
    """What a reader should know of the scene: why nothing was searched, what was assumed."""


class ByteFigures(ReportPart):
    """Sizes: the baselines measured on the same scenes, and what went over the link."""

    raw: Count
    lossless: Count | None
    lossy_equal_quality: Count | None
    crops_only: Count | None
    downlinked: Count
    """Every byte on the link but idle frames: headers, alerts and retransmissions included."""
    overhead: Count
    """The part of `downlinked` that is not layer payload arriving for the first time."""
    uplinked: Count = 0
    by_rung: dict[str, Count] = {}
    """Payload bytes delivered, by rung."""
    lossless_codec: str | None = None

    @model_validator(mode="after")
    def _overhead_is_part_of_downlinked(self) -> Self:
        if self.overhead > self.downlinked:
            raise ValueError(f"overhead {self.overhead} B exceeds downlinked {self.downlinked} B: it is a part of it")
        return self


class SavedFigures(ReportPart):
    """Bandwidth saved against each baseline; null where the baseline is null or empty."""

    vs_raw: Saving | None
    vs_lossless: Saving | None
    vs_lossy_equal_quality: Saving | None

    @classmethod
    def of(cls, sizes: ByteFigures) -> Self:
        """The savings that `sizes` bear out."""
        return cls(
            vs_raw=_saving(sizes.downlinked, sizes.raw),
            vs_lossless=_saving(sizes.downlinked, sizes.lossless),
            vs_lossy_equal_quality=_saving(sizes.downlinked, sizes.lossy_equal_quality),
        )


class DetectionFigures(ReportPart):
    """Detections counted; the figures that need truth are all null without it."""

    onboard: Count
    delivered: Count
    truth: Count | None = None
    true_positive: Count | None = None
    precision: Share | None = None
    recall: Share | None = None
    f1: Share | None = None

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        if self.delivered > self.onboard:
            raise ValueError(f"{self.delivered} detections delivered but only {self.onboard} made on board")
        judged = (self.true_positive, self.precision, self.recall, self.f1)
        if self.truth is None and any(figure is not None for figure in judged):
            raise ValueError("true_positive, precision, recall and f1 need truth: leave them null without it")
        if self.true_positive is not None and self.true_positive > min(self.truth or 0, self.onboard):
            raise ValueError(f"true_positive {self.true_positive} exceeds truth {self.truth} or onboard {self.onboard}")
        return self


class QualityFigures(ReportPart):
    """What the rebuilt pixels are worth, measured against the original (PSNR over valid pixels)."""

    roi_psnr_db: float | None
    scene_psnr_db: float | None
    valid_fraction: Share
    """Of the pixels with data on board, those on the ground in any quality."""
    roi_valid_fraction: Share | None = None
    """The same inside the regions of interest; null where there are none."""
    roi_lossless: bool = False
    scene_lossless: bool = False

    @model_validator(mode="after")
    def _identical_pixels_have_no_psnr(self) -> Self:
        pairs = (("roi", self.roi_psnr_db, self.roi_lossless), ("scene", self.scene_psnr_db, self.scene_lossless))
        for name, psnr_db, lossless in pairs:
            if lossless and psnr_db is not None:
                raise ValueError(f"{name} is lossless: its PSNR is infinite, write null instead of {psnr_db}")
        return self


class LatencyFigures(ReportPart):
    """Seconds from capture to the ground; null where no alert arrived."""

    first_alert: Amount | None
    alerts_p50: Amount | None
    alerts_p90: Amount | None


class EnergyFigures(ReportPart):
    """Joules: what the mission allowed and what each step took."""

    budget: Amount
    spent: Amount
    by_step: dict[str, Amount] = {}
    unmet: Amount = 0.0
    """Of what was spent, what an empty battery could not give: above 0 no real satellite would have flown this."""

    @model_validator(mode="after")
    def _steps_add_up(self) -> Self:
        total_j = sum(self.by_step.values())
        if self.by_step and not math.isclose(total_j, self.spent, rel_tol=1e-3, abs_tol=1e-6):
            raise ValueError(f"the steps add up to {total_j:.6g} J, spent says {self.spent:.6g} J")
        return self


class ThroughputFigures(ReportPart):
    """Speed of this machine on this run. With measured energy, joules change between two runs of one seed as well."""

    mpix_per_s: Amount
    wall_s: Amount


class RawTileAccount(ReportPart):
    """Where the tiles that the survey kept are: in tiles, or in bytes of the raw store."""

    kept: Count
    """Put into the raw store."""
    coded: Count
    """All layers of their blocks made."""
    waiting: Count
    """Raw at the end: no layer made."""
    discarded: Count
    """Given up uncoded: to make room, or because the ground dropped the scene."""
    damaged: Count
    """Could not be read back."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        ended = self.coded + self.waiting + self.discarded + self.damaged
        if self.kept != ended:
            raise ValueError(
                f"{self.kept} kept raw, but {self.coded} coded + {self.waiting} waiting + {self.discarded} discarded + "
                f"{self.damaged} damaged are {ended}"
            )
        return self


class CodingFigures(ReportPart):
    """The coding of blocks."""

    tiles: RawTileAccount
    raw_store_bytes: RawTileAccount
    tiles_gated: Count
    """Kept tiles that the sea gate let no network look at."""
    encode_j: Amount
    """Spent on coding blocks."""
    encode_j_saved: Amount
    """What coding all other kept tiles would have cost, at the same joules per pixel."""
    blocks: dict[str, Count] = {}
    """Coded blocks by how they lean on an earlier scene: `alone`, `difference`, `unchanged`."""
    reference_saved_bytes: int | None = None
    """Bytes that blocks with a reference take less than alone, where both were coded; null where no block was coded both ways."""


class MissFigures(ReportPart):
    """What a discard audit says of one kind of discard, or of all cells together."""

    population: Count
    """Cells or candidates thrown away, in the scenes whose audit came down."""
    drawn: Count
    """Of these, drawn by chance and on the ground."""
    judged: Count
    """Of these, looked at."""
    missed: Count
    """Of these, with an object that was not reported."""
    rate: Share | None
    """Share of all of them that hold one, estimated; null where nothing was judged."""
    low: Share
    high: Share
    """The interval of that share at 95 %; 0 to 1 where nothing was judged."""
    at_most: Share | None
    """Where none of those judged was missed: the share is below this, one-sided at 95 % (rule of three)."""
    objects: Amount | None
    """Objects in all of them, estimated."""

    @model_validator(mode="after")
    def _counts_nest(self) -> Self:
        if not self.population >= self.drawn >= self.judged >= self.missed:
            raise ValueError(
                f"{self.missed} missed of {self.judged} judged of {self.drawn} drawn of {self.population}: each is a part of the next"
            )
        if self.rate is not None and not self.low - _RELATIVE_TOLERANCE <= self.rate <= self.high + _RELATIVE_TOLERANCE:
            raise ValueError(f"rate {self.rate} lies outside its interval, {self.low} to {self.high}")
        return self


class AuditFigures(ReportPart):
    """The discard audit: what of the discarded was looked at all the same, and what follows for all of it."""

    scenes: Count
    """Whose audit came down."""
    scenes_without: Count
    """On the ground without it: the figures do not speak of them."""
    size_bytes: Count
    """Of all audits on the ground."""
    cells: MissFigures
    """All kinds but candidates together: cells of tiles that no network looked at."""
    by_kind: dict[str, MissFigures]
    """`cloud`, `blank`, `saturated`, `sea_gate`, `land_gate`, `power`, `gated_part`; `below_threshold` counts candidates."""
    judged_by: dict[str, Count]
    """Units by who judged them: `truth`, `detector`, `person`."""
    awaiting: Count
    """Units that nobody has judged."""


class LedgerAccount(ReportPart):
    """Where everything captured ended. `balanced` is recomputed: a claim that contradicts it is refused."""

    captured: Count
    delivered: Count
    queued: Count
    evicted: Count
    discarded: Count

    @computed_field  # type: ignore[prop-decorator]
    @property
    def balanced(self) -> bool:
        """Whether the account adds up."""
        return self.adds_up

    @property
    def adds_up(self) -> bool:
        """captured = delivered + queued + evicted + discarded, in this account alone."""
        return self.captured == self.delivered + self.queued + self.evicted + self.discarded

    @model_validator(mode="wrap")
    @classmethod
    def _claim_is_checked(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict) or "balanced" not in data:
            return handler(data)
        claim = data["balanced"]
        account = handler({key: value for key, value in data.items() if key != "balanced"})
        if claim is not account.balanced:
            raise ValueError(f"balanced says {claim}, the five entries say {account.balanced}")
        return account


class LedgerFigures(LedgerAccount):
    """The ledger in tiles, with its reasons, and again in bytes of raw pixels and of layers."""

    reasons: dict[str, Count] = {}
    """Tiles by the reason recorded for keeping, degrading or dropping them."""
    raw_bytes: LedgerAccount | None = None
    layer_bytes: LedgerAccount | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def balanced(self) -> bool:
        """Every account adds up: tiles, raw bytes and layer bytes."""
        return self.adds_up and all(
            account.adds_up for account in (self.raw_bytes, self.layer_bytes) if account is not None
        )


class ContactFigures(ReportPart):
    """One pass over a station: from `aos_s` to `los_s`, seconds since the mission's start."""

    id: int | str
    station: str
    aos_s: float
    los_s: float
    capacity_bytes: Count
    planned_bytes: Count = 0
    """Layers that a plan of all contacts at once puts into this one, with all scenes known and the expected loss."""
    carried_bytes: Count = 0
    """Layers that arrived in it."""
    sent_bytes: Count
    frames: Count
    frames_lost: Count
    retransmitted_bytes: Count
    idle_bytes: Count


class UplinkFigures(ReportPart):
    """What reached the satellite."""

    frames_accepted: Count
    """Authentic and new."""
    frames_refused: Count
    """Damaged, foreign, forged, replayed or malformed."""
    orders_given: Count
    """By the scenario."""
    orders_acknowledged: Count
    """Reported executed by the satellite."""


class LinkFigures(ReportPart):
    """Totals of the link over all contacts."""

    frames_sent: Count = 0
    frames_lost: Count = 0
    frames_corrupted: Count = 0
    retransmitted_bytes: Count = 0
    idle_bytes: Count = 0
    naks: Count = 0
    uplink: UplinkFigures | None = None


class SoftwareFigures(ReportPart):
    """Provenance: enough to run it again."""

    version: str
    model: str | None = None
    model_sha256: str | None = None
    policy: str | None = None
    scenario: str | None = None
    engine: str | None = None
    command: str | None = None
    libraries: dict[str, str] = {}


class Report(ReportPart):
    """report.json."""

    schema_version: Annotated[int, Field(alias="schema", ge=SCHEMA_VERSION, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    seed: int
    scenes: tuple[SceneFigures, ...]
    bytes: ByteFigures
    saved: SavedFigures
    detections: DetectionFigures
    quality: QualityFigures
    latency_s: LatencyFigures
    energy_j: EnergyFigures
    throughput: ThroughputFigures
    ledger: LedgerFigures
    coding: CodingFigures | None = None
    audit: AuditFigures | None = None
    contacts: tuple[ContactFigures, ...] = ()
    link: LinkFigures | None = None
    software: SoftwareFigures | None = None

    @model_validator(mode="after")
    def _savings_are_borne_out(self) -> Self:
        expected = SavedFigures.of(self.bytes)
        for name in SavedFigures.model_fields:
            claimed, borne_out = getattr(self.saved, name), getattr(expected, name)
            if not _same(claimed, borne_out):
                raise ValueError(f"saved.{name} is {claimed}, the bytes give {borne_out}: use SavedFigures.of(bytes)")
        return self

    @model_validator(mode="after")
    def _contacts_carry_what_was_downlinked(self) -> Self:
        carried = sum(contact.sent_bytes for contact in self.contacts)
        if self.contacts and carried != self.bytes.downlinked:
            raise ValueError(f"contacts sent {carried} B, bytes.downlinked says {self.bytes.downlinked} B")
        return self

    def to_json(self) -> str:
        """The text of report.json, keys in the order of the model, ending in a newline."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"

    def write(self, path: Path) -> None:
        """Write report.json whole or not at all."""
        partial = path.with_name(path.name + ".partial")
        partial.write_text(self.to_json(), encoding="utf-8")
        partial.replace(path)


def _saving(downlinked: int, baseline: int | None) -> float | None:
    return None if not baseline else 1.0 - downlinked / baseline


def _same(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return math.isclose(left, right, rel_tol=_RELATIVE_TOLERANCE, abs_tol=_RELATIVE_TOLERANCE)
