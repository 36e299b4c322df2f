import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

pytest.importorskip("ultralytics", reason="ultralytics comes with the train extra", exc_type=ImportError)
pytest.importorskip("cv2", reason="opencv comes with the train extra", exc_type=ImportError)

from mission.cli import main
from onboard.detector import load_detector, read_model
from onboard.rotated_boxes import corners_of
from onboard.training.held_out_networks import read_held_out_networks
from onboard.training.labelled_scene import read_labelled_scenes

SIDE = 160
TINY = ["--steps", "3", "--batch", "2", "--chip-px", "64", "--folds", "2"]


def write_folder(folder: Path, *, bands=("B02", "B03", "B04", "B08"), classes=(0, 1)) -> Path:
    """Two places, of two scenes and one, each with a ship of every class on calm water."""
    for number, name in enumerate(("east_2026-01-01", "east_2026-02-01", "west_2026-01-01")):
        rng = np.random.default_rng(number)
        pixels = rng.normal(300, 8, (len(bands), SIDE, SIDE))
        ships = corners_of(np.array([[40.0 + 60 * i, 50 + 20 * i, 24, 8, 0.3 + i] for i in range(len(classes))]))
        for box in ships:
            low, high = box.min(axis=0).astype(int), box.max(axis=0).astype(int)
            pixels[:, low[1] : high[1], low[0] : high[0]] = 2400
        write_image(folder / "images" / f"{name}.tif", pixels.astype(np.uint16), bands)
        rows = [
            f"{c} " + " ".join(f"{v:.6f}" for v in (box / SIDE).ravel()) for c, box in zip(classes, ships, strict=True)
        ]
        (folder / "labels_obb").mkdir(exist_ok=True)
        (folder / "labels_obb" / f"{name}.txt").write_text("\n".join(rows) + "\n")
    return folder


