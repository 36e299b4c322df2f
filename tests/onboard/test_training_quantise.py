"""Networks in 8-bit integers: what is made integers and what is not, what comes out, and whose scenes set the ranges."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch comes with the train extra")
onnx = pytest.importorskip("onnx", reason="onnx comes with the train extra")
pytest.importorskip("onnxruntime", reason="onnxruntime comes with the train extra")

from onboard.detector import load_detector, preferred_engine, read_model  # noqa: E402
from onboard.detector_openvino import OpenVinoEngine  # noqa: E402
from onboard.errors import EngineError, ModelFileError  # noqa: E402
from onboard.training import quantise  # noqa: E402
from onboard.training.calibrate import OperatingPoint, operating_point  # noqa: E402
from onboard.training.crossval import HeldOutPort  # noqa: E402
from onboard.training.export import ModelAbout, export, export_folds, halve_weights, write_onnx  # noqa: E402
from onboard.training.held_out_networks import fold_detector, read_held_out_networks  # noqa: E402
from onboard.training.labelled_scene import LabelledScene  # noqa: E402
from onboard.training.matching import JudgedDetection  # noqa: E402
from onboard.training.network import build_network, fine_stride_layout, save_checkpoint, torch  # noqa: E402
from onboard.training.plan import TrainingPlan  # noqa: E402


def scene(name, seed):
    pixels = np.random.default_rng(seed).integers(1, 3000, (256, 256, 3), dtype=np.uint16)
    return LabelledScene(name=name, pixels=pixels, ships_px=np.empty((0, 4, 2)))


SCENES = [scene("aden_1", 1), scene("oslo_1", 2)]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("work")
    save_checkpoint(build_network(fine_stride_layout()), folder / "fold_0.pt", notes={})
    (folder / "fold_1.pt").write_bytes((folder / "fold_0.pt").read_bytes())
    return folder


@pytest.fixture
def few_chips(monkeypatch):
    monkeypatch.setattr(quantise, "CHIPS", 8)


@pytest.fixture
def chips(few_chips):
    return quantise.calibration_chips(SCENES, ("B08", "B04", "B03"))


def test_chips_are_images_as_the_network_is_given_them(chips):
    assert [chip.shape for chip in chips] == [(1, 3, 192, 192)] * 8
    assert all(chip.dtype == np.float32 and 0 <= chip.min() <= chip.max() <= 1 for chip in chips)


def test_convolutions_become_integers_and_the_places_of_boxes_do_not(work, tmp_path, chips):
    whole, path = tmp_path / "whole.onnx", tmp_path / "int8.onnx"
    write_onnx(work / "fold_0.pt", whole, channels=3)
    quantise.write_int8(whole, path, chips)
    graph = onnx.load(path).graph
    made_by = {name: node for node in graph.node for name in node.output}
    scaled, whole_ones = [], []
    for node in graph.node:
        if node.op_type == "Conv":
            source = made_by.get(node.input[1])
            (scaled if source is not None and source.op_type == "DequantizeLinear" else whole_ones).append(node.name)
    assert len(scaled) > 30
    assert {name.split("/")[-2] for name in whole_ones} == {f"cv{n}.{level}.2" for n in (2, 3, 4) for level in (0, 1)}
    decoded = [node for node in graph.node if node.op_type in ("Mul", "Sub", "Sigmoid", "Sin", "Cos")]
    assert decoded
    assert not any(
        made_by[name].op_type == "DequantizeLinear" for node in decoded for name in node.input if name in made_by
    )
    assert path.stat().st_size < 0.4 * whole.stat().st_size

    image = np.random.default_rng(5).random((3, 128, 192), dtype=np.float32)
    exact, near = (OpenVinoEngine(one, threads=1).candidates(image, 0.0) for one in (whole, path))
    assert exact.shape == near.shape
    assert 0 < np.abs(exact[:, :2] - near[:, :2]).max() < 2, "a pixel or two in a network of random weights"


def test_halved_weights_give_the_same_integers(work, tmp_path, chips):
    whole, half = tmp_path / "whole.onnx", tmp_path / "half.onnx"
    write_onnx(work / "fold_0.pt", whole, channels=3)
    half.write_bytes(whole.read_bytes())
    halve_weights(half)
    image = np.random.default_rng(6).random((3, 96, 160), dtype=np.float32)
    found = []
    for source in (whole, half):
        path = tmp_path / f"{source.stem}_int8.onnx"
        quantise.write_int8(source, path, chips)
        assert not [node for node in onnx.load(path).graph.node if node.op_type == "Cast" and "weight" in node.input[0]]
        found.append(OpenVinoEngine(path, threads=1).candidates(image, 0.0))
    assert np.abs(found[0][:, 5] - found[1][:, 5]).max() < 0.02


def test_a_model_folder_flies_in_integers_and_its_folds_never_saw_their_scenes(work, tmp_path, few_chips, monkeypatch):
    sure = tuple(JudgedDetection(score=0.9, hit=True) for _ in range(8))
    ports = [HeldOutPort(port=one.name, fold=fold, ships=8, judged=sure) for fold, one in enumerate(SCENES)]
    point: OperatingPoint = operating_point(ports)
    folder = tmp_path / "boats"
    about = ModelAbout(version="1.0.0", training_data="noise")
    before = export(work / "fold_0.pt", folder, point, plan=TrainingPlan(), about=about)
    export_folds(work, folder, ports, SCENES)
    assert preferred_engine(before) == "openvino"

    measured_on = []
    chips_of = quantise.calibration_chips
    monkeypatch.setattr(
        quantise,
        "calibration_chips",
        lambda scenes, bands: measured_on.append([one.name for one in scenes]) or chips_of(scenes, bands),
    )
    model = quantise.quantise_model(folder, SCENES)
    assert measured_on == [["aden_1", "oslo_1"], ["oslo_1"], ["aden_1"]]
    assert read_model(folder) == model
    assert preferred_engine(model) == "openvino_int8"
    assert {name: files for name, files in model.files.items() if name != "openvino_int8"} == before.files
    load_detector(folder).detect(np.zeros((3, 64, 64), np.uint16), model.bands)
    fold = read_held_out_networks(folder).folds[1]
    fold_detector(folder, model, fold, "openvino_int8", threshold=0.02).detect(
        np.zeros((3, 64, 64), np.uint16), model.bands
    )
    with pytest.raises(EngineError, match="export the model again"):
        bare = fold.model_copy(update={"int8_file": None})
        fold_detector(folder, model, bare, "openvino_int8", threshold=0.02)
    (folder / "boats_int8.onnx").write_bytes(b"altered")
    with pytest.raises(ModelFileError, match="SHA-256"):
        load_detector(folder)
    with pytest.raises(EngineError, match="unknown inference engine 'abacus'"):
        load_detector(folder, "abacus")
