"""From an ONNX file to the same network in 8-bit integers: post-training quantisation with scenes to measure its activations on.

Weights are scaled for each output channel, activations for each tensor from the range that chips of real scenes show (Jacob et al.
2018, arXiv:1712.05877). The file carries the scales as QuantizeLinear and DequantizeLinear nodes, the form that OpenVINO, ONNX Runtime
and TensorRT all read. What turns the head's outputs into boxes stays in float: 8 bits cannot hold the place of a ship in a tile.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from onboard.detector import DetectorModel, read_model, verified_file, verified_files
from onboard.errors import EngineError
from onboard.training.chip_sampler import ChipSampler
from onboard.training.held_out_networks import FOLDS_FILE, HeldOutNetworks, read_held_out_networks
from onboard.training.labelled_scene import LabelledScene
from onboard.training.plan import TrainingPlan

CHIPS = 160
"""Chips that the ranges of the activations are measured on."""
SEED = 5


def quantise_model(model_dir: Path, scenes: Sequence[LabelledScene]) -> DetectorModel:
    """Write the networks of an exported model folder, its folds too, in 8-bit integers beside the others; returns the description.

    `scenes` are what they were trained on, in the model's bands. A fold's ranges are not measured on scenes that it has not seen.
    """
    model, folds = read_model(model_dir), read_held_out_networks(model_dir)
    whole = verified_files(model_dir, model, "onnxruntime")[0]
    path = whole.with_name(f"{whole.stem}_int8.onnx")
    write_int8(whole, path, calibration_chips(scenes, model.bands))
    model = model.model_copy(update={"files": {"openvino_int8": {path.name: _sha256(path)}, **model.files}})
    quantised = []
    for fold in folds.folds:
        whole = verified_file(model_dir / FOLDS_FILE.parent / fold.file, fold.sha256)
        path = whole.with_name(f"{whole.stem}_int8.onnx")
        seen = [scene for scene in scenes if scene.name not in fold.scenes]
        write_int8(whole, path, calibration_chips(seen, model.bands))
        quantised.append(fold.model_copy(update={"int8_file": path.name, "int8_sha256": _sha256(path)}))
    (model_dir / "model.json").write_text(model.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if quantised:
        text = HeldOutNetworks(folds=tuple(quantised)).model_dump_json(indent=1)
        (model_dir / FOLDS_FILE).write_text(text + "\n", encoding="utf-8")
    return model


def calibration_chips(scenes: Sequence[LabelledScene], bands: Sequence[str]) -> list[np.ndarray]:
    """CHIPS of (1, channels, chip, chip) float32 as training draws them from scenes."""
    plan = TrainingPlan(bands=tuple(bands))
    sampler = ChipSampler(scenes, bands=plan.bands, chip_px=plan.chip_px, seed=SEED)
    chips: list[np.ndarray] = []
    while len(chips) < CHIPS:
        chips += [chip[None].astype(np.float32) for chip in sampler.batch(plan.batch).images]
    return chips[:CHIPS]


def write_int8(whole: Path, path: Path, chips: Sequence[np.ndarray]) -> None:
    """Write the network of an ONNX file from `write_onnx`, halved or not, with its convolutions in 8-bit integers.

    `chips` are images as the network is given them. Raises EngineError where onnxruntime is not installed.
    """
    import onnx

    try:
        from onnxruntime.quantization import QuantType, quantize_static
    except ImportError as error:
        raise EngineError(
            "writing a network in 8-bit integers takes onnxruntime; `pip install 'tianshu[onnx]'`", engine="onnxruntime"
        ) from error
    network = onnx.load(whole)
    _widen_weights(network)
    kept_in_float = [node.name for node in network.graph.node if not _in_integers(node.name, head=_head_of(network))]
    with tempfile.TemporaryDirectory() as temporary, _without_advice():
        unnamed = Path(temporary) / "network.onnx"
        onnx.save(network, unnamed)
        quantize_static(
            unnamed, path, _Chips(chips, network.graph.input[0].name),
            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            nodes_to_exclude=kept_in_float,
        )  # fmt: skip


def _widen_weights(network: Any) -> None:
    """Weights that are stored as fp16 and cast before their use, as float32: only what is stored is scaled by channel."""
    from onnx import numpy_helper

    stored = {weight.name: weight for weight in network.graph.initializer}
    casts = [node for node in network.graph.node if node.op_type == "Cast" and node.input[0] in stored]
    for cast in casts:
        half = stored[cast.input[0]]
        half.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(half).astype(np.float32), cast.output[0]))
        network.graph.node.remove(cast)


def _head_of(network: Any) -> str:
    """The path of the last block: `/model.22/`."""
    blocks = [
        int(node.name.split("/")[1].removeprefix("model.")) for node in network.graph.node if "/model." in node.name
    ]
    return f"/model.{max(blocks)}/"


def _in_integers(name: str, *, head: str) -> bool:
    """All of the backbone and the neck; of the head the convolutions before the last one of each branch (`/cv2.0/cv2.0.2/`)."""
    if not name.startswith(head):
        return True
    parts = name.removeprefix(head).split("/")
    return parts[0].startswith("cv") and len(parts) > 1 and not parts[1].endswith(".2")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Chips:
    """What onnxruntime takes its images from, one call after the other."""

    def __init__(self, chips: Sequence[np.ndarray], name: str) -> None:
        self._left: Iterator[np.ndarray] = iter(chips)
        self._name = name

    def get_next(self) -> dict[str, np.ndarray] | None:
        chip = next(self._left, None)
        return None if chip is None else {self._name: chip}


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keeps onnxruntime from recommending a preprocessing step that these networks, whose norms are folded in, do not need."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
