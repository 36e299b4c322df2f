"""Times every engine on one tile and compares what they find: the table that chooses the engine that flies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from onboard.detection import Detection
from onboard.detector import Detector, DetectorModel, TileDetector, load_detector, read_model
from onboard.detector_openvino import OpenVinoEngine
from onboard.engine_names import EngineName

COMPARED_FROM = 0.05
"""Calibrated confidence from which detections are compared: more of them than the model itself reports."""


def engine_table(model_dir: Path, tile: np.ndarray, *, threads: int, rounds: int = 12) -> Iterator[str]:
    """One line per engine for a (bands, size, size) uint16 tile in the model's bands.

    Wall and processor milliseconds are medians from digital numbers to detections; on a busy machine trust the latter.
    Missing are detections of the first engine that are not here, extra those that it has not; the gap is the largest difference in
    confidence of what both have.
    """
    bands = read_model(model_dir).bands
    reference: list[Detection] = []
    yield f"{'engine':14s} wall ms  cpu ms     MB  found  missing  extra  largest gap"
    for name, detector, size_bytes in _detectors(model_dir, threads):
        found = detector.detect(tile, bands)
        reference = reference or found
        wall_ms, cpu_ms = _median_ms(lambda: detector.detect(tile, bands), rounds)  # noqa: B023
        gaps = [_gap(item, found) for item in reference]
        shared = [gap for gap in gaps if gap is not None]
        extra = sum(_gap(item, reference) is None for item in found)
        counts = f"{len(found):5d}  {len(gaps) - len(shared):7d}  {extra:5d}"
        yield f"{name:14s} {wall_ms:7.1f} {cpu_ms:7.1f} {size_bytes / 1e6:6.2f}  {counts}  {max(shared, default=0.0):11.4f}"


def _detectors(model_dir: Path, threads: int) -> Iterator[tuple[str, Detector, int]]:
    model = read_model(model_dir)
    engines: tuple[EngineName, ...] = ("ultralytics", "onnxruntime", "openvino", "openvino_int8")
    for engine in [name for name in engines if name in model.files]:
        yield (
            engine,
            load_detector(model_dir, engine, threads, threshold=COMPARED_FROM),
            _size(model_dir, model, engine),
        )
    brain_float = OpenVinoEngine(model_dir / next(iter(model.files["openvino"])), threads=threads, precision="bf16")
    yield (
        "openvino bf16",
        TileDetector(model, brain_float, threshold=COMPARED_FROM),
        _size(model_dir, model, "openvino"),
    )


def _size(model_dir: Path, model: DetectorModel, engine: EngineName) -> int:
    return sum((model_dir / name).stat().st_size for name in model.files[engine])


def _median_ms(call: Callable[[], object], rounds: int) -> tuple[float, float]:
    wall, processor = [], []
    for _ in range(rounds):
        started, started_cpu = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - started)
        processor.append(time.process_time() - started_cpu)
    return float(np.median(wall)) * 1000, float(np.median(processor)) * 1000


def _gap(wanted: Detection, found: list[Detection]) -> float | None:
    """Difference in confidence to the detection at the same place, None where there is none."""
    near = [item for item in found if np.abs(np.subtract(item.center_px, wanted.center_px)).max() < 1.0]
    return min((abs(item.confidence - wanted.confidence) for item in near), default=None)
