"""One run from scene files to report: opens the scenes, flies, publishes, measures, writes (edge: files and the clock)."""

import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from downlink.journal import FileJournal
from ground.catalogue import PublishedScene
from mission.baselines import lossless, lossy_at_equal_quality, read_whole
from mission.errors import RunError
from mission.flight import Flight, FlightRecord
from mission.measures import (
    SceneQuality,
    byte_figures,
    compare_scene,
    contact_figures,
    latency_figures,
    ledger_figures,
    link_figures,
    quality_figures,
)
from mission.outcome import (
    JudgedDetections,
    energy_points,
    fifo_curve,
    judge_detections,
    publish_scenes,
    scene_views,
    sent_layers,
)
from mission.progress import ProgressBars
from mission.report_html import write_html
from mission.report_model import (
    ByteFigures,
    EnergyFigures,
    Report,
    SavedFigures,
    SceneFigures,
    SoftwareFigures,
    ThroughputFigures,
)
from mission.report_rows import RunReport
from mission.scenario import Scenario
from mission.truth import read_truth
from onboard.detector import Detector, load_detector
from onboard.ingest import IngestSettings, open_scene
from onboard.policy import Policy, load_policy
from onboard.sensor_frame import SensorFrame

MODELS_FOLDER = Path(__file__).resolve().parent.parent / "onboard" / "models"
DEFAULT_MODEL = "ship_s2"
LIBRARIES = ("numpy", "rasterio", "openvino", "zstandard", "pydantic", "sgp4")
RUN_FILES = ("report.json", "report.html", "onboard", "ground")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a user asks for."""

    scenes: tuple[Path, ...]
    """Scene files, in order of capture."""
    out: Path
    """Folder for everything that is written."""
    scenario: Scenario
    """What is flown."""
    seed: int
    """Of every random stream."""
    truths: tuple[Path | None, ...] = ()
    """Per scene, or empty."""
    replace: bool = False
    """Whether an earlier run in `out` may be replaced."""
    baselines: bool = True
    """Whether the lossless and the lossy baseline are measured."""


def run(request: RunRequest, bars: ProgressBars) -> Report:
    """Do everything and write report.json and report.html. Raises the rooms' errors, with nothing half written."""
    started_s = time.perf_counter()
    scenario = request.scenario
    policy = load_policy(scenario.policy.file)
    detector = open_detector(scenario)
    _prepare(request)
    with ExitStack() as opened:
        settings = IngestSettings(band_names=scenario.sensor.band_names, allow_no_crs=scenario.sensor.allow_no_crs)
        frames = [opened.enter_context(open_scene(path, settings)) for path in request.scenes]
        record, flight_s = _fly(request, frames, policy, detector, bars)
        truths = [
            None if path is None else read_truth(path, processed.summary)
            for path, processed in zip(request.truths or (None,) * len(frames), record.scenes, strict=True)
        ]
        with bars.stage("Rebuild", total=None):
            published = publish_scenes(record, request.out)
        qualities = [
            compare_scene(frame, processed, published.get(processed.summary.scene))
            for frame, processed in bars.track(zip(frames, record.scenes, strict=True), "Compare", total=len(frames))
        ]
        sizes = _sizes(request, record, frames, qualities, bars)
        judged = judge_detections(record, truths)
        mpix = sum(frame.height * frame.width for frame in frames) / 1e6
        report = _report(request, record, frames, qualities, sizes, judged, policy, detector).model_copy(
            update={"throughput": ThroughputFigures(mpix_per_s=mpix / flight_s, wall_s=time.perf_counter() - started_s)}
        )
    report.write(request.out / "report.json")
    with bars.stage("Report", total=None):
        write_html(_page(request, record, report, judged, published), request.out / "report.html")
    return report


def open_detector(scenario: Scenario) -> Detector:
    """The model of a scenario: a shipped name or a folder. Raises ModelFileError or EngineError."""
    name = scenario.detector.model or DEFAULT_MODEL
    folder = MODELS_FOLDER / name if (MODELS_FOLDER / name).is_dir() else Path(name)
    threads = scenario.detector.threads
    return load_detector(folder, scenario.detector.engine, **({} if threads is None else {"threads": threads}))


def _prepare(request: RunRequest) -> None:
    """Make room for a run: an earlier one is only replaced when asked, and then only the files a run writes."""
    earlier = [request.out / name for name in RUN_FILES if (request.out / name).exists()]
    if earlier and not request.replace:
        raise RunError(
            f"{request.out} holds an earlier run ({', '.join(path.name for path in earlier)}): "
            "choose another --out, or give --replace"
        )
    for path in earlier:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    try:
        request.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make {request.out}: {error.strerror}; choose another --out") from error


