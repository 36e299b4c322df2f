"""From a checkpoint to the model folder that flies: ONNX, OpenVINO IR in fp16, and model.json with every hash.

The IR is made from the ONNX file by the OpenVINO runtime itself: its converter front end would report usage.
"""

from __future__ import annotations

import copy
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from onboard.detector import DetectorModel
from onboard.training.calibrate import OperatingPoint
from onboard.training.network import load_network, torch
from onboard.training.plan import INPUT_KIND, TrainingPlan

INPUT_PX = 640
"""Largest side of what the exported network is given."""
INPUT_MULTIPLE_PX = 32
"""Sides of what it is given: the stride of its coarsest features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAbout:
    """What model.json says of a network beside its numbers."""

    version: str
    training_data: str
    """Where the pixels come from, with their licence, and which scenes were seen."""
    gsd_m: float = 10.0
    """Ground sampling distance of the scenes, metres per pixel."""
    licence: str = "AGPL-3.0-or-later"


def export(
    checkpoint: Path, model_dir: Path, point: OperatingPoint, *, plan: TrainingPlan, about: ModelAbout
) -> DetectorModel:
    """Write checkpoint, ONNX, IR and model.json to `model_dir`; returns the description. `plan` names bands and classes."""
    import openvino

    model_dir.mkdir(parents=True, exist_ok=True)
    name = model_dir.resolve().name
    weights, onnx_path, ir_path = (model_dir / f"{name}.{suffix}" for suffix in ("pt", "onnx", "xml"))
    if checkpoint.resolve() != weights.resolve():
        shutil.copyfile(checkpoint, weights)
    write_onnx(weights, onnx_path, channels=len(plan.bands))
    openvino.save_model(openvino.Core().read_model(onnx_path), ir_path, compress_to_fp16=True)
    model = DetectorModel(
        name=name,
        version=about.version,
        classes=plan.classes,
        bands=plan.bands,
        dn_to_input=INPUT_KIND,
        training_gsd_m=about.gsd_m,
        input_px=INPUT_PX,
        input_multiple_px=INPUT_MULTIPLE_PX,
        threshold=round(point.threshold, 4),
        calibration=point.calibration,
        files={
            "openvino": _hashes(ir_path, ir_path.with_suffix(".bin")),
            "onnxruntime": _hashes(onnx_path),
            "ultralytics": _hashes(weights),
        },
        training_data=about.training_data,
        licence=about.licence,
    )
    (model_dir / "model.json").write_text(model.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return model


def write_onnx(checkpoint: Path, path: Path, *, channels: int) -> None:
    """The fused network with decoded boxes as ONNX, for one image whose sides are multiples of INPUT_MULTIPLE_PX."""
    network = copy.deepcopy(load_network(checkpoint)).fuse(verbose=False).float().eval()
    head = network.model[-1]
    head.export, head.format, head.dynamic = True, "onnx", True
    example = torch.zeros(1, channels, 3 * INPUT_MULTIPLE_PX, 5 * INPUT_MULTIPLE_PX)
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
            dynamic_axes={"image": {2: "height", 3: "width"}, "boxes": {2: "cells"}},
        )


def _hashes(*paths: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
