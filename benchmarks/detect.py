"""Searching a scene, ours beside SAHI, ultralytics and the bare engine: same scene, same weights, one run.

    python -m benchmarks.detect [--data ../shared/data/s2_ships] [--side 4096] [--large-side 10980] [--model DIR] [--threads 2]
        [--repeats 3] [--only NAME ...] [--json]

Makes a harbour scene of pieces of the real ports and a sparse ocean scene of real pixels, and searches them in every way, each in a
process of its own and after a first small search that is not counted, three times in turn; the fastest counts. Prints a row per
way, CPU seconds per step, and what became of the targets; ends with exit code 1 when one is missed. SAHI, ultralytics and the bare
engine are given pixels that are read and prepared; ours starts from the file. Where a way says nothing else, the network is what
flies: 8-bit integers. Recall is of what the bare engine finds in float32.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.detect_ours import run_ours, run_steps
from benchmarks.detect_peers import run_bare, run_sahi_defaults, run_sahi_engine, run_ultralytics
from benchmarks.detect_runs import SearchRun, ceiling_gflops, network_flop_per_px, power_counter, recall
from benchmarks.detect_scenes import write_harbour
from benchmarks.detect_targets import Target, targets_of
from benchmarks.ocean_scene import sea_pieces, write_ocean
from onboard.detector import read_model, verified_files

ROOT: Final = Path(__file__).resolve().parent.parent
MODEL: Final = ROOT / "onboard" / "models" / "ship_s2"
STEPS_EVERY: Final = 4
SHIPS_PER_MPIX: Final = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of searching."""

    scene: str
    """harbour, ocean or large."""
    run: Callable[[Path, Path, int], SearchRun]
    """Of scene, model folder, threads."""


WAYS: Final[dict[str, Way]] = {
    "SAHI defaults": Way(scene="harbour", run=lambda scene, model, threads: run_sahi_defaults(scene, model)),
    "SAHI on the engine": Way(
        scene="harbour", run=lambda scene, model, threads: run_sahi_engine(scene, model, threads=threads)
    ),
    "SAHI on the engine, float32": Way(
        scene="harbour",
        run=lambda scene, model, threads: run_sahi_engine(scene, model, threads=threads, engine="openvino"),
    ),
    "ultralytics tiles .pt": Way(
        scene="harbour", run=lambda scene, model, threads: run_ultralytics(scene, model, exported=False)
    ),
    "ultralytics tiles OpenVINO": Way(
        scene="harbour", run=lambda scene, model, threads: run_ultralytics(scene, model, exported=True)
    ),
    "bare engine": Way(scene="harbour", run=lambda scene, model, threads: run_bare(scene, model, threads=threads)),
    "bare engine, float32": Way(
        scene="harbour", run=lambda scene, model, threads: run_bare(scene, model, threads=threads, engine="openvino")
    ),
    "ours, every tile": Way(
        scene="harbour", run=lambda scene, model, threads: run_ours(scene, model, gated=False, threads=threads)
    ),
    "ours, every tile, float32": Way(
        scene="harbour",
        run=lambda scene, model, threads: run_ours(scene, model, gated=False, threads=threads, engine="openvino"),
    ),
    "ours with gates": Way(
        scene="harbour", run=lambda scene, model, threads: run_ours(scene, model, gated=True, threads=threads)
    ),
    "ours, sparse ocean": Way(
        scene="ocean", run=lambda scene, model, threads: run_ours(scene, model, gated=True, threads=threads)
    ),
    "ours, large ocean": Way(
        scene="large", run=lambda scene, model, threads: run_ours(scene, model, gated=True, threads=threads)
    ),
    "steps": Way(scene="harbour", run=lambda scene, model, threads: run_steps(scene, model, every=STEPS_EVERY)),
}
REFERENCE: Final = "bare engine, float32"


