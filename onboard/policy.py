"""What the mission values: a policy file (TOML) turns what was seen into points (edge: reads the file).

A point is the worth of one certain object of interest, told to the ground at once. Everything else is stated against
that: a picture of the object, a square megapixel of context, the last bit of the exact pixels.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from downlink.audit_sample import DiscardKind
from onboard.errors import PolicyError
from onboard.reference_settings import ReferenceSettings

DEFAULT_POLICY: Final = Path(__file__).parent / "policies" / "maritime.toml"
Points = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]
DiscardName = Literal["cloud", "blank", "saturated", "sea_gate", "land_gate", "power", "gated_part", "below_threshold"]
Percentages = Annotated[tuple[Annotated[float, Field(gt=0, le=100)], ...], Field(min_length=1, max_length=64)]


class PolicyPart(BaseModel):
    """Unknown keys are mistakes, not wishes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ClassInterest(PolicyPart):
    """How much one class of object matters."""

    weight: Points = 1.0
    """Points of one certain object of this class."""


class AreaInterest(PolicyPart):
    """A part of the Earth that matters more or less than the rest."""

    name: str
    """For people."""
    west: Annotated[float, Field(ge=-180, le=180)]
    """Degrees; west above east crosses the antimeridian."""
    south: Annotated[float, Field(ge=-90, le=90)]
    east: Annotated[float, Field(ge=-180, le=180)]
    north: Annotated[float, Field(ge=-90, le=90)]
    weight: Points
    """Factor on everything whose centre lies inside."""

    @model_validator(mode="after")
    def _south_is_below_north(self) -> Self:
        if not self.south < self.north:
            raise ValueError(f"area {self.name!r}: south {self.south} must lie below north {self.north}")
        return self

    def contains(self, lon: float, lat: float) -> bool:
        """Whether a point in degrees lies inside."""
        across = self.west <= lon <= self.east if self.west <= self.east else lon >= self.west or lon <= self.east
        return across and self.south <= lat <= self.north


class ImageInterest(PolicyPart):
    """How one kind of image is coded, valued and forgotten."""

    value: Points
    """Points at full quality: of a chip per expected object in it, of a block per million valid clear pixels."""
    half_life_s: Seconds
    """Seconds in which the value halves."""
    quality_percent: Percentages
    """Cumulative bytes of each quality layer as a percentage of raw pixels; the last is 100, lossless."""
    levels: Annotated[int, Field(ge=0, le=10)]
    """Wavelet decompositions."""
    lossless_bonus: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Extra share of the value that the exact pixels are worth above the best useful quality."""

    @model_validator(mode="after")
    def _qualities_rise_to_lossless(self) -> Self:
        if list(self.quality_percent) != sorted(set(self.quality_percent)) or self.quality_percent[-1] != 100:
            raise ValueError(f"quality_percent {self.quality_percent} must rise strictly and end with 100")
        return self


class ChipInterest(ImageInterest):
    """Regions of interest."""

    margin_px: Annotated[int, Field(ge=0, le=512)] = 8
    """Pixels kept around a box."""
    largest_px: Annotated[int, Field(ge=16, le=2048)] = 192
    """Neighbouring boxes share a chip as long as its sides stay below this."""


class MessageInterest(PolicyPart):
    """Summaries and alerts."""

    value: Points
    """Points of a summary; factor on the points of the objects in an alert."""
    half_life_s: Seconds


class PlanningRules(PolicyPart):
    """`[planning]`: how the contacts are shared."""

    max_wait_s: Seconds | None = None
    """First steps that have waited longer are served before others. Absent: value alone decides."""
    waiting_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of each contact that they may claim."""
    new_scene_share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of later contacts that scenes still to be taken will need: what is put off must reckon with them."""


class MapWeights(PolicyPart):
    """`[map]`: what a pixel of a block weighs, in its distortion and in its points. A clear, unremarkable one weighs `clear`.

    Chips carry the pixels of detections already, at a far higher price: 0.5 points for some 900 px against 4 points for a
    million. So `detection` is not paid for the object once more. It says what the ground around an object is worth
    (other ships at the quay, the wake, the coast by which it is placed), and ranks a harbour before empty sea where no
    chip came through.
    """

    clear: Points = 1.0
    """Valid ground or sea under no cloud."""
    detection: Points = 8.0
    """Inside the box of a certain object and its margin; an uncertain one raises the weight in proportion. A small ship
    with its margin, 2,000 px, then adds 0.06 points to its block: an eighth of its chip."""
    margin_px: Annotated[int, Field(ge=0, le=512)] = 16
    """Pixels around a box that count as it does: twice a chip's margin, so that half of them lie outside the chip."""
    cloud: Points = 0.05
    """Under cloud. Not 0: what the thresholds call cloud is a roof, a beach or snow now and then."""
    changed: Points = 3.0
    """Clear, and different from what the ground holds beyond noise. Under cloud a change says nothing, and does not count."""


class CodingRules(PolicyPart):
    """`[coding]`: which of the uncoded images are worth coding."""

    contacts_ahead: Annotated[int, Field(ge=1, le=64)] = 2
    """Coming contacts, the current one included, whose room counts: an image is coded where its best layers would find a
    place in it. With one, nothing is at hand when a contact carries more than expected: 5 % of the value was lost in
    `benchmarks.coding_ahead`; two lost nothing, and more only coded more that never flew."""


