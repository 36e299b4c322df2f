"""What the gates stop and what they lose, on labelled scenes and on those made for the project, and how fast the sea gate is.

    python -m benchmarks.sea_gate --data ../shared/data/s2_ships [--json]

Windows of several sizes are cut around every labelled ship and side by side over the whole scene. A ship is lost when the gate
stops a window that holds its centre. Empty sea are windows without a label within 10 px, in which every 8 x 8 block is darker in near
infrared than in green, and dark: what rises in them is small craft without labels, wakes, buoys, foam.

All gates together: every scene is cut into tiles as the survey cuts it, four times with the grid moved, and a ship is lost when no
window of the search holds its centre. The network's share is what it sees, halos included, as a share of the scene. Ends with
exit code 1 when more than 1 % of the ships are lost, by the sea gate or by all gates, or when the sea gate is slower than
100 Mpix/s on open sea of four bands.
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

from onboard.land_gate import LandGate
from onboard.sea_gate import SeaGate, may_hold_objects
from onboard.search_windows import SearchWindow, plan_search
from onboard.tiles import tile_grid

SAMPLE_DATA = Path(__file__).resolve().parent.parent / "sample_data"
SIZES_PX = (96, 128, 192, 256, 384, 512, 640)
TILE_PX, HALO_PX = 512, 32
GRID_OFFSETS_PX = (0, 96, 200, 312)
NEAR_PX = 10
WATER_BLOCK_PX = 8
WATER_NIR_DN = 900
LARGEST_LOSS = 0.01
LEAST_MPIX_PER_S = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledScene:
    """Pixels and the centres of what is in them."""

    group: str
    name: str
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeRow:
    """One scene through all gates."""

    name: str
    ships: int
    """Ships times positions of the grid."""
    ships_lost: int
    tiles: int
    stopped: int
    """Tiles of which nothing is left to search."""
    network_share: float
    """Pixels that the network sees over pixels of the scene."""
    network_share_ungated: float
    """The same where all of every tile is searched."""


def labelled_scenes(data: Path) -> Iterator[LabelledScene]:
    """The scenes of a folder with `images/` and `labels_obb/`, then those of the project."""
    for path in sorted((data / "images").glob("*.tif")):
        pixels, names = _read(path)
        labels = np.loadtxt(data / "labels_obb" / f"{path.stem}.txt", ndmin=2)
        corners = labels[:, 1:].reshape(-1, 4, 2) * [pixels.shape[2], pixels.shape[1]]
        yield LabelledScene(
            group=data.name, name=path.stem, pixels=pixels, band_names=names, centres=corners.mean(axis=1)
        )
    for path in sorted(SAMPLE_DATA.glob("*.tif")):
        pixels, names = _read(path)
        features = json.loads(path.with_suffix(".geojson").read_text(encoding="utf-8"))["features"]
        seen = [np.mean(one["properties"]["px"], axis=0) for one in features if not one["properties"]["obscured"]]
        yield LabelledScene(
            group="sample_data", name=path.stem, pixels=pixels, band_names=names, centres=np.array(seen)
        )


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


def cascade_row(scene: LabelledScene, gate: SeaGate, land_gate: LandGate) -> CascadeRow:
    """All tiles of a scene, at every position of the grid."""
    ships = lost = tiles = stopped = network_px = 0
    height, width = scene.pixels.shape[1:]
    for offset in GRID_OFFSETS_PX:
        moved = scene.pixels[:, offset:, offset:]
        padded = np.pad(moved, ((0, 0), (HALO_PX, TILE_PX), (HALO_PX, TILE_PX)), mode="edge")
        centres = scene.centres - offset
        for tile in tile_grid(height - offset, width - offset, tile_px=TILE_PX, halo_px=HALO_PX):
            seen = padded[:, *tile.padded.shifted(HALO_PX, HALO_PX).slices]
            windows = _searched(seen, (tile.core.height, tile.core.width), scene.band_names, gate, land_gate)
            tiles += 1
            stopped += not windows
            network_px += sum(window.padded.height * window.padded.width for window in windows)
            for x, y in centres[[tile.core.contains(*centre) for centre in centres]]:
                ships += 1
                lost += not any(one.core.contains(x - tile.padded.col, y - tile.padded.row) for one in windows)
    area = sum((height - offset) * (width - offset) for offset in GRID_OFFSETS_PX)
    return CascadeRow(
        name=scene.name,
        ships=ships,
        ships_lost=lost,
        tiles=tiles,
        stopped=stopped,
        network_share=network_px / area,
        network_share_ungated=tiles * (TILE_PX + 2 * HALO_PX) ** 2 / area,
    )


def _searched(
    padded: np.ndarray, size_px: tuple[int, int], band_names: tuple[str, ...], gate: SeaGate, land_gate: LandGate
) -> tuple[SearchWindow, ...]:
    valid = np.ones(size_px, np.bool_)
    core = padded[:, HALO_PX : HALO_PX + size_px[0], HALO_PX : HALO_PX + size_px[1]]
    if not may_hold_objects(core, valid, band_names, gate).passes:
        return ()
    return plan_search(padded, valid, band_names, halo_px=HALO_PX, sea_gate=gate, land_gate=land_gate).windows


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
    cascade = [cascade_row(scene, gate, LandGate()) for scenes in groups.values() for scene in scenes]
    speed = speed_mpix_per_s(gate)
    ships, lost = sum(row.ships for row in rows), sum(row.ships_lost for row in rows)
    searched, missed = sum(row.ships for row in cascade), sum(row.ships_lost for row in cascade)
    if arguments.json:
        result = {"rows": [asdict(row) for row in rows], "mpix_per_s": speed, "lost": lost / max(1, ships)}
        result |= {"cascade": [asdict(row) for row in cascade], "cascade_lost": missed / max(1, searched)}
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
        table = Table("scene", "ships", "lost", "tiles", "stopped", "network sees", "ungated", title="All gates")
        for one in cascade:
            shares = (f"{one.network_share:.2f}", f"{one.network_share_ungated:.2f}")
            table.add_row(one.name, *map(str, (one.ships, one.ships_lost, one.tiles, one.stopped)), *shares)
        console.print(table)
        console.print(f"all gates together: {missed} of {searched} ships lost")
    is_kept = lost <= LARGEST_LOSS * ships and missed <= LARGEST_LOSS * searched
    return 0 if is_kept and speed >= LEAST_MPIX_PER_S else 1


if __name__ == "__main__":
    sys.exit(main())
