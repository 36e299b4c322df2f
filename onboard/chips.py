"""Regions of interest: which windows of a scene are cut out around its detections (pure)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from downlink.scene import Window
from onboard.detection import Detection


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
    chips: list[Chip] = []
    for index, detection in enumerate(detections):
        window = _around(detection, margin_px).intersection(scene)
        if window is None:
            continue
        chip = Chip(window=window, members=(index,))
        while (other := _joinable(chip, chips, largest_px)) is not None:
            chips.remove(other)
            chip = Chip(window=_joint(chip.window, other.window), members=tuple(sorted(chip.members + other.members)))
        chips.append(chip)
    return tuple(sorted(chips, key=lambda chip: chip.members))


def _around(detection: Detection, margin_px: int) -> Window:
    xs = [x for x, _ in detection.corners_px]
    ys = [y for _, y in detection.corners_px]
    row, col = math.floor(min(ys)) - margin_px, math.floor(min(xs)) - margin_px
    bottom, right = math.ceil(max(ys)) + margin_px, math.ceil(max(xs)) + margin_px
    return Window(row=row, col=col, height=max(1, bottom - row), width=max(1, right - col))


def _joinable(chip: Chip, chips: Sequence[Chip], largest_px: int) -> Chip | None:
    for other in chips:
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
