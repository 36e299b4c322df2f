"""Fly every real scene there is over contacts that carry one per cent of its raw bytes, and say what came of it.

    python -m benchmarks.real_scenes --data ../shared/data [--out runs/real] [--baselines] [--json]

Two tables: the labelled Sentinel-2 ports with what was saved and what was lost, and every sample file of the ingest
collection with "done" or the words of the refusal. Ends with exit code 1 when a detection stayed on board, a ledger
does not balance, or a file ended in anything but a result or one of our own errors.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from downlink.errors import DownlinkError
from ground.errors import GroundError
from mission.errors import MissionError
from mission.progress import ProgressBars
from mission.report_model import Report
from mission.run import RunRequest, run
from mission.scenario import load_scenario
from onboard.errors import OnboardError

RASTERS = {".tif", ".tiff", ".jp2", ".vrt", ".png", ".jpg"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PortResult:
    """One port, flown."""

    name: str
    mpix: float
    raw_bytes: int
    downlinked_fraction: float
    saved_vs_lossless: float | None
    saved_vs_lossy: float | None
    onboard: int
    delivered: int
    truth: int | None
    precision: float | None
    recall: float | None
    f1: float | None
    roi_psnr_db: float | None
    scene_psnr_db: float | None
    valid_fraction: float
    balanced: bool
    wall_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """One sample file: done, or refused with a reason."""

    name: str
    verdict: str
    detail: str
    wall_s: float


def fly_port(image: Path, label: Path, out: Path, *, baselines: bool) -> PortResult:
    """One labelled scene over the one-per-cent scenario."""
    report = _fly(image, out / image.stem, truth=label, baselines=baselines)
    return PortResult(
        name=image.stem,
        mpix=sum(scene.height * scene.width for scene in report.scenes) / 1e6,
        raw_bytes=report.bytes.raw,
        downlinked_fraction=report.bytes.downlinked / report.bytes.raw,
        saved_vs_lossless=report.saved.vs_lossless,
        saved_vs_lossy=report.saved.vs_lossy_equal_quality,
        onboard=report.detections.onboard,
        delivered=report.detections.delivered,
        truth=report.detections.truth,
        precision=report.detections.precision,
        recall=report.detections.recall,
        f1=report.detections.f1,
        roi_psnr_db=report.quality.roi_psnr_db,
        scene_psnr_db=report.quality.scene_psnr_db,
        valid_fraction=report.quality.valid_fraction,
        balanced=report.ledger.balanced,
        wall_s=report.throughput.wall_s,
    )


def try_file(path: Path, out: Path, folder: Path) -> FileResult:
    """One sample file: flown, or refused by one of our own errors. Anything else ends the benchmark."""
    name = path.relative_to(folder).as_posix()
    started_s = time.perf_counter()
    try:
        report = _fly(path, out / name.replace("/", "_"), truth=None, baselines=False)
    except (DownlinkError, OnboardError, GroundError, MissionError) as error:
        return FileResult(name=name, verdict="refused", detail=str(error), wall_s=time.perf_counter() - started_s)
    scene = report.scenes[0]
    tiles = ", ".join(f"{count} {outcome}" for outcome, count in scene.tiles.items())
    detail = f"{scene.bands} x {scene.height} x {scene.width} {scene.dtype}; tiles: {tiles}"
    verdict = "done" if report.ledger.balanced else "NOT BALANCED"
    return FileResult(name=name, verdict=verdict, detail=detail, wall_s=time.perf_counter() - started_s)


def _fly(path: Path, out: Path, *, truth: Path | None, baselines: bool) -> Report:
    scenario = load_scenario("one_percent")
    request = RunRequest(
        scenes=(path,),
        out=out,
        scenario=scenario,
        seed=scenario.mission.seed,
        truths=(truth,) if truth else (),
        replace=True,
        baselines=baselines,
    )
    return run(request, ProgressBars(quiet=True))


def port_table(ports: list[PortResult]) -> Table:
    """The labelled ports, and all of them together."""
    table = Table(title="Contacts that carry 1 % of the raw bytes", title_justify="left")
    heads = (
        "port",
        "Mpix",
        "sent %",
        "vs lossless %",
        "vs JPEG 2000 %",
        "made",
        "ground",
        "truth",
        "prec",
        "recall",
        "F1",
    )
    for head in (*heads, "ROI dB", "scene dB", "valid %", "ledger", "s"):
        table.add_column(head, justify="left" if head in ("port", "ledger") else "right")
    for port in ports:
        table.add_row(
            port.name.split("_")[0],
            f"{port.mpix:.2f}",
            f"{100 * port.downlinked_fraction:.2f}",
            _percent(port.saved_vs_lossless),
            _percent(port.saved_vs_lossy),
            str(port.onboard),
            str(port.delivered),
            str(port.truth),
            _number(port.precision, 2),
            _number(port.recall, 2),
            _number(port.f1, 2),
            _number(port.roi_psnr_db, 1),
            _number(port.scene_psnr_db, 1),
            f"{100 * port.valid_fraction:.0f}",
            "balanced" if port.balanced else "OFF",
            f"{port.wall_s:.0f}",
        )
    return table


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def main() -> int:
    """Run everything, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/real"))
    parser.add_argument("--baselines", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    console = Console(stderr=options.json, width=180)
    images = sorted((options.data / "s2_ships" / "images").glob("*.tif"))
    folder = options.data / "georef_samples"
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in RASTERS)
    with ProgressBars(quiet=options.json) as bars:
        ports = [
            fly_port(
                image,
                options.data / "s2_ships" / "labels_obb" / f"{image.stem}.txt",
                options.out,
                baselines=options.baselines,
            )
            for image in bars.track(images, "Ports", total=len(images))
        ]
        results = [try_file(path, options.out, folder) for path in bars.track(files, "Files", total=len(files))]
    if options.json:
        sys.stdout.write(
            json.dumps({"ports": [asdict(p) for p in ports], "files": [asdict(r) for r in results]}) + "\n"
        )
    else:
        console.print(port_table(ports))
        table = Table(title="Every file of the ingest collection", title_justify="left")
        for head in ("file", "verdict", "detail", "s"):
            table.add_column(head, overflow="fold")
        for result in results:
            table.add_row(result.name, result.verdict, result.detail, f"{result.wall_s:.0f}")
        console.print(table)
    good = all(port.balanced and port.onboard == port.delivered for port in ports)
    return 0 if good and all(result.verdict in ("done", "refused") for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
