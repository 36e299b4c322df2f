"""One run from scene files to report: opens the scenes, flies, publishes, measures, writes (edge: files and the clock)."""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from downlink.journal import FileJournal
from mission.audit_figures import KnownScene, judged_audit
from mission.audit_verdicts import VERDICTS_FILE, write_verdicts
from mission.flight import Flight, FlightRecord
from mission.link_ends import EndJournals
from mission.measures import compare_scene
from mission.outcome import judge_detections, publish_scenes
from mission.pipeline_setup import ingest_settings, open_detector
from mission.progress import ProgressBars
from mission.report_html import write_html
from mission.report_model import Report, ThroughputFigures
from mission.run_baselines import NOT_MEASURED, measure_baselines
from mission.run_folder import (
    GROUND_JOURNALS,
    ONBOARD_JOURNALS,
    PAGE_FILE,
    RAW_FOLDER,
    REPORT_FILE,
    prepare_folder,
)
from mission.run_report import FinishedRun, page_of, report_of
from mission.scenario import Scenario
from mission.truth import Truth, read_truth
from onboard.detector import Detector
from onboard.ingest import open_scene
from onboard.policy import Policy, load_policy
from onboard.raw_store import RawStore
from onboard.sensor_frame import SensorFrame
from onboard.tiles import tile_grid


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
    """Do everything and write report.json and report.html.

    Raises the rooms' errors. What can be refused is refused before `request.out` is touched; after that both journals
    keep what was stored, and no report is left half written.
    """
    started_s = time.perf_counter()
    scenario = request.scenario
    policy = load_policy(scenario.policy.file)
    detector = open_detector(scenario, searched_from=policy.audit.searched_from)
    with ExitStack() as opened:
        settings = ingest_settings(scenario)
        frames = [opened.enter_context(open_scene(path, settings)) for path in request.scenes]
        truths = _read_truths(request, frames, detector)
        prepare_folder(request.out, replace=request.replace)
        journals = [_journals(request.out, names, opened) for names in (ONBOARD_JOURNALS, GROUND_JOURNALS)]
        record, flight_s = _fly(request, frames, policy, detector, bars, journals=journals)
        with bars.stage("Rebuild", total=None):
            published = publish_scenes(record, request.out)
        qualities = [
            compare_scene(frame, processed, published.get(processed.summary.scene))
            for frame, processed in bars.track(zip(frames, record.scenes, strict=True), "Compare", total=len(frames))
        ]
        known = {
            processed.summary.scene: KnownScene(detections=processed.detections, truth=truth)
            for processed, truth in zip(record.scenes, truths, strict=True)
        }
        with bars.stage("Audit", total=None):
            audit = judged_audit(record.layer_store, known, detector, dn_offset=scenario.sensor.dn_offset)
        finished = FinishedRun(
            paths=request.scenes,
            frames=frames,
            record=record,
            published=published,
            qualities=qualities,
            baselines=measure_baselines(record, frames, qualities, bars) if request.baselines else NOT_MEASURED,
            judged=judge_detections(record, truths),
            audit=audit,
            policy=policy,
            model=detector.model,
            command=" ".join(["tianshu", *sys.argv[1:]]),
        )
        mpix = sum(frame.height * frame.width for frame in frames) / 1e6
        speed = ThroughputFigures(mpix_per_s=mpix / flight_s, wall_s=time.perf_counter() - started_s)
        report = report_of(finished, speed)
    report.write(request.out / REPORT_FILE)
    write_verdicts(request.out / VERDICTS_FILE, audit.audits, audit.verdicts)
    with bars.stage("Report", total=None):
        write_html(page_of(finished, report), request.out / PAGE_FILE)
    return report


def _read_truths(request: RunRequest, frames: Sequence[SensorFrame], detector: Detector) -> list[Truth | None]:
    paths = request.truths or (None,) * len(frames)
    return [
        None if path is None else read_truth(path, frame, detector.model.classes)
        for path, frame in zip(paths, frames, strict=True)
    ]


def _journals(out: Path, names: tuple[Path, Path], opened: ExitStack) -> EndJournals:
    layers, commands = (opened.enter_context(FileJournal(out / name)) for name in names)
    return EndJournals(layers=layers, commands=commands)


def _fly(
    request: RunRequest,
    frames: Sequence[SensorFrame],
    policy: Policy,
    detector: Detector,
    bars: ProgressBars,
    *,
    journals: Sequence[EndJournals],
) -> tuple[FlightRecord, float]:
    """The flight, and how long it took, seconds. `journals`: on board, on the ground; open for as long as the flight's stores are read."""
    tiles = sum(len(tile_grid(frame.height, frame.width)) for frame in frames)
    with bars.stage("On board", total=tiles) as on_board, bars.stage("On ground", total=None) as on_ground:
        flight = Flight(
            scenario=request.scenario,
            policy=policy,
            detector=detector,
            seed=request.seed,
            onboard_journals=journals[0],
            ground_journals=journals[1],
            raw=RawStore(request.out / RAW_FOLDER, capacity_bytes=request.scenario.store.raw_capacity_bytes),
            on_tile=lambda report: on_board.advance(note=report.outcome.value),
            on_arrival=lambda layers: on_ground.reach(layers, note="layers"),
        )
        started_s = time.perf_counter()
        record = flight.fly(frames)
        return record, time.perf_counter() - started_s
