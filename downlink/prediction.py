"""The prediction of a window of a new scene from blocks of an earlier one, in whole numbers: the same bits on every machine.

Both ends predict from the same pixels, so only what differs travels. Pixel (r, c) of the new scene lies at (r + row_shift / 64,
c + col_shift / 64) in the reference scene. Between its pixels the reference is interpolated with the polynomial of fifth degree through
six neighbours, along rows and then along columns. Details that the two scenes do not share would be coded twice, so the reference may be
smoothed first. Each band is then scaled and shifted, rounded, and clipped to what its type holds.

A packed reference, big-endian:

    offset  bytes  field
    0       1      blocks n, 1 to 9
    1       4      scene
    5       4      row shift, signed, 1/64 px
    9       4      column shift, signed, 1/64 px
    13      1      smoothing passes, 0 to 3
    14      7 n    each block: product (2), steps (1), CRC-32 of its pixels decoded from so many steps (4)
    14+7n   2 b    gain of each of the b bands, 1/4096
    +2b     3 b    offset of each band, signed, 1/16 DN
"""

import struct
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Final, Self

import numpy as np

from downlink.errors import LayerError
from downlink.products import FIRST_BLOCK, FIRST_CHIP
from downlink.reference_canvas import Canvas
from downlink.scene import Window

