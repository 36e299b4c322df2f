import numpy as np
import pytest

pytest.importorskip("torch", reason="torch comes with the train extra")
onnx = pytest.importorskip("onnx", reason="onnx comes with the train extra")
pytest.importorskip("onnxruntime", reason="onnxruntime comes with the onnx extra")

from onnx import helper, numpy_helper  # noqa: E402

from onboard.errors import EngineError, ModelFileError  # noqa: E402
from onboard.training.crossval import HeldOutPort, raw_score_model  # noqa: E402
from onboard.training.export import export_folds, halve_weights, write_onnx  # noqa: E402
from onboard.training.held_out_networks import fold_detector, read_held_out_networks  # noqa: E402
from onboard.training.labelled_scene import LabelledScene  # noqa: E402
from onboard.training.matching import JudgedDetection  # noqa: E402
from onboard.training.network import build_network, fine_stride_layout, save_checkpoint, torch  # noqa: E402
from onboard.training.plan import BANDS, TrainingPlan  # noqa: E402


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("work") / "fold_0.pt"
    save_checkpoint(build_network(fine_stride_layout()), path, notes={})
    return path


def test_halved_weights_take_half_the_room_and_give_nearly_the_same(checkpoint, tmp_path):
    from onboard.detector_onnxruntime import OnnxRuntimeEngine

    whole, half = tmp_path / "whole.onnx", tmp_path / "half.onnx"
    write_onnx(checkpoint, whole, channels=3)
    half.write_bytes(whole.read_bytes())
    halve_weights(half)
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    image = np.random.default_rng(1).random((3, 128, 192), dtype=np.float32)
    first, second = (OnnxRuntimeEngine(path, threads=1).candidates(image, 0.0) for path in (whole, half))
    assert first.shape == second.shape
    assert np.abs(first[:, 5] - second[:, 5]).max() < 2e-3
    assert np.abs(first[:, :4] - second[:, :4]).max() < 0.1


def test_small_arrays_and_what_fp16_cannot_hold_stay_as_they_are(tmp_path):
    path = tmp_path / "sum.onnx"
    values = {"small": np.full(255, 1 / 3), "large": np.full(300, 1 / 3), "huge": np.full(300, 1e6)}
    weights = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in values.items()]
    nodes = [helper.make_node("ReduceSum", [name], [f"sum_{name}"], keepdims=0) for name in values]
    outputs = [helper.make_tensor_value_info(f"sum_{name}", onnx.TensorProto.FLOAT, []) for name in values]
    graph = helper.make_graph(nodes, "sums", [], outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    halve_weights(path)
    stored = {weight.name: weight.data_type for weight in onnx.load(path).graph.initializer}
    assert stored == {
        "small": onnx.TensorProto.FLOAT,
        "large.fp16": onnx.TensorProto.FLOAT16,
        "huge": onnx.TensorProto.FLOAT,
    }


def test_folds_are_written_with_what_they_have_not_seen_and_judged_by_the_others(checkpoint, tmp_path):
    rng = np.random.default_rng(2)
    scenes = [
        LabelledScene(
            name=name, pixels=rng.integers(1, 999, (64, 64, 3), dtype=np.uint16), ships_px=np.empty((0, 4, 2))
        )
        for name in ("aden_1", "aden_2", "oslo_1")
    ]
    (checkpoint.parent / "fold_1.pt").write_bytes(checkpoint.read_bytes())
    sure = tuple(JudgedDetection(score=0.9, hit=True) for _ in range(8))
    doubtful = tuple(
        JudgedDetection(score=s, hit=h) for s, h in ((0.9, False), (0.7, True), (0.3, False)) for _ in range(4)
    )
    ports = [
        HeldOutPort(port="aden", fold=0, ships=8, judged=sure),
        HeldOutPort(port="oslo_1", fold=1, ships=9, judged=doubtful),
    ]
    written = export_folds(checkpoint.parent, tmp_path, ports, scenes)
    assert read_held_out_networks(tmp_path) == written
    assert [set(fold.scenes) for fold in written.folds] == [{"aden_1", "aden_2"}, {"oslo_1"}]
    assert written.folds[0].calibration.confidence_of(np.array([0.9]))[0] < 0.8, (
        "from the doubtful verdicts of the other"
    )
    assert written.folds[1].calibration.confidence_of(np.array([0.9]))[0] > 0.9
    model = raw_score_model(TrainingPlan())
    detector = fold_detector(tmp_path, model, written.folds[0], "onnxruntime", threshold=0.02)
    assert detector.model.threshold == written.folds[0].threshold
    detector.detect(np.zeros((3, 64, 64), np.uint16), BANDS)
    with pytest.raises(EngineError, match="--as-shipped"):
        fold_detector(tmp_path, model, written.folds[0], "ultralytics", threshold=0.02)
    (tmp_path / "folds" / "fold_0.onnx").write_bytes(b"altered")
    with pytest.raises(ModelFileError, match="SHA-256"):
        fold_detector(tmp_path, model, written.folds[0], "onnxruntime", threshold=0.02)