def run_apart(name: str, scene: Path, options: argparse.Namespace) -> SearchRun:
    """One way in a process of its own, so that its memory, threads and libraries are its own."""
    command = [sys.executable, "-m", "benchmarks.detect", "--way", name, "--scene", str(scene)]
    command += ["--model", str(options.model), "--threads", str(options.threads)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    return SearchRun(**json.loads(done.stdout.splitlines()[-1]))


def first_result(scene: Path, model: Path) -> dict[str, Any]:
    """Wall and CPU seconds from the start of a process to its first detections."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.detect_first", str(scene), str(model)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    wall_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": wall_s, "cpu_s": cpu_s, **json.loads(done.stdout)}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, as JSON has it."""
    runs: dict[str, SearchRun] = {}
    sides = {"harbour": options.side, "ocean": options.side, "large": options.large_side}
    with tempfile.TemporaryDirectory() as folder:
        scenes = _made(Path(folder), options, sides)
        for _ in range(options.repeats):  # all ways in turn, so that what slows the machine for a while slows all alike
            for name, way in WAYS.items():
                if sides[way.scene] and (not options.only or name in options.only):
                    run = run_apart(name, scenes(way.scene), options)
                    runs[name] = min(runs.get(name, run), run, key=lambda one: one.wall_s)
        first = first_result(scenes("harbour"), options.model)
    files = verified_files(options.model, read_model(options.model), "openvino")
    flop_per_px = network_flop_per_px(files[0])
    rows = [_row(name, run, sides[WAYS[name].scene] ** 2, flop_per_px, runs) for name, run in runs.items()]
    return {
        "rows": rows,
        "steps_cpu_s_per_mpix": runs["steps"].steps_s_per_mpix if "steps" in runs else {},
        "first_result": first,
        "gflop_per_mpix": flop_per_px / 1e3,
        "ceiling_gflops": {one: ceiling_gflops(one, threads=options.threads) for one in ("f32", "bf16", "int8")},
        "joules": "read from the kernel's counters" if power_counter() else "no counter that can be read here",
        "load": os.getloadavg()[0],
        "threads": options.threads,
        "repeats": options.repeats,
        "model": read_model(options.model).label,
    }


def _made(folder: Path, options: argparse.Namespace, sides: dict[str, int]) -> Callable[[str], Path]:
    """Scenes by name, each made when it is first asked for."""

    def scene(name: str) -> Path:
        path = folder / f"{name}.tif"
        if not path.exists():
            if name == "harbour":
                write_harbour(path, options.data, side_px=sides[name])
            else:
                pieces = sea_pieces(options.data)
                write_ocean(path, pieces, side_px=sides[name], ships_per_mpix=SHIPS_PER_MPIX, deflate=False)
        return path

    return scene


def _row(name: str, run: SearchRun, scene_px: int, flop_per_px: float, runs: dict[str, SearchRun]) -> dict[str, Any]:
    reference, slowest = runs.get(REFERENCE), runs.get("SAHI defaults")
    is_harbour = WAYS[name].scene == "harbour"
    gflop = run.network_px * flop_per_px / 1e9
    return {
        "way": name,
        "scene": WAYS[name].scene,
        "mpix": scene_px / 1e6,
        "wall_s": run.wall_s,
        "cpu_s": run.cpu_s,
        "energy_j": run.energy_j,
        "mpix_per_s": scene_px / 1e6 / run.wall_s,
        "mpix_per_cpu_s": scene_px / 1e6 / run.cpu_s,
        "gflop": gflop,
        "gflops": gflop / run.wall_s,
        "gflop_per_cpu_s": gflop / run.cpu_s,
        "peak_bytes": run.peak_bytes,
        "images": run.tiles,
        "network_share": run.network_px / scene_px,
        "detections": len(run.found),
        "recall": recall(run.found, reference.found) if reference and is_harbour and name != "steps" else None,
        "times_sahi": slowest.wall_s / run.wall_s if slowest and is_harbour else None,
        "times_sahi_cpu": slowest.cpu_s / run.cpu_s if slowest and is_harbour else None,
        "note": run.note,
    }


def print_tables(result: dict[str, Any], targets: Sequence[Target]) -> None:
    """For people."""
    heads = (
        "way",
        "s",
        "CPU s",
        "Mpix/s",
        "Mpix/CPU s",
        "GFLOP/s",
        "GFLOP/CPU s",
        "px seen",
        "peak MB",
        "found",
        "recall",
        "x SAHI",
        "x CPU",
    )
    title = f"Search with {result['model']}, {result['threads']} threads, fastest of {result['repeats']}, load {result['load']:.1f}"
    table = Table(*heads, title=title)
    for row in result["rows"]:
        if row["way"] == "steps":
            continue
        cells = [
            f"{row['wall_s']:.2f}",
            f"{row['cpu_s']:.2f}",
            f"{row['mpix_per_s']:.1f}",
            f"{row['mpix_per_cpu_s']:.1f}",
        ]
        cells += [
            f"{row['gflops']:.0f}",
            f"{row['gflop_per_cpu_s']:.0f}",
            f"{row['network_share']:.2f}",
            f"{row['peak_bytes'] / 1e6:.0f}",
        ]
        cells += [str(row["detections"]), _or_dash(row["recall"], 3)]
        cells += [_or_dash(row["times_sahi"], 1), _or_dash(row["times_sahi_cpu"], 1)]
        table.add_row(row["way"], *cells)
    console = Console(width=130)
    console.print(table)
    for name, rate in result["ceiling_gflops"].items():
        console.print(
            f"ceiling {name}, a large convolution: {rate['per_s']:.0f} GFLOP/s, {rate['per_cpu_s']:.0f} GFLOP per CPU s"
        )
    console.print(f"network: {result['gflop_per_mpix']:.1f} GFLOP/Mpix")
    steps = Table("step", "CPU s/Mpix", title="Each step alone, one thread, no tile left out")
    for step, seconds in result["steps_cpu_s_per_mpix"].items():
        steps.add_row(step, f"{seconds:.4f}")
    console.print(steps)
    first = result["first_result"]
    console.print(
        f"first result after {first['wall_s']:.2f} s, {first['cpu_s']:.2f} CPU s, from the start of a process"
    )
    joules = ", ".join(f"{row['way']} {row['energy_j']:.0f} J" for row in result["rows"] if row["energy_j"] is not None)
    console.print(f"joules: {joules or result['joules']}")
    verdicts = Table("target", "wanted", "here", "", title="Targets")
    for target in targets:
        verdicts.add_row(target.name, target.wanted, target.here, "hit" if target.is_hit else "missed")
    console.print(verdicts)


def _or_dash(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def main() -> int:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "s2_ships")
    parser.add_argument("--side", type=int, default=4096, help="edge of the harbour and of the ocean, pixels")
    parser.add_argument("--large-side", type=int, default=10_980, help="edge of the large ocean; 0: none")
    parser.add_argument("--model", type=Path, default=MODEL, help="model folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each way; the fastest counts")
    parser.add_argument("--only", action="append", choices=sorted(WAYS), help="this way alone; may be given again")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--way", choices=sorted(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--scene", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        run = WAYS[options.way].run(options.scene, options.model, options.threads)
        sys.stdout.write("\n" + json.dumps(asdict(run)) + "\n")
        return 0
    result = measure(options)
    targets = targets_of(result)
    if options.json:
        sys.stdout.write(json.dumps({**result, "targets": [asdict(one) for one in targets]}) + "\n")
    else:
        print_tables(result, targets)
    return 0 if all(one.is_hit for one in targets) else 1


if __name__ == "__main__":
    sys.exit(main())
