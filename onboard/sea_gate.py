"""The sea gate: a tile of open water in which nothing is brighter than the sea has nothing to search for.

Water is dark in near infrared and its brightness changes slowly, while every vessel, platform and shore is far brighter than the
water beside it in near infrared or in red or green. The gate looks at blocks of 16 x 16 pixels and stops a tile only when all of
this holds:

* every block is water: near infrared is darker than green, and low;
* the water is even: the robust spread of pixels around the mean of their block, and so the limit that follows from it, is small;
* no pixel in near infrared, red or green is brighter than the darkest of its own and the eight blocks around it by more than the
  floor, or by more than `spreads` robust spreads where that is more.

Whatever it cannot judge passes: 8-bit samples, whose reflectance is not known, scenes without the three bands, haze, glint, foam
and coasts, all of which are bright or uneven.

Where a tile passes, `quiet_blocks` says which of its blocks could be left out all the same.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from onboard.cloud import BandRole, CloudSettings, band_roles

BLOCK_PX: Final = 16
"""Edge of a block: a few times the width of a ship, little beside a swell or a gradient of glint."""
_GRID_ROWS, _GRID_COLUMNS = 8, 4
"""Means are taken over every such row and column: 8 pixels of a block."""
_PER_COLUMN, _PER_ROW = BLOCK_PX // _GRID_ROWS, BLOCK_PX // _GRID_COLUMNS
"""Samples of a block in a column and in a row."""
SIGMA_PER_QUARTILE_RANGE: Final = 1 / 1.349
"""Standard deviation of a normal distribution over the distance between its quartiles."""

_SEARCHED: Final = (BandRole.NIR, BandRole.RED, BandRole.GREEN)


class SeaGate(BaseModel):
    """Limits of the gate. Reflectances are fractions of 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    """Off: every tile passes."""
    reflectance_gain: float = Field(default=1e-4, gt=0)
    """Reflectance per digital number of a uint16 scene."""
    max_water_nir: float = Field(default=0.08, gt=0)
    """Water is no brighter than this in near infrared; haze, glint and shallows may be."""
    spreads: float = Field(default=8.0, gt=0)
    """Robust standard deviations above its surroundings that the brightest of a tile's pixels of water reaches."""
    floor: float = Field(default=0.015, gt=0)
    """What does not rise above its surroundings by this is no object, however even the water is."""
    largest_rise: float = Field(default=0.03, gt=0)
    """Water so uneven that its own pixels may rise by more than this passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """What the gate says of one tile."""

    passes: bool
    """Whether the tile may hold objects."""
    reason: str
    """Why, with the number that decided."""
    texture_dn: float = 0.0
    """Of a tile that is stopped: the largest robust standard deviation of its water in a band, in digital numbers."""


def may_hold_objects(
    pixels: NDArray[Any], valid: NDArray[np.bool_], band_names: tuple[str, ...], gate: SeaGate
) -> GateVerdict:
    """Judge one tile of `pixels` (bands, height, width), digital numbers from 0 up, with `valid` (height, width).

    Raises ValueError when the arrays do not fit together.
    """
    if pixels.ndim != 3 or valid.shape != pixels.shape[1:] or len(pixels) != len(band_names):
        raise ValueError(f"cannot judge {pixels.shape} with validity of {valid.shape} as bands {', '.join(band_names)}")
    if not gate.enabled:
        return GateVerdict(passes=True, reason="sea gate off")
    roles = band_roles(band_names, CloudSettings())
    if pixels.dtype != np.uint16 or any(role not in roles for role in _SEARCHED):
        return GateVerdict(passes=True, reason="sea not judged from these bands")
    bands = [_whole_blocks(pixels[roles[role]]) for role in _SEARCHED]
    where = None if valid.all() else _whole_blocks(valid)
    if where is not None:
        # Pixels without data become water like the rest: neither bright nor darker than what is around.
        bands = [_filled(band, where) for band in bands]
    samples = [_samples(band) for band in bands]
    means = [_block_means(grid) for grid in samples]
    brightest = float(means[0].max()) * gate.reflectance_gain
    if brightest > gate.max_water_nir or np.any(means[0] >= means[2]):
        return GateVerdict(passes=True, reason=f"not all open water: near infrared up to {brightest:.3f}")
    largest_sigma = 0.0
    for role, band, grid, mean in zip(_SEARCHED, bands, samples, means, strict=True):
        sigma = _sigma(grid, mean, None)
        largest_sigma = max(largest_sigma, sigma)
        limit = max(gate.spreads * sigma * gate.reflectance_gain, gate.floor)
        if limit > gate.largest_rise:
            return GateVerdict(passes=True, reason=f"uneven water: its own {role.value} may rise by {limit:.3f}")
        rise = _largest_rise(band, mean) * gate.reflectance_gain
        if rise > limit:
            return GateVerdict(
                passes=True, reason=f"{role.value} rises by {rise:.3f} above the sea around it, water by {limit:.3f}"
            )
    return GateVerdict(
        passes=False,
        reason=f"open sea and nothing above it, near infrared up to {brightest:.3f}",
        texture_dn=largest_sigma,
    )


def quiet_blocks(
    pixels: NDArray[Any], valid: NDArray[np.bool_], band_names: tuple[str, ...], gate: SeaGate
) -> NDArray[np.bool_] | None:
    """Which blocks of a tile are water in which nothing rises, as (block rows, block columns); None where the gate cannot judge.

    The same limits as for whole tiles, of which each block has its own: land or a ship elsewhere in the tile changes nothing for it,
    save that the spread is that of all water of the tile. Blocks without data are quiet.
    """
    roles = band_roles(band_names, CloudSettings())
    if not gate.enabled or pixels.dtype != np.uint16 or any(role not in roles for role in _SEARCHED):
        return None
    bands = [_whole_blocks(pixels[roles[role]]) for role in _SEARCHED]
    empty = None
    if not valid.all():
        where = _whole_blocks(valid)
        bands = [_filled(band, where) for band in bands]
        empty = ~where.reshape(where.shape[0] // BLOCK_PX, BLOCK_PX, -1, BLOCK_PX).any(axis=(1, 3))
    samples = [_samples(band) for band in bands]
    means = [_block_means(grid) for grid in samples]
    quiet = (means[0] * gate.reflectance_gain <= gate.max_water_nir) & (means[0] < means[2])
    if quiet.any():
        water = quiet.copy()
        for band, grid, mean in zip(bands, samples, means, strict=True):
            limit = max(gate.spreads * _sigma(grid, mean, water) * gate.reflectance_gain, gate.floor)
            if limit > gate.largest_rise:
                quiet[:] = False
                break
            quiet &= _rises(band, mean) * gate.reflectance_gain <= limit
    return quiet if empty is None else quiet | empty


def _whole_blocks(band: NDArray[Any]) -> NDArray[Any]:
    """A band (height, width), its last rows and columns taken twice where it ends within a block."""
    rows, columns = (-side % BLOCK_PX for side in band.shape)
    return np.pad(band, ((0, rows), (0, columns)), mode="edge") if rows or columns else band


def _filled(band: NDArray[Any], where: NDArray[np.bool_]) -> NDArray[Any]:
    """The band with the median of its valid pixels in place of the others."""
    known = band[::_GRID_ROWS, ::_GRID_COLUMNS][where[::_GRID_ROWS, ::_GRID_COLUMNS]]
    if not len(known):
        known = band[where]
    filled: NDArray[Any] = np.where(
        where, band, np.median(known).astype(band.dtype) if len(known) else band.dtype.type(0)
    )
    return filled


def _samples(band: NDArray[Any]) -> NDArray[np.int32]:
    """The pixels that means are taken over, (rows, columns) of a grid, int32."""
    return band[_GRID_ROWS // 2 :: _GRID_ROWS, _GRID_COLUMNS // 2 :: _GRID_COLUMNS].astype(np.int32)


def _block_means(grid: NDArray[np.int32]) -> NDArray[np.int32]:
    sums = grid[::_PER_COLUMN]
    for row in range(1, _PER_COLUMN):
        sums = sums + grid[row::_PER_COLUMN]
    means = sum((sums[:, column::_PER_ROW] for column in range(1, _PER_ROW)), start=sums[:, ::_PER_ROW])
    return means // (_PER_COLUMN * _PER_ROW)


def _sigma(grid: NDArray[np.int32], means: NDArray[np.int32], blocks: NDArray[np.bool_] | None) -> float:
    """Robust standard deviation of the samples around the means of their blocks, all of them or those of some."""
    rows, columns = means.shape
    by_block = grid.reshape(rows, _PER_COLUMN, columns, _PER_ROW) - means[:, np.newaxis, :, np.newaxis]
    around = by_block.reshape(-1) if blocks is None else by_block.transpose(0, 2, 1, 3)[blocks].reshape(-1)
    # Sorted whole: numpy's sort of integers uses the processor's vectors, its partition does not, and takes many times as long.
    low, high = np.sort(around)[[round(share * (len(around) - 1)) for share in (0.25, 0.75)]]
    return float(high - low) * SIGMA_PER_QUARTILE_RANGE


def _largest_rise(band: NDArray[Any], means: NDArray[np.int32]) -> int:
    return int(_rises(band, means).max())


def _rises(band: NDArray[Any], means: NDArray[np.int32]) -> NDArray[np.int32]:
    """By how much the brightest pixel of each block is above the darkest block around it, in digital numbers."""
    rows, columns = means.shape
    tops = band.reshape(rows, BLOCK_PX, -1).max(axis=1)
    while tops.shape[1] > columns:  # by halves: a maximum over 16 neighbours at a time is slower
        tops = np.maximum(tops[:, ::2], tops[:, 1::2])
    around = np.pad(means, 1, mode="edge")
    darkest = np.minimum(np.minimum(around[:-2], around[1:-1]), around[2:])
    darkest = np.minimum(np.minimum(darkest[:, :-2], darkest[:, 1:-1]), darkest[:, 2:])
    return np.asarray(tops.astype(np.int32) - darkest, dtype=np.int32)
