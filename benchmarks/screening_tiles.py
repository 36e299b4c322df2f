"""Tiles that screening lost or caught, counted against the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.screening_scenes import CloudScene
from downlink.scene import TileOutcome
from onboard.cloud import CloudSettings, cloud_mask
from onboard.screening import ScreeningSettings, screen

USEFUL_CLOUD = 0.7
"""A tile is useful when at most this share of it is cloud in the reference."""
LEAST_VALID = 0.5
"""Tiles with less of their pixels valid say nothing of cloud, and are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileCount:
    """Tiles of one size."""

    useful: int = 0
    """At most 70 % cloud in the reference."""
    lost: int = 0
    """Of these, set aside, for whatever reason."""
    lost_clear: int = 0
    """Of these, at most half as cloudy as a useful tile may be: the others are near the limit, where masks differ too."""
    cloudy: int = 0
    """The others."""
    caught: int = 0
    """Of these, set aside."""

    def __add__(self, other: Self) -> TileCount:
        return TileCount(
            useful=self.useful + other.useful,
            lost=self.lost + other.lost,
            lost_clear=self.lost_clear + other.lost_clear,
            cloudy=self.cloudy + other.cloudy,
            caught=self.caught + other.caught,
        )

    @property
    def accuracy(self) -> float:
        """Share of all tiles on which screening and reference agree."""
        return (self.useful - self.lost + self.caught) / max(1, self.useful + self.cloudy)

    @property
    def accuracy_of_keeping_all(self) -> float:
        """What keeping every tile would reach: most tiles are useful."""
        return self.useful / max(1, self.useful + self.cloudy)

    @property
    def lost_share(self) -> float:
        """Of the useful tiles, those set aside."""
        return self.lost / max(1, self.useful)

    @property
    def caught_share(self) -> float:
        """Of the cloudy tiles, those set aside."""
        return self.caught / max(1, self.cloudy)


def screened_tiles(scene: CloudScene, size_px: int, step_px: int) -> TileCount:
    """Screen every tile of `size_px` that begins at a multiple of `step_px` and lies in the scene."""
    reference = scene.reference
    if reference is None:
        raise ValueError(f"nobody knows the cloud of {scene.name}")
    settings, count = ScreeningSettings(cloud=scene.cloud), TileCount()
    for row in range(0, scene.valid.shape[0] - size_px + 1, step_px):
        for col in range(0, scene.valid.shape[1] - size_px + 1, step_px):
            place = (slice(row, row + size_px), slice(col, col + size_px))
            valid = scene.valid[place]
            if valid.mean() >= LEAST_VALID:
                tile = screen(np.ascontiguousarray(scene.pixels[:, *place]), valid, scene.band_names, settings)
                cloud = float(reference[place][valid].mean())
                is_cloudy = cloud > USEFUL_CLOUD
                is_out = tile.outcome is not TileOutcome.KEPT
                count += TileCount(
                    useful=not is_cloudy,
                    lost=is_out and not is_cloudy,
                    lost_clear=is_out and cloud <= USEFUL_CLOUD / 2,
                    cloudy=is_cloudy,
                    caught=is_out and is_cloudy,
                )
    return count


def masked_tiles(
    scene: CloudScene, found: NDArray[np.bool_], sizes_px: tuple[int, ...], *, step_px: int
) -> list[TileCount]:
    """The same from a cloud mask of the whole scene (height, width), per size: a quick forecast of `screened_tiles`."""
    reference = scene.reference
    if reference is None:
        raise ValueError(f"nobody knows the cloud of {scene.name}")
    areas = [_integral(mask & scene.valid) for mask in (scene.valid, reference, found)]
    counts = []
    for size in sizes_px:
        valid, cloudy, out = (_boxes(area, size, step_px) for area in areas)
        known = valid >= LEAST_VALID * size * size
        is_cloudy = (cloudy > USEFUL_CLOUD * valid)[known]
        is_out = (out > ScreeningSettings().max_cloud_fraction * valid)[known]
        counts.append(
            TileCount(
                useful=int((~is_cloudy).sum()),
                lost=int((is_out & ~is_cloudy).sum()),
                lost_clear=int((is_out & (cloudy <= USEFUL_CLOUD / 2 * valid)[known]).sum()),
                cloudy=int(is_cloudy.sum()),
                caught=int((is_out & is_cloudy).sum()),
            )
        )
    return counts


def found_cloud(scene: CloudScene, settings: CloudSettings) -> NDArray[np.bool_] | None:
    """(height, width) cloud mask of the whole scene; None where its bands cannot tell."""
    return cloud_mask(scene.pixels, scene.band_names, settings)


def _integral(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.pad(mask.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _boxes(area: NDArray[np.int64], size: int, step: int) -> NDArray[np.int64]:
    """Sums over every `size` x `size` box that begins at a multiple of `step`."""
    rows = np.arange(0, area.shape[0] - size, step)[:, np.newaxis]
    cols = np.arange(0, area.shape[1] - size, step)[np.newaxis]
    boxes: NDArray[np.int64] = (
        area[rows + size, cols + size] - area[rows, cols + size] - area[rows + size, cols] + area[rows, cols]
    )
    return boxes
