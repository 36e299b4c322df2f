"""From checkpoints to the model folder that flies: ONNX, OpenVINO IR in fp16, model.json with every hash, and the folds' networks.

The IR is made from the ONNX file by the OpenVINO runtime itself: its converter front end would report usage.
"""

from __future__ import annotations

import copy
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onboard.detector import DetectorModel
from onboard.training.calibrate import OperatingPoint, operating_point
from onboard.training.crossval import HeldOutPort
from onboard.training.held_out_networks import FOLDS_FILE, HeldOutNetwork, HeldOutNetworks
from onboard.training.labelled_scene import LabelledScene
from onboard.training.network import load_network, torch
from onboard.training.plan import INPUT_KIND, TrainingPlan

INPUT_PX = 640
"""Largest side of what the exported network is given."""
INPUT_MULTIPLE_PX = 32
"""Sides of what it is given: the stride of its coarsest features."""
SMALLEST_HALVED = 256
"""Smaller arrays, such as biases and the grid's constants, stay float32: they are few, and coordinates need the digits."""


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


def export_folds(
    work_dir: Path, model_dir: Path, ports: Sequence[HeldOutPort], scenes: Sequence[LabelledScene]
) -> HeldOutNetworks:
    """Write `fold_N.pt` of `work_dir` as networks that judge what they have not seen; returns what `folds.json` says.

    `ports` are the verdicts of all folds, `scenes` every scene of the cross-validation, in the model's bands: those whose `port` or
    name a fold's verdicts carry are the ones it has not seen.
    """
    folder = model_dir / FOLDS_FILE.parent
    folder.mkdir(parents=True, exist_ok=True)
    folds = []
    for number in sorted({port.fold for port in ports}):
        unseen = {port.port for port in ports if port.fold == number}
        point = operating_point([port for port in ports if port.fold != number] or list(ports))
        path = folder / f"fold_{number}.onnx"
        write_onnx(work_dir / f"fold_{number}.pt", path, channels=scenes[0].pixels.shape[2])
        halve_weights(path)
        folds.append(
            HeldOutNetwork(
                file=path.name,
                sha256=_hashes(path)[path.name],
                scenes={s.name: s.pixels_sha256 for s in scenes if s.port in unseen or s.name in unseen},
                calibration=point.calibration,
                threshold=round(point.threshold, 4),
            )
        )
    networks = HeldOutNetworks(folds=tuple(folds))
    (model_dir / FOLDS_FILE).write_text(networks.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return networks


def halve_weights(path: Path) -> None:
    """Store the weights of an ONNX file as fp16, each cast back before its use: half the size, and computed in float32 as before.

    Checkpoints hold fp16 weights; folding the batch norms in makes them float32, and rounding them again changes scores by
    about 1e-3.
    """
    import onnx
    from onnx import helper, numpy_helper

    graph_file = onnx.load(path)
    graph = graph_file.graph
    casts = []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if (
            values.dtype != np.float32
            or values.size < SMALLEST_HALVED
            or np.abs(values).max() > np.finfo(np.float16).max
        ):
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.fp16"))
        casts.append(helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT, name=f"{name}.cast"))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(graph_file)
    onnx.save(graph_file, path)


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
