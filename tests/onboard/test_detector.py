import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from onboard.detector import PlattCalibration, TileDetector, load_detector, read_model
from onboard.errors import DetectorInputError, EngineError, ModelFileError, OnboardError
from onboard.network_output import candidates_of

MODEL_DIR = Path(__file__).resolve().parents[2] / "onboard" / "models" / "ship_s2"
BANDS = ("B02", "B03", "B04", "B08")


def needs(engine):
    pytest.importorskip({"ultralytics": "ultralytics"}.get(engine, engine), reason=f"{engine} is not installed")
    return engine


def synthetic_tile(seed=7):
    """Dark sea with waves and six bright ships of known place, seen through optics that blur by three quarters of a pixel.

    Returns (4, 640, 640) uint16 and the ships' centres.
    """
    rng = np.random.default_rng(seed)
    sea = np.zeros((4, 640, 640)) + np.array([600, 480, 260, 130])[:, None, None]
    rows, cols = np.mgrid[0:640, 0:640] + 0.5
    centres = [(90, 80, 0.3), (300, 120, 1.2), (520, 90, 2.0), (130, 400, 0.8), (350, 350, -0.4), (540, 520, 1.5)]
    for x, y, angle in centres:
        along = (cols - x) * np.cos(angle) + (rows - y) * np.sin(angle)
        across = -(cols - x) * np.sin(angle) + (rows - y) * np.cos(angle)
        hull = np.clip(0.5 + np.minimum(13 - np.abs(along), 3 - np.abs(across)), 0, 1)
        sea += hull * np.array([1400, 1500, 1600, 1700])[:, None, None]
    sea = ndimage.gaussian_filter(sea, (0, 0.75, 0.75)) + rng.normal(0, 12, sea.shape)
    return np.clip(sea, 0, 65535).astype(np.uint16), [(x, y) for x, y, _ in centres]


@pytest.fixture(scope="module")
def openvino_detector():
    return load_detector(MODEL_DIR, needs("openvino"), threads=1)


def test_finds_plain_ships_on_open_water(openvino_detector):
    pixels, centres = synthetic_tile()
    found = openvino_detector.detect(pixels, BANDS)
    near = [any(np.hypot(d.center_px[0] - x, d.center_px[1] - y) < 4 for d in found) for x, y in centres]
    assert sum(near) >= 5
    assert len(found) <= 7
    assert [d.confidence for d in found] == sorted((d.confidence for d in found), reverse=True)
    assert all(openvino_detector.model.threshold - 1e-9 <= d.confidence <= 1 and d.class_id == 0 for d in found)


@pytest.mark.parametrize("engine", ["onnxruntime", "ultralytics"])
def test_engines_agree_on_a_synthetic_tile(openvino_detector, engine):
    other = load_detector(MODEL_DIR, needs(engine), threads=1)
    pixels, _ = synthetic_tile()
    assert_same(openvino_detector.detect(pixels, BANDS), other.detect(pixels, BANDS))


@pytest.mark.parametrize("engine", ["onnxruntime", "ultralytics"])
def test_engines_agree_on_a_real_harbour(openvino_detector, engine, shared_data):
    rasterio = pytest.importorskip("rasterio")
    other = load_detector(MODEL_DIR, needs(engine), threads=1)
    with rasterio.open(shared_data / "s2_ships" / "images" / "santos_2023-07-25.tif") as scene:
        pixels, names = scene.read(window=((300, 940), (500, 1140))), scene.descriptions
    assert_same(openvino_detector.detect(pixels, names), other.detect(pixels, names))


def test_integers_find_what_float_finds(openvino_detector):
    """Eight bits move confidences by some hundredths, places by parts of a pixel; ships of middling confidence and more stay."""
    integers = load_detector(MODEL_DIR, needs("openvino") + "_int8", threads=1)
    pixels, _ = synthetic_tile()
    assert_same(openvino_detector.detect(pixels, BANDS), integers.detect(pixels, BANDS), confidence=0.12, pixels=1.5)


def test_integers_find_what_float_finds_in_a_real_harbour(openvino_detector, shared_data):
    rasterio = pytest.importorskip("rasterio")
    integers = load_detector(MODEL_DIR, "openvino_int8", threads=1)
    with rasterio.open(shared_data / "s2_ships" / "images" / "santos_2023-07-25.tif") as scene:
        pixels, names = scene.read(window=((300, 940), (500, 1140))), scene.descriptions
    assert_same(openvino_detector.detect(pixels, names), integers.detect(pixels, names), confidence=0.12, pixels=1.5)


