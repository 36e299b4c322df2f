"""Pictures of a scene before and after, read through rasterio in few pixels and written as data URIs.

The stretch is computed on the original and applied to both, so a difference that is seen is one that is there.
A pixel that never came is transparent (the page hatches what lies behind); a pixel that the original itself does not
have is plain grey in both.
"""

from __future__ import annotations

import base64
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
import rasterio.windows
from numpy.typing import NDArray
from rasterio.drivers import raster_driver_extensions
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.io import MemoryFile

from downlink.scene import Window
from ground.quality import BYTE_EXACT, NOTHING_CAME, STEPS_PER_DB
from mission.errors import ReportError
from mission.report_rows import SceneView

Rgb = NDArray[np.uint8]
"""(3, height, width)."""
Mask = NDArray[np.bool_]
"""(height, width), True where a pixel exists."""
Limits = NDArray[np.float32]
"""(3, 2): the darkest and the brightest sample shown, per band."""

QUALITY_BAND: Final = "quality"
"""Name of the band of the ground's scene.tif that holds the codes of `ground.quality`."""
NODATA_GREY: Final = 128
STRETCH_PERCENTILES: Final = (0.5, 99.5)
LEAST_DETAIL_SPAN: Final = 1 / 3
"""Of the scene's span: the strongest contrast at which a detail is shown."""
PIECE_PX: Final = 64
"""Edge of the pieces in which a damaged file is read, in picture pixels."""
QUALITY_STEPS_DB: Final = (30.0, 35.0, 40.0, 45.0, 50.0)
"""Borders between the colours of the quality map; byte-exact pixels have a colour of their own."""
QUALITY_COLOURS: Final = (
    (0x2B, 0x2F, 0x6B),
    (0x3F, 0x5A, 0x8C),
    (0x5B, 0x83, 0x9B),
    (0x83, 0xAA, 0x9A),
    (0xB9, 0xCB, 0x8D),
    (0xE9, 0xE0, 0x8A),
    (0xFF, 0xF7, 0xD6),
)
"""Dark to light, so that the order survives any colour vision and a grey print; the last one is lossless."""
_QUALITIES: Final = (88, 75, 55, 35)
_BYTES_PER_PICTURE_PIXEL: Final = 0.3
"""What WebP at quality 88 takes on Sentinel-2 ports; only chooses the size of a picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturePair:
    """The same window of a scene as it was and as it was rebuilt."""

    window: Window
    """The part of the scene that is shown, in scene pixels."""
    limits: Limits
    """The stretch of both pictures."""
    width_px: int
    height_px: int
    before_uri: str
    after_uri: str | None
    """None where the ground rebuilt nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityPicture:
    """The per-pixel quality as a picture, with the share of the scene in each of its steps."""

    uri: str
    width_px: int
    height_px: int
    shares: tuple[float, ...]
    """Share of all pixels per colour of QUALITY_COLOURS; what is missing to 1 never came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """Samples of one file at picture size: (3, h, w) and the mask (h, w)."""

    samples: NDArray[np.float32]
    valid: Mask


def picture_pair(
    view: SceneView,
    *,
    window: Window | None = None,
    longest_px: int,
    limit_bytes: int,
    scene_limits: Limits | None = None,
) -> PicturePair:
    """`window` of the scene (None: all of it) before and after, at most `longest_px` wide or high.

    With `scene_limits`, those of the picture of the whole scene, the window is stretched as a detail of it.

    Each picture is encoded in about `limit_bytes`, coarser where it must be.
    Raises ReportError when a file cannot be read.
    """
    with _opened(view.original_path) as original:
        shown_window = window or Window(row=0, col=0, height=original.height, width=original.width)
        indexes = view.rgb_bands or rgb_bands(original.descriptions, original.count)
        height_px, width_px = picture_shape(shown_window, longest_px)
        before = _read(original, indexes, shown_window, (height_px, width_px))
    limits = stretch_limits(before.samples, before.valid)
    if scene_limits is not None:
        limits = detail_limits(limits, scene_limits)
    painted = _paint(stretched(before.samples, limits), before.valid)
    after_uri = None
    if view.rebuilt_path is not None:
        with _opened(view.rebuilt_path) as rebuilt:
            after = _read(rebuilt, indexes, shown_window, (height_px, width_px))
        rgb = _paint(stretched(after.samples, limits), before.valid)
        after_uri = encoded(rgb, after.valid | ~before.valid, limit_bytes=limit_bytes)
    return PicturePair(
        window=shown_window,
        width_px=width_px,
        height_px=height_px,
        limits=limits,
        before_uri=encoded(painted, None, limit_bytes=limit_bytes),
        after_uri=after_uri,
    )


def quality_picture(view: SceneView, *, longest_px: int) -> QualityPicture | None:
    """The quality band of a rebuilt scene in steps of QUALITY_STEPS_DB; None where nothing was rebuilt."""
    if view.rebuilt_path is None:
        return None
    with _opened(view.rebuilt_path) as source:
        if QUALITY_BAND not in source.descriptions:
            raise ReportError(f"{view.rebuilt_path} has no band named {QUALITY_BAND!r}: give the ground's scene.tif")
        shape = picture_shape(Window(row=0, col=0, height=source.height, width=source.width), longest_px)
        band = source.descriptions.index(QUALITY_BAND) + 1
        codes = source.read(band, out_shape=shape, resampling=Resampling.nearest)
    step = np.digitize(codes, (*(round(border * STEPS_PER_DB) for border in QUALITY_STEPS_DB), BYTE_EXACT))
    came = codes != NOTHING_CAME
    colours = np.asarray(QUALITY_COLOURS, dtype=np.uint8)[step]
    shares = tuple(float(np.mean(came & (step == index))) for index in range(len(QUALITY_COLOURS)))
    rgba = np.concatenate([np.moveaxis(colours, 2, 0), np.where(came, 255, 0).astype(np.uint8)[None]])
    return QualityPicture(uri=_data_uri(rgba, "PNG"), width_px=shape[1], height_px=shape[0], shares=shares)


def rgb_bands(descriptions: Sequence[str | None], count: int) -> tuple[int, int, int]:
    """1-based bands to show as red, green, blue: by name where the names are known, else the first three (or one)."""
    names = [(name or "").strip().lower() for name in descriptions]
    for wanted in (("b04", "b03", "b02"), ("red", "green", "blue"), ("b05", "b04", "b03")):
        if all(name in names for name in wanted):
            red, green, blue = (names.index(name) + 1 for name in wanted)
            return red, green, blue
    return (1, 2, 3) if count >= 3 else (1, 1, 1)


def longest_for(limit_bytes: int, *, most_px: int) -> int:
    """The longest edge whose two pictures fit about `limit_bytes`."""
    return max(160, min(most_px, int(math.sqrt(limit_bytes / (2 * _BYTES_PER_PICTURE_PIXEL)))))


def picture_shape(window: Window, longest_px: int) -> tuple[int, int]:
    """(height, width) of the picture of a window: never larger than the window itself."""
    scale = min(1.0, longest_px / max(window.height, window.width))
    return max(1, round(window.height * scale)), max(1, round(window.width * scale))


def stretch_limits(samples: NDArray[np.float32], valid: Mask) -> Limits:
    """Limits from percentiles over the valid pixels."""
    limits = np.zeros((len(samples), 2), dtype=np.float32)
    for index, band in enumerate(samples):
        usable = band[valid & np.isfinite(band)]
        low, high = np.percentile(usable, STRETCH_PERCENTILES) if usable.size else (0.0, 1.0)
        limits[index] = low, max(high, low + 1.0)
    return limits


def detail_limits(own: Limits, scene: Limits) -> Limits:
    """Limits of a detail: its own darkest samples, one span for all bands, and no less than a third of the scene's.

    Open water then keeps its colour, and its noise is not stretched to full contrast.
    """
    span = np.maximum((own[:, 1] - own[:, 0]).max(), LEAST_DETAIL_SPAN * (scene[:, 1] - scene[:, 0]))
    return np.stack([own[:, 0], own[:, 0] + span], axis=1).astype(np.float32)


def stretched(samples: NDArray[np.float32], limits: Limits) -> Rgb:
    """Samples as display values: linear between the limits, then a gamma of 1/1.4 that opens the shadows of water."""
    low, high = limits[:, :1, None], limits[:, 1:, None]
    unit = np.clip((np.nan_to_num(samples) - low) / (high - low), 0.0, 1.0)
    return (255 * unit ** (1 / 1.4) + 0.5).astype(np.uint8)


def encoded(rgb: Rgb, opaque: Mask | None, *, limit_bytes: int) -> str:
    """A data URI of the picture, WebP (PNG where GDAL has none), the finest quality that fits `limit_bytes`."""
    bands = rgb if opaque is None else np.concatenate([rgb, np.where(opaque, 255, 0).astype(np.uint8)[None]])
    if "webp" not in raster_driver_extensions():
        return _data_uri(bands, "PNG")
    uri = ""
    for quality in _QUALITIES:
        uri = _data_uri(bands, "WEBP", QUALITY=quality)
        if len(uri) * 3 // 4 <= limit_bytes:
            break
    return uri


def _read(source: Any, indexes: tuple[int, int, int], window: Window, shape: tuple[int, int]) -> _Shown:
    if max(indexes) > source.count:
        raise ReportError(f"{source.name} has {source.count} bands, the picture wants {indexes}; set rgb_bands")
    area = rasterio.windows.Window(window.col, window.row, window.width, window.height)
    resampling = Resampling.nearest if shape == (window.height, window.width) else Resampling.average
    try:
        samples = source.read(list(indexes), window=area, out_shape=(3, *shape), resampling=resampling)
        mask = source.dataset_mask(window=area, out_shape=shape, resampling=Resampling.nearest)
    except RasterioIOError:  # damaged somewhere: whatever can be read is shown, the rest is masked
        samples, mask = _read_in_pieces(source, indexes, window, shape)
    samples = samples.astype(np.float32)
    return _Shown(samples=samples, valid=(mask > 0) & np.isfinite(samples).all(axis=0))


def _read_in_pieces(
    source: Any, indexes: tuple[int, int, int], window: Window, shape: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Samples (3, h, w) and mask (h, w) of a damaged file, in pieces of the picture; a piece that cannot be read is masked."""
    samples = np.zeros((3, *shape), dtype=source.dtypes[0])
    mask = np.zeros(shape, dtype=np.uint8)
    down, across = window.height / shape[0], window.width / shape[1]
    for top in range(0, shape[0], PIECE_PX):
        for left in range(0, shape[1], PIECE_PX):
            height, width = min(PIECE_PX, shape[0] - top), min(PIECE_PX, shape[1] - left)
            area = rasterio.windows.Window(
                window.col + left * across, window.row + top * down, width * across, height * down
            )
            part = (slice(top, top + height), slice(left, left + width))
            try:
                samples[(slice(None), *part)] = source.read(
                    list(indexes), window=area, out_shape=(3, height, width), resampling=Resampling.nearest
                )
                mask[part] = source.dataset_mask(window=area, out_shape=(height, width), resampling=Resampling.nearest)
            except RasterioIOError:
                continue
    return samples, mask


def _paint(rgb: Rgb, valid: Mask) -> Rgb:
    return np.where(valid, rgb, np.uint8(NODATA_GREY))


def _opened(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(path)
    except RasterioIOError as error:
        raise ReportError(f"cannot open {path} for its picture: {error}") from error


def png(rgb: Rgb) -> bytes:
    """The picture as a PNG file."""
    return _file(rgb, "PNG")


def _data_uri(bands: NDArray[np.uint8], driver: str, **options: int) -> str:
    data = _file(bands, driver, **options)
    return f"data:image/{driver.lower()};base64,{base64.b64encode(data).decode('ascii')}"


def _file(bands: NDArray[np.uint8], driver: str, **options: int) -> bytes:
    count, height, width = bands.shape
    profile = {"driver": driver, "count": count, "height": height, "width": width, "dtype": "uint8"}
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(**profile, **options) as target:
            target.write(bands)
        data: bytes = memory.read()
    return data
