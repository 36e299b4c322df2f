"""The pipeline on board as a scenario has it: detector, settings of the scene files, settings of each scene."""

from pathlib import Path
from typing import Literal

from mission.scenario import Scenario
from onboard.detector import Detector, load_detector, read_model
from onboard.ingest import IngestSettings
from onboard.processed_scene import PipelineSettings
from onboard.screening import ScreeningSettings

MODELS_FOLDER = Path(__file__).resolve().parent.parent / "onboard" / "models"
DEFAULT_MODEL = "ship_s2"
PEAK_DN = {"uint8": 255, "uint16": 10_000}
"""Full scale of a PSNR where the scenario says nothing: all counts of 8 bits, reflectance 1 of Sentinel-2."""


def open_detector(scenario: Scenario, *, searched_from: float | None = None) -> Detector:
    """The model of a scenario: a shipped name or a folder. Raises ModelFileError or EngineError.

    With `searched_from` below the model's threshold it names what it is less certain of as well, down to there: the audit's candidates.
    """
    name = scenario.detector.model or DEFAULT_MODEL
    folder = MODELS_FOLDER / name if (MODELS_FOLDER / name).is_dir() else Path(name)
    threads = scenario.detector.threads
    threshold = None if searched_from is None else min(searched_from, read_model(folder).threshold)
    return load_detector(
        folder, scenario.detector.engine, **({} if threads is None else {"threads": threads}), threshold=threshold
    )


def ingest_settings(scenario: Scenario) -> IngestSettings:
    """How scene files are opened, as `[sensor]` has it."""
    return IngestSettings(band_names=scenario.sensor.band_names, allow_no_crs=scenario.sensor.allow_no_crs)


def pipeline_settings(scenario: Scenario, dtype: Literal["uint8", "uint16"]) -> PipelineSettings:
    """How a scene of this sample type is cut and judged."""
    return PipelineSettings(
        screening=ScreeningSettings(
            max_cloud_fraction=scenario.screening.max_cloud_fraction,
            keep_what_may_be_snow=scenario.screening.keep_what_may_be_snow,
        ),
        peak_dn=scenario.sensor.peak_dn or PEAK_DN[dtype],
        dn_offset=scenario.sensor.dn_offset if dtype == "uint16" else 0,
    )
