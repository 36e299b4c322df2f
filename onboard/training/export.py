"""From a checkpoint to the model folder that flies: ONNX, OpenVINO IR in fp16, and model.json with every hash.

The IR is made from the ONNX file by the OpenVINO runtime itself: its converter front end would report usage.
"""

from __future__ import annotations

import copy
import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from onboard.detector import DetectorModel, EngineName, load_detector
from onboard.training.calibrate import OperatingPoint
from onboard.training.network import load_network, torch
from onboard.training.plan import BANDS

INPUT_PX = 640


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRow:
    """One engine in the table that chooses between them."""

    engine: str
    milliseconds: float
    """Median for one tile of INPUT_PX, digital numbers to detections."""
    files_bytes: int
    worst_score_gap: float
    """Largest difference in confidence to the reference engine over its detections; 1 where one is missing."""


def export(
    checkpoint: Path, model_dir: Path, point: OperatingPoint, *, version: str, training_data: str
) -> DetectorModel:
    """Write checkpoint, ONNX, IR and model.json to `model_dir`; returns the description."""
    import openvino

    model_dir.mkdir(parents=True, exist_ok=True)
    name = model_dir.name
    weights, onnx_path, ir_path = (model_dir / f"{name}.{suffix}" for suffix in ("pt", "onnx", "xml"))
    if checkpoint.resolve() != weights.resolve():
        shutil.copyfile(checkpoint, weights)
    write_onnx(weights, onnx_path)
    openvino.save_model(openvino.Core().read_model(onnx_path), ir_path, compress_to_fp16=True)
    model = DetectorModel(
        name=name,
        version=version,
        classes=("ship",),
        bands=BANDS,
        dn_to_input="sqrt_reflectance",
        training_gsd_m=10.0,
        input_px=INPUT_PX,
        threshold=round(point.threshold, 4),
        calibration=point.calibration,
        files={
            "openvino": _hashes(ir_path, ir_path.with_suffix(".bin")),
            "onnxruntime": _hashes(onnx_path),
            "ultralytics": _hashes(weights),
        },
        training_data=training_data,
        licence="AGPL-3.0-or-later",
    )
    (model_dir / "model.json").write_text(model.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return model


def write_onnx(checkpoint: Path, path: Path) -> None:
    """The fused network with decoded boxes as ONNX, fixed to one image of INPUT_PX."""
    network = copy.deepcopy(load_network(checkpoint)).fuse(verbose=False).float().eval()
    head = network.model[-1]
    head.export, head.format, head.dynamic = True, "onnx", False
    example = torch.zeros(1, len(BANDS), INPUT_PX, INPUT_PX)
    with torch.no_grad():
        network(example)
        torch.onnx.export(
            network,
            (example,),
            str(path),
            opset_version=17,
            dynamo=False,
            input_names=["image"],
            output_names=["boxes"],
        )


def compare_engines(
    model_dir: Path, tile: np.ndarray, *, threads: int = 2, rounds: int = 12, report: Callable[[str], None] = print
) -> list[EngineRow]:
    """Time every engine on one (bands, 640, 640) uint16 tile and compare its detections with the reference engine's."""
    rows: list[EngineRow] = []
    reference: dict[tuple[float, float], float] = {}
    engines: tuple[EngineName, ...] = ("ultralytics", "onnxruntime", "openvino")
    for engine in engines:
        detector = load_detector(model_dir, engine, threads)
        found = {item.center_px: item.confidence for item in detector.detect(tile, BANDS)}
        reference = reference or found
        times = [_timed(partial(detector.detect, tile, BANDS)) for _ in range(rounds)]
        size = sum((model_dir / name).stat().st_size for name in detector.model.files[engine])
        row = EngineRow(
            engine=engine,
            milliseconds=float(np.median(times)),
            files_bytes=size,
            worst_score_gap=max((_gap(centre, value, found) for centre, value in reference.items()), default=0.0),
        )
        rows.append(row)
        report(
            f"{engine:12s} {row.milliseconds:7.1f} ms  {row.files_bytes / 1e6:5.2f} MB  "
            f"{len(found)} detections, worst gap {row.worst_score_gap:.4f}"
        )
    return rows


def _gap(centre: tuple[float, float], confidence: float, found: dict[tuple[float, float], float]) -> float:
    near = [value for other, value in found.items() if np.hypot(other[0] - centre[0], other[1] - centre[1]) < 1.0]
    return min((abs(value - confidence) for value in near), default=1.0)


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def _hashes(*paths: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
