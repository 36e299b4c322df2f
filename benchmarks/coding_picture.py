"""How an image becomes layers, as a picture: a block and a chip at each step of the ladder, with bytes and PSNR.

    python -m benchmarks.coding_picture [--out docs/images/coding_ladder.svg]

Both are cut from the made harbour in `sample_data`, so the picture needs no other data and is always the same. Steps are those of the
policy that ships. Of the block a detail is shown; bytes and PSNR are those of the whole block.
"""

import argparse
import base64
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from benchmarks.coding_ours import decode_steps
from benchmarks.coding_plot import INK
from benchmarks.coding_port import Pixels
from downlink.image_encoding import encode_image
from downlink.record import OVERHEAD_BYTES
from downlink.scene import Window
from ground.browse import colour_bands
from ground.comparison import squared_error
from onboard.policy import ImageInterest, load_policy

SAMPLE = Path(__file__).resolve().parent.parent / "sample_data" / "harbour_20260301.tif"
OUT = Path("docs/images/coding_ladder.svg")
PEAK_DN = 10_000
BLOCK = Window(row=256, col=256, height=512, width=512)
DETAIL = Window(row=560, col=330, height=150, width=150)
CHIP = Window(row=640, col=398, height=48, width=48)
"""Around a bulk carrier at its quay."""
CELL, GAP, LEFT, TOP = 180, 12, 14, 30
CAPTION = 44


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """An image once one more step has arrived."""

    bytes: int
    """Of all records up to this step."""
    percent_of_raw: float
    psnr_db: float
    """Infinite where every sample is exact."""
    pixels: Pixels
    """(bands, height, width) of the part that is shown."""


def stages(scene: Pixels, window: Window, shown: Window, interest: ImageInterest) -> list[Stage]:
    """`window` of a scene step by step, `shown` of it kept."""
    rows, cols = window.slices
    original = scene[:, rows, cols]
    valid = np.ones(original.shape[1:], np.bool_)
    image = encode_image(
        original, window, valid=valid, quality_percent=interest.quality_percent, levels=interest.levels, nodata=None
    )
    part = shown.shifted(-window.row, -window.col).slices
    found, size_bytes = [], 0
    for count, payload in enumerate(image.payloads, start=1):
        size_bytes += OVERHEAD_BYTES + len(payload)
        decoded = decode_steps(image.payloads[:count], None)
        if decoded is None:
            raise ValueError(f"the first {count} steps of {window} do not decode")
        psnr_db = squared_error(original, decoded.pixels, valid).psnr_db(PEAK_DN)
        found.append(
            Stage(
                bytes=size_bytes,
                percent_of_raw=100 * size_bytes / original.nbytes,
                psnr_db=float("inf") if psnr_db is None else psnr_db,
                pixels=decoded.pixels[:, part[0], part[1]],
            )
        )
    return found


def draw(rows: Sequence[tuple[str, Sequence[Stage]]], colours: tuple[int, int, int]) -> str:
    """A row of pictures for each image; all of a row are stretched alike, by its last."""
    columns = max(len(some) for _, some in rows)
    width, row_height = LEFT * 2 + columns * (CELL + GAP) - GAP, TOP + CELL + CAPTION
    height = len(rows) * row_height + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, (title, some) in enumerate(rows):
        top = number * row_height
        parts.append(f'<text x="{LEFT}" y="{top + 20}" font-weight="bold" fill="{INK}">{escape(title)}</text>')
        bounds = _bounds(some[-1].pixels[list(colours)])
        for place, stage in enumerate(some):
            left = LEFT + place * (CELL + GAP)
            data = base64.b64encode(_png(stage.pixels[list(colours)], bounds)).decode()
            parts.append(
                f'<image x="{left}" y="{top + TOP}" width="{CELL}" height="{CELL}" style="image-rendering: pixelated" '
                f'href="data:image/png;base64,{data}"/>'
            )
            quality = "exact" if np.isinf(stage.psnr_db) else f"{stage.psnr_db:.1f} dB"
            for line, text in enumerate(
                (f"step {place}: {quality}", f"{stage.bytes:,} bytes, {stage.percent_of_raw:.2g} %")
            ):
                y = top + TOP + CELL + 17 + 17 * line
                parts.append(f'<text x="{left}" y="{y}" fill="{INK}">{escape(text)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _bounds(colours: Pixels) -> NDArray[np.float64]:
    """(2, 3, 1, 1), darkest and brightest of each colour that are told apart."""
    bounds: NDArray[np.float64] = np.percentile(colours, (1.0, 99.0), axis=(1, 2))[:, :, None, None]
    return bounds


def _png(colours: Pixels, bounds: NDArray[np.float64]) -> bytes:
    low, high = bounds
    scaled = np.clip(np.rint((colours - low) * (255 / np.maximum(high - low, 1.0))), 0, 255).astype(np.uint8)
    _, height, width = scaled.shape
    with MemoryFile() as memory:
        with memory.open(driver="PNG", height=height, width=width, count=3, dtype="uint8", ZLEVEL=9) as dataset:
            dataset.write(scaled)
        return bytes(memory.getbuffer())


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT, help="SVG file to write")
    options = parser.parse_args(arguments)
    policy = load_policy()
    with rasterio.open(SAMPLE) as dataset:
        scene, names = dataset.read(), tuple(dataset.descriptions)
    block = stages(scene, BLOCK, DETAIL, policy.blocks)
    chip = stages(scene, CHIP, CHIP, policy.chips)
    title = f"A block of {BLOCK.width} x {BLOCK.height} px: a detail at each step, bytes of the whole block and percent of raw"
    rows = [(title, block), (f"A chip of {CHIP.width} x {CHIP.height} px around a ship", chip)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(draw(rows, colour_bands(names)), encoding="utf-8")
    sys.stdout.write(f"{options.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
