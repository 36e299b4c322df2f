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

from collections.abc import Sequence
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
_COUNTED_DN: Final = 8192
"""Samples that lie within so many digital numbers are counted value by value; even water lies within a few hundred."""

_SEARCHED: Final = (BandRole.NIR, BandRole.RED, BandRole.GREEN)
_NAMED: Final = CloudSettings()
"""Bands play the roles that their names tell."""


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
    roles = band_roles(band_names, _NAMED)
    if pixels.dtype != np.uint16 or any(role not in roles for role in _SEARCHED):
        return GateVerdict(passes=True, reason="sea not judged from these bands")
    bands = [_whole_blocks(pixels[roles[role]]) for role in _SEARCHED]
    if not valid.all():
        # Pixels without data become water like the rest: neither bright nor darker than what is around.
        where = _whole_blocks(valid)
        bands = [_filled(band, where) for band in bands]
    samples = _samples(bands)
    means = _block_means(samples)
    brightest = float(means[0].max()) * gate.reflectance_gain
    if brightest > gate.max_water_nir or np.any(means[0] >= means[2]):
        return GateVerdict(passes=True, reason=f"not all open water: near infrared up to {brightest:.3f}")
    differences, darkest = _around_means(samples, means), _darkest_around(means)
    largest_sigma = 0.0
    for index, role in enumerate(_SEARCHED):
        sigma = _sigma(differences[index].reshape(-1))
        largest_sigma = max(largest_sigma, sigma)
        limit = max(gate.spreads * sigma * gate.reflectance_gain, gate.floor)
        if limit > gate.largest_rise:
            return GateVerdict(passes=True, reason=f"uneven water: its own {role.value} may rise by {limit:.3f}")
        # Of even sea the brightest pixel of all is no further from the darkest block, and the look at every block is spared.
        if (int(bands[index].max()) - int(darkest[index].min())) * gate.reflectance_gain <= limit:
            continue
        rise = int((_tops(bands[index]) - darkest[index]).max()) * gate.reflectance_gain
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
    roles = band_roles(band_names, _NAMED)
    if not gate.enabled or pixels.dtype != np.uint16 or any(role not in roles for role in _SEARCHED):
        return None
    bands = [_whole_blocks(pixels[roles[role]]) for role in _SEARCHED]
    empty = None
    if not valid.all():
        where = _whole_blocks(valid)
        bands = [_filled(band, where) for band in bands]
        empty = ~where.reshape(where.shape[0] // BLOCK_PX, BLOCK_PX, -1, BLOCK_PX).any(axis=(1, 3))
    samples = _samples(bands)
    means = _block_means(samples)
    quiet: NDArray[np.bool_] = (means[0] * gate.reflectance_gain <= gate.max_water_nir) & (means[0] < means[2])
    if quiet.any():
        water = quiet.copy()
        differences, darkest = _around_means(samples, means), _darkest_around(means)
        for index, band in enumerate(bands):
            sigma = _sigma(differences[index].transpose(0, 2, 1, 3)[water].reshape(-1))
            limit = max(gate.spreads * sigma * gate.reflectance_gain, gate.floor)
            if limit > gate.largest_rise:
                quiet[:] = False
                break
            quiet &= (_tops(band) - darkest[index]) * gate.reflectance_gain <= limit
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


def _samples(bands: Sequence[NDArray[Any]]) -> NDArray[np.int32]:
    """The pixels that means are taken over, (bands, rows, columns) of a grid, int32."""
    grids = [band[_GRID_ROWS // 2 :: _GRID_ROWS, _GRID_COLUMNS // 2 :: _GRID_COLUMNS] for band in bands]
    samples = np.empty((len(bands), *grids[0].shape), np.int32)
    for grid, out in zip(grids, samples, strict=True):
        out[:] = grid
    return samples


def _block_means(samples: NDArray[np.int32]) -> NDArray[np.int32]:
    """(bands, block rows, block columns), rounded down."""
    sums = samples[:, ::_PER_COLUMN]
    for row in range(1, _PER_COLUMN):
        sums = sums + samples[:, row::_PER_COLUMN]
    means = sums[..., ::_PER_ROW]
    for column in range(1, _PER_ROW):
        means = means + sums[..., column::_PER_ROW]
    return means // (_PER_COLUMN * _PER_ROW)


def _around_means(samples: NDArray[np.int32], means: NDArray[np.int32]) -> NDArray[np.int32]:
    """Samples less the mean of their block, (bands, block rows, samples in a column, block columns, samples in a row)."""
    bands, rows, columns = means.shape
    by_row = np.repeat(means, _PER_ROW, axis=2)[:, :, np.newaxis]  # whole rows at a time: less than half the time
    differences: NDArray[np.int32] = samples.reshape(bands, rows, _PER_COLUMN, -1) - by_row
    return differences.reshape(bands, rows, _PER_COLUMN, columns, _PER_ROW)


def _sigma(differences: NDArray[np.int32]) -> float:
    """Robust standard deviation of samples around the means of their blocks."""
    ranks = [round(share * (len(differences) - 1)) for share in (0.25, 0.75)]
    least = int(differences.min())
    if int(differences.max()) - least < _COUNTED_DN:
        # Both quartiles from one count of each value: an eighth of the time that two partitions take.
        low, high = np.searchsorted(np.bincount(differences - least).cumsum(), ranks, side="right")
    else:
        # One rank at a time: numpy's partition uses the processor's vectors for one, and not for several at once.
        low, high = (np.partition(differences, rank)[rank] for rank in ranks)
    return float(high - low) * SIGMA_PER_QUARTILE_RANGE


def _tops(band: NDArray[Any]) -> NDArray[np.int32]:
    """The brightest pixel of each block of one band, (block rows, block columns)."""
    rows, columns = (side // BLOCK_PX for side in band.shape)
    tops = band.reshape(rows, BLOCK_PX, -1).max(axis=1)
    # Turned first: a maximum over neighbours, 16 at a time or by halves, takes several times as long.
    across = np.ascontiguousarray(tops.reshape(-1, BLOCK_PX).T).max(axis=0).reshape(rows, columns)
    return np.asarray(across, dtype=np.int32)


def _darkest_around(means: NDArray[np.int32]) -> NDArray[np.int32]:
    """(bands, block rows, block columns): the darkest of each block and the eight around it, where there are so many."""
    rows = means.copy()
    np.minimum(rows[:, 1:], means[:, :-1], out=rows[:, 1:])
    np.minimum(rows[:, :-1], means[:, 1:], out=rows[:, :-1])
    darkest = rows.copy()
    np.minimum(darkest[..., 1:], rows[..., :-1], out=darkest[..., 1:])
    np.minimum(darkest[..., :-1], rows[..., 1:], out=darkest[..., :-1])
    return darkest