def write_image(path: Path, pixels: np.ndarray, bands) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", driver="GTiff", width=SIDE, height=SIDE, count=len(bands), dtype=pixels.dtype,
                       crs="EPSG:32631", transform=from_origin(500_000, 4_000_000, 5.0, 5.0)) as sink:  # fmt: skip
        sink.write(pixels)
        sink.descriptions = bands


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model of two classes and four bands from one command, and what the command printed."""
    folder = tmp_path_factory.mktemp("train")
    data = write_folder(folder / "data")
    (data / "data.yaml").write_text("names: {0: cargo ship, 1: tanker}\n")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main(["train", str(data), "--out", str(folder / "cargo"), "--bands", "blue,green,red,nir", *TINY,
                     "--origin", "painted for a test", "--json"])  # fmt: skip
    assert code == 0
    return data, folder / "cargo", json.loads(printed.getvalue())


def test_one_command_makes_a_model_folder_of_any_bands_and_classes(trained):
    _, folder, _ = trained
    model = read_model(folder)
    assert model.name == "cargo" and model.classes == ("cargo ship", "tanker")
    assert model.bands == ("B02", "B03", "B04", "B08") and model.training_gsd_m == pytest.approx(5.0, abs=0.02)
    assert model.training_data == "painted for a test: east_2026-01-01, east_2026-02-01, west_2026-01-01"
    assert set(model.files) == {"openvino_int8", "openvino", "onnxruntime", "ultralytics"}


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_every_engine_opens_it_and_names_classes(trained, engine):
    pytest.importorskip(engine)
    data, folder, _ = trained
    detector = load_detector(folder, engine, 1, threshold=0.0)
    scene = read_labelled_scenes(data, detector.model.bands)[0]
    found = detector.detect(np.ascontiguousarray(scene.pixels.transpose(2, 0, 1)), detector.model.bands)
    assert {item.class_id for item in found} <= {0, 1} and found


def test_what_is_printed_is_of_scenes_not_seen(trained):
    _, folder, printed = trained
    assert printed["pooled"]["ships"] == 6 and printed["model"] == "cargo@1.0.0"
    assert {name: row["ships"] for name, row in printed["scenes"].items()} == {
        "east_2026-01-01": 2, "east_2026-02-01": 2, "west_2026-01-01": 2,
    }  # fmt: skip
    folds = read_held_out_networks(folder).folds
    assert sorted(sorted(fold.scenes) for fold in folds) == [
        ["east_2026-01-01", "east_2026-02-01"],
        ["west_2026-01-01"],
    ]


def test_what_is_finished_is_not_trained_again(trained, capsys):
    data, folder, printed = trained
    before = (folder.with_name("cargo.work") / "all.pt").stat().st_mtime_ns
    arguments = ["train", str(data), "--out", str(folder), "--bands", "blue,green,red,nir", *TINY, "--json"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["pooled"] == printed["pooled"]
    assert (folder.with_name("cargo.work") / "all.pt").stat().st_mtime_ns == before
    assert main([*arguments, "--seed", "21"]) == 2
    assert "plan differ" in capsys.readouterr().err


def test_a_time_limit_ends_the_training(tmp_path, capsys):
    from onboard.training.plan import TrainingPlan, learning_rate_at, step_at

    plan = TrainingPlan(steps=1000, limit_s=10.0)
    assert step_at(3, 0.5, plan) == 50 and step_at(900, 0.5, plan) == 900 and step_at(1, 10.0, plan) == 1000
    assert learning_rate_at(step_at(1, 9.99, plan), plan) < learning_rate_at(step_at(1, 4.0, plan), plan) / 10


def spoil(data: Path, what: str) -> None:
    label, image = data / "labels_obb" / "east_2026-01-01.txt", data / "images" / "east_2026-01-01.tif"
    lines = label.read_text().splitlines()
    if what == "missing labels":
        label.unlink()
    elif what == "columns":
        label.write_text(f"{lines[0]}\n{lines[1].rsplit(' ', 1)[0]}\n")
    elif what == "class":
        label.write_text(f"{lines[0]}\n\n7{lines[1][1:]}\n")
    elif what == "range":
        label.write_text(f"{lines[0]} \n" + lines[1].replace(lines[1].split()[3], "1.5") + "\n")
    elif what == "no objects":
        for path in (data / "labels_obb").glob("*.txt"):
            path.write_text("")
    elif what == "no images":
        for path in (data / "images").glob("*"):
            path.unlink()
    elif what == "float":
        write_image(image, np.zeros((4, SIDE, SIDE), np.float32), ("B02", "B03", "B04", "B08"))
    elif what == "groups":
        (data / "groups.txt").write_text("east_2026-01-01 harbour\nnorth_2026-01-01 harbour\n")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("missing labels", "east_2026-01-01.txt is absent"),
        ("columns", "east_2026-01-01.txt, line 2: 8 columns"),
        ("class", "east_2026-01-01.txt, line 3: class 7, and there are 2 class names (a, b)"),
        ("range", "east_2026-01-01.txt, line 2: corners outside 0..1"),
        ("no objects", "holds an object to learn"),
        ("no images", "no image in"),
        ("float", "holds float32"),
        ("groups", "groups.txt, line 2"),
    ],
)
def test_bad_input_is_refused_by_file_and_line(tmp_path, capsys, what, said):
    data = write_folder(tmp_path / "data")
    spoil(data, what)
    assert main(["train", str(data), "--out", str(tmp_path / "m"), "--classes", "a,b", *TINY]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--bands", "B11"], "B11"),
        (["--chip-px", "100"], "--chip-px 100"),
        (["--minutes", "0"], "--minutes 0"),
        (["--ignore-class", "0", "--ignore-class", "1"], "--ignore-class"),
        (["--start-from", "nowhere.pt"], "nowhere.pt"),
        (["--folds", "1"], "--group-by scene"),
    ],
)
def test_options_that_cannot_be_met_are_refused(tmp_path, capsys, options, said):
    data = write_folder(tmp_path / "data")
    assert main(["train", str(data), "--out", str(tmp_path / "m"), "--classes", "a,b", *TINY, *options]) == 2
    assert said in capsys.readouterr().err
