"""Engines on images of several sizes, more than one at a time: a network of two layers whose answer is known."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from downlink.scene import Window
from onboard.detector import TileDetector, WindowDetector, load_detector, read_model

MODEL_DIR = Path(__file__).resolve().parents[2] / "onboard" / "models" / "ship_s2"
BANDS = ("B03", "B04", "B08")
STRIDE = 4


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Per cell of 4 x 4 pixels: x and y are the means of the first two channels, the score that of the third."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    helper = onnx.helper
    weights = np.zeros((6, 3, 1, 1), np.float32)
    weights[0, 0] = weights[1, 1] = weights[4, 2] = 1
    bias = np.array([0, 0, 8, 3, 0, 0.25], np.float32)
    nodes = [
        helper.make_node("AveragePool", ["image"], ["cells"], kernel_shape=[STRIDE, STRIDE], strides=[STRIDE, STRIDE]),
        helper.make_node("Conv", ["cells", "weights", "bias"], ["rows"], kernel_shape=[1, 1]),
        helper.make_node("Reshape", ["rows", "shape"], ["boxes"]),
    ]
    constants = {"weights": weights, "bias": bias, "shape": np.array([1, 6, -1], np.int64)}
    graph = helper.make_graph(
        nodes,
        "known",
        [helper.make_tensor_value_info("image", 1, [1, 3, "height", "width"])],
        [helper.make_tensor_value_info("boxes", 1, [1, 6, "cells"])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    path = tmp_path_factory.mktemp("network") / "known.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return Path(path)


def engine_of(name, path, **settings):
    pytest.importorskip(name, reason=f"{name} is not installed")
    if name == "openvino":
        from onboard.detector_openvino import OpenVinoEngine

        return OpenVinoEngine(path, threads=2, **settings)
    from onboard.detector_onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(path, threads=2)


def expected(image, min_score):
    channels, height, width = image.shape
    cells = image.reshape(channels, height // STRIDE, STRIDE, width // STRIDE, STRIDE).mean(axis=(2, 4))
    x, y, score = cells.reshape(3, -1)
    chosen = score >= min_score
    return np.column_stack([x, y, score])[chosen]


def images(seed=5, count=11):
    rng = np.random.default_rng(seed)
    sizes = [(32, 32), (64, 96), (128, 32)]
    return [rng.random((3, *sizes[turn % 3]), dtype=np.float32) for turn in range(count)]


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_images_of_any_size_in_any_order_of_waiting(name, network):
    engine = engine_of(name, network)
    given = images()
    waiting = [engine.submit(image, 0.5) for image in given]
    order = np.random.default_rng(3).permutation(len(given))
    for index in [*order, *order]:  # a second time gives the same
        found = waiting[index]()
        wanted = expected(given[index], 0.5)
        assert len(found) == len(wanted) > 0
        assert np.allclose(found[:, [0, 1, 5]], wanted, atol=1e-5)
        assert np.allclose(found[:, 2:5], [8, 3, 0.25])
        assert np.allclose(engine.candidates(given[index], 0.5), found, atol=1e-6)


def test_more_sizes_than_stay_compiled(network):
    engine = engine_of("openvino", network, streams=1)
    rng = np.random.default_rng(9)
    given = [rng.random((3, 32, 32 * (1 + turn % 10)), dtype=np.float32) for turn in range(14)]
    waiting = [engine.submit(image, 0.4) for image in given]
    for image, wait in zip(given, waiting, strict=True):
        assert np.allclose(wait()[:, [0, 1, 5]], expected(image, 0.4), atol=1e-5)


def test_an_image_whose_memory_is_not_in_order_is_read_as_it_is(network):
    engine = engine_of("openvino", network)
    whole = np.random.default_rng(4).random((3, 96, 96), dtype=np.float32)
    window = whole[:, 32:64, 16:80]
    assert np.allclose(engine.candidates(window, 0.5)[:, [0, 1, 5]], expected(window, 0.5), atol=1e-5)


class Recording:
    """An engine that finds one box in the middle of every image, and notes the sizes."""

    def __init__(self):
        self.shapes, self.order = [], []

    def candidates(self, image, min_score):
        self.shapes.append(image.shape)
        box = [image.shape[2] / 2, image.shape[1] / 2, 12, 4, 0.0, 0.9]
        return np.array([[*box, 0]])

    def submit(self, image, min_score):
        found, number = self.candidates(image, min_score), len(self.shapes)

        def wait():
            self.order.append(number)
            return found

        return wait


def detector_of(input_multiple_px):
    engine = Recording()
    return TileDetector(
        read_model(MODEL_DIR).model_copy(update={"input_multiple_px": input_multiple_px}), engine
    ), engine


def test_windows_are_found_in_the_frame_of_their_tile():
    detector, engine = detector_of(32)
    assert isinstance(detector, WindowDetector)
    windows = [Window(row=10, col=20, height=128, width=128), Window(row=0, col=100, height=64, width=64)]
    wait = detector.begin(np.full((3, 300, 300), 500, np.uint16), BANDS, windows)
    assert engine.order == []
    found = wait()
    assert [[one.center_px for one in here] for here in found] == [[(84.0, 74.0)], [(132.0, 32.0)]]
    assert engine.shapes == [(3, 128, 128), (3, 64, 64)]


@pytest.mark.parametrize(
    ("multiple", "shape"), [(32, (3, 320, 320)), (None, (3, 640, 640)), (16, (3, 320, 320)), (24, (3, 576, 576))]
)
def test_an_image_is_filled_to_what_the_network_takes(multiple, shape):
    detector, engine = detector_of(multiple)
    detector.detect(np.full((3, 41, 201), 500, np.uint16), BANDS)
    assert engine.shapes == [shape]


def test_windows_and_whole_tiles_agree_on_the_shipped_network():
    pytest.importorskip("openvino", reason="openvino is not installed")
    rng = np.random.default_rng(7)
    pixels = np.zeros((3, 576, 576)) + np.array([480, 260, 130])[:, None, None]
    for x, y in ((100, 90), (420, 300)):
        pixels[:, y - 3 : y + 3, x - 14 : x + 14] += 1600
    pixels = ndimage.gaussian_filter(pixels, (0, 0.75, 0.75)) + rng.normal(0, 12, pixels.shape)  # optics blur
    pixels = np.clip(pixels, 1, 65_535).astype(np.uint16)
    detector = load_detector(MODEL_DIR, "openvino", threads=2)
    whole = detector.detect(pixels, BANDS)
    windows = [Window(row=26, col=36, height=128, width=128), Window(row=204, col=324, height=192, width=192)]
    parts = detector.begin(pixels, BANDS, windows)()
    for x, y in ((100, 90), (420, 300)):
        in_whole, in_parts = (
            max(one.confidence for one in found if np.hypot(one.center_px[0] - x, one.center_px[1] - y) < 4)
            for found in (whole, [one for here in parts for one in here])
        )
        assert abs(in_whole - in_parts) < 0.35
