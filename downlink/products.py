"""Layers: the unit of sending. Every one has an address, a value, a size and a half-life.

A product is what became of a scene's summary, of a tile (its *block*), of a cluster of detections (a *chip*), a batch of
alerts, or a sample of what was thrown away (the *audit*). A product is an ordered list of steps; each step is one layer,
useless without the steps before it.
"""

import math
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from downlink.errors import LayerError

SUMMARY_PRODUCT: Final = 0
FIRST_BLOCK: Final = 1
FIRST_CHIP: Final = 0x8000
AUDIT_PRODUCT: Final = 0xFFFE
ALERTS_PRODUCT: Final = 0xFFFF
BLOCKS_LIMIT: Final = FIRST_CHIP - FIRST_BLOCK
"""Blocks that one scene can have."""
ALERT_BATCHES_LIMIT: Final = 0x100
"""Alert batches that one scene can have."""
ADDRESS: Final = struct.Struct(">IHB")


class Rung(IntEnum):
    """The ladder of what a tile can become on the ground, in the order a mission usually wants it."""

    SUMMARY = 1
    """Scene metadata and what became of each tile."""
    ALERT = 2
    """Packed detections."""
    CHIP = 3
    """A region of interest, cut out."""
    PREVIEW = 4
    """The first step of a block."""
    REFINEMENT = 5
    """A later step of a block."""
    LOSSLESS = 6
    """The last step of a block: its exact pixels."""
    AUDIT = 7
    """A sample of what was thrown away."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class LayerAddress:
    """Names one layer within a mission, in 7 bytes."""

    scene: int
    """Scene number, 32 bits."""
    product: int
    """0 the summary, 1 to 0x7FFF the block of tile `product - 1`, from 0x8000 a chip, 0xFFFE the audit, 0xFFFF alerts."""
    step: int
    """Position in the product, from 0; for alerts the batch number, where no step needs another."""

    def __post_init__(self) -> None:
        if not (0 <= self.scene <= 0xFFFF_FFFF and 0 <= self.product <= 0xFFFF and 0 <= self.step <= 0xFF):
            raise LayerError(
                f"layer address scene {self.scene}, product {self.product}, step {self.step} does not fit 32, 16 and 8 bits"
            )

    def pack(self) -> bytes:
        """Seven bytes, big-endian: scene, product, step."""
        return ADDRESS.pack(self.scene, self.product, self.step)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Inverse of `pack`. Raises LayerError for any other number of bytes."""
        if len(data) != ADDRESS.size:
            raise LayerError(f"a layer address has {ADDRESS.size} bytes, not {len(data)}")
        scene, product, step = ADDRESS.unpack(data)
        return cls(scene=scene, product=product, step=step)

    @property
    def previous(self) -> "LayerAddress | None":
        """The layer this one refines, or None where it stands alone."""
        if self.step == 0 or self.product == ALERTS_PRODUCT:
            return None
        return LayerAddress(scene=self.scene, product=self.product, step=self.step - 1)

    @property
    def is_chip(self) -> bool:
        return FIRST_CHIP <= self.product < AUDIT_PRODUCT

    @property
    def is_audit(self) -> bool:
        return self.product == AUDIT_PRODUCT

    @property
    def is_block(self) -> bool:
        return FIRST_BLOCK <= self.product < FIRST_CHIP

    @property
    def is_express(self) -> bool:
        """Whether the layer travels as a space packet, ahead of files: summaries and alerts."""
        return self.product in (SUMMARY_PRODUCT, ALERTS_PRODUCT)


def unpack_addresses(data: bytes) -> tuple[LayerAddress, ...]:
    """Addresses packed one after the other. Raises LayerError where the last one is cut."""
    return tuple(LayerAddress.unpack(data[start : start + ADDRESS.size]) for start in range(0, len(data), ADDRESS.size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer as the scheduler sees it."""

    address: LayerAddress
    """Which one."""
    rung: Rung
    """What it is, for people and reports; the scheduler ranks by value alone."""
    size_bytes: int
    """Bytes of its record on the link, before protocol headers."""
    value: float
    """What it is worth at the moment of capture, in the policy's points; 0 or more."""
    half_life_s: float
    """Seconds in which its value halves; above 0."""
    captured_ms: int
    """When its value began to fall, Unix milliseconds."""
    deadline_ms: int | None = None
    """Worth nothing from then on, Unix milliseconds; None: never."""

    def __post_init__(self) -> None:
        if self.size_bytes < 1 or not 0 <= self.value < math.inf or not self.half_life_s > 0:
            raise LayerError(
                f"layer {self.address}: {self.size_bytes} bytes, value {self.value}, half-life {self.half_life_s} s: "
                "bytes must be at least 1, value finite and not negative, half-life above 0"
            )

    def value_at(self, now_ms: int) -> float:
        """Value after decay: halved every `half_life_s` since capture; never more than at capture; 0 from its deadline on."""
        if self.deadline_ms is not None and now_ms >= self.deadline_ms:
            return 0.0
        age_s = max(0, now_ms - self.captured_ms) / 1000
        return self.value * math.pow(2, -age_s / self.half_life_s)
