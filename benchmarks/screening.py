"""Cloud screening against reference masks, false alarms on scenes without cloud, and speed: python -m benchmarks.screening

A tile is useful when at most 70 % of it is cloud in the reference mask; it is lost when screening sets it aside, for whatever reason. Tiles
are cut at several sizes, every half size, because the scenes with masks are small. `--leave-one-out` judges each scene by limits
chosen on the others (two minutes); `--json` prints everything as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.screening_limits import SIZES_PX as LIMIT_SIZES_PX
from benchmarks.screening_limits import leave_one_out
from benchmarks.screening_scenes import BAND_SETS, DATA, CloudScene, cases, load
from benchmarks.screening_tiles import TileCount, found_cloud, screened_tiles
from onboard.screening import ScreeningSettings, screen

MASKED_SIZES_PX = (16, 32, 64, 128)
CLOUD_FREE_SIZES_PX = (64, 256)
HARD_FOR_LIMITS = ("athens", "cartagena", "gdynia", "genoa")
"""Of the ports, those whose roofs and haze are taken for cloud most often: the others say nothing about limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneResult:
    """What came out for one scene with one set of bands."""

    scene: str
    """Its name."""
    bands: str
    """A key of `BAND_SETS`."""
    is_masked: bool
    """Whether there is a reference mask; else the scene has no cloud."""
    cloud_share: float
    """Of the valid pixels, by the reference."""
    agreement: float
    """Share of the valid pixels on which screening and reference agree."""
    tiles: dict[int, TileCount]
    """Per size in pixels."""


