"""JPEG 2000 through GDAL's OpenJPEG driver: the only file of the room that codes pixels (edge: rasterio).

Samples are coded reversibly (5/3), so that the same stream goes from a coarse preview to the exact pixels.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

from downlink.codestream import LARGEST_COMPONENT_BITS, CodestreamShape, join_layers, smallest_bits, split_layers
from downlink.errors import CodestreamError

SMALLEST_TILE_PX = 64
"""The driver refuses smaller tile sizes; it clips the tile of a smaller image to that image."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it images are coded and decoded by the calling thread alone: others have work of their own, and waking them takes longer
    than a small image does."""
    with rasterio.Env(GDAL_NUM_THREADS="1"):
        yield


def codestream_shape(pixels: np.ndarray, *, levels: int, qualities: int) -> CodestreamShape:
    """The shape under which `pixels` (bands, height, width), uint8 or uint16, are coded.

    Decompositions are lowered for images that have no room for them. Raises CodestreamError for other arrays.
    """
    if pixels.ndim != 3 or 0 in pixels.shape or pixels.dtype not in (np.uint8, np.uint16):
        raise CodestreamError(
            f"cannot code an array of shape {pixels.shape} and type {pixels.dtype}: give (bands, height, width) uint8 or uint16"
        )
    bands, height, width = pixels.shape
    return CodestreamShape(
        height_px=height,
        width_px=width,
        components=bands,
        bits=8 * pixels.dtype.itemsize,
        levels=max(0, min(levels, min(height, width).bit_length() - 2)),
        qualities=qualities,
    )


def tight_shape(samples: np.ndarray, plain: CodestreamShape) -> CodestreamShape:
    """The shape under which whole `samples` (bands, height, width) of pixels of the shape `plain` are coded, in as few bits as hold
    them all: every bit too many is paid for in the packets. Samples of a signed type lie around 0.

    Raises CodestreamError where they need more than `LARGEST_COMPONENT_BITS`.
    """
    signed = samples.dtype.kind == "i"
    low, high = int(samples.min()), int(samples.max())
    bits = 1 + max(high, -1 - low).bit_length() if signed else high.bit_length()
    if bits > LARGEST_COMPONENT_BITS:
        raise CodestreamError(f"components reach from {low} to {high}: {bits} bits each")
    return replace(plain, bits=max(bits, smallest_bits(plain.bits, signed)), signed=signed)


def sample_type(shape: CodestreamShape) -> np.dtype:
    """The smallest type of the driver's that holds the samples of a shape."""
    if shape.signed:
        return np.dtype(np.int16 if shape.bits <= 16 else np.int32)
    return np.dtype(np.uint8 if shape.bits <= 8 else np.uint16)


def encode_layers(pixels: np.ndarray, shape: CodestreamShape, quality_percent: Sequence[float]) -> tuple[bytes, ...]:
    """Code pixels, or the components of `component_shape`, into quality layers.

    `quality_percent` states the cumulative bytes of each layer as a percentage of samples of `shape.bits`; the last is 100, which OpenJPEG
    takes as lossless. Raises CodestreamError where the driver cannot code them: OpenJPEG's buffer is too small for the packets of many
    layers, bands and resolutions of a few pixels of noise.
    """
    if len(quality_percent) != shape.qualities or quality_percent[-1] != 100:
        raise CodestreamError(
            f"{shape.qualities} quality layers need as many percentages, the last of them 100: {quality_percent}"
        )
    options = {
        "CODEC": "J2K",
        "REVERSIBLE": "YES",
        "QUALITY": ",".join(f"{percent:g}" for percent in quality_percent),
        "RESOLUTIONS": str(shape.levels + 1),
        "PROGRESSION": "LRCP",
        "PLT": "YES",
        "YCC": "NO",
        "PRECINCTS": ",".join(["{32768,32768}"] * (shape.levels + 1)),
        "BLOCKXSIZE": str(max(shape.width_px, SMALLEST_TILE_PX)),
        "BLOCKYSIZE": str(max(shape.height_px, SMALLEST_TILE_PX)),
        "CODEBLOCK_STYLE": "BYPASS",
        "WRITE_METADATA": "NO",
        "NBITS": str(shape.bits),
    }
    samples = pixels.astype(sample_type(shape), copy=False)
    try:
        return split_layers(_encoded(samples, options), shape)
    except (RasterioError, CPLE_BaseError) as error:
        raise CodestreamError(
            f"{shape.components} x {shape.height_px} x {shape.width_px} samples cannot be coded in {shape.qualities} layers of "
            f"{shape.levels + 1} resolutions: {error}"
        ) from error


def _encoded(samples: np.ndarray, options: dict[str, str]) -> bytes:
    """The codestream of (bands, height, width) samples."""
    bands, height, width = samples.shape
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(
            driver="JP2OpenJPEG", count=bands, height=height, width=width, dtype=samples.dtype.name, **options
        ) as dataset:
            dataset.write(samples)
        return bytes(memory.getbuffer())


def decode_layers(shape: CodestreamShape, layers: Sequence[bytes]) -> np.ndarray:
    """Decode the first layers of an image to (bands, height, width). Raises CodestreamError when they do not decode."""
    codestream = join_layers(shape, layers)
    try:
        with warnings.catch_warnings(), MemoryFile(codestream, ext=".j2k") as memory:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with memory.open(driver="JP2OpenJPEG") as dataset:
                pixels: np.ndarray = dataset.read()
    except (RasterioError, rasterio.RasterioIOError) as error:
        raise CodestreamError(
            f"codestream of {len(codestream)} bytes in {len(layers)} layers does not decode: {error}"
        ) from error
    expected = (shape.components, shape.height_px, shape.width_px)
    if pixels.shape != expected:
        raise CodestreamError(f"codestream decodes to shape {pixels.shape}, its header announced {expected}")
    return pixels
