"""Decoded blocks of a reference scene put side by side: the same pixels on board and on the ground."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from downlink.errors import LayerError
from downlink.scene import Window

if TYPE_CHECKING:  # images are decoded from predictions, which are made from canvases
    from downlink.image_layers import DecodedImage


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """A rectangle of a reference scene, as far as it is known."""

    window: Window
    """Where it lies in the pixel frame of the reference scene; it may reach outside the scene."""
    pixels: np.ndarray
    """(bands, height, width), uint8 or uint16; 0 where not known."""
    valid: np.ndarray
    """(height, width) bool: where a block covers it with data."""

    def __post_init__(self) -> None:
        shape = (self.window.height, self.window.width)
        if self.pixels.ndim != 3 or self.pixels.shape[1:] != shape or self.valid.shape != shape:
            raise LayerError(
                f"pixels of shape {self.pixels.shape} with a mask of {self.valid.shape} do not fill {self.window}"
            )


def canvas_of(region: Window, images: Sequence["DecodedImage"]) -> Canvas:
    """What `images` of one scene show of `region`. Where two overlap the later one counts.

    Raises LayerError where there is no image, or where bands or types differ.
    """
    kinds = {(len(image.pixels), image.pixels.dtype.name) for image in images}
    if len(kinds) != 1:
        raise LayerError(f"a canvas of {region} needs images of one kind, not {sorted(kinds)} (bands, type)")
    pixels = np.zeros((len(images[0].pixels), region.height, region.width), images[0].pixels.dtype)
    valid = np.zeros((region.height, region.width), bool)
    for image in images:
        shared = region.intersection(image.window)
        if shared is None:
            continue
        there = shared.shifted(-region.row, -region.col).slices
        here = shared.shifted(-image.window.row, -image.window.col).slices
        known = image.valid[here]
        pixels[:, *there][:, known] = image.pixels[:, *here][:, known]
        valid[there] |= known
    return Canvas(window=region, pixels=pixels, valid=valid)


def canvas_over(region: Window, canvas: Canvas) -> Canvas:
    """What a canvas shows of `region`, which may reach beyond it."""
    if region == canvas.window:
        return canvas
    pixels = np.zeros((len(canvas.pixels), region.height, region.width), canvas.pixels.dtype)
    valid = np.zeros((region.height, region.width), bool)
    shared = region.intersection(canvas.window)
    if shared is not None:
        there = shared.shifted(-region.row, -region.col).slices
        here = shared.shifted(-canvas.window.row, -canvas.window.col).slices
        pixels[:, *there], valid[there] = canvas.pixels[:, *here], canvas.valid[here]
    return Canvas(window=region, pixels=pixels, valid=valid)
