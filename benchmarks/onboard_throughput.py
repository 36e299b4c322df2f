"""From a scene file to raw tiles stored and alerts ready: megapixels per second of the survey on board, whole and by step.

    python -m benchmarks.onboard_throughput --data ../shared/data/s2_ships [--side 4096] [--side 10980] [--ships 0.4]
        [--ahead 2] [--threads 2] [--json]
    python -m benchmarks.onboard_throughput --scene FILE [--json]

Makes sparse ocean scenes of real pixels (`benchmarks.ocean_scene`), uncompressed and with deflate, in a temporary folder, and surveys
each in a process of its own: every tile is read, screened, gated, searched with the shipped network where the gate passes it,
forecast, packed and written to a raw store on disk; the clock stops when the scene is sealed and summary and alerts have been handed
over (chips follow, and are told apart). Steps are timed where they are waited for:
with tiles read ahead that work shows as ingest when it is not done in time, and not at all when it is.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.ocean_scene import sea_pieces, write_ocean
from downlink.products import SUMMARY_PRODUCT
from onboard.detector import load_detector
from onboard.energy_prices import EnergyStep
from onboard.governor import Decision, Effort
from onboard.ingest import open_scene
from onboard.policy import load_policy
from onboard.processed_scene import PipelineSettings
from onboard.raw_store import RawStore
from onboard.scene_survey import SceneSurvey
from onboard.screening import ScreeningSettings
from onboard.uncoded_tiles import UncodedTiles
from onboard.valuation import ValuedLayer

MODEL = Path(__file__).resolve().parent.parent / "onboard" / "models" / "ship_s2"
TARGET_MPIX_PER_S = 10.0
NEAR_PX = 12
"""A ship counts as found when a detection's centre lies so near to its own."""


@dataclass(slots=True)
class TimedEnergy:
    """Energy without end, and a stopwatch for every step."""

    seconds: dict[str, float] = field(default_factory=dict)
    mpix: dict[str, float] = field(default_factory=dict)

    def decide(self, mpix: float) -> Decision:
        return Decision(effort=Effort.DETECT, reason="free")

    def may_spend(self, step: EnergyStep, mpix: float) -> Decision:
        return Decision(effort=Effort.DETECT, reason="free")

    @contextmanager
    def charge(self, step: EnergyStep, mpix: float) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start
        self.mpix[step] = self.mpix.get(step, 0.0) + mpix


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """One scene, surveyed."""

    scene: str
    mpix: float
    file_bytes: int
    stored_bytes: int
    tiles: int
    gated_tiles: int
    detections: int
    ships: int | None
    """Set into the scene; None where that is not known."""
    ships_found: int | None
    """Of them, with a detection at their place."""
    alerts_s: float
    """From the opening of the file to sealed and alerts ready."""
    whole_s: float
    """The chips coded as well."""
    cpu_s: float
    """Processor time of all threads, to the end."""
    mpix_per_s: float
    """To sealed and alerts ready."""
    mpix_per_cpu_s: float
    """Of processor time to the end: what one free core would do; unlike the rate it hardly depends on who else uses the machine."""
    load: float
    """Processes that wanted to run on the machine over the last minute, this one included."""
    step_s: dict[str, float]
    """Seconds by step, where they were waited for."""
    step_mpix_per_s: dict[str, float]
    """Of the pixels that the step has seen."""
    peak_bytes: int
    """Largest resident memory of the process, libraries and network included."""


