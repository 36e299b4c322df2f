"""Where a picture differs from its prediction beyond noise (pure numpy)."""

from typing import Final

import numpy as np

SIGMA_OF_MEDIAN: Final = 1.4826
MOST_NOISES: Final = 3.0
"""What most pixels of a block differ by is taken for usual up to so many times the noise: beyond it, all has changed."""
LEAST_SIGMA_DN: Final = 0.5
LEAST_NEIGHBOURS: Final = 3
"""Of the nine pixels around and at a changed one, so many have changed; fewer are speckle."""


def changed_pixels(pixels: np.ndarray, predicted: np.ndarray, usable: np.ndarray, *, sigmas: float) -> np.ndarray:
    """(height, width) bool: some band differs by more than `sigmas` times what is usual, and not in single pixels only.

    `pixels` and `predicted` are (bands, height, width), `usable` (height, width) bool says where both are known.
    """
    changed = np.zeros(usable.shape, bool)
    for band, other in zip(pixels, predicted, strict=True):
        difference = np.subtract(band, other, dtype=np.float32)
        noise = noise_dn(difference, usable)
        sample = np.abs(difference[::3][usable[::3]])
        usual = SIGMA_OF_MEDIAN * float(np.median(sample)) if sample.size else 0.0
        sigma = max(LEAST_SIGMA_DN, min(max(usual, noise), MOST_NOISES * noise))
        changed |= np.abs(difference) > sigmas * sigma
    changed &= usable
    firm = changed & (_neighbours(changed) >= LEAST_NEIGHBOURS)
    grown: np.ndarray = (_neighbours(firm) > 0) & usable
    return grown


def is_noise(pixels: np.ndarray, predicted: np.ndarray, usable: np.ndarray, *, sigmas: float) -> bool:
    """Whether every band differs by noise alone: by no more, all in all, than `sigmas` times what its finest details differ by."""
    for band, other in zip(pixels, predicted, strict=True):
        difference = np.subtract(band, other, dtype=np.float32)
        known = difference[usable]
        if known.size and float(np.sqrt(np.mean(known * known))) > sigmas * noise_dn(difference, usable):
            return False
    return True


def noise_dn(levels: np.ndarray, usable: np.ndarray) -> float:
    """Standard deviation of the noise in levels (height, width), from squares of four neighbours: what their diagonals differ by.

    J. Immerkaer, Fast noise variance estimation, CVIU 1996, in its shortest form, robust.
    """
    here = (slice(0, levels.shape[0] // 2 * 2, 2), slice(0, levels.shape[1] // 2 * 2, 2))
    right, below, across = ((here[0], _next(here[1])), (_next(here[0]), here[1]), (_next(here[0]), _next(here[1])))
    known = usable[here] & usable[right] & usable[below] & usable[across]
    if not known.any():
        return 0.0
    diagonals = (levels[here] + levels[across] - levels[right] - levels[below])[known] / 2
    # The median alone is 0 for whole numbers that seldom differ.
    return max(
        SIGMA_OF_MEDIAN * float(np.median(np.abs(diagonals))), float(np.sqrt(np.mean(np.minimum(diagonals**2, 1))))
    )


def _next(places: slice) -> slice:
    return slice(places.start + 1, places.stop + 1, places.step)


def _neighbours(mask: np.ndarray) -> np.ndarray:
    """How many of the nine pixels around and at each one are set."""
    counts = np.pad(mask, 1).astype(np.uint8)
    rows = counts[:-2] + counts[1:-1] + counts[2:]
    total: np.ndarray = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    return total
