"""Where in a tile the network has to look: blocks that the gates leave, and the windows that cover them at least cost.

The network costs the same per pixel in every size of window, and every window needs its halo. A tile is cut like a quadtree: one window
over everything, or quarters where something is left in few of them, down to 64 pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from downlink.scene import Window
from onboard.detection import Detection
from onboard.detector import Detector, WindowDetector
from onboard.land_gate import LandGate, grown, inland_blocks
from onboard.processed_scene import GateName
from onboard.sea_gate import BLOCK_PX, SeaGate, quiet_blocks

LEAST_CORE_PX: Final = 64
"""Smaller windows would be mostly halo."""
RUN_COST_PX: Final = 40_000
"""What another window costs beside its pixels (started, decoded, freed of duplicates), in pixels that integers search meanwhile."""

MOSTLY_QUIET: Final = 15 / 16
"""Of a tile with so large a share of quiet sea the land gate is not asked: it could leave out little, and takes half a window's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchWindow:
    """One window that the network sees, in the pixel frame of the padded tile."""

    core: Window
    """What is searched."""
    padded: Window
    """What the network sees: the core and a halo, cut at the edge of the padded tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """Where a tile has to be searched."""

    windows: tuple[SearchWindow, ...]
    """What the network has to look at; empty where the gates leave nothing."""
    gate: GateName | None
    """What stopped the tile; None where something is left of it."""
    reason: str
    """Why, with the numbers that decided."""

    @property
    def passes(self) -> bool:
        """Whether the tile may hold objects."""
        return bool(self.windows)


def plan_search(
    padded: NDArray[Any],
    valid: NDArray[np.bool_],
    band_names: tuple[str, ...],
    *,
    halo_px: int,
    sea_gate: SeaGate,
    land_gate: LandGate,
) -> SearchPlan:
    """Where to look in a padded tile (bands, height, width), digital numbers from 0 up, with `valid` of its core, that the sea gate passes.

    The core lies `halo_px` from the upper left; what is beyond `valid` below and right of it belongs to the halo. A block is left out when
    it and all around it are quiet sea, or when it is inland.
    """
    height, width = valid.shape
    core = Window(row=halo_px, col=halo_px, height=height, width=width)
    known = np.ones(padded.shape[1:], np.bool_)
    known[core.slices] = valid
    quiet = quiet_blocks(padded, known, band_names, sea_gate)
    blocks = np.ones((-(-padded.shape[1] // BLOCK_PX), -(-padded.shape[2] // BLOCK_PX)), np.bool_)
    if quiet is not None:
        blocks = grown(~quiet, 1)
    if quiet is None or quiet.mean() < MOSTLY_QUIET:
        inland = inland_blocks(padded, known, band_names, land_gate)
        if inland is not None:
            blocks &= ~inland
    # All windows are squares of a few sizes, at the scene's edge too: the network is made ready for each size once.
    blocks[-(-core.row_stop // BLOCK_PX) :] = False
    blocks[:, -(-core.col_stop // BLOCK_PX) :] = False
    cell = Window(row=halo_px, col=halo_px, height=padded.shape[1] - 2 * halo_px, width=padded.shape[2] - 2 * halo_px)
    windows = cover(blocks, cell, halo_px=halo_px)
    if windows:
        return SearchPlan(windows=windows, gate=None, reason=f"{len(windows)} windows to be searched")
    return SearchPlan(windows=(), gate="land", reason="land, and no water within reach")


def cover(blocks: NDArray[np.bool_], core: Window, *, halo_px: int) -> tuple[SearchWindow, ...]:
    """Windows that hold all set `blocks` (block rows, block columns) of `core` and cost least.

    `blocks` begin at the corner of the padded tile, whose core lies `halo_px` from it; those of the halo are searched with the neighbours.
    """
    packed = np.packbits(blocks, axis=1, bitorder="little")
    return _covered([int.from_bytes(row.tobytes(), "little") for row in packed], core, halo_px)[1]


def windows_for(
    detector: Detector, plan: SearchPlan, size_px: tuple[int, int], *, halo_px: int
) -> tuple[SearchWindow, ...]:
    """The windows of a plan that passes; all of the padded tile of `size_px` at once for a detector that only takes that."""
    if isinstance(detector, WindowDetector) and detector.model.input_multiple_px is not None:
        return plan.windows
    height, width = size_px
    core = Window(row=halo_px, col=halo_px, height=height - 2 * halo_px, width=width - 2 * halo_px)
    return (SearchWindow(core=core, padded=Window(row=0, col=0, height=height, width=width)),)


def begin_search(
    detector: Detector,
    pixels: NDArray[Any],
    band_names: tuple[str, ...],
    windows: Sequence[SearchWindow],
    *,
    slack_px: int,
) -> Callable[[], list[Detection]]:
    """Start on the windows of a padded tile; what comes back waits for their detections, in the frame of `pixels`.

    A window keeps detections whose centre lies in its core or within `slack_px` of it: of what two windows see one is dropped when seams
    are merged, and nothing is lost because they see its centre on either side of their border. Raises DetectorInputError as the
    detector does.
    """
    padded = [window.padded for window in windows]
    ready = (
        detector.begin(pixels, band_names, padded)
        if isinstance(detector, WindowDetector)
        else _searched_in_turn(detector, pixels, band_names, padded)
    )

    def wait() -> list[Detection]:
        pairs = zip(windows, ready(), strict=True)
        return [one for window, found in pairs for one in found if _holds(window.core, one.center_px, slack_px)]

    return wait


def work_share(windows: Sequence[SearchWindow], size_px: tuple[int, int]) -> float:
    """What searching these windows costs, as a share of the padded tile of `size_px` in one."""
    return sum(window.padded.height * window.padded.width for window in windows) / (size_px[0] * size_px[1])


def _searched_in_turn(
    detector: Detector, pixels: NDArray[Any], band_names: tuple[str, ...], windows: Sequence[Window]
) -> Callable[[], list[list[Detection]]]:
    found = [
        [one.shifted(window.col, window.row) for one in detector.detect(pixels[:, *window.slices], band_names)]
        for window in windows
    ]
    return lambda: found


def _covered(rows: Sequence[int], core: Window, halo_px: int) -> tuple[int, tuple[SearchWindow, ...]]:
    """Cost in pixels and windows of the cheapest cover of one cell of the quadtree; bit c of `rows[r]` is block (r, c)."""
    inside = (1 << -(-core.col_stop // BLOCK_PX)) - (1 << core.col // BLOCK_PX)
    here = [row & inside for row in rows[core.row // BLOCK_PX : -(-core.row_stop // BLOCK_PX)]]
    if not any(here):
        return 0, ()
    tight = _around(here, core)
    padded = Window(
        row=tight.row - halo_px,
        col=tight.col - halo_px,
        height=tight.height + 2 * halo_px,
        width=tight.width + 2 * halo_px,
    )
    cost, windows = _cost_px(tight.height, tight.width, halo_px), (SearchWindow(core=tight, padded=padded),)
    if min(core.height, core.width) < 2 * LEAST_CORE_PX or _least_apart_px(here, core, halo_px) >= cost:
        return cost, windows
    parts = [_covered(rows, quarter, halo_px) for quarter in _quarters(core)]
    apart = sum(part for part, _ in parts)
    return (apart, sum((found for _, found in parts), start=())) if apart < cost else (cost, windows)


def _cost_px(height: int, width: int, halo_px: int) -> int:
    """What a window with such a core costs."""
    return (height + 2 * halo_px) * (width + 2 * halo_px) + RUN_COST_PX


def _least_apart_px(here: Sequence[int], core: Window, halo_px: int) -> int:
    """What windows in the quarters of a cell cost at least: per pixel none is cheaper than one over a whole quarter."""
    if any(side % BLOCK_PX for side in (core.row, core.col, core.height, core.width)):
        return 0
    height, width = -(-core.height // 2), -(-core.width // 2)
    set_px = sum(row.bit_count() for row in here) * BLOCK_PX**2
    return set_px * _cost_px(height, width, halo_px) // (height * width)


def _around(here: Sequence[int], core: Window) -> Window:
    """The smallest window of a few sizes, inside `core`, that holds the blocks set in the rows of blocks that begin with its first."""
    together = 0
    for row in here:
        together |= row
    set_rows = [index for index, row in enumerate(here, core.row // BLOCK_PX) if row]
    first_row, last_row = max(core.row, set_rows[0] * BLOCK_PX), min(core.row_stop, (set_rows[-1] + 1) * BLOCK_PX)
    first_col = max(core.col, ((together & -together).bit_length() - 1) * BLOCK_PX)
    last_col = min(core.col_stop, together.bit_length() * BLOCK_PX)
    side = LEAST_CORE_PX
    while side < max(last_row - first_row, last_col - first_col):
        side *= 2
    if side > min(core.height, core.width):
        return core
    row = max(core.row, min((first_row + last_row - side) // 2, core.row_stop - side))
    col = max(core.col, min((first_col + last_col - side) // 2, core.col_stop - side))
    return Window(row=row, col=col, height=side, width=side)


def _quarters(core: Window) -> tuple[Window, ...]:
    """Four windows that share no pixel and make up `core`."""
    upper, left = core.height // 2, core.width // 2
    return tuple(
        Window(row=core.row + row, col=core.col + col, height=height, width=width)
        for row, height in ((0, upper), (upper, core.height - upper))
        for col, width in ((0, left), (left, core.width - left))
    )


def _holds(core: Window, centre: tuple[float, float], slack_px: int) -> bool:
    x, y = centre
    return core.col - slack_px <= x < core.col_stop + slack_px and core.row - slack_px <= y < core.row_stop + slack_px
