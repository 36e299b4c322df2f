"""What the detector on the ground searches of a rebuilt scene, and what it believes.

Chips are searched whatever their quality, blocks once they are good enough: a preview is too coarse to find ships in, and what
is found in its blur are mostly false alarms. Pixels that are not searched take the values of the nearest pixel that is. A flat
surface in their place would have edges at every chip, which look like objects; the nearest pixels continue the sea or the quay
that a chip ends in. A detection counts where its centre lies in pixels that are searched.
"""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import distance_transform_edt

from benchmarks.coding_port import Pixels
from benchmarks.low_signal_scene import Found
from downlink.image_layers import DecodedImage
from downlink.scene import SceneSummary, Window
from ground.comparison import region_mask
from ground.quality import NOTHING_CAME, psnr_of_code_db
from ground.reconstruction import reconstruct
from onboard.sensor_frame import Mask

SEARCHED_DB = 48.0
"""Stated PSNR from which on a block is searched; chosen, as was the way to continue, on four of the ten Sentinel-2 ports."""


def searchable(
    summary: SceneSummary, images: Sequence[DecodedImage], chips: Sequence[Window], *, above_db: float = SEARCHED_DB
) -> tuple[Pixels, Mask]:
    """The pixels that the detector is given (bands, height, width), and where it is believed (height, width)."""
    scene = reconstruct(summary, images)
    stated_db = np.array([psnr_of_code_db(code) or 0.0 for code in range(256)])[scene.quality]
    in_chips = region_mask(scene.quality.shape, chips)
    searched = (scene.quality != NOTHING_CAME) & (in_chips | (stated_db >= above_db))
    return continued(scene.pixels, searched), searched


def continued(pixels: Pixels, known: Mask) -> Pixels:
    """Every pixel that is not known takes the values of the nearest one that is; where none is, all stay."""
    if known.all() or not known.any():
        return pixels
    rows, cols = distance_transform_edt(~known, return_distances=False, return_indices=True)
    nearest: Pixels = pixels[:, rows, cols]
    return nearest


def believed(found: Found, searched: Mask) -> Found:
    """The detections whose centre lies in a pixel that is searched."""
    return [one for one in found if _centre_is_in(one[0], searched)]


def _centre_is_in(corners_px: Sequence[tuple[float, float]], searched: Mask) -> bool:
    col, row = (int(place) for place in np.floor(np.mean(corners_px, axis=0)))
    height, width = searched.shape
    return 0 <= row < height and 0 <= col < width and bool(searched[row, col])
