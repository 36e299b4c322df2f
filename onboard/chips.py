"""Regions of interest: which windows of a scene are cut out around its detections (pure)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from downlink.scene import Window
from onboard.detection import Detection

CELL_PX: Final = 128
"""Edge of the cells in which neighbours are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A window around one or more detections."""

    window: Window
    """Inside the scene."""
    members: tuple[int, ...]
    """Indices of the detections whose boxes the window was drawn around."""


def cut_chips(
    detections: Sequence[Detection], *, height: int, width: int, margin_px: int, largest_px: int
) -> tuple[Chip, ...]:
    """Windows around the detections of a scene of `height` x `width` pixels, in order of their first member.

    Windows that overlap are joined as long as the joint window measures at most `largest_px` on each side; joining
    goes on until nothing more can be joined. Detections outside the scene get no chip.
    """
    scene = Window(row=0, col=0, height=height, width=width)
    chips = _ChipGrid()
    for index, detection in enumerate(detections):
        window = _around(detection, margin_px).intersection(scene)
        if window is None:
            continue
        chip = Chip(window=window, members=(index,))
        while (other := _joinable(chip, chips, largest_px)) is not None:
            chips.remove(other)
            chip = Chip(window=_joint(chip.window, other.window), members=tuple(sorted(chip.members + other.members)))
        chips.add(chip)
    return tuple(sorted(chips, key=lambda chip: chip.members))


class _ChipGrid:
    """Chips by the cells that they touch, so that a chip meets only its neighbours. Members tell chips apart."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], dict[tuple[int, ...], Chip]] = {}

    def __iter__(self) -> Iterator[Chip]:
        yield from {chip.members: chip for cell in self._cells.values() for chip in cell.values()}.values()

    def add(self, chip: Chip) -> None:
        for cell in _cells(chip.window):
            self._cells.setdefault(cell, {})[chip.members] = chip

    def remove(self, chip: Chip) -> None:
        for cell in _cells(chip.window):
            del self._cells[cell][chip.members]

    def near(self, window: Window) -> list[Chip]:
        """Chips in the cells of a window, in order of their members."""
        found = {chip.members: chip for cell in _cells(window) for chip in self._cells.get(cell, {}).values()}
        return [found[members] for members in sorted(found)]


def _cells(window: Window) -> Iterator[tuple[int, int]]:
    rows = range(window.row // CELL_PX, (window.row_stop - 1) // CELL_PX + 1)
    columns = range(window.col // CELL_PX, (window.col_stop - 1) // CELL_PX + 1)
    return ((row, column) for row in rows for column in columns)


def _around(detection: Detection, margin_px: int) -> Window:
    xs = [x for x, _ in detection.corners_px]
    ys = [y for _, y in detection.corners_px]
    row, col = math.floor(min(ys)) - margin_px, math.floor(min(xs)) - margin_px
    bottom, right = math.ceil(max(ys)) + margin_px, math.ceil(max(xs)) + margin_px
    return Window(row=row, col=col, height=max(1, bottom - row), width=max(1, right - col))


def _joinable(chip: Chip, chips: _ChipGrid, largest_px: int) -> Chip | None:
    for other in chips.near(chip.window):
        if chip.window.intersection(other.window) is None:
            continue
        joint = _joint(chip.window, other.window)
        if max(joint.height, joint.width) <= largest_px:
            return other
    return None


def _joint(left: Window, right: Window) -> Window:
    row, col = min(left.row, right.row), min(left.col, right.col)
    return Window(
        row=row,
        col=col,
        height=max(left.row_stop, right.row_stop) - row,
        width=max(left.col_stop, right.col_stop) - col,
    )
