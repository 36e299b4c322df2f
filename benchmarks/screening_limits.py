"""Limits of the cloud tests chosen without the scene that they are judged on: what the figures are worth elsewhere.

The limits that ship were chosen while looking at all scenes. Here each scene with cloud in its mask is left out in turn: of a
grid of limits the one is taken that catches most cloud on the others, and it judges the scene left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np

from benchmarks.screening_scenes import CloudScene
from benchmarks.screening_tiles import TileCount, found_cloud, masked_tiles
from onboard.cloud import CloudSettings

GRID: Final[dict[str, tuple[float, ...]]] = {
    "min_brightness": (0.155, 0.17, 0.185, 0.2, 0.215),
    "min_haze": (0.085, 0.1, 0.115),
    "max_colour": (0.3, 0.4, 0.5),
    "rim_px": (0, 1),
}
"""Every combination is tried; the limits that ship are among them."""
SIZES_PX: Final = (16, 32, 64)
STEP_PX: Final = 16
MOST_LOST: Final = 0.01
"""Share of the useful tiles of a size that a choice may lose on the scenes with masks."""
MOST_LOST_WITHOUT_CLOUD: Final = 0.0015
"""The same on scenes without any cloud, at 32 pixels and above."""
LEAST_CLOUDY: Final = 5
"""Sizes at which a scene has fewer cloudy tiles have no say in how much is caught."""

Limits = dict[str, Any]
_Counts = dict[str, list[TileCount]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A scene judged by limits chosen on the others."""

    scene: str
    """Its name."""
    limits: Limits
    """Chosen, by name of the setting."""
    tiles: list[TileCount]
    """Per size of `SIZES_PX`, with these limits."""
    shipped: list[TileCount]
    """The same with the limits that ship."""


def leave_one_out(masked: Sequence[CloudScene], cloud_free: Sequence[CloudScene]) -> list[LeftOut]:
    """Each of `masked` that has cloud left out in turn; `cloud_free` helps to choose in every turn."""
    choices = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    shipped = next(
        index for index, limits in enumerate(choices) if _changed(CloudSettings(), limits) == CloudSettings()
    )
    counted = [{scene.name: _count(scene, limits) for scene in (*masked, *cloud_free)} for limits in choices]
    results = []
    for scene in masked:
        if scene.reference is not None and scene.reference.any():
            others = [other.name for other in masked if other.name != scene.name]
            best = max(
                range(len(choices)),
                key=lambda index: _merit(counted[index], others, [free.name for free in cloud_free]),
            )
            results.append(
                LeftOut(
                    scene=scene.name,
                    limits=choices[best],
                    tiles=counted[best][scene.name],
                    shipped=counted[shipped][scene.name],
                )
            )
    return results


def _changed(settings: CloudSettings, limits: Limits) -> CloudSettings:
    return settings.model_copy(update={name: type(getattr(settings, name))(value) for name, value in limits.items()})


def _count(scene: CloudScene, limits: Limits) -> list[TileCount]:
    found = found_cloud(scene, _changed(scene.cloud, limits))
    if found is None:
        raise ValueError(f"the bands of {scene.name} do not tell cloud; leave it out of the choice of limits")
    return masked_tiles(scene, found, SIZES_PX, step_px=STEP_PX)


def _merit(counts: _Counts, masked: Sequence[str], cloud_free: Sequence[str]) -> tuple[float, float]:
    """(minus what is lost beyond what may be, share of cloudy tiles caught, scene by scene and size by size)."""
    lost = [_sum(counts, masked, size).lost_share - MOST_LOST for size in range(len(SIZES_PX))]
    lost += [_sum(counts, cloud_free, size).lost_share - MOST_LOST_WITHOUT_CLOUD for size in range(1, len(SIZES_PX))]
    caught = [count.caught_share for name in masked for count in counts[name] if count.cloudy >= LEAST_CLOUDY]
    return -sum(max(0.0, excess) for excess in lost), float(np.mean(caught))


def _sum(counts: _Counts, names: Sequence[str], size: int) -> TileCount:
    return sum((counts[name][size] for name in names), start=TileCount())
