import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from mission import cli
from onboard.training.held_out_networks import HeldOutNetworks

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data"
SIDE = 320


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A part of the sample harbour with its visible ships as YOLO-OBB."""
    from onboard.training.labelled_scene import read_generated_scene

    image, truth = sorted(SAMPLE.glob("*.tif"))[0], sorted(SAMPLE.glob("*.geojson"))[0]
    bands = ("B03", "B04", "B08")
    scene = read_generated_scene(image, truth, bands)
    centres = scene.ships_px.mean(axis=1)
    corner = centres[0].astype(int).clip(SIDE // 2) - SIDE // 2
    left, top = (int(min(c, size - SIDE)) for c, size in zip(corner, scene.pixels.shape[1::-1], strict=True))
    folder = tmp_path_factory.mktemp("labelled")
    (folder / "images").mkdir()
    (folder / "labels_obb").mkdir()
    pixels = scene.pixels[top : top + SIDE, left : left + SIDE].transpose(2, 0, 1)
    options = {"height": SIDE, "width": SIDE, "count": 3, "dtype": "uint16", "crs": "EPSG:32631"}
    transform = rasterio.Affine(10, 0, 5e5, 0, -10, 4e6)
    with rasterio.open(folder / "images" / "harbour_1.tif", "w", driver="GTiff", transform=transform, **options) as out:
        out.write(pixels)
        out.descriptions = bands
    ships = (scene.ships_px - (left, top)) / SIDE
    inside = ships[((ships >= 0) & (ships <= 1)).all(axis=(1, 2))]
    assert len(inside)
    lines = [" ".join(["0", *(f"{value:.6f}" for value in ship.ravel())]) for ship in inside]
    (folder / "labels_obb" / "harbour_1.txt").write_text("\n".join(lines) + "\n")
    return folder


def figures(capsys, *arguments):
    assert cli.main(["evaluate", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("model", ["ship_s2", "cfar"])
def test_a_folder_is_judged_and_the_place_is_new(labelled, capsys, model):
    shown = figures(capsys, labelled, "--model", model)
    row = shown["scenes"]["harbour_1"]
    assert row["relation"] == "new"
    assert (
        row["ships"]
        == shown["pooled"]["ships"]
        == len((labelled / "labels_obb" / "harbour_1.txt").read_text().split("\n")) - 1
    )
    assert row["hits"] <= min(row["ships"], row["found"])
    assert row["precision"] == (row["hits"] / row["found"] if row["found"] else 0.0)
    assert shown["model"].startswith(f"{model}@")
    assert shown["pooled"] == {key: row[key] for key in shown["pooled"]}


def test_the_table_says_who_judged(labelled, capsys):
    assert cli.main(["evaluate", str(labelled), "--model", "cfar"]) == 0
    out = capsys.readouterr().out
    assert "harbour_1" in out and "new, cfar@" in out and "the model does not know the place" in out
    assert "pooled" in out


def test_the_engines_agree(labelled, capsys):
    pytest.importorskip("onnxruntime", reason="onnxruntime comes with the onnx extra")
    first, second = (figures(capsys, labelled, "--engine", name)["pooled"] for name in ("openvino", "onnxruntime"))
    assert [first[key] for key in ("found", "hits")] == [second[key] for key in ("found", "hits")]
    assert first["ece_all"] == pytest.approx(second["ece_all"], abs=0.02)


def test_a_label_that_is_wrong_is_named_by_file_and_line(labelled, tmp_path, capsys):
    broken = shutil.copytree(labelled, tmp_path / "broken")
    label = broken / "labels_obb" / "harbour_1.txt"
    label.write_text(label.read_text() + "0 0.5 0.5\n")
    last = len(label.read_text().splitlines())
    assert cli.main(["evaluate", str(broken), "--model", "cfar"]) == cli.EXIT_REFUSED
    assert f"harbour_1.txt, line {last}: 3 columns" in capsys.readouterr().err


def test_an_object_of_an_unknown_class_is_refused_unless_it_is_ignored(labelled, tmp_path, capsys):
    other = shutil.copytree(labelled, tmp_path / "other")
    label = other / "labels_obb" / "harbour_1.txt"
    ships = len(label.read_text().splitlines())
    label.write_text(label.read_text() + "3 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n")
    assert cli.main(["evaluate", str(other), "--model", "cfar"]) == cli.EXIT_REFUSED
    assert "--ignore-class 3" in capsys.readouterr().err
    assert figures(capsys, other, "--model", "cfar", "--ignore-class", 3)["pooled"]["ships"] == ships


def test_a_model_that_is_none_an_empty_folder_and_missing_bands_are_refused(labelled, tmp_path, capsys):
    assert cli.main(["evaluate", str(labelled), "--model", "nothing"]) == cli.EXIT_REFUSED
    assert "ship_s2" in capsys.readouterr().err
    assert cli.main(["evaluate", str(tmp_path), "--model", "cfar"]) == cli.EXIT_REFUSED
    assert "no image" in capsys.readouterr().err
    colours = shutil.copytree(labelled, tmp_path / "colours")
    with rasterio.open(colours / "images" / "harbour_1.tif", "r+") as image:
        image.descriptions = ("B03", "B04", "B02")
    assert cli.main(["evaluate", str(colours), "--model", "cfar"]) == cli.EXIT_REFUSED
    assert "missing B08" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["ship_s2", "cfar"])
def test_every_scene_of_the_ports_has_a_judge_that_never_saw_it(model):
    from mission.pipeline_setup import MODELS_FOLDER
    from onboard.training.crossval import FOLDS
    from onboard.training.held_out_networks import FOLDS_FILE

    path = MODELS_FOLDER / model / FOLDS_FILE
    if not path.exists():
        pytest.skip(f"{model} carries no held-out networks")
    folds = HeldOutNetworks.model_validate_json(path.read_text()).folds
    assert [sorted(name.split("_")[0] for name in fold.scenes) for fold in folds] == [sorted(ports) for ports in FOLDS]


def test_the_ports_are_held_out_for_the_baseline(shared_data, tmp_path, capsys):
    data = shared_data / "s2_ships"
    for folder, suffix in (("images", "tif"), ("labels_obb", "txt")):
        (tmp_path / folder).mkdir()
        shutil.copy(data / folder / f"casablanca_2023-04-26.{suffix}", tmp_path / folder)
    honest = figures(capsys, tmp_path, "--model", "cfar")["scenes"]["casablanca_2023-04-26"]
    assert honest["relation"] == "held out" and honest["ships"] == 15
    shipped = figures(capsys, tmp_path, "--model", "cfar", "--as-shipped")["scenes"]["casablanca_2023-04-26"]
    assert shipped["relation"] == "seen in training"
    assert np.isfinite(shipped["f1"])
