"""The look of one ship in open water: its contrast per band, and how its annotated outline compares with its blur."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sample_data.canvas import FloatArray
from sample_data.shapes import Box


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipProfile:
    contrast: tuple[float, ...]
    """Mean over the outline minus the water around, per band, DN."""
    peak: tuple[float, ...]
    """95th percentile over the outline minus the water around, per band, DN."""
    box_over_fwhm: float
    """Outline width over the full width at half maximum of the mean cross profile in B08."""
    box_minus_fwhm_px: float
    """Their difference, pixels."""


def ship_profile(image: FloatArray, box: Box) -> ShipProfile | None:
    """The look of one ship, or None when it is not surrounded by dark, even water (quays, neighbours, wakes)."""
    reach = int(np.ceil(box.length_px / 2 + 7))
    x0, y0 = int(box.x) - reach, int(box.y) - reach
    if x0 < 0 or y0 < 0 or x0 + 2 * reach > image.shape[2] or y0 + 2 * reach > image.shape[1]:
        return None
    part = image[:, y0 : y0 + 2 * reach, x0 : x0 + 2 * reach]
    rows, columns = np.mgrid[: 2 * reach, : 2 * reach] + 0.5
    along, across = box.local(columns + x0, rows + y0)
    inside = (np.abs(along) < box.length_px / 2) & (np.abs(across) < box.width_px / 2)
    outside = (np.abs(along) > box.length_px / 2 + 2) | (np.abs(across) > box.width_px / 2 + 2)
    ring = outside & (np.abs(along) < box.length_px / 2 + 6) & (np.abs(across) < box.width_px / 2 + 6)
    water = np.median(part[:, ring], axis=1)
    if np.percentile(part[3, ring], 90) > water[3] + 150 or (part == 0).any():
        return None
    contrast = part[:, inside].mean(axis=1) - water
    peak = np.percentile(part[:, inside], 95, axis=1) - water
    fwhm_px = _half_maximum_width(part[3] - water[3], along, across, box)
    if fwhm_px is None:
        return None
    return ShipProfile(
        contrast=tuple(contrast),
        peak=tuple(peak),
        box_over_fwhm=box.width_px / fwhm_px,
        box_minus_fwhm_px=box.width_px - fwhm_px,
    )


def _half_maximum_width(excess: FloatArray, along: FloatArray, across: FloatArray, box: Box) -> float | None:
    """Full width at half maximum of the mean profile across the hull's middle, pixels."""
    middle = np.abs(along) < box.length_px / 4
    edges = np.arange(-box.width_px, box.width_px + 0.51, 0.5)
    weights, _ = np.histogram(across[middle], edges)
    sums, _ = np.histogram(across[middle], edges, weights=excess[middle])
    profile = sums / np.maximum(weights, 1)
    if profile.max() <= 100.0:
        return None
    return float((profile > profile.max() / 2).sum() * 0.5)