SHIFT_UNITS: Final = 64
"""Units of a shift per pixel."""
GAIN_UNITS: Final = 4096
"""Units of a gain per one."""
OFFSET_UNITS: Final = 16
"""Units of an offset per DN."""
MOST_BLOCKS: Final = 9
"""Blocks that one prediction can need: a window of their size touches nine at most."""
MOST_BANDS: Final = 255
MOST_SMOOTHING: Final = 3
GAIN_LIMIT: Final = 0xFFFF
OFFSET_LIMIT: Final = (1 << 23) - 1
SHIFT_LIMIT: Final = (1 << 31) - 1
REACH_BEFORE_PX: Final = 2
REACH_AFTER_PX: Final = 3
"""Neighbours that interpolation needs before and after a position between two pixels, one of them counted as after."""
TAP_BITS: Final = 12
LEVEL_BITS: Final = 2
"""Fraction bits of a level on its way. The taps' sizes add up to 1.4 at most, so 16 bits of pixel, these, and two passes of interpolation
fit signed 32 bits: 65535 * 4 * 1.4 * 1.4 * 4096 < 2^31."""
SCALED_UNITS: Final = GAIN_UNITS << LEVEL_BITS
"""Units of a level after its gain per DN; a power of two."""
_FIXED: Final = struct.Struct(">BIiiB")
_BLOCK: Final = struct.Struct(">HBI")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceBlock:
    """One block that the ground holds, to so many steps."""

    product: int
    """Product number of the block in the reference scene."""
    steps: int
    """It is decoded from exactly its first so many steps, 1 to 255."""
    check: int
    """CRC-32 (`downlink.image_layers.pixel_check`) of the whole block decoded so."""

    def __post_init__(self) -> None:
        if not (
            FIRST_BLOCK <= self.product < FIRST_CHIP and 1 <= self.steps <= 0xFF and 0 <= self.check <= 0xFFFF_FFFF
        ):
            raise LayerError(
                f"reference block {self.product} of {self.steps} steps with check {self.check:#x}: a block has a product of "
                f"{FIRST_BLOCK} to {FIRST_CHIP - 1}, 1 to 255 steps and a check of 32 bits"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a window is predicted from, and how."""

    scene: int
    """Number of the reference scene, 32 bits."""
    row_shift: int
    """1/64 px: row r of the new scene lies at r + row_shift / 64 in the reference scene."""
    col_shift: int
    """1/64 px, likewise for columns."""
    blocks: tuple[ReferenceBlock, ...]
    """1 to 9, each product once."""
    gains: tuple[int, ...]
    """Per band, 1/4096, 0 to 65535."""
    offsets: tuple[int, ...]
    """Per band, 1/16 DN, 24 bits signed."""
    smoothing: int = 0
    """Passes of the filter (1, 2, 1) / 4 along rows and columns over the reference, 0 to 3."""

    def __post_init__(self) -> None:
        products = {block.product for block in self.blocks}
        if not 1 <= len(self.blocks) <= MOST_BLOCKS or len(products) != len(self.blocks):
            raise LayerError(
                f"reference of {len(self.blocks)} blocks, {len(products)} of them distinct: 1 to {MOST_BLOCKS} are needed"
            )
        if not 0 <= self.scene <= 0xFFFF_FFFF or max(abs(self.row_shift), abs(self.col_shift)) > SHIFT_LIMIT:
            raise LayerError(
                f"reference to scene {self.scene} shifted by {self.row_shift}, {self.col_shift}: 32 bits each"
            )
        if not 0 <= self.smoothing <= MOST_SMOOTHING:
            raise LayerError(f"reference smoothed {self.smoothing} times: 0 to {MOST_SMOOTHING} are possible")
        if len(self.gains) != len(self.offsets) or not 1 <= len(self.gains) <= MOST_BANDS:
            raise LayerError(
                f"reference with {len(self.gains)} gains and {len(self.offsets)} offsets: one of each per band"
            )
        if not all(0 <= gain <= GAIN_LIMIT for gain in self.gains):
            raise LayerError(f"reference with gains {self.gains}: 0 to {GAIN_LIMIT} of 1/{GAIN_UNITS}")
        if not all(abs(offset) <= OFFSET_LIMIT for offset in self.offsets):
            raise LayerError(
                f"reference with offsets {self.offsets}: up to {OFFSET_LIMIT} of 1/{OFFSET_UNITS} DN either way"
            )

    def pack(self) -> bytes:
        """The bytes that travel in the header of step 0, as the module describes them."""
        blocks = b"".join(_BLOCK.pack(block.product, block.steps, block.check) for block in self.blocks)
        gains = struct.pack(f">{len(self.gains)}H", *self.gains)
        offsets = b"".join(offset.to_bytes(3, "big", signed=True) for offset in self.offsets)
        fixed = _FIXED.pack(len(self.blocks), self.scene, self.row_shift, self.col_shift, self.smoothing)
        return fixed + blocks + gains + offsets

    @classmethod
    def unpack(cls, data: bytes, *, bands: int) -> Self:
        """Inverse of `pack` for an image of so many bands. Raises LayerError for any other bytes."""
        if len(data) < _FIXED.size or len(data) != _FIXED.size + _BLOCK.size * data[0] + 5 * bands:
            raise LayerError(f"reference of {len(data)} bytes does not fit its blocks and {bands} bands")
        count, scene, row_shift, col_shift, smoothing = _FIXED.unpack_from(data)
        gains_at = _FIXED.size + _BLOCK.size * count
        offsets_at = gains_at + 2 * bands
        blocks = _BLOCK.iter_unpack(data[_FIXED.size : gains_at])
        return cls(
            scene=scene,
            row_shift=row_shift,
            col_shift=col_shift,
            blocks=tuple(ReferenceBlock(product=product, steps=steps, check=check) for product, steps, check in blocks),
            gains=struct.unpack(f">{bands}H", data[gains_at:offsets_at]),
            offsets=tuple(
                int.from_bytes(data[at : at + 3], "big", signed=True) for at in range(offsets_at, len(data), 3)
            ),
            smoothing=smoothing,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """A prediction and what it was made from."""

    reference: Reference
    """Travels in the header."""
    pixels: np.ndarray
    """(bands, height, width) in the type of the image's pixels."""


def region_of(reference: Reference, window: Window) -> Window:
    """Which pixels of the reference scene the prediction of `window` needs; it may reach outside that scene."""
    top, bottom = _reach(reference.row_shift, reference.smoothing)
    left, right = _reach(reference.col_shift, reference.smoothing)
    return Window(
        row=window.row + reference.row_shift // SHIFT_UNITS - top,
        col=window.col + reference.col_shift // SHIFT_UNITS - left,
        height=window.height + top + bottom,
        width=window.width + left + right,
    )


def predict(reference: Reference, window: Window, canvas: Canvas) -> np.ndarray:
    """The prediction of `window`, (bands, height, width) in the type of the canvas.

    The canvas holds at least `region_of(reference, window)`. Pixels of that region which are not valid count as the mean of the valid
    ones in their band, or as 0 where there is none. Raises LayerError for a canvas that does not fit.
    """
    region = region_of(reference, window)
    if region.intersection(canvas.window) != region or len(canvas.pixels) != len(reference.gains):
        raise LayerError(
            f"{len(canvas.pixels)} bands of {canvas.window} are at hand; {window} of {len(reference.gains)} bands needs {region}"
        )
    rows, cols = region.shifted(-canvas.window.row, -canvas.window.col).slices
    valid = canvas.valid[rows, cols]
    predicted = np.empty((len(canvas.pixels), window.height, window.width), canvas.pixels.dtype)
    top = np.iinfo(predicted.dtype).max
    for band, (gain, offset) in enumerate(zip(reference.gains, reference.offsets, strict=True)):
        levels = _filled(canvas.pixels[band, rows, cols], valid) << LEVEL_BITS
        levels = _along(1, levels, reference.col_shift % SHIFT_UNITS, reference.smoothing)
        levels = _along(0, levels, reference.row_shift % SHIFT_UNITS, reference.smoothing)
        scaled = levels.astype(np.int64)
        scaled *= gain
        scaled += offset * (SCALED_UNITS // OFFSET_UNITS) + SCALED_UNITS // 2
        scaled >>= SCALED_UNITS.bit_length() - 1
        np.clip(scaled, 0, top, out=predicted[band], casting="unsafe")
    return predicted


def _reach(shift: int, smoothing: int) -> tuple[int, int]:
    """Pixels needed before and after along one axis."""
    before, after = (REACH_BEFORE_PX, REACH_AFTER_PX) if shift % SHIFT_UNITS else (0, 0)
    return before + smoothing, after + smoothing


def _filled(levels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """One band as int32, the mean of its valid pixels (rounded down) where it has none."""
    whole = levels.astype(np.int32)
    if not valid.all():
        count = int(np.count_nonzero(valid))
        whole[~valid] = int(levels[valid].sum(dtype=np.int64)) // count if count else 0
    return whole


def _along(axis: int, levels: np.ndarray, fraction: int, smoothing: int) -> np.ndarray:
    """Levels (h, w) int32 smoothed along an axis, then taken at `fraction` / 64 px after each pixel; ends without neighbours go."""
    for _ in range(smoothing):
        levels = _weighted(axis, levels, (1, 2, 1), 2)
    return levels if fraction == 0 else _weighted(axis, levels, interpolation_taps(fraction), TAP_BITS)


def _weighted(axis: int, levels: np.ndarray, taps: tuple[int, ...], bits: int) -> np.ndarray:
    """Sums of neighbours along an axis times taps, over 2^bits, rounded."""
    length = levels.shape[axis] - len(taps) + 1
    shape = (length, levels.shape[1]) if axis == 0 else (levels.shape[0], length)
    total = np.full(shape, 1 << (bits - 1), np.int32)
    product = np.empty_like(total)
    for place, tap in enumerate(taps):
        piece = levels[place : place + length] if axis == 0 else levels[:, place : place + length]
        np.multiply(piece, tap, out=product)
        total += product
    total >>= bits
    return total


@cache
def interpolation_taps(fraction: int) -> tuple[int, ...]:
    """Weights of the six neighbours, from two before to three after, for a position `fraction` / 64 px after a pixel.

    Lagrange's polynomial through the six, in units of 2^-12; what rounding leaves goes to the nearest neighbour, so that a flat
    surface stays what it is.
    """
    at = Fraction(fraction, SHIFT_UNITS)
    nodes = range(-REACH_BEFORE_PX, REACH_AFTER_PX + 1)
    taps = []
    for node in nodes:
        weight = Fraction(1)
        for other in nodes:
            if other != node:
                weight *= (at - other) / (node - other)
        taps.append(round(weight * (1 << TAP_BITS)))
    taps[REACH_BEFORE_PX + round(at)] += (1 << TAP_BITS) - sum(taps)
    return tuple(taps)