def assert_same(first, second, *, confidence=0.03, pixels=0.5):
    """Same detections up to rounding; one near the threshold may be missing on one side."""
    assert first
    for one, other in ((first, second), (second, first)):
        lowest = min((d.confidence for d in (*one, *other)), default=0)
        for detection in one:
            if detection.confidence < lowest + confidence:
                continue
            twins = [d for d in other if np.abs(np.array(d.center_px) - detection.center_px).max() < pixels]
            assert twins, f"only one engine has {detection}"
            assert min(abs(d.confidence - detection.confidence) for d in twins) < confidence


@pytest.mark.parametrize("value", [0, 137, 10_000, 65_535])
def test_a_blank_tile_has_no_ships(openvino_detector, value):
    assert openvino_detector.detect(np.full((4, 640, 640), value, np.uint16), BANDS) == []


def test_a_smaller_array_keeps_its_own_frame(openvino_detector):
    pixels, _ = synthetic_tile()
    found = openvino_detector.detect(pixels[:, :200, :400], BANDS)
    assert found
    assert all(0 <= d.center_px[0] < 400 and 0 <= d.center_px[1] < 200 for d in found)
    centres = np.array([d.center_px for d in openvino_detector.detect(pixels, BANDS)])
    assert np.hypot(*(centres - found[0].center_px).T).min() < 1


def test_the_order_of_bands_does_not_matter(openvino_detector):
    pixels, _ = synthetic_tile()
    order = [3, 0, 2, 1]
    shuffled = openvino_detector.detect(pixels[order], tuple(BANDS[i] for i in order))
    assert shuffled == openvino_detector.detect(pixels, BANDS)


def test_missing_bands_are_refused(openvino_detector):
    with pytest.raises(DetectorInputError, match="missing B08") as caught:
        openvino_detector.detect(np.zeros((3, 640, 640), np.uint16), BANDS[:3])
    assert caught.value.needed == openvino_detector.model.bands


def test_a_whole_scene_is_not_a_tile(openvino_detector):
    with pytest.raises(DetectorInputError, match="up to 640 x 640 px, not 641 x 640"):
        openvino_detector.detect(np.zeros((4, 641, 640), np.uint16), BANDS)


def copy_of_model(tmp_path):
    return Path(shutil.copytree(MODEL_DIR, tmp_path / "ship_s2"))


@pytest.mark.parametrize("suffix", [".xml", ".bin"])
def test_an_altered_file_is_refused(tmp_path, suffix):
    folder = copy_of_model(tmp_path)
    victim = folder / f"ship_s2{suffix}"
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 0x10
    victim.write_bytes(content)
    with pytest.raises(ModelFileError, match="not the one model") as caught:
        load_detector(folder, "openvino")
    assert caught.value.path == victim
    assert caught.value.found_sha256 == hashlib.sha256(content).hexdigest() != caught.value.expected_sha256
    assert isinstance(caught.value, OnboardError)


def test_an_absent_file_is_named(tmp_path):
    folder = copy_of_model(tmp_path)
    (folder / "ship_s2.bin").unlink()
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_detector(folder, "openvino")


def test_an_absent_or_broken_description_is_named(tmp_path):
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_model(tmp_path)
    folder = copy_of_model(tmp_path)
    description = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(description | {"threshold": 1.5, "colour": "red"}))
    with pytest.raises(ModelFileError, match=r"(?s)threshold.*colour"):
        read_model(folder)


def test_unknown_and_unserved_engines_are_refused(tmp_path):
    with pytest.raises(EngineError, match="choose one of openvino_int8, openvino, onnxruntime, ultralytics"):
        load_detector(MODEL_DIR, "abacus")  # type: ignore[arg-type]
    folder = copy_of_model(tmp_path)
    description = json.loads((folder / "model.json").read_text())
    del description["files"]["onnxruntime"]
    (folder / "model.json").write_text(json.dumps(description))
    with pytest.raises(EngineError, match="no files for the engine onnxruntime"):
        load_detector(folder, "onnxruntime")


def test_every_committed_file_has_its_hash_and_all_fit_in_12_mb():
    model = read_model(MODEL_DIR)
    for files in model.files.values():
        for name, expected in files.items():
            assert hashlib.sha256((MODEL_DIR / name).read_bytes()).hexdigest() == expected
    assert sum(path.stat().st_size for path in MODEL_DIR.iterdir()) <= 12_000_000