def judge(scene: CloudScene, bands: str) -> SceneResult | None:
    """Compare screening with the reference; None where these bands cannot tell cloud."""
    found = found_cloud(scene, scene.cloud)
    if found is None or scene.reference is None:
        return None
    sizes = MASKED_SIZES_PX if scene.is_masked else CLOUD_FREE_SIZES_PX
    return SceneResult(
        scene=scene.name,
        bands=bands,
        is_masked=scene.is_masked,
        cloud_share=float(scene.reference[scene.valid].mean()),
        agreement=float((found == scene.reference)[scene.valid].mean()),
        tiles={
            size: screened_tiles(scene, size, size // 2 if scene.is_masked else size)
            for size in sizes
            if size <= min(scene.valid.shape)
        },
    )


def judge_all(scenes: list[CloudScene]) -> Iterator[SceneResult]:
    """Every scene whose cloud is known; those with masks with fewer bands too."""
    for bands, chosen in BAND_SETS.items():
        for scene in scenes:
            if (chosen is None or scene.is_masked) and (result := judge(scene.with_bands(chosen), bands)) is not None:
                yield result


def sums(results: list[SceneResult]) -> dict[str, dict[int, TileCount]]:
    """Tiles per size over all scenes with masks, per band set, and over those without cloud."""
    totals: dict[str, dict[int, TileCount]] = {}
    for result in results:
        of_kind = totals.setdefault(result.bands if result.is_masked else "no cloud", {})
        for size, count in result.tiles.items():
            of_kind[size] = of_kind.get(size, TileCount()) + count
    return totals


def print_accuracy(results: list[SceneResult]) -> None:
    """One line per scene, then the sums per band set and tile size."""
    print(f"{'scene':34} {'bands':20} {'cloud %':>7} {'agree %':>7}   size: lost/useful, caught/cloudy tiles")
    for result in results:
        tiles = "  ".join(
            f"{size}: {count.lost}/{count.useful}, {count.caught}/{count.cloudy}"
            for size, count in result.tiles.items()
        )
        print(
            f"{result.scene:34} {result.bands:20} {100 * result.cloud_share:7.1f} {100 * result.agreement:7.1f}   {tiles}"
        )
    heads = ("useful", "lost %", "lost clear", "cloudy", "caught %", "accuracy %", "keeping all %")
    print(f"\n{'sum':20} {'size':>4} " + " ".join(f"{head:>13}" for head in heads))
    for name, counts in sums(results).items():
        for size, count in counts.items():
            print(
                f"{name:20} {size:4} {count.useful:13} {100 * count.lost_share:13.2f} {count.lost_clear:13} "
                f"{count.cloudy:13} {100 * count.caught_share:13.1f} {100 * count.accuracy:13.2f} "
                f"{100 * count.accuracy_of_keeping_all:13.2f}"
            )


def print_unknown(scenes: list[CloudScene]) -> None:
    """How much of the scenes without masks, in which there is cloud, is called cloud."""
    for scene in scenes:
        found = found_cloud(scene, scene.cloud) if scene.reference is None else None
        if found is not None:
            print(f"{scene.name:34} no mask; called cloud {100 * found[scene.valid].mean():5.1f} % of pixels")


def left_out(scenes: list[CloudScene]) -> list[dict[str, Any]]:
    """Each masked scene by limits chosen on the others, as rows."""
    masked = [scene for scene in scenes if scene.is_masked]
    hard = [scene for scene in scenes if not scene.is_masked and scene.name.startswith(HARD_FOR_LIMITS)]
    return [asdict(row) for row in leave_one_out(masked, hard)]


def print_left_out(rows: list[dict[str, Any]]) -> None:
    """Each scene left out, beside the limits that ship, and the sums; tiles every 16 pixels, from masks of whole scenes."""
    totals = {kind: [TileCount() for _ in LIMIT_SIZES_PX] for kind in ("tiles", "shipped")}
    print(f"\n{'left out':34} size: lost/useful, caught/cloudy with limits chosen on the others (with those that ship)")
    for row in rows:
        cells = []
        for index, size in enumerate(LIMIT_SIZES_PX):
            one, other = (TileCount(**row[kind][index]) for kind in ("tiles", "shipped"))
            totals["tiles"][index] += one
            totals["shipped"][index] += other
            cells.append(f"{size}: {one.lost}/{one.useful}, {one.caught}/{one.cloudy} ({other.lost}, {other.caught})")
        print(f"{row['scene']:34} {'  '.join(cells)}   {row['limits']}")
    for index, size in enumerate(LIMIT_SIZES_PX):
        for kind, name in (("tiles", "left out"), ("shipped", "shipped")):
            count = totals[kind][index]
            print(
                f"sum, {size} px, {name:8}: lost {100 * count.lost_share:.2f} %, caught {100 * count.caught_share:.1f} %, "
                f"accuracy {100 * count.accuracy:.2f} %"
            )


def speeds(repeats: int) -> list[dict[str, Any]]:
    """Megapixels per second of CPU time on tiles with structure, all tests run."""
    random = np.random.default_rng(20261122)
    names = ("B02", "B03", "B04", "B08", "B11", "B10", "B01", "B05", "B06", "B07", "B8A", "B09", "B12")
    settings, rows = ScreeningSettings(), []
    for bands, dtype, level, side in (
        (3, "uint16", 2500, 512),
        (4, "uint16", 90, 512),
        (4, "uint16", 2500, 512),
        (6, "uint16", 2500, 512),
        (13, "uint16", 2500, 512),
        (4, "uint16", 2500, 256),
        (4, "uint8", 180, 512),
    ):
        pixels = random.normal(level, level / 8, (bands, side, side)).clip(1, 65_000 if dtype == "uint16" else 250)
        pixels = pixels.astype(dtype)
        valid = np.ones((side, side), dtype=np.bool_)
        samples = []
        for _ in range(repeats):
            start = time.process_time()
            screen(pixels, valid, names[:bands], settings)
            samples.append(time.process_time() - start)
        rate = pixels[0].size / 1e6 / float(np.median(samples))
        rows.append({"bands": bands, "dtype": dtype, "level_dn": level, "tile_px": side, "mpix_per_cpu_s": rate})
    return rows


def print_speed(rows: list[dict[str, Any]]) -> None:
    """One line per kind of tile."""
    for row in rows:
        print(
            f"speed: {row['bands']:2} bands {row['dtype']:6} of about {row['level_dn']:4} DN, tiles of {row['tile_px']} px: "
            f"{row['mpix_per_cpu_s']:5.0f} Mpix per CPU-second"
        )


def main() -> int:
    """Print the figures. Returns 1 when the shared data is not there."""
    parser = argparse.ArgumentParser(description="Cloud screening against reference masks, and its speed.")
    parser.add_argument("--repeats", type=int, default=50, help="timed runs per line of the speed table")
    parser.add_argument("--leave-one-out", action="store_true", help="also judge each scene by limits chosen on others")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    scenes = [load(case) for case in cases()] if DATA.is_dir() else []
    if not scenes:
        print(f"no data at {DATA}: accuracy is not measured", file=sys.stderr)
    results, rows = list(judge_all(scenes)), speeds(arguments.repeats)
    one_out = left_out(scenes) if arguments.leave_one_out and scenes else []
    if arguments.json:
        document = {"scenes": [asdict(result) for result in results], "left_out": one_out, "speed": rows}
        json.dump(document, sys.stdout, indent=1)
        print()
    else:
        print_accuracy(results)
        print_unknown(scenes)
        if one_out:
            print_left_out(one_out)
        print_speed(rows)
    return 0 if scenes else 1


if __name__ == "__main__":
    sys.exit(main())
