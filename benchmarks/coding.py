"""Every image codec on the same pixels: lossless, at equal PSNR, at equal detection quality; and how fast each is.

    python -m benchmarks.coding --data ../shared/data [--collection clouds] [--part lossless|equal_psnr|equal_f1|speed|bands|blocks]
        [--quick | --sparse] [--jobs 2] [--json] [--plots DIR]

The folder holds `images/` and perhaps `labels_obb/`, or is a folder of such collections. Every codec runs in one thread; speeds
are million samples (pixels times bands) per CPU second, the best of two rounds. PSNR is against 10,000 digital numbers for 16-bit
scenes and 255 for 8-bit ones. Ours is counted with every byte of every layer record and of the scene summary.

* lossless: the last layer of our ladder, all layers together, against the lossless field.
* equal_psnr: bytes at equal PSNR of the whole scene and of the regions around the labelled objects. Each codec is set so that it
  lies closely on both sides of the target and its size is read off between the two; where that cannot be it has no size. Ours
  sends steps in order of squared error per byte: as the policy has them, and in finer ones. JPEG 2000 in its reversible kernel (5/3)
  and AVIF run on every third scene.
* equal_f1: the detector searches what the ground rebuilt from equal bytes, ours by the pipeline's own values.
* speed: coding and decoding at about one per cent of the raw bytes, on every third scene.
* bands: the same blocks with and without the transform across bands.
* blocks: block sizes from 128 to 1024 px, on every third scene.

`targets` says of every target whether it is met.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.coding_bands import BandSizes, band_rows, band_sizes
from benchmarks.coding_blocks import SCENES_APART, BlockSize, block_rows, block_sizes
from benchmarks.coding_detection import (
    ALERTS,
    F1_SHARE,
    MADE_ON_BOARD,
    OURS,
    POOLED,
    Counts,
    DetectionPoint,
    WatchedScene,
    measured,
    point_of,
)
from benchmarks.coding_equal_psnr import PER_BAND, SceneSize, scene_sizes
from benchmarks.coding_ground import SEARCHED_DB
from benchmarks.coding_json import as_json, rows_of
from benchmarks.coding_lossless import lossless_codecs
from benchmarks.coding_lossless_table import ALL, SpeedRow, lossless_rows, speed_rows
from benchmarks.coding_lossy import lossy_codecs
from benchmarks.coding_plot import draw_detection, draw_sizes
from benchmarks.coding_port import Absent, Codec
from benchmarks.coding_scenes import COLLECTIONS, CodingScene, scenes_of
from benchmarks.coding_tables import (
    print_absent,
    print_bands,
    print_blocks,
    print_detection,
    print_equal_psnr,
    print_lossless,
    print_speed,
    print_targets,
)
from benchmarks.coding_targets import Target, targets_of
from mission.pipeline_setup import DEFAULT_MODEL, MODELS_FOLDER
from onboard.detector import load_detector, read_model
from onboard.policy import load_policy

PARTS = ("lossless", "equal_psnr", "equal_f1", "speed", "bands", "blocks")
SCENE_DB = (30.0, 35.0, 40.0, 45.0)
ROI_DB = (35.0, 40.0, 45.0)
SHARES_PERCENT = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
OUR_SHARES_PERCENT = (0.05, 0.07, 0.1, 0.2, 0.5, 1.0, 2.0)
NOT_SEARCHED = ("jpeg2000-5/3", *PER_BAND)
"""Codecs that are left out of detection: other settings of one that is in."""
SEEN_LESS, SEEN_LESS_EVERY = ("jpeg2000-5/3", "jpeg2000-bands-5/3", "avif"), 3
"""Codecs that are set to equal PSNR on the first of every three scenes only: slow, or the worse kernel of a pair."""
SLOWEST_FIRST = ("jpeg2000", "avif", OURS, POOLED)
QUICK_SCENES, QUICK_CROP_PX = 2, 512
QUICK_SCENE_DB, QUICK_ROI_DB, QUICK_SHARES_PERCENT = (40.0, 45.0), (40.0, 45.0), (0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to run on what."""

    data: Path
    policy: Path | None = None
    model: Path = MODELS_FOLDER / DEFAULT_MODEL
    quick: bool = False
    jobs: int = 1
    only: tuple[str, ...] = ()
    """Codecs other than ours to run; empty: all."""
    above_db: float = SEARCHED_DB
    """Blocks of ours are searched from this PSNR on; 0: everything that came."""
    sparse: bool = False
    """Of each labelled scene the cut of mostly water."""
    collections: tuple[str, ...] = COLLECTIONS
    """Folders of a folder of folders."""

    def scenes(self) -> list[CodingScene]:
        """Scenes of the data folder."""
        limit, crop_px = (QUICK_SCENES, QUICK_CROP_PX) if self.quick else (None, None)
        policy = load_policy(self.policy)
        return scenes_of(
            self.data, policy, limit=limit, crop_px=crop_px, collections=self.collections, sparse=self.sparse
        )

    def lossy(self) -> list[Codec]:
        """The lossy codecs that are there and asked for."""
        return [codec for codec in lossy_codecs() if isinstance(codec, Codec) and self.wants(codec.name)]

    def wants(self, name: str) -> bool:
        return not self.only or name in self.only


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionResult:
    """The part equal_f1."""

    original: DetectionPoint
    target_f1: float
    curves: dict[str, list[DetectionPoint]]
    bytes: dict[str, int | None]
    """At which each has the target F1, and at every larger budget tried; None where it never has."""
    first_bytes: dict[str, int | None]
    """At which each first has it, whatever comes after."""
    above_db: float
    """PSNR from which on blocks of ours were searched. No other codec has such a rule: without it (0) F1 of ours dips below the target
    again once coarse previews come."""
    model: str
    seen_in_training: tuple[str, ...]
    """Scenes that the detector learnt from. All codecs are searched by the same one, so their comparison stays fair; the level of
    F1 is not that of unseen scenes."""