def test_flight_engines_import_neither_torch_nor_opencv():
    import subprocess

    program = (
        "import sys; from pathlib import Path; from onboard.detector import load_detector; import numpy as np;"
        f"d = load_detector(Path({str(MODEL_DIR)!r}), 'openvino', 1);"
        "d.detect(np.zeros((3, 640, 640), np.uint16), ('B03', 'B04', 'B08'));"
        "print([m for m in ('torch', 'cv2', 'ultralytics', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=MODEL_DIR.parents[2], timeout=120
    )
    assert done.stdout.strip() == "[]", done.stderr


class FixedEngine:
    def __init__(self, rows):
        self.rows = np.array(rows, dtype=np.float64).reshape(-1, 7)

    def candidates(self, image, min_score):
        return self.rows


def test_scores_are_calibrated_and_cut_at_the_threshold():
    calibration = PlattCalibration(slope=2.0, intercept=-1.0)
    model = read_model(MODEL_DIR).model_copy(update={"calibration": calibration, "threshold": 0.5})
    rows = [[50, 60, 20, 6, 0.3, 0.9, 0], [200, 60, 20, 6, 0.3, 0.55, 0], [51, 60, 20, 6, 0.3, 0.8, 0]]
    found = TileDetector(model, FixedEngine(rows)).detect(np.zeros((4, 640, 640), np.uint16), BANDS)
    # logit(0.9) = ln 9: 1 / (1 + exp(-(2 ln 9 - 1))) = 81 / (81 + e); 0.55 falls to 0.35, the third is a duplicate.
    assert [d.confidence for d in found] == pytest.approx([81 / (81 + np.e)])
    assert found[0].center_px == pytest.approx((50, 60))
    assert found[0].length_px == pytest.approx(20)
    everything = TileDetector(model, FixedEngine(rows), threshold=0.3).detect(np.zeros((4, 640, 640), np.uint16), BANDS)
    assert len(everything) == 2


def test_objects_of_two_classes_in_one_place_are_two_and_carry_their_class():
    model = read_model(MODEL_DIR).model_copy(update={"classes": ("ship", "wake"), "threshold": 0.1})
    rows = [[50, 60, 20, 6, 0.3, 0.9, 1], [51, 60, 20, 6, 0.3, 0.8, 0], [52, 60, 20, 6, 0.3, 0.7, 1]]
    found = TileDetector(model, FixedEngine(rows)).detect(np.zeros((4, 640, 640), np.uint16), BANDS)
    assert [(d.class_id, d.center_px[0]) for d in found] == [(1, pytest.approx(50)), (0, pytest.approx(51))]


def test_the_likeliest_class_of_each_cell_is_its_own():
    # Rows: x, y, width, height, three classes, angle; a column is a cell.
    output = np.array([[5, 15], [6, 16], [7, 17], [3, 4], [0.2, 0.01], [0.1, 0.02], [0.6, 0.03], [0.4, 0.5]])[None]
    assert candidates_of(output, 0.05).tolist() == [[5, 6, 7, 3, 0.4, 0.6, 2]]
    assert candidates_of(output, 0.03)[:, 6].tolist() == [2, 2]
    assert candidates_of(output, 0.7).shape == (0, 7)


def test_score_of_inverts_confidence_of():
    calibration = PlattCalibration(slope=1.7, intercept=0.4)
    for score in (0.01, 0.3, 0.77, 0.99):
        assert calibration.score_of(float(calibration.confidence_of(np.array([score]))[0])) == pytest.approx(score)


def test_confidence_and_threshold_are_those_of_the_committed_verdicts():
    from onboard.training.calibrate import operating_point
    from onboard.training.crossval import FOLDS, read_held_out

    held_out = read_held_out(MODEL_DIR)
    places = {(port.port.split("_")[0], port.fold) for port in held_out}
    assert places == {(place, fold) for fold, held in enumerate(FOLDS) for place in held}
    point, model = operating_point(held_out), read_model(MODEL_DIR)
    assert point.threshold == pytest.approx(model.threshold, abs=1e-4)
    assert point.calibration.slope == pytest.approx(model.calibration.slope)
    assert point.calibration.intercept == pytest.approx(model.calibration.intercept)
