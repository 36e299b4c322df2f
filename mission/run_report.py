"""A finished run as figures and as rows: the content of report.json and of report.html."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ground.catalogue import PublishedScene
from mission.audit_figures import JudgedAudit
from mission.audit_units import audited_units
from mission.flight import FlightRecord
from mission.measures import (
    SceneQuality,
    byte_figures,
    coding_figures,
    contact_figures,
    latency_figures,
    ledger_figures,
    link_figures,
    quality_figures,
)
from mission.outcome import JudgedDetections, energy_points, fifo_curve, scene_views, sent_layers
from mission.report_model import EnergyFigures, Report, SavedFigures, SceneFigures, SoftwareFigures, ThroughputFigures
from mission.report_rows import RunReport
from mission.run_baselines import BaselineBytes
from onboard.detector import DetectorModel, preferred_engine
from onboard.policy import Policy
from onboard.sensor_frame import SensorFrame

LIBRARIES = ("numpy", "rasterio", "openvino", "zstandard", "pydantic", "sgp4")


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """Everything that a run has found out."""

    paths: tuple[Path, ...]
    """Scene files, in order of capture."""
    frames: Sequence[SensorFrame]
    """The same, opened."""
    record: FlightRecord
    """What the flight left behind."""
    published: dict[int, PublishedScene]
    """By scene number."""
    qualities: Sequence[SceneQuality]
    """Per scene."""
    baselines: BaselineBytes
    """All scenes as whole files."""
    judged: JudgedDetections
    """Detections beside the truth."""
    audit: JudgedAudit
    """What was thrown away, and what of it was looked at."""
    policy: Policy
    """What was valued."""
    model: DetectorModel
    """What was looking."""
    command: str
    """What the user typed."""


def report_of(run: FinishedRun, speed: ThroughputFigures) -> Report:
    """The figures of report.json."""
    latencies_s = [row.latency_s for row in run.judged.rows if row.latency_s is not None]
    sizes = byte_figures(
        run.record,
        lossless=run.baselines.lossless,
        lossless_codec=", ".join(sorted(run.baselines.codecs)) or None,
        lossy_equal_quality=run.baselines.lossy_equal_quality,
    )
    return Report(
        seed=run.record.seed,
        scenes=tuple(_scene_figures(run, index) for index in range(len(run.frames))),
        bytes=sizes,
        saved=SavedFigures.of(sizes),
        detections=run.judged.figures,
        quality=quality_figures(run.qualities),
        latency_s=latency_figures(latencies_s),
        energy_j=_energy_figures(run.record),
        throughput=speed,
        ledger=ledger_figures(run.record, run.frames),
        coding=coding_figures(run.record),
        audit=run.audit.figures,
        contacts=contact_figures(run.record),
        link=link_figures(run.record),
        software=_software_figures(run),
    )


def page_of(run: FinishedRun, report: Report) -> RunReport:
    """The rows of report.html."""
    sent = sent_layers(run.record)
    return RunReport(
        report=report,
        start_ms=run.record.scenario.start_ms,
        end_ms=run.record.world.now_ms,
        scenes=scene_views(run.record, run.paths, run.published),
        sent=sent,
        detections=run.judged.rows,
        truth=run.judged.truth,
        energy=energy_points(run.record),
        battery_capacity_j=run.record.scenario.power.capacity_j,
        fifo_curve=fifo_curve(run.record, sent),
        audited=audited_units(run.audit),
        title=f"Tianshu: {run.record.scenario.mission.name}",
    )


def _scene_figures(run: FinishedRun, index: int) -> SceneFigures:
    frame, quality, processed = run.frames[index], run.qualities[index], run.record.scenes[index]
    rows = [row for row in run.judged.rows if row.scene == processed.summary.scene]
    outcomes = [outcome.value for outcome in processed.summary.tile_outcomes]
    return SceneFigures(
        name=frame.name,
        bands=len(frame.band_names),
        height=frame.height,
        width=frame.width,
        dtype=frame.dtype,
        captured_s=(run.record.captured_ms[index] - run.record.scenario.start_ms) / 1000,
        detections_onboard=len(rows),
        detections_delivered=sum(row.received_ms is not None for row in rows),
        psnr_db=None if quality.scene.identical else quality.scene.psnr_db(quality.peak_dn),
        lossless=quality.scene.identical and quality.rebuilt_valid == quality.original_valid,
        valid_fraction=quality.rebuilt_valid / quality.original_valid if quality.original_valid else None,
        tiles={outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))},
        notes=processed.notes,
    )


def _energy_figures(record: FlightRecord) -> EnergyFigures:
    """The budget is what the mission could spend without touching the reserve: charge at the start and sunlight kept."""
    battery, section = record.power.battery, record.scenario.power
    by_step = {step.value: joules for step, joules in record.power.ledger.by_step.items()}
    return EnergyFigures(
        budget=max(0.0, section.initial_charge_j + battery.harvested_j - battery.clipped_j - section.reserve_j),
        spent=record.power.ledger.spent_j,
        by_step=by_step,
        unmet=battery.unmet_j,
    )


def _software_figures(run: FinishedRun) -> SoftwareFigures:
    scenario = run.record.scenario
    engine = scenario.detector.engine or preferred_engine(run.model)
    return SoftwareFigures(
        version=_version("tianshu"),
        model=run.model.label,
        model_sha256=next(iter(run.model.files[engine].values())),
        policy=run.policy.name,
        scenario=scenario.mission.name,
        engine=engine,
        command=run.command,
        libraries={name: _version(name) for name in LIBRARIES},
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
