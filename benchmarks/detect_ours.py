"""Ours: from a scene file to merged detections, with the parts that the survey on board is made of."""

import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.detect_runs import SearchRun, measured
from downlink.scene import Window
from onboard.detection import Detection
from onboard.detector import DetectorModel, TileDetector, preferred_engine, read_model, verified_files
from onboard.detector_openvino import OpenVinoEngine
from onboard.engine_names import EngineName
from onboard.ingest import open_scene
from onboard.land_gate import LandGate, only_afloat
from onboard.network_input import network_input
from onboard.processed_scene import PipelineSettings, TileReport
from onboard.regions import within_scene
from onboard.screening import ScreeningSettings, screen
from onboard.sea_gate import SeaGate, may_hold_objects
from onboard.seam_merge import merge_seams
from onboard.search_windows import begin_search, plan_search, windows_for
from onboard.sensor_frame import SensorFrame
from onboard.tile_ahead import begun_ahead, tile_ahead
from onboard.tile_look import TileLook, look
from onboard.tiles import TileWindow, tile_grid

TILE_PX = 512
WARM_PX = (128, 192, 320, 576)
SETTINGS = PipelineSettings(screening=ScreeningSettings(), peak_dn=10_000, tile_px=TILE_PX)
UNGATED = replace(SETTINGS, sea_gate=SeaGate(enabled=False), land_gate=LandGate(enabled=False))


def warm_detector(folder: Path, *, threads: int, engine: EngineName | None = None) -> TileDetector:
    """The model of a folder on OpenVINO, in what flies where no engine is named, once through every size of window."""
    model = read_model(folder)
    detector = TileDetector(model, OpenVinoEngine(network_file(folder, engine), threads=threads))
    pixels = np.zeros((len(model.bands), max(WARM_PX), max(WARM_PX)), np.uint16)
    sizes = WARM_PX if model.input_multiple_px else WARM_PX[-1:]
    for side in sizes:  # as many at once as it takes that every stream has seen the size
        detector.begin(pixels, model.bands, [Window(row=0, col=0, height=side, width=side)] * 2 * threads)()
    return detector


def network_file(folder: Path, engine: EngineName | None = None) -> Path:
    """What an engine opens of a model folder; without a name what flies."""
    model = read_model(folder)
    return verified_files(folder, model, engine or preferred_engine(model))[0]


def run_ours(scene: Path, folder: Path, *, gated: bool, threads: int, engine: EngineName | None = None) -> SearchRun:
    """Read and screened in two threads, the network begun two tiles ahead."""
    detector = warm_detector(folder, threads=threads, engine=engine)
    settings, run = settings_for(detector.model, gated=gated), SearchRun()
    with open_scene(scene) as frame:  # the first small search: PROJ opens its database once
        look(frame, tile_grid(frame.height, frame.width)[0], settings=settings, charge=lambda step, mpix: nullcontext())
    with measured(run), open_scene(scene) as frame:
        found = search(frame, detector, settings, run, threads=threads)
    run.found = [(*one.center_px, one.confidence) for one in found]
    return run


def settings_for(model: DetectorModel, *, gated: bool) -> PipelineSettings:
    """As the survey sets them for a detector."""
    if not gated:
        return UNGATED
    return SETTINGS if only_afloat(model.classes) else replace(SETTINGS, land_gate=LandGate(enabled=False))


def search(
    frame: SensorFrame, detector: TileDetector, settings: PipelineSettings, run: SearchRun, *, threads: int
) -> list[Detection]:
    """All detections of a scene, in its pixels; `run` counts what the network is given."""

    def looked(tile: TileWindow) -> tuple[TileWindow, TileLook | TileReport]:
        return tile, look(frame, tile, settings=settings, charge=lambda step, mpix: nullcontext())

    def begun(seen: tuple[TileWindow, TileLook | TileReport]) -> Callable[[], list[Detection]] | None:
        _, at = seen
        if isinstance(at, TileReport) or not at.plan.passes:
            return None
        size_px = (at.padded.shape[1], at.padded.shape[2])
        windows = windows_for(detector, at.plan, size_px, halo_px=settings.halo_px)
        run.tiles += len(windows)
        run.network_px += sum(_given_px(detector.model, window.padded) for window in windows)
        slack_px = settings.halo_px - settings.edge_px
        return begin_search(detector, at.padded, frame.band_names, windows, slack_px=slack_px)

    grid = tile_grid(frame.height, frame.width, tile_px=settings.tile_px, halo_px=settings.halo_px)
    found: list[Detection] = []
    with closing(tile_ahead(looked, grid, ahead=3, threads=threads)) as seen:
        for (tile, _), wait in begun_ahead(begun, seen, ahead=2):
            if wait is not None:
                found.extend(one.shifted(tile.padded.col, tile.padded.row) for one in wait())
    return within_scene(merge_seams(found), frame)


def run_steps(scene: Path, folder: Path, *, every: int) -> SearchRun:
    """CPU seconds of each step, one after the other in one thread, on every so many tiles, no tile left out by a gate."""
    detector, run = warm_detector(folder, threads=1), SearchRun(note=f"one tile of {every}")
    model, spent = (
        detector.model,
        dict.fromkeys(("read", "screen", "gates", "prepare", "infer and decode", "merge"), 0.0),
    )
    mpix, last = 0.0, time.process_time()

    def lap(step: str) -> float:
        nonlocal last
        begun, last = last, time.process_time()
        spent[step] += last - begun
        return last - begun

    with measured(run), open_scene(scene) as frame:
        halo = SETTINGS.halo_px
        for tile in tile_grid(frame.height, frame.width, tile_px=TILE_PX, halo_px=halo)[::every]:
            last = time.process_time()
            padded, valid = frame.read_around(tile.core, tile.padded), frame.valid(tile.core)
            lap("read")
            core = padded[:, halo : halo + tile.core.height, halo : halo + tile.core.width]
            screen(core, valid, frame.band_names, SETTINGS.screening)
            lap("screen")
            may_hold_objects(core, valid, frame.band_names, SETTINGS.sea_gate)
            plan_search(
                padded, valid, frame.band_names, halo_px=halo, sea_gate=SETTINGS.sea_gate, land_gate=SETTINGS.land_gate
            )
            lap("gates")
            network_input(padded, frame.band_names, model.bands, kind=model.dn_to_input)
            preparing_s = lap("prepare")
            found = detector.detect(padded, frame.band_names)
            lap("infer and decode")
            spent["infer and decode"] -= preparing_s  # the detector prepares too
            merge_seams(found)
            lap("merge")
            run.tiles += 1
            mpix += tile.core.height * tile.core.width / 1e6
    run.steps_s_per_mpix = {step: seconds / mpix for step, seconds in spent.items()}
    return run


def fitted(image: np.ndarray, model: DetectorModel) -> np.ndarray:
    """An image as the network takes it: filled to its size where it takes only one."""
    if model.input_multiple_px is not None:
        return image
    below, beside = (model.input_px - side for side in image.shape[1:])
    return np.pad(image, ((0, 0), (0, below), (0, beside)), mode="edge")


def _given_px(model: DetectorModel, window: Window) -> int:
    multiple = model.input_multiple_px
    if multiple is None:
        return model.input_px**2
    return -(-window.height // multiple) * -(-window.width // multiple) * multiple**2
