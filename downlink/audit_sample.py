"""The sample of what a scene threw away: how much there was of each kind, which units were drawn, and one rough picture of them all.

A unit is a cell of a tile that no network looked at, or a candidate that the detector left just below its threshold. It was drawn
by chance alone, with the share that is stated for its kind, so that the ground can say how often something was missed.

    bytes  field
    1      version, 1
    v      varint: side of a cell in pixels, 8 to 256
    1      kinds k, 0 to 8, in ascending order
           k times:
    1        kind, see `DiscardKind`
    v        varint: units of this kind in the scene
    4        chance of each to be drawn, IEEE 754 single, above 0 and at most 1; 0 where none can be
    1        units drawn n
    n (v+v)  varints: row and column of the upper left pixel of each unit's cell, in the scene
    2 + 14n  with kind 8 and n above 0: the candidates, an alert batch (`downlink.alerts`)
    ..     with a unit drawn: step 0 of an image (`downlink.image_header`) whose window is one cell wide: the cells, one below the other,
           in the order above

Numbers are big-endian, varints apart. What a cell shows beyond the edge of the scene is invalid there.
"""

import math
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from downlink.alerts import DETECTION_BYTES, AlertDetection, decode_alerts, encode_alerts
from downlink.errors import LayerError
from downlink.varint import read_varint, varint

VERSION: Final = 1
SMALLEST_CELL_PX: Final = 8
LARGEST_CELL_PX: Final = 256
MOST_UNITS: Final = 255
"""Of one kind, in one scene."""
_SHARE: Final = struct.Struct(">f")