def run(request: Request, parts: Sequence[str] = PARTS) -> dict[str, Any]:
    """Results by part, rows as dataclasses; `absent` names codecs that this installation does not have."""
    scenes, policy = request.scenes(), load_policy(request.policy)
    result: dict[str, Any] = {"scenes": len(scenes), "raw_bytes": sum(scene.pixels.nbytes for scene in scenes)}
    rounds = 1 if request.quick else 2
    codecs = [codec for codec in lossless_codecs() if request.wants(codec.name)]
    result["absent"] = [codec for codec in [*codecs, *lossy_codecs()] if isinstance(codec, Absent)]
    if "lossless" in parts:
        result["lossless"] = lossless_rows(scenes, codecs, policy, rounds=rounds)
    if "equal_psnr" in parts:
        result["equal_psnr"] = _equal_psnr(request, scenes)
    if "equal_f1" in parts:
        result["equal_f1"] = _equal_f1(request, scenes)
    if "speed" in parts:
        result["speed"] = speed_rows(scenes, request.lossy(), policy, rounds=rounds)
    if "bands" in parts:
        measured_bands = _mapped(_bands_of_scene, [(request, scene) for scene in scenes], request.jobs)
        result["bands"] = band_rows([one for one in measured_bands if one is not None])
    if "blocks" in parts:
        every = [(request, scene) for scene in scenes[::SCENES_APART]]
        result["blocks"] = block_rows([one for some in _mapped(_blocks_of_scene, every, request.jobs) for one in some])
    result["targets"] = targets_of(result)
    return result


def _bands_of_scene(task: tuple[Request, CodingScene]) -> BandSizes | None:
    request, scene = task
    return band_sizes(scene, load_policy(request.policy))


def _blocks_of_scene(task: tuple[Request, CodingScene]) -> list[BlockSize]:
    request, scene = task
    return block_sizes(scene, load_policy(request.policy))


def _equal_psnr(request: Request, scenes: Sequence[CodingScene]) -> list[SceneSize]:
    tasks = [(request, scene, place % SEEN_LESS_EVERY == 0) for place, scene in enumerate(scenes)]
    return [size for sizes in _mapped(_sizes_of_scene, tasks, request.jobs) for size in sizes]


def _sizes_of_scene(task: tuple[Request, CodingScene, bool]) -> list[SceneSize]:
    request, scene, with_all = task
    scene_db, roi_db = (QUICK_SCENE_DB, QUICK_ROI_DB) if request.quick else (SCENE_DB, ROI_DB)
    codecs = [codec for codec in request.lossy() if with_all or codec.name not in SEEN_LESS]
    return scene_sizes(scene, codecs, load_policy(request.policy), scene_db=scene_db, roi_db=roi_db)


def _equal_f1(request: Request, scenes: Sequence[CodingScene]) -> DetectionResult | None:
    """None without labels."""
    labelled = [scene.name for scene in scenes if scene.truth is not None]
    if not labelled:
        return None
    model = read_model(request.model)
    names = [OURS, POOLED, ALERTS, *(codec.name for codec in request.lossy() if codec.name not in NOT_SEARCHED)]
    # The slowest first, so that none is left alone at the end.
    order = sorted(names, key=lambda name: SLOWEST_FIRST.index(name) if name in SLOWEST_FIRST else len(SLOWEST_FIRST))
    curves = dict(zip(order, _mapped(_curve_of_codec, [(request, name) for name in order], request.jobs), strict=True))
    results = [curves[name] for name in names]
    original = results[0][0]
    return DetectionResult(
        original=original,
        target_f1=F1_SHARE * original.f1,
        curves={name: points for name, (_, points, _, _) in zip(names, results, strict=True)},
        bytes={name: size for name, (_, _, size, _) in zip(names, results, strict=True)},
        first_bytes={name: size for name, (_, _, _, size) in zip(names, results, strict=True)},
        above_db=request.above_db,
        model=model.label,
        seen_in_training=tuple(name for name in labelled if name in model.training_data),
    )


