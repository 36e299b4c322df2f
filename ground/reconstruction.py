"""A scene put together from whatever images arrived (pure numpy).

Every pixel is taken from the best image that covers it: a byte-exact one before all others, then the one with the
lower stated mean squared error, then the smaller one (a chip over a block). Pixels that no image covers are masked and
hold the fill value; they are never interpolated. The result does not depend on the order of arrival.

A scene larger than memory is rebuilt window by window (`rebuild_windows`): only images that overlap the window are
decoded, one window at a time.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from downlink.errors import MissingReferenceError
from downlink.image_layers import DecodedImage
from downlink.scene import SceneSummary, Window
from ground.errors import ImageMismatchError
from ground.quality import BYTE_EXACT, NOTHING_CAME, Mask, QualityCodes, quality_code
from ground.waiting_images import WaitingImages

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
"""(bands, height, width) in the scene's own type."""

ImagesOverlapping = Callable[[Window], Iterable[DecodedImage]]
"""Given a window of the scene, the decoded images that share a pixel with it (others do no harm)."""

FILL_WITHOUT_NODATA: Final = 0
"""Value under the mask in scenes that declare no nodata value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltWindow:
    """A part of a rebuilt scene."""

    window: Window
    """Where it lies in the scene."""
    pixels: Pixels
    """(bands, height, width); the fill value where nothing came, the nodata value where there is no data."""
    valid: Mask
    """(height, width): True where a pixel came and has data."""
    quality: QualityCodes
    """(height, width): codes of `ground.quality`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltScene:
    """A whole rebuilt scene in memory."""

    summary: SceneSummary
    """What the ground knows of the scene."""
    pixels: Pixels
    """(bands, height, width); the fill value where nothing came, the nodata value where there is no data."""
    valid: Mask
    """(height, width): True where a pixel came and has data."""
    quality: QualityCodes
    """(height, width): codes of `ground.quality`."""

    def windows(self) -> Iterator[RebuiltWindow]:
        """The scene tile by tile, as `rebuild_windows` gives it."""
        for window in tile_windows(self.summary):
            rows, cols = window.slices
            yield RebuiltWindow(
                window=window,
                pixels=self.pixels[:, rows, cols],
                valid=self.valid[rows, cols],
                quality=self.quality[rows, cols],
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class UndecodedImage:
    """An image that arrived and is decoded only when a window needs it."""

    window: Window
    """Where it lies in the scene."""
    decode: Callable[[], DecodedImage | None]
    """Gives the pixels, or None when its first step is not there. Raises MissingReferenceError."""
    product: int = 0
    """Its number in the scene."""


def decoded_on_demand(images: Iterable[UndecodedImage], waiting: WaitingImages | None = None) -> ImagesOverlapping:
    """A lookup that decodes the images that share a pixel with a window, each time it is asked.

    Images whose reference is missing are left out and noted in `waiting`; without it MissingReferenceError is raised.
    """
    held = tuple(images)

    def overlapping(window: Window) -> Iterator[DecodedImage]:
        for image in held:
            if image.window.intersection(window) and (decoded := _decoded(image, waiting)) is not None:
                yield decoded

    return overlapping


def _decoded(image: UndecodedImage, waiting: WaitingImages | None) -> DecodedImage | None:
    try:
        return image.decode()
    except MissingReferenceError as error:
        if waiting is None:
            raise
        waiting.note(image.product, image.window, error)
        return None


def reconstruct(summary: SceneSummary, images: Iterable[DecodedImage]) -> RebuiltScene:
    """Rebuild a whole scene in memory. Raises ImageMismatchError for an image that does not fit the scene."""
    whole = rebuild_window(summary, Window(row=0, col=0, height=summary.height, width=summary.width), images)
    return RebuiltScene(summary=summary, pixels=whole.pixels, valid=whole.valid, quality=whole.quality)


def rebuild_windows(summary: SceneSummary, images: ImagesOverlapping) -> Iterator[RebuiltWindow]:
    """Rebuild a scene tile by tile, row-major over the summary's tile grid; memory holds one tile and its images.

    Raises ImageMismatchError for an image that does not fit the scene.
    """
    for window in tile_windows(summary):
        yield rebuild_window(summary, window, images(window))


def tile_windows(summary: SceneSummary) -> Iterator[Window]:
    """The cores of the summary's tile grid, row-major, cut at the edges of the scene."""
    for row in range(0, summary.height, summary.tile_px):
        for col in range(0, summary.width, summary.tile_px):
            yield Window(
                row=row,
                col=col,
                height=min(summary.tile_px, summary.height - row),
                width=min(summary.tile_px, summary.width - col),
            )


def rebuild_window(summary: SceneSummary, window: Window, images: Iterable[DecodedImage]) -> RebuiltWindow:
    """Compose one window of a scene. Raises ImageMismatchError for an image that does not fit the scene."""
    shape = (window.height, window.width)
    pixels: Pixels = np.full((len(summary.band_names), *shape), fill_value(summary), dtype=summary.dtype)
    valid = np.zeros(shape, dtype=np.bool_)
    quality = np.full(shape, NOTHING_CAME, dtype=np.uint8)
    for image in sorted(images, key=_worst_first):
        require_fit(summary, image)
        shared = image.window.intersection(window)
        if shared is None:
            continue
        rows, cols = shared.shifted(-window.row, -window.col).slices
        image_rows, image_cols = shared.shifted(-image.window.row, -image.window.col).slices
        has_data = image.valid[image_rows, image_cols]
        pixels[:, rows, cols] = _pixels_apart_from_nodata(summary, image, image_rows, image_cols)
        valid[rows, cols] = has_data
        code = quality_code(mse=image.mse, lossless=image.lossless, peak_dn=summary.peak_dn)
        quality[rows, cols] = np.where(has_data, np.uint8(code), np.uint8(BYTE_EXACT))
    return RebuiltWindow(window=window, pixels=pixels, valid=valid, quality=quality)


def representable_nodata(summary: SceneSummary) -> int | None:
    """The scene's nodata value where a sample can hold it, else None (-9999 in unsigned samples marks nothing)."""
    nodata = summary.nodata
    if nodata is None or nodata != int(nodata) or not 0 <= nodata <= np.iinfo(summary.dtype).max:
        return None
    return int(nodata)


def fill_value(summary: SceneSummary) -> int:
    """What masked pixels hold: the nodata value, or 0 in a scene without one."""
    nodata = representable_nodata(summary)
    return FILL_WITHOUT_NODATA if nodata is None else nodata


def require_fit(summary: SceneSummary, image: DecodedImage) -> None:
    """Raise ImageMismatchError where an image contradicts the summary of its scene."""
    window = image.window
    problems = (
        (
            window.row < 0 or window.col < 0 or window.row_stop > summary.height or window.col_stop > summary.width,
            "reaches outside the scene: rows and columns",
            (window.row, window.col, window.row_stop, window.col_stop),
            (0, 0, summary.height, summary.width),
        ),
        (
            image.pixels.shape != (len(summary.band_names), window.height, window.width),
            "has another shape than its window and the scene's bands: (bands, height, width)",
            image.pixels.shape,
            (len(summary.band_names), window.height, window.width),
        ),
        (image.pixels.dtype != summary.dtype, "has samples of another type:", str(image.pixels.dtype), summary.dtype),
        (
            image.valid.shape != (window.height, window.width),
            "has a validity mask of another shape: (height, width)",
            image.valid.shape,
            (window.height, window.width),
        ),
    )
    for wrong, what, found, expected in problems:
        if wrong:
            raise ImageMismatchError(
                f"image at row {window.row}, col {window.col} of scene {summary.scene} ({summary.name}) {what} "
                f"{found}, expected {expected}; was it filed under the wrong scene?",
                scene=summary.scene,
                window=window,
                found=found,
                expected=expected,
            )


def _worst_first(image: DecodedImage) -> tuple[bool, float, int, int, int, int]:
    """Sort key: later images are painted over earlier ones. Position breaks ties, so that order of arrival cannot."""
    window = image.window
    return (
        image.lossless,
        0.0 if image.lossless else -image.mse,
        -window.height * window.width,
        window.row,
        window.col,
        window.height,
    )


def _pixels_apart_from_nodata(summary: SceneSummary, image: DecodedImage, rows: slice, cols: slice) -> Pixels:
    """Samples of a part of an image, where nodata means no data.

    A lossy decoder may land on the nodata value in a pixel that has data; a reader that goes by the value would then
    lose it. Such samples move by one DN. Byte-exact images are left as they are.
    """
    nodata = representable_nodata(summary)
    part = image.pixels[:, rows, cols]
    if nodata is None:
        return part
    without_data = ~image.valid[rows, cols]
    if image.lossless:
        return np.where(without_data, nodata, part) if without_data.any() else part
    neighbour = nodata - 1 if nodata == np.iinfo(summary.dtype).max else nodata + 1
    return np.where(without_data, nodata, np.where(part == nodata, neighbour, part)).astype(summary.dtype)