def measure(path: Path, ships: Sequence[tuple[int, int]] | None, *, ahead: int, threads: int) -> Throughput:
    """Survey one scene in this process, so many tiles read ahead, the network on so many threads."""
    detector = load_detector(MODEL, threads=threads)
    energy, emitted_at = TimedEnergy(), []

    def emit(layers: Sequence[ValuedLayer]) -> None:
        if any(valued.layer.address.product == SUMMARY_PRODUCT for valued in layers):
            emitted_at.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        raw = RawStore(Path(folder) / "raw", capacity_bytes=1 << 40)
        survey = SceneSurvey(
            policy=load_policy(),
            settings=PipelineSettings(screening=ScreeningSettings(), peak_dn=10_000),
            detector=detector,
            energy=energy,
            tiles=UncodedTiles(raw),
            emit=emit,
            ahead=ahead,
        )
        cpu, start = time.process_time(), time.perf_counter()
        with open_scene(path) as frame:
            surveyed = survey.survey(frame, scene=1, captured_ms=1_700_000_000_000)
            mpix = frame.height * frame.width / 1e6
        whole_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu
        stored_bytes = raw.used_bytes
    centres = [_centre(detection.corners_px) for detection in surveyed.detections]
    found = None
    if ships is not None:
        found = sum(any(abs(x - col) < NEAR_PX and abs(y - row) < NEAR_PX for x, y in centres) for row, col in ships)
    alerts_s = emitted_at[0] - start
    return Throughput(
        scene=path.name,
        mpix=mpix,
        file_bytes=path.stat().st_size,
        stored_bytes=stored_bytes,
        tiles=len(surveyed.tiles),
        gated_tiles=sum(report.is_gated for report in surveyed.tiles),
        detections=len(surveyed.detections),
        ships=None if ships is None else len(ships),
        ships_found=found,
        alerts_s=alerts_s,
        whole_s=whole_s,
        cpu_s=cpu_s,
        mpix_per_s=mpix / alerts_s,
        mpix_per_cpu_s=mpix / cpu_s,
        load=os.getloadavg()[0],
        step_s=dict(energy.seconds),
        step_mpix_per_s={step: energy.mpix[step] / seconds for step, seconds in energy.seconds.items()},
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _centre(corners: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return sum(x for x, _ in corners) / 4, sum(y for _, y in corners) / 4


def measure_apart(path: Path, ships: list[tuple[int, int]], options: Sequence[str]) -> dict[str, Any]:
    """Survey one scene in a process of its own, so that its memory is its own."""
    places = path.with_suffix(".json")
    places.write_text(json.dumps(ships), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.onboard_throughput", "--scene", str(path), "--places", str(places)]
    command += [*options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)[0]
    return result


def made_scenes(
    data: Path, sides: Sequence[int], ships_per_mpix: float, options: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Make, survey and remove one scene after the other."""
    pieces = sea_pieces(data)
    with tempfile.TemporaryDirectory() as folder:
        for side_px in sides:
            for deflate in (False, True):
                path = Path(folder) / f"ocean_{side_px}_{'deflate' if deflate else 'plain'}.tif"
                ships = write_ocean(path, pieces, side_px=side_px, ships_per_mpix=ships_per_mpix, deflate=deflate)
                yield measure_apart(path, ships, options)
                path.unlink()


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """For people."""
    table = Table(title="Survey on board: file to stored and alerts ready")
    for heading in (
        "scene",
        "Mpix",
        "Mpix/s",
        "per CPU s",
        "load",
        "seconds",
        "with chips",
        "gated",
        "ships",
        "raw MB",
        "peak MB",
    ):
        table.add_column(heading)
    steps = Table(title="By step: seconds (Mpix/s of what the step has seen)")
    names = [step.value for step in EnergyStep if any(step in row["step_s"] for row in rows)]
    for heading in ("scene", *names):
        steps.add_column(heading)
    for row in rows:
        ships = "-" if row["ships"] is None else f"{row['ships_found']}/{row['ships']}"
        table.add_row(
            row["scene"],
            f"{row['mpix']:.1f}",
            f"{row['mpix_per_s']:.1f}",
            f"{row['mpix_per_cpu_s']:.1f}",
            f"{row['load']:.1f}",
            f"{row['alerts_s']:.2f}",
            f"{row['whole_s']:.2f}",
            f"{row['gated_tiles']}/{row['tiles']}",
            ships,
            f"{row['stored_bytes'] / 1e6:.0f}",
            f"{row['peak_bytes'] / 1e6:.0f}",
        )
        cells = [f"{row['step_s'].get(n, 0):.2f} ({row['step_mpix_per_s'].get(n, 0):.0f})" for n in names]
        steps.add_row(row["scene"], *cells)
    console = Console(width=120)
    console.print(table)
    console.print(steps)


def main() -> int:
    """Measure and print; exit code 1 below the target."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, help="folder with images/ and labels_obb/ to make scenes of")
    parser.add_argument("--scene", type=Path, help="survey this file in this process")
    parser.add_argument("--places", type=Path, help="JSON of the centres of its ships")
    parser.add_argument("--side", type=int, action="append", help="edge of a made scene; may be given again")
    parser.add_argument("--ships", type=float, default=0.4, help="ships per megapixel of a made scene")
    parser.add_argument("--ahead", type=int, default=2, help="tiles read and screened ahead; 0: none")
    parser.add_argument("--threads", type=int, default=2, help="threads of the network")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    if arguments.scene is not None:
        places = None if arguments.places is None else json.loads(arguments.places.read_text(encoding="utf-8"))
        rows = [asdict(measure(arguments.scene, places, ahead=arguments.ahead, threads=arguments.threads))]
    elif arguments.data is not None:
        options = ["--ahead", str(arguments.ahead), "--threads", str(arguments.threads)]
        rows = list(made_scenes(arguments.data, arguments.side or (4096, 10_980), arguments.ships, options))
    else:
        parser.error("give --data to make scenes, or --scene")
    if arguments.json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return 0
    print_table(rows)
    return 0 if all(row["mpix_per_s"] >= TARGET_MPIX_PER_S for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