def _curve_of_codec(task: tuple[Request, str]) -> tuple[DetectionPoint, list[DetectionPoint], int | None, int | None]:
    request, name = task
    watched = _watched(request, name in MADE_ON_BOARD)
    shares: tuple[float, ...] = OUR_SHARES_PERCENT if name in MADE_ON_BOARD else SHARES_PERCENT
    if request.quick:
        shares = QUICK_SHARES_PERCENT
    points, lasting, first = measured(name, watched, request.lossy(), shares)
    counts = sum((one.judge(one.original, one.scene.pixels.nbytes) for one in watched), Counts())
    return point_of("original", 100.0, counts, counts), points, lasting, first


@lru_cache(maxsize=2)
def _watched(request: Request, worked_through: bool) -> tuple[WatchedScene, ...]:
    """The labelled scenes with their detections, kept for the next codec of this process."""
    detector = load_detector(request.model, "openvino", threads=1)
    policy = load_policy(request.policy) if worked_through else None
    watched = (
        WatchedScene.of(scene, detector, policy, number=number, above_db=request.above_db)
        for number, scene in enumerate(request.scenes(), start=1)
    )
    return tuple(one for one in watched if one is not None)


def _mapped(work: Any, tasks: Sequence[Any], jobs: int) -> list[Any]:
    """Tasks in order, in so many processes; codecs' CPU times are not compared there, block sizes' are, all in the same company."""
    if jobs == 1:
        return [work(task) for task in tasks]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return list(pool.map(work, tasks))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for; print tables or JSON, and write plots where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--collection", action="append", help="this folder of a folder of folders only; may be repeated"
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="this part only; may be given more than once")
    parser.add_argument("--model", type=Path, default=MODELS_FOLDER / DEFAULT_MODEL, help="folder of the detector")
    parser.add_argument("--policy", type=Path, help="policy file whose steps and values ours uses")
    parser.add_argument("--codec", action="append", default=[], help="this codec beside ours only; may be repeated")
    parser.add_argument("--jobs", type=int, default=1, help="processes for the parts that measure no speed")
    parser.add_argument(
        "--quick", action="store_true", help="two scenes a collection, cropped; fewer targets; one round"
    )
    parser.add_argument(
        "--sparse",
        action="store_true",
        help="of each labelled scene the cut of 640 px that is mostly water with few ships",
    )
    parser.add_argument(
        "--above-db",
        type=float,
        default=SEARCHED_DB,
        help="blocks of ours are searched from this PSNR on; 0: all that came",
    )
    parser.add_argument("--plots", type=Path, help="write SVG plots into this folder")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args(arguments)
    request = Request(
        data=options.data,
        policy=options.policy,
        model=options.model,
        quick=options.quick,
        jobs=options.jobs,
        only=tuple(options.codec),
        collections=tuple(options.collection or COLLECTIONS),
        sparse=options.sparse,
        above_db=options.above_db,
    )
    if not request.scenes():
        sys.stderr.write(f"no images under {options.data}: give a folder with images/, or one of such folders\n")
        return 2
    result = run(request, options.part or PARTS)
    if options.plots:
        write_plots(result, options.plots)
    if options.json:
        sys.stdout.write(json.dumps(as_json(result)) + "\n")
    else:
        print_tables(result, Console(width=150))
    return 0


def write_plots(result: dict[str, Any], folder: Path) -> None:
    """One SVG for each part that has a curve."""
    folder.mkdir(parents=True, exist_ok=True)
    if "equal_psnr" in result:
        (folder / "coding_psnr.svg").write_text(draw_sizes(rows_of(result["equal_psnr"])), encoding="utf-8")
    if (found := result.get("equal_f1")) is not None:
        svg = draw_detection(found.curves, found.original, result["raw_bytes"])
        (folder / "coding_detection.svg").write_text(svg, encoding="utf-8")


def print_tables(result: dict[str, Any], console: Console) -> None:
    """Every part that was run."""
    console.print(f"{result['scenes']} scenes, {result['raw_bytes']:,} raw bytes")
    print_absent(console, result["absent"])
    if "lossless" in result:
        print_lossless(console, result["lossless"])
    if "equal_psnr" in result:
        sizes: list[SceneSize] = result["equal_psnr"]
        collections = list(dict.fromkeys(one.collection for one in sizes))
        for name in collections:
            print_equal_psnr(console, name, rows_of([one for one in sizes if one.collection == name]))
        if len(collections) > 1:
            print_equal_psnr(console, ALL, rows_of(sizes))
    if (found := result.get("equal_f1")) is not None:
        print_detection(console, found)
    if "speed" in result:
        rows: list[SpeedRow] = result["speed"]
        print_speed(console, rows)
    if "bands" in result:
        print_bands(console, result["bands"])
    if "blocks" in result:
        print_blocks(console, result["blocks"])
    targets: list[Target] = result["targets"]
    print_targets(console, targets)


if __name__ == "__main__":
    sys.exit(main())