class DiscardKind(IntEnum):
    """Why nobody will see a part of a scene unless somebody asks."""

    CLOUD = 1
    """The screen set the tile aside: too cloudy."""
    BLANK = 2
    """The screen set the tile aside: no texture."""
    SATURATED = 3
    """The screen set the tile aside: burnt out."""
    SEA_GATE = 4
    """Open sea with nothing above it: no network looked."""
    LAND_GATE = 5
    """All land, no water within reach of a ship: no network looked."""
    POWER = 6
    """There was no energy to look at the tile, or to search it."""
    GATED_PART = 7
    """A part of a tile that the gates left out, while the rest of it was searched."""
    BELOW_THRESHOLD = 8
    """A candidate of the detector, not certain enough to be reported."""

    @property
    def label(self) -> str:
        """As policies and reports write it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditUnit:
    """One cell or candidate that was drawn."""

    row: int
    """Top row of its cell, in scene pixels."""
    col: int
    """Left column of its cell."""
    candidate: AlertDetection | None = None
    """What the detector saw in the middle of the cell; None for a cell of a tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditStratum:
    """All of one kind that a scene threw away."""

    kind: DiscardKind
    """Which."""
    population: int
    """Units of this kind in the scene, drawn or not."""
    share: float
    """Chance of each of them to be drawn, 0 to 1, rounded to IEEE 754 single."""
    units: tuple[AuditUnit, ...]
    """Those drawn."""

    def __post_init__(self) -> None:
        if len(self.units) > min(self.population, MOST_UNITS):
            raise LayerError(
                f"{len(self.units)} units drawn of {self.population} {self.kind.label}: at most {MOST_UNITS}"
            )
        if not 0 <= self.share <= 1 or (self.units and not self.share):
            raise LayerError(f"{len(self.units)} units of {self.kind.label} drawn with a chance of {self.share}")
        is_candidate = self.kind is DiscardKind.BELOW_THRESHOLD
        if any((unit.candidate is not None) is not is_candidate for unit in self.units):
            raise LayerError(f"units of {self.kind.label} {'need' if is_candidate else 'have no'} candidates")
        object.__setattr__(self, "share", _SHARE.unpack(_SHARE.pack(self.share))[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditManifest:
    """What was thrown away of one scene, and what of it was drawn."""

    cell_px: int
    """Side of a cell."""
    strata: tuple[AuditStratum, ...]
    """In order of kind, each kind once."""

    def __post_init__(self) -> None:
        kinds = [stratum.kind for stratum in self.strata]
        if kinds != sorted(set(kinds)) or not SMALLEST_CELL_PX <= self.cell_px <= LARGEST_CELL_PX:
            raise LayerError(
                f"audit of kinds {[kind.label for kind in kinds]} in cells of {self.cell_px} px: give each kind once, in order, "
                f"and cells of {SMALLEST_CELL_PX} to {LARGEST_CELL_PX} px"
            )

    @property
    def units(self) -> tuple[tuple[DiscardKind, AuditUnit], ...]:
        """All units drawn with their kind, in the order in which the picture shows them; a unit is named by its place here."""
        return tuple((stratum.kind, unit) for stratum in self.strata for unit in stratum.units)


def encode_audit(manifest: AuditManifest, image: bytes = b"") -> bytes:
    """The payload of an audit. Raises LayerError for an image without units, or units without one."""
    _require_image(manifest, image)
    return encode_manifest(manifest) + image


def decode_audit(payload: bytes) -> tuple[AuditManifest, bytes]:
    """Inverse of `encode_audit`. Raises LayerError for any other bytes."""
    manifest, at = _read_manifest(payload)
    image = payload[at:]
    _require_image(manifest, image)
    return manifest, image


def encode_manifest(manifest: AuditManifest) -> bytes:
    """The same without the image: what was drawn, before anybody looks at it."""
    parts = [bytes([VERSION]), varint(manifest.cell_px), bytes([len(manifest.strata)])]
    for stratum in manifest.strata:
        parts += bytes([stratum.kind]), varint(stratum.population), _SHARE.pack(stratum.share)
        parts.append(bytes([len(stratum.units)]))
        parts += (varint(place) for unit in stratum.units for place in (unit.row, unit.col))
        if candidates := [unit.candidate for unit in stratum.units if unit.candidate is not None]:
            parts.append(encode_alerts(candidates))
    return b"".join(parts)


def decode_manifest(data: bytes) -> AuditManifest:
    """Inverse of `encode_manifest`. Raises LayerError for any other bytes."""
    manifest, at = _read_manifest(data)
    if at != len(data):
        raise LayerError(f"{len(data) - at} bytes stand behind a draw of {at} bytes")
    return manifest


def _read_manifest(payload: bytes) -> tuple[AuditManifest, int]:
    """What stands in front of the image, and where it ends."""
    if len(payload) < 3 or payload[0] != VERSION:
        raise LayerError(f"audit of {len(payload)} bytes starting {payload[:1].hex()!r} is not version {VERSION}")
    cell_px, at = read_varint(payload, 1)
    count, at = _piece(payload, at, 1)[0], at + 1
    strata = []
    for _ in range(count):
        stratum, at = _stratum(payload, at)
        strata.append(stratum)
    return AuditManifest(cell_px=cell_px, strata=tuple(strata)), at


def _stratum(payload: bytes, at: int) -> tuple[AuditStratum, int]:
    code, at = _piece(payload, at, 1)[0], at + 1
    try:
        kind = DiscardKind(code)
    except ValueError as error:
        raise LayerError(
            f"audit names kind {code} of what was thrown away; this ground knows 1 to {max(DiscardKind)}: update the ground"
        ) from error
    population, at = read_varint(payload, at)
    (share,), at = _SHARE.unpack(_piece(payload, at, _SHARE.size)), at + _SHARE.size
    if not math.isfinite(share):
        raise LayerError(f"audit states a chance of {share}")
    count, at = _piece(payload, at, 1)[0], at + 1
    places = []
    for _ in range(count):
        row, at = read_varint(payload, at)
        col, at = read_varint(payload, at)
        places.append((row, col))
    candidates: tuple[AlertDetection | None, ...] = (None,) * count
    if kind is DiscardKind.BELOW_THRESHOLD and count:
        size_bytes = 2 + DETECTION_BYTES * count
        candidates, at = decode_alerts(_piece(payload, at, size_bytes)), at + size_bytes
    units = tuple(
        AuditUnit(row=row, col=col, candidate=candidate)
        for (row, col), candidate in zip(places, candidates, strict=True)
    )
    return AuditStratum(kind=kind, population=population, share=share, units=units), at


def _piece(payload: bytes, at: int, size_bytes: int) -> bytes:
    piece = payload[at : at + size_bytes]
    if len(piece) < size_bytes:
        raise LayerError(f"audit of {len(payload)} bytes is cut: {size_bytes} bytes are needed at byte {at}")
    return piece


def _require_image(manifest: AuditManifest, image: bytes) -> None:
    if bool(image) is not bool(manifest.units):
        raise LayerError(f"audit of {len(manifest.units)} units with an image of {len(image)} bytes")
