"""The land gate: where there is no water within reach, nothing floats.

A block of 16 x 16 pixels is inland when no block around it holds water and enough of what is around it is land that cannot be
taken for water: brighter in near infrared than in green by a margin that haze, glint and foam do not reach. Quays, container yards
and roofs, which are as white as foam, are land only beside such land; in doubt a block is searched.

For objects that float alone: the detector's classes decide whether the gate is asked at all (`only_afloat`).
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from onboard.cloud import BandRole, CloudSettings, band_roles
from onboard.sea_gate import BLOCK_PX
from onboard.water import WaterSettings, patches_of, tells_water, water_mask

_STEP_PX: Final = 4
_PER_BLOCK: Final = BLOCK_PX // _STEP_PX
AFLOAT: Final = frozenset({"ship", "boat", "vessel", "barge", "ferry", "tanker", "cargo", "yacht", "buoy"})
"""Classes of objects that are found on water alone."""


class LandGate(BaseModel):
    """Limits of the gate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    """Off: land is searched like water."""
    reach_blocks: int = Field(default=2, ge=1)
    """Blocks beside water that are searched with it, in every direction: quays with what is moored there."""
    water_share: float = Field(default=0.18, gt=0, le=1)
    """Share of a block's pixels from which it holds water: a basin as wide as a ship, and not the shadow of a roof."""
    least_patch_blocks: int = Field(default=3, ge=1)
    """Smaller patches of such blocks that do not reach the edge of the tile are shadow, asphalt, ponds."""
    land_nir_over_green: float = Field(default=1.25, gt=1)
    """From this ratio a pixel is land for certain."""
    land_share: float = Field(default=0.3, gt=0, le=1)
    """Share of certain land within reach that it takes."""


def only_afloat(classes: tuple[str, ...]) -> bool:
    """Whether all of a detector's classes float, so that land needs no search."""
    return bool(classes) and all(name.lower() in AFLOAT for name in classes)


def inland_blocks(
    pixels: NDArray[Any], valid: NDArray[np.bool_], band_names: tuple[str, ...], gate: LandGate
) -> NDArray[np.bool_] | None:
    """Which blocks of `pixels` (bands, height, width) are inland, as (block rows, block columns); None where it is not judged.

    Beyond the edge of the tile there may be water, and is none within reach of it where the tile itself shows land for certain.
    """
    settings = WaterSettings()
    if not gate.enabled or not tells_water(band_names, settings):
        return None
    grid = _whole_blocks(pixels[:, _STEP_PX // 2 :: _STEP_PX, _STEP_PX // 2 :: _STEP_PX], pixels.shape[1:])
    known = _whole_blocks(valid[None, _STEP_PX // 2 :: _STEP_PX, _STEP_PX // 2 :: _STEP_PX], valid.shape)[0]
    roles = band_roles(band_names, CloudSettings())
    nir, green = grid[roles[BandRole.NIR]], grid[roles[BandRole.GREEN]]
    water = _shares(water_mask(grid, band_names, settings) & known) >= gate.water_share
    land = _shares((nir > green * np.float32(gate.land_nir_over_green)) & known)
    near_water = grown(_patches(water, gate.least_patch_blocks), gate.reach_blocks)
    return ~near_water & (_mean_around(land, gate.reach_blocks) >= gate.land_share)


def _whole_blocks(grid: NDArray[Any], size_px: tuple[int, ...]) -> NDArray[Any]:
    """Samples (bands, rows, columns), the last row and column taken again until the blocks of `size_px` are whole."""
    rows, columns = (
        -(-side // BLOCK_PX) * _PER_BLOCK - have for side, have in zip(size_px, grid.shape[1:], strict=True)
    )
    return np.pad(grid, ((0, 0), (0, rows), (0, columns)), mode="edge") if rows or columns else grid


def _shares(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(rows, columns) of samples to the share that is set, block by block."""
    rows, columns = (side // _PER_BLOCK for side in mask.shape)
    return np.asarray(mask.reshape(rows, _PER_BLOCK, columns, _PER_BLOCK).mean(axis=(1, 3), dtype=np.float32))


def _patches(water: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Without the small patches, save those that the edge of the tile may have cut."""
    rim = np.ones((water.shape[0] + 2 * least, water.shape[1] + 2 * least), np.bool_)
    rim[least:-least, least:-least] = water
    return patches_of(rim, min_px=least)[least:-least, least:-least]


def grown(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Blocks with one that is set within `by` blocks in rows and columns."""
    for axis in (0, 1):
        reached = mask.copy()
        for step in range(1, by + 1):
            ahead, behind = [slice(None)] * 2, [slice(None)] * 2
            ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
            reached[tuple(behind)] |= mask[tuple(ahead)]
            reached[tuple(ahead)] |= mask[tuple(behind)]
        mask = reached
    return mask


def _mean_around(shares: NDArray[np.float32], by: int) -> NDArray[np.float32]:
    """Mean over all blocks within `by`, those beyond the edge as the last before it."""
    side = 2 * by + 1
    padded = np.pad(shares, by, mode="edge")
    sums = np.pad(padded.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    total = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return np.asarray(total / (side * side), dtype=np.float32)
