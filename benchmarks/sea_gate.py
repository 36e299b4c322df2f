"""What the sea gate stops and what it loses, on labelled scenes and on those made for the project, and how fast it is.

    python -m benchmarks.sea_gate --data ../shared/data/s2_ships [--json]

Windows of several sizes are cut around every labelled ship and side by side over the whole scene. A ship is lost when the gate
stops a window that holds its centre. Empty sea are windows without a label within 10 px, in which every 8 x 8 block is darker in near
infrared than in green, and dark: what rises in them is small craft without labels, wakes, buoys, foam. Ends with exit code 1 when
more than 1 % of the ships are lost or the gate is slower than 100 Mpix/s on open sea of four bands.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import rasterio
from rich.console import Console
from rich.table import Table

from onboard.sea_gate import SeaGate, may_hold_objects

SAMPLE_DATA = Path(__file__).resolve().parent.parent / "sample_data"
SIZES_PX = (96, 128, 192, 256, 384, 512, 640)
NEAR_PX = 10
WATER_BLOCK_PX = 8
WATER_NIR_DN = 900
LARGEST_LOSS = 0.01
LEAST_MPIX_PER_S = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledScene:
    """Pixels and the centres of what is in them."""

    group: str
    pixels: np.ndarray
    band_names: tuple[str, ...]
    centres: np.ndarray
    """(ships, 2): column, row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRow:
    """One group of scenes, windows of one size."""

    group: str
    size_px: int
    ships: int
    """Ships times windows that hold them."""
    ships_lost: int
    empty_sea: int
    """Windows."""
    stopped: int
    """Of these."""


def labelled_scenes(data: Path) -> Iterator[LabelledScene]:
    """The scenes of a folder with `images/` and `labels_obb/`, then those of the project."""
    for path in sorted((data / "images").glob("*.tif")):
        pixels, names = _read(path)
        labels = np.loadtxt(data / "labels_obb" / f"{path.stem}.txt", ndmin=2)
        corners = labels[:, 1:].reshape(-1, 4, 2) * [pixels.shape[2], pixels.shape[1]]
        yield LabelledScene(group=data.name, pixels=pixels, band_names=names, centres=corners.mean(axis=1))
    for path in sorted(SAMPLE_DATA.glob("*.tif")):
        pixels, names = _read(path)
        features = json.loads(path.with_suffix(".geojson").read_text(encoding="utf-8"))["features"]
        seen = [np.mean(one["properties"]["px"], axis=0) for one in features if not one["properties"]["obscured"]]
        yield LabelledScene(group="sample_data", pixels=pixels, band_names=names, centres=np.array(seen))


def _read(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    with rasterio.open(path) as scene:
        return scene.read(), scene.descriptions


def gate_row(group: str, scenes: list[LabelledScene], size_px: int, gate: SeaGate) -> GateRow:
    """Everything of one window size."""
    ships = lost = empty = stopped = 0
    for scene in scenes:
        height, width = scene.pixels.shape[1:]
        around = [
            (int(np.clip(row - size_px // 2, 0, max(0, height - size_px))),
             int(np.clip(col - size_px // 2, 0, max(0, width - size_px))))
            for col, row in scene.centres
        ]  # fmt: skip
        for top, left in around:
            ships += 1
            lost += not _passes(scene, top, left, size_px, gate)
        step = max(size_px // 2, 64)
        for top in range(0, height - size_px + 1, step):
            for left in range(0, width - size_px + 1, step):
                passes = _passes(scene, top, left, size_px, gate)
                inside = _held(scene, top, left, size_px, 0)
                ships += inside
                lost += 0 if passes else inside
                if not _held(scene, top, left, size_px, NEAR_PX) and _is_water(scene, top, left, size_px):
                    empty += 1
                    stopped += not passes
    return GateRow(group=group, size_px=size_px, ships=ships, ships_lost=lost, empty_sea=empty, stopped=stopped)


def _passes(scene: LabelledScene, top: int, left: int, size_px: int, gate: SeaGate) -> bool:
    window = scene.pixels[:, top : top + size_px, left : left + size_px]
    return may_hold_objects(window, np.ones(window.shape[1:], np.bool_), scene.band_names, gate).passes


def _held(scene: LabelledScene, top: int, left: int, size_px: int, margin_px: int) -> int:
    low = np.array([left, top]) - margin_px
    return int(np.all((scene.centres >= low) & (scene.centres < low + size_px + 2 * margin_px), axis=1).sum())


def _is_water(scene: LabelledScene, top: int, left: int, size_px: int) -> bool:
    side, block = size_px // WATER_BLOCK_PX, WATER_BLOCK_PX
    medians = []
    for name in ("B08", "B03"):
        band = scene.pixels[scene.band_names.index(name), top : top + side * block, left : left + side * block]
        blocks = band.reshape(side, block, side, block).transpose(0, 2, 1, 3).reshape(side * side, -1)
        medians.append(np.median(blocks, axis=1))
    nir, green = medians
    return bool(np.all((nir < green) & (nir < WATER_NIR_DN)))


def speed_mpix_per_s(gate: SeaGate) -> float:
    """On calm water, where every test is made to the end."""
    rng = np.random.default_rng(2)
    level = np.array([500, 400, 250, 150])[:, None, None]
    tile = np.clip(level + rng.normal(0, 12, (4, 640, 640)), 0, 65_535).astype(np.uint16)
    valid = np.ones((640, 640), np.bool_)
    seconds = []
    for _ in range(30):
        start = time.process_time()
        may_hold_objects(tile, valid, ("B02", "B03", "B04", "B08"), gate)
        seconds.append(time.process_time() - start)
    return float(valid.size / 1e6 / min(seconds))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and labels_obb/")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    groups: dict[str, list[LabelledScene]] = {}
    for scene in labelled_scenes(arguments.data):
        groups.setdefault(scene.group, []).append(scene)
    gate = SeaGate()
    rows = [gate_row(group, scenes, size, gate) for group, scenes in groups.items() for size in SIZES_PX]
    speed = speed_mpix_per_s(gate)
    ships, lost = sum(row.ships for row in rows), sum(row.ships_lost for row in rows)
    if arguments.json:
        result = {"rows": [asdict(row) for row in rows], "mpix_per_s": speed, "lost": lost / max(1, ships)}
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        table = Table("scenes", "window px", "ships", "lost", "empty sea", "stopped", title="Sea gate")
        for row in rows:
            share = f"{row.stopped} ({100 * row.stopped / row.empty_sea:.0f} %)" if row.empty_sea else "-"
            cells = (row.group, row.size_px, row.ships, row.ships_lost, row.empty_sea, share)
            table.add_row(*map(str, cells))
        console = Console(width=100)
        console.print(table)
        console.print(f"{speed:.0f} Mpix/s of four bands; {lost} of {ships} ships lost")
    return 0 if lost <= LARGEST_LOSS * ships and speed >= LEAST_MPIX_PER_S else 1


if __name__ == "__main__":
    sys.exit(main())
