"""What the same scenes would have cost without Tianshu: the best lossless codec, and JPEG 2000 at equal quality.

Both baselines code the whole scene as one file, as a ground segment would (edge: rasterio). They read the scene into
memory, so scenes above `LARGEST_SAMPLES` get no baseline, and the report says null.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import zstandard
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster

from downlink.codestream import first_layers
from downlink.scene import Window
from ground.comparison import region_mask, squared_error
from onboard.sensor_frame import SensorFrame

LARGEST_SAMPLES: Final = 200_000_000
LADDER_PERCENT: Final = (0.1, 0.15, 0.25, 0.4, 0.6, 1.0, 1.5, 2.5, 4.0, 6.0, 10.0, 15.0, 25.0, 40.0, 60.0)
"""Cumulative bytes of the quality layers of the lossy baseline, percent of the raw pixels."""
ZSTD_LEVEL: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class LosslessBaseline:
    """The smallest exact coding of a scene."""

    size_bytes: int
    """Bytes of the file."""
    codec: str
    """Which one won."""


def read_whole(frame: SensorFrame) -> np.ndarray | None:
    """All pixels of a scene, or None where they are too many to hold."""
    if frame.height * frame.width * len(frame.band_names) > LARGEST_SAMPLES:
        return None
    return frame.read(Window(row=0, col=0, height=frame.height, width=frame.width))


def lossless(pixels: np.ndarray) -> LosslessBaseline:
    """The better of reversible JPEG 2000 and zstd over horizontal differences, on (bands, height, width)."""
    jpeg2000 = len(encode_jpeg2000(pixels, reversible=True, quality_percent=(100,)))
    differences = np.diff(pixels, axis=2, prepend=pixels[:, :, :1] * 0)
    planes = differences.view(np.uint8).reshape(-1, pixels.dtype.itemsize).T
    zstd = len(zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(np.ascontiguousarray(planes).tobytes()))
    if jpeg2000 <= zstd:
        return LosslessBaseline(size_bytes=jpeg2000, codec="JPEG 2000 reversible")
    return LosslessBaseline(size_bytes=zstd, codec=f"zstd-{ZSTD_LEVEL} of horizontal differences")


def lossy_at_equal_quality(pixels: np.ndarray, regions: Sequence[Window], target_mse: float) -> int | None:
    """Bytes of whole-scene JPEG 2000 (9/7) whose squared error in the regions just reaches `target_mse`.

    The scene is coded once with a ladder of quality layers; the two layers around the target are found by bisection
    and the size is interpolated between them (log bytes against PSNR). None without regions, or where even the
    highest layer misses the target.
    """
    mask = region_mask(pixels.shape[1:], regions)
    if not mask.any() or target_mse <= 0:
        return None
    target_db = -10 * math.log10(target_mse)
    coded = encode_jpeg2000(pixels, reversible=False, quality_percent=LADDER_PERCENT)
    below, above = 0, len(LADDER_PERCENT)
    quality: dict[int, tuple[int, float]] = {}
    while above - below > 1 or above not in quality:
        layers = above if above not in quality and below else (below + above + 1) // 2
        quality[layers] = _judge(pixels, first_layers(coded, layers), mask)
        if quality[layers][1] >= target_db:
            above = layers
        elif layers == len(LADDER_PERCENT):
            return None
        else:
            below = layers
    if below == 0:
        return quality[above][0]
    (small, low_db), (large, high_db) = quality[below], quality[above]
    share = (target_db - low_db) / max(high_db - low_db, 1e-9)
    return round(math.exp(math.log(small) + share * (math.log(large) - math.log(small))))


def _judge(pixels: np.ndarray, codestream: bytes, mask: np.ndarray) -> tuple[int, float]:
    """(bytes, minus ten log10 of the squared error inside the mask) of one coding."""
    mse = squared_error(pixels, decode_jpeg2000(codestream), mask).mse
    return len(codestream), -10 * math.log10(max(mse or 0.0, 1e-9))


def decode_jpeg2000(codestream: bytes) -> np.ndarray:
    """Pixels (bands, height, width) of a codestream."""
    with warnings.catch_warnings(), MemoryFile(codestream, ext=".j2k") as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(driver="JP2OpenJPEG") as dataset:
            pixels: np.ndarray = dataset.read()
    return pixels


def encode_jpeg2000(pixels: np.ndarray, *, reversible: bool, quality_percent: Sequence[float]) -> bytes:
    """Pixels (bands, height, width) as one tile of quality layers, whose cumulative bytes are percentages of the raw pixels."""
    bands, height, width = pixels.shape
    options: dict[str, Any] = {
        "CODEC": "J2K",
        "QUALITY": ",".join(f"{percent:g}" for percent in quality_percent),
        "REVERSIBLE": "YES" if reversible else "NO",
        "PROGRESSION": "LRCP",
        "RESOLUTIONS": min(6, max(1, min(height, width).bit_length() - 1)),
        "PLT": "YES",
        "YCC": "NO",
        "WRITE_METADATA": "NO",
        "BLOCKXSIZE": max(64, width),
        "BLOCKYSIZE": max(64, height),
    }
    with warnings.catch_warnings(), MemoryFile() as source, MemoryFile(ext=".j2k") as coded:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with source.open(driver="GTiff", count=bands, height=height, width=width, dtype=pixels.dtype.name) as dataset:
            dataset.write(pixels)
        with source.open() as dataset:  # a copy takes block sizes that a plain write would drop silently
            copy_raster(dataset, coded.name, driver="JP2OpenJPEG", **options)
        return bytes(coded.read())
