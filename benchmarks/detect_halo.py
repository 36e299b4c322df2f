"""Which tile and which halo: whether the detections stay, and what each costs. Choose again when the network changes.

    python -m benchmarks.detect_halo [--data ../shared/data/s2_ships] [--model DIR] [--scenes 4] [--confidence 0.25] [--json]

Every scene is searched with large tiles and a wide halo, and again with each smaller tile and halo; a detection of the first from
the given confidence on is kept when the second has one from there on at its place. The network must take any size.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import rasterio
from rich.console import Console
from rich.table import Table

from benchmarks.detect_runs import NEAR_PX
from onboard.detection import Detection
from onboard.detector import Detector, load_detector, read_model
from onboard.seam_merge import away_from_edges, merge_seams
from onboard.tiles import tile_grid

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = (512, 64)
CUTS = ((512, 64), (512, 32), (512, 16), (256, 32), (128, 32), (64, 32))
"""Core and halo; the smaller cores are those of windows in tiles that the gates leave little of."""
CENTRE_SLACK_PX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CutRow:
    """One way of cutting all scenes."""

    tile_px: int
    halo_px: int
    network_share: float
    """Pixels that the network sees for each of a whole tile."""
    wanted: int
    """Detections of the reference."""
    missing: int
    extra: int
    largest_gap: float
    """Largest difference in confidence of the same detection, 0 to 1; missing ones count with their own."""
    cpu_s: float


def searched(pixels: np.ndarray, names: tuple[str, ...], detector: Detector, cut: tuple[int, int]) -> list[Detection]:
    """All detections of a scene cut so."""
    tile_px, halo_px = cut
    height, width = pixels.shape[1:]
    padded = np.pad(pixels, ((0, 0), (halo_px, halo_px + tile_px), (halo_px, halo_px + tile_px)), mode="edge")
    found: list[Detection] = []
    for tile in tile_grid(height, width, tile_px=tile_px, halo_px=halo_px):
        seen = padded[:, *tile.padded.shifted(halo_px, halo_px).slices]
        margin_px = max(0, halo_px - CENTRE_SLACK_PX)
        kept = away_from_edges(detector.detect(seen, names), size_px=seen.shape[1:], margin_px=margin_px)
        found += [one.shifted(tile.padded.col, tile.padded.row) for one in kept]
    return [one for one in merge_seams(found) if 0 <= one.center_px[0] < width and 0 <= one.center_px[1] < height]


def compared(wanted: list[Detection], found: list[Detection], confidence: float) -> tuple[int, list[float]]:
    """How many of `wanted` are missing, and the differences in confidence."""
    gaps, missing = [], 0
    for one in wanted:
        if one.confidence < confidence:
            continue
        near = [other for other in found if np.hypot(*np.subtract(other.center_px, one.center_px)) < NEAR_PX]
        best = max((other.confidence for other in near), default=0.0)
        gaps.append(abs(best - one.confidence))
        missing += best < confidence
    return missing, gaps


def measure(options: argparse.Namespace) -> list[CutRow]:
    """A row for every cut."""
    detector = load_detector(options.model, threads=1, threshold=options.confidence / 4)
    scenes = []
    for path in sorted((options.data / "images").glob("*.tif"))[: options.scenes]:
        with rasterio.open(path) as scene:
            scenes.append((scene.read()[:, : options.side, : options.side], scene.descriptions))
    reference = [searched(pixels, names, detector, REFERENCE) for pixels, names in scenes]
    rows = []
    for tile_px, halo_px in CUTS:
        start = time.process_time()
        found = [searched(pixels, names, detector, (tile_px, halo_px)) for pixels, names in scenes]
        cpu_s = time.process_time() - start
        lost = [compared(a, b, options.confidence) for a, b in zip(reference, found, strict=True)]
        new = [compared(b, a, options.confidence)[0] for a, b in zip(reference, found, strict=True)]
        gaps = [gap for _, one in lost for gap in one]
        row = CutRow(
            tile_px=tile_px,
            halo_px=halo_px,
            network_share=(1 + 2 * halo_px / tile_px) ** 2,
            wanted=len(gaps),
            missing=sum(missing for missing, _ in lost),
            extra=sum(new),
            largest_gap=max(gaps, default=0.0),
            cpu_s=cpu_s,
        )
        rows.append(row)
    return rows


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "s2_ships")
    parser.add_argument("--model", type=Path, default=ROOT / "onboard" / "models" / "ship_s2")
    parser.add_argument("--scenes", type=int, default=4, help="the first so many")
    parser.add_argument("--side", type=int, default=1024, help="their upper left corner of so many pixels")
    parser.add_argument("--confidence", type=float, default=0.25)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args()
    if read_model(options.model).input_multiple_px is None:
        parser.error(f"the network in {options.model} takes one size of image only; export it again")
    rows = measure(options)
    if options.json:
        sys.stdout.write(json.dumps([asdict(row) for row in rows]) + "\n")
        return 0
    table = Table(
        "core", "halo", "px seen", "wanted", "missing", "extra", "largest gap", "CPU s", title="Tile and halo"
    )
    for row in rows:
        counts = (row.wanted, row.missing, row.extra)
        cells = (f"{row.network_share:.2f}", *map(str, counts), f"{row.largest_gap:.3f}", f"{row.cpu_s:.1f}")
        table.add_row(str(row.tile_px), str(row.halo_px), *cells)
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
