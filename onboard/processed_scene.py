"""What is known of a scene on board: how it was to be worked through, and what became of each of its tiles."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, Self

from downlink.audit_sample import AuditManifest
from downlink.scene import SceneSummary, TileOutcome, Window
from onboard.chips import Chip
from onboard.detection import Detection
from onboard.land_gate import LandGate
from onboard.screening import ScreeningSettings
from onboard.sea_gate import SeaGate
from onboard.tiles import TileWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """How scenes are cut and judged."""

    screening: ScreeningSettings
    """Limits of the tile screen."""
    peak_dn: int
    """Digital number that counts as full scale in every PSNR."""
    dn_offset: int = 0
    """Digital number of reflectance 0; Sentinel-2 products since processing baseline 04.00 have 1000."""
    tile_px: int = 512
    """Edge of a tile core."""
    halo_px: int = 32
    """What the detector sees around it: half the longest ship."""
    sea_gate: SeaGate = field(default_factory=SeaGate)
    """What open sea is: no network looks at it."""
    edge_px: int = 24
    """Detections whose centre lies nearer to the edge of what the network sees are left to the neighbour."""
    land_gate: LandGate = field(default_factory=LandGate)
    """What land is that no network looks at, where all that the detector finds floats."""


GateName = Literal["sea", "land"]
"""Open sea in which nothing rises, or land out of reach of water."""


class TilePixels(StrEnum):
    """Where the pixels of a tile are."""

    NOT_KEPT = "not kept"
    """The survey set the tile aside."""
    RAW = "raw"
    """In the raw store: no layer has been made of them."""
    CODED = "coded"
    """All layers of its block have been made."""
    DISCARDED = "discarded"
    """Were in the raw store, and had to go before anything was made of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileReport:
    """What became of one tile, for provenance."""

    tile: TileWindow
    """Where."""
    outcome: TileOutcome
    """Kept, or why not."""
    reason: str
    """A sentence with the numbers that decided."""
    cloud_fraction: float | None = None
    """0 to 1, None when not judged."""
    detections: int = 0
    """Objects seen in the padded tile, before seams are merged."""
    gate: GateName | None = None
    """Which gate found nothing that could be an object, so that no network had to look."""
    searched: tuple[Window, ...] = ()
    """What the network searched of it, in scene pixels; empty where no network looked, or where it is not known any more."""
    pixels: TilePixels = TilePixels.NOT_KEPT
    """Where its pixels are."""
    coded_bytes: int = 0
    """Bytes of the block's layers; 0 when none have been made."""

    @property
    def is_gated(self) -> bool:
        """Whether a gate left nothing of it to search."""
        return self.gate is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessedScene:
    """Everything that is known on board once a scene has been surveyed."""

    summary: SceneSummary
    """What travels first."""
    tiles: tuple[TileReport, ...]
    """Row-major."""
    detections: tuple[Detection, ...]
    """In scene pixels, seams merged, most confident first."""
    chips: tuple[Chip, ...]
    """Windows cut out around them."""
    notes: tuple[str, ...]
    """What a reader should know: why nothing was searched, what was assumed."""
    audit: AuditManifest | None = None
    """What was thrown away, and what of it is sent all the same; None where the policy audits nothing."""

    def with_pixels(self, pixels: Mapping[int, TilePixels], coded_bytes: Mapping[int, int]) -> Self:
        """The scene once its coding has gone on: where the pixels of these tiles are now, and what their layers take."""
        return replace(
            self,
            tiles=tuple(
                replace(
                    report,
                    pixels=pixels.get(report.tile.index, report.pixels),
                    coded_bytes=coded_bytes.get(report.tile.index, report.coded_bytes),
                )
                for report in self.tiles
            ),
        )