def _fly(
    request: RunRequest, frames: Sequence[SensorFrame], policy: Policy, detector: Detector, bars: ProgressBars
) -> tuple[FlightRecord, float]:
    tiles = sum(-(-frame.height // 512) * -(-frame.width // 512) for frame in frames)
    with (
        FileJournal(request.out / "onboard" / "products.journal") as onboard_journal,
        FileJournal(request.out / "ground" / "layers.journal") as ground_journal,
        bars.stage("On board", total=tiles) as on_board,
        bars.stage("On ground", total=None) as on_ground,
    ):
        flight = Flight(
            scenario=request.scenario,
            policy=policy,
            detector=detector,
            seed=request.seed,
            onboard_journal=onboard_journal,
            ground_journal=ground_journal,
            on_tile=lambda report: on_board.advance(note=report.outcome.value),
            on_arrival=lambda layers: on_ground.reach(layers, note="layers"),
        )
        started_s = time.perf_counter()
        record = flight.fly(frames)
        return record, time.perf_counter() - started_s


def _sizes(
    request: RunRequest,
    record: FlightRecord,
    frames: Sequence[SensorFrame],
    qualities: Sequence[SceneQuality],
    bars: ProgressBars,
) -> ByteFigures:
    """Bytes beside the baselines; a baseline that one scene does not have is null for all."""
    exact: int | None = 0
    lossy: int | None = 0
    codecs: set[str] = set()
    if not request.baselines:
        return byte_figures(record, lossless=None, lossless_codec=None, lossy_equal_quality=None)
    work = zip(frames, record.scenes, qualities, strict=True)
    for frame, processed, quality in bars.track(work, "Baselines", total=len(frames)):
        pixels = None if any(tile.outcome == "unreadable" for tile in processed.tiles) else read_whole(frame)
        if pixels is None:
            exact = lossy = None
            break
        best = lossless(pixels)
        codecs.add(best.codec)
        exact = exact + best.size_bytes if exact is not None else None
        coded = best.size_bytes
        if not quality.regions.identical:
            found = lossy_at_equal_quality(
                pixels, [chip.window for chip in processed.chips], quality.regions.mse or 0.0
            )
            lossy = None if found is None or lossy is None else lossy + found
        elif lossy is not None:
            lossy += coded
    return byte_figures(
        record,
        lossless=exact,
        lossless_codec=", ".join(sorted(codecs)) or None,
        lossy_equal_quality=lossy,
    )


def _report(
    request: RunRequest,
    record: FlightRecord,
    frames: Sequence[SensorFrame],
    qualities: Sequence[SceneQuality],
    sizes: ByteFigures,
    judged: JudgedDetections,
    policy: Policy,
    detector: Detector,
) -> Report:
    latencies_s = [row.latency_s for row in judged.rows if row.latency_s is not None]
    battery, section = record.power.battery, request.scenario.power
    by_step = {step.value: joules for step, joules in record.power.ledger.by_step.items()}
    return Report(
        seed=request.seed,
        scenes=tuple(
            _scene_figures(record, index, frames[index], qualities[index], judged) for index in range(len(frames))
        ),
        bytes=sizes,
        saved=SavedFigures.of(sizes),
        detections=judged.figures,
        quality=quality_figures(qualities),
        latency_s=latency_figures(latencies_s),
        energy_j=EnergyFigures(
            budget=max(0.0, section.initial_charge_j + battery.harvested_j - battery.clipped_j - section.reserve_j),
            spent=sum(by_step.values()),
            by_step=by_step,
        ),
        throughput=ThroughputFigures(mpix_per_s=0.0, wall_s=0.0),
        ledger=ledger_figures(record, frames),
        contacts=contact_figures(record),
        link=link_figures(record),
        software=SoftwareFigures(
            version=_version("tianshu"),
            model=detector.model.label,
            model_sha256=next(iter(detector.model.files[request.scenario.detector.engine].values())),
            policy=policy.name,
            scenario=request.scenario.mission.name,
            engine=request.scenario.detector.engine,
            command=" ".join(["tianshu", *sys.argv[1:]]),
            libraries={name: _version(name) for name in LIBRARIES},
        ),
    )


def _scene_figures(
    record: FlightRecord, index: int, frame: SensorFrame, quality: SceneQuality, judged: JudgedDetections
) -> SceneFigures:
    processed = record.scenes[index]
    rows = [row for row in judged.rows if row.scene == processed.summary.scene]
    outcomes = [outcome.value for outcome in processed.summary.tile_outcomes]
    psnr_db = quality.scene.psnr_db(quality.peak_dn)
    return SceneFigures(
        name=frame.name,
        bands=len(frame.band_names),
        height=frame.height,
        width=frame.width,
        dtype=frame.dtype,
        captured_s=(record.captured_ms[index] - record.scenario.start_ms) / 1000,
        detections_onboard=len(rows),
        detections_delivered=sum(row.received_ms is not None for row in rows),
        psnr_db=None if psnr_db is None or quality.scene.identical else psnr_db,
        lossless=quality.scene.identical and quality.rebuilt_valid == quality.original_valid,
        valid_fraction=quality.rebuilt_valid / quality.original_valid if quality.original_valid else None,
        tiles={outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))},
        notes=processed.notes,
    )


def _page(
    request: RunRequest,
    record: FlightRecord,
    report: Report,
    judged: JudgedDetections,
    published: dict[int, PublishedScene],
) -> RunReport:
    sent = sent_layers(record)
    return RunReport(
        report=report,
        start_ms=record.scenario.start_ms,
        end_ms=record.world.now_ms,
        scenes=scene_views(record, request.scenes, published),
        sent=sent,
        detections=judged.rows,
        truth=judged.truth,
        energy=energy_points(record),
        battery_capacity_j=record.scenario.power.capacity_j,
        fifo_curve=fifo_curve(record, sent),
        title=f"Tianshu: {record.scenario.mission.name}",
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