class ReferenceRules(ReferenceSettings):
    """`[reference]`: whether blocks may lean on what the ground holds of earlier scenes, and when they do."""

    enabled: bool = True
    """Off: every block is coded alone."""
    capacity_bytes: Annotated[int, Field(ge=0, le=1 << 50)] = 1 << 30
    """What the onboard copies of acknowledged layers may occupy, the oldest going first. A GiB holds some sixty scenes of
    100 Mpix in four bands at 2 % of their pixels' bytes."""


class AuditRules(PolicyPart):
    """`[audit]`: how much of what is thrown away is drawn by chance and sent, so that the ground can say what was missed."""

    share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Chance of a cell to be drawn: of tiles set aside as cloud, blank or saturated, not searched behind a gate, or not looked at for
    want of power. 0: nothing is audited but what `shares` names."""
    shares: dict[DiscardName, Annotated[float, Field(ge=0, le=1)]] = {}
    """The same for one kind; `below_threshold` is that of candidates that were not certain enough."""
    lowest_confidence: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Candidates less certain than this are no candidates."""
    most_units: Annotated[int, Field(ge=1, le=64)] = 16
    """Cells and candidates drawn of one scene at most; shares fall where they would be more."""
    cell_px: Annotated[int, Field(ge=16, le=128)] = 64
    """Side of a cell."""
    unit_bytes: Annotated[int, Field(ge=64, le=8192)] = 320
    """What the picture of one cell may take; those of a scene share what they have together."""
    value: Points = 0.05
    """Points of each unit drawn."""
    half_life_s: Seconds = 604_800.0
    """Seconds in which the value halves."""
    seed: Annotated[int, Field(ge=0, lt=1 << 64)] = 0
    """Of the draw; the number of the scene is part of it too."""

    def share_of(self, kind: DiscardKind) -> float:
        """Chance of a unit of this kind, before the limit of a scene."""
        otherwise = 0.0 if kind is DiscardKind.BELOW_THRESHOLD else self.share
        return next((share for name, share in self.shares.items() if name == kind.label), otherwise)

    @property
    def searched_from(self) -> float | None:
        """Confidence from which the detector has to name candidates; None where they are not audited."""
        return self.lowest_confidence if self.share_of(DiscardKind.BELOW_THRESHOLD) else None


class Policy(PolicyPart):
    """Everything the valuation needs to know of the mission's wishes."""

    name: str = Field(min_length=1, max_length=64)
    """Travels with every scene, as provenance."""
    useful_psnr_db: tuple[float, float]
    """Quality at which an image begins to be useful, and beyond which more is no use, against the scene's peak."""
    summary: MessageInterest
    alerts: MessageInterest
    chips: ChipInterest
    blocks: ImageInterest
    planning: PlanningRules = PlanningRules()
    """Bounded waiting, and room for what is still to come."""
    map: MapWeights = MapWeights()
    """What the pixels of a block weigh."""
    coding: CodingRules = CodingRules()
    """What is worth coding."""
    reference: ReferenceRules = ReferenceRules()
    """What the ground holds as a base for new blocks."""
    audit: AuditRules = AuditRules()
    """What of the discarded is looked at all the same."""
    classes: dict[str, ClassInterest] = {}
    """By class name; a class not listed weighs 1."""
    areas: tuple[AreaInterest, ...] = ()
    """The first that contains a point counts."""

    @model_validator(mode="after")
    def _quality_range_is_a_range(self) -> Self:
        low, high = self.useful_psnr_db
        if not 0 <= low < high <= 200:
            raise ValueError(f"useful_psnr_db {self.useful_psnr_db} must be two rising numbers between 0 and 200 dB")
        return self

    def class_weight(self, name: str) -> float:
        """Points of one certain object of a class."""
        return self.classes.get(name, ClassInterest()).weight

    def area_weight(self, lonlat: tuple[float, float] | None) -> float:
        """Factor for a place, 1 where no area of interest contains it or the place is not known."""
        if lonlat is None:
            return 1.0
        return next((area.weight for area in self.areas if area.contains(*lonlat)), 1.0)


def load_policy(path: Path | None = None) -> Policy:
    """Read a policy file, or the maritime policy that ships with Tianshu. Raises PolicyError, naming file and key."""
    path = path or DEFAULT_POLICY
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PolicyError(
            f"cannot read policy {path}: {error.strerror}; name an existing TOML file", path=path
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"policy {path} is not TOML: {error}", path=path) from error
    try:
        return Policy.model_validate(data)
    except ValidationError as error:
        wrong = "; ".join(_problem(item) for item in error.errors(include_url=False)[:3])
        raise PolicyError(f"policy {path}: {wrong}; see {DEFAULT_POLICY.name} for every key", path=path) from error


def _problem(item: ErrorDetails) -> str:
    """One complaint of pydantic in a line: the key, what is wrong, and what stands there where something short does."""
    key = ".".join(str(part) for part in item["loc"]) or "policy"
    found = "" if isinstance(item["input"], dict) else f" (found {item['input']!r})"
    return f"{key}: {item['msg']}{found}"
