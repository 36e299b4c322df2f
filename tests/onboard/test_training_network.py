import numpy as np
import pytest

from onboard.rotated_boxes import corners_of
from onboard.training.labelled_scene import LabelledScene
from onboard.training.plan import TrainingPlan, learning_rate_at


def test_learning_rate_warms_up_peaks_and_ends_at_a_hundredth():
    plan = TrainingPlan(steps=200, learning_rate=1e-3)
    rates = [learning_rate_at(step, plan) for step in range(200)]
    assert rates[0] == pytest.approx(1e-4) and max(rates) == pytest.approx(1e-3)
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(1e-5, rel=0.1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint after three steps on one small scene, and the losses that were reported."""
    pytest.importorskip("ultralytics", reason="ultralytics comes with the train extra")
    from onboard.training.network import save_checkpoint
    from onboard.training.train import train

    rng = np.random.default_rng(3)
    pixels = rng.integers(100, 600, (120, 140, 3)).astype(np.uint16)
    ships = corners_of(np.array([[40.0, 50, 20, 7, 0.4], [90, 60, 16, 6, 1.9]]))
    scene = LabelledScene(name="nowhere_2000-01-01", pixels=pixels, ships_px=ships)
    lines: list[str] = []
    network = train([scene], TrainingPlan(steps=3, batch=2, chip_px=64, seed=5), report=lines.append)
    path = tmp_path_factory.mktemp("training") / "three_steps.pt"
    save_checkpoint(network, path, notes={"steps": 3})
    return path, lines


def test_training_reports_a_finite_loss_and_its_speed(trained):
    _, lines = trained
    assert lines[-1].startswith("step 3/3 loss ")
    assert np.isfinite(float(lines[-1].split()[3]))


def test_the_checkpoint_loads_in_ultralytics_in_half_precision(trained):
    path, _ = trained
    from onboard.training.network import torch, ultralytics

    network = ultralytics.YOLO(str(path))
    assert network.task == "obb" and network.names == {0: "ship"}
    assert path.stat().st_size < 2_500_000
    stored = torch.load(path, weights_only=False)
    assert stored["notes"] == {"steps": 3} and stored["license"] == "AGPL-3.0-or-later"
    assert {parameter.dtype for parameter in stored["model"].parameters()} == {torch.float16}


def test_the_exported_network_gives_what_the_checkpoint_gives(trained, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime comes with the onnx extra")
    from onboard.detector_onnxruntime import OnnxRuntimeEngine
    from onboard.training.export import INPUT_PX, write_onnx
    from onboard.training.network import load_network, torch

    path, _ = trained
    write_onnx(path, tmp_path / "three_steps.onnx", channels=3)
    image = np.random.default_rng(8).random((3, INPUT_PX, INPUT_PX), dtype=np.float32)
    exported = OnnxRuntimeEngine(tmp_path / "three_steps.onnx", threads=1).candidates(image, 0.0)
    assert not exported[:, 6].any()
    with torch.no_grad():
        expected = load_network(path)(torch.from_numpy(image[None]))[0][0].T.double().numpy()[:, [0, 1, 2, 3, 5, 4]]
    assert len(exported) == len(expected) == 160 * 160 + 80 * 80
    assert np.abs(exported[:, :6] - expected).max() < 0.05
