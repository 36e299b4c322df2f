"""What may differ between two ports: sun, haze, sensor noise, focus, and where ships lie on open water.

Works on digital numbers, before the network's compression, so that each change is a physical one.
"""

from __future__ import annotations

import cv2
import numpy as np

from onboard.training.plan import BANDS

_HAZE_BY_BAND = {"B02": 1.2, "B03": 1.0, "B04": 0.8, "B05": 0.7, "B08": 0.5}
"""Rayleigh and aerosol scatter falls with wavelength."""


def vary_radiometry(
    chip: np.ndarray, dark: np.ndarray, bands: tuple[str, ...], *, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(height, width, bands) float32 digital numbers under another sun, haze, noise and focus, and the (bands,) dark level to go with them.

    Haze adds to both and so falls out again but for what it takes from the contrast; a part of it, and an error of the
    dark level, remain.
    """
    gain = np.exp(rng.normal(0.0, 0.25) + rng.normal(0.0, 0.12, len(bands))).astype(np.float32)
    chip = (chip - dark) * gain
    if rng.random() < 0.5:
        chip = chip * np.float32(rng.uniform(0.6, 1.0))
        residue = rng.uniform(-60.0, 250.0) * np.array([_HAZE_BY_BAND.get(band, 0.7) for band in bands], np.float32)
        chip = chip + residue
    if rng.random() < 0.25:
        chip = cv2.GaussianBlur(chip, (0, 0), rng.uniform(0.4, 0.9))
    elif rng.random() < 0.3:
        chip = chip + rng.uniform(0.2, 0.7) * (chip - cv2.GaussianBlur(chip, (0, 0), 1.0))
    if rng.random() < 0.5:
        chip = chip + np.float32(rng.uniform(3.0, 30.0)) * rng.standard_normal(chip.shape, dtype=np.float32)
    return chip, rng.normal(0.0, 20.0, len(bands)).astype(np.float32)


_CALM_SPREAD_DN = 150.0
"""Between the 5th and the 95th percentile of calm water."""


def is_calm(patch: np.ndarray, bands: tuple[str, ...] = BANDS) -> bool:
    """Whether (height, width, bands) looks like open water: even, and near infrared dark against green where both are there.

    Without near infrared an even roof or field passes for water as well: a ship may then be pasted on land.
    """
    if "B08" in bands and "B03" in bands:
        judged, green = patch[..., bands.index("B08")], patch[..., bands.index("B03")]
        if float(np.median(judged)) >= float(np.median(green)):
            return False
    else:
        judged = patch[..., 0]
    low, high = np.percentile(judged, (5, 95))
    return float(high - low) < _CALM_SPREAD_DN
