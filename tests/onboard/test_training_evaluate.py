import json

import numpy as np
import pytest
import rasterio

from onboard.detection import Detection
from onboard.detector import DetectorModel, PlattCalibration
from onboard.errors import LabelledDataError, ModelFileError
from onboard.rotated_boxes import corners_of
from onboard.training.evaluate import NetworkChoice, evaluate, evaluation_json
from onboard.training.held_out_networks import HeldOutNetwork, HeldOutNetworks, is_named_in, read_held_out_networks
from onboard.training.labelled_scene import LabelledScene, read_labelled_scenes, read_labels
from onboard.training.scene_judgement import check_classes, judge_scene

BANDS = ("B08", "B04", "B03")


def model(**changes):
    stated = {
        "name": "told", "version": "1", "classes": ("ship",), "bands": BANDS, "dn_to_input": "sqrt_above_dark",
        "training_gsd_m": 10.0, "input_px": 640, "threshold": 0.5, "calibration": PlattCalibration(), "files": {},
        "training_data": "somewhere: aden_2020-01-01", "licence": "AGPL-3.0-or-later",
    }  # fmt: skip
    return DetectorModel(**{**stated, **changes})


class ToldDetector:
    """Reports what it was told, in the frame of a scene of one tile."""

    def __init__(self, told, **changes):
        self.model = model(**changes)
        self.told = told

    def detect(self, pixels, band_names):
        return [
            Detection(class_id=c, confidence=p, corners_px=tuple(map(tuple, corners_of(np.array([box]))[0]))).shifted(
                64, 64
            )
            for box, p, c in self.told
        ]


def scene(
    name="aden_2020-01-01", boxes=((100, 100, 20, 6, 0.3), (200, 150, 16, 5, 1.2)), classes=(), land=False, dn=300
):
    pixels = np.full((300, 400, 3), dn, np.uint16)
    pixels[..., 0] = 200
    if land:
        pixels[:, 205:, 0] = 3000
    return LabelledScene(
        name=name,
        pixels=pixels,
        ships_px=corners_of(np.array(boxes, dtype=float).reshape(-1, 5)),
        classes=np.array(classes, dtype=np.int64),
    )


def choice(detector, **changes):
    settings = {"shipped": detector, "folds": HeldOutNetworks(), "open_fold": lambda number: detector}
    return NetworkChoice(**{**settings, **changes})


def fold(file, *scenes, threshold=0.3):
    return HeldOutNetwork(
        file=file,
        sha256="",
        scenes={item.name: item.pixels_sha256 for item in scenes},
        calibration=PlattCalibration(),
        threshold=threshold,
    )


def test_the_threshold_cuts_what_counts_and_not_what_is_calibrated():
    told = [((100, 100, 20, 6, 0.3), 0.9, 0), ((200, 150, 16, 5, 1.2), 0.4, 0), ((300, 250, 16, 5, 0), 0.6, 0)]
    result = evaluate(choice(ToldDetector(told)), [scene()])
    assert (result.pooled.ships, result.pooled.found, result.pooled.hits) == (2, 2, 1)
    assert (result.pooled.precision, result.pooled.recall) == (0.5, 0.5)
    assert result.pooled.candidates == 3
    # Bins 0.9 (hit), 0.6 (miss): (0.1 + 0.6) / 2; with bin 0.4 (hit): (0.1 + 0.6 + 0.6) / 3.
    assert result.pooled.ece == pytest.approx(0.35)
    assert result.pooled.ece_all == pytest.approx(1.3 / 3)


def test_a_scene_of_the_training_is_judged_by_the_fold_that_never_saw_it():
    blind = ToldDetector([((100, 100, 20, 6, 0.3), 0.35, 0)], threshold=0.3)
    shipped = ToldDetector([((100, 100, 20, 6, 0.3), 0.99, 0), ((200, 150, 16, 5, 1.2), 0.99, 0)])
    seen, other = scene(), scene("oslo_2021-05-05", dn=310)
    opened = []
    networks = choice(
        shipped,
        folds=HeldOutNetworks(folds=(fold("fold_0.onnx", other), fold("fold_1.onnx", seen))),
        open_fold=lambda number: opened.append(number) or blind,
    )
    stranger = scene("lagos_2022-02-02", dn=320)
    result = evaluate(networks, [seen, seen, stranger])
    assert opened == [1], "an engine is opened once"
    assert [item.relation for item in result.scenes] == ["held out", "held out", "new"]
    assert [item.threshold for item in result.scenes] == [0.3, 0.3, 0.5]
    assert [item.score.recall for item in result.scenes] == [0.5, 0.5, 1.0]
    assert (result.pooled.hits, result.pooled.ships) == (4, 6)


def test_as_shipped_says_that_the_scene_was_seen():
    networks = choice(
        ToldDetector([]), folds=HeldOutNetworks(folds=(fold("fold_0.onnx", scene()),)), as_shipped=True,
        open_fold=lambda number: pytest.fail("no fold is asked"),
    )  # fmt: skip
    result = evaluate(networks, [scene(), scene("oslo_2021-05-05", dn=310)])
    assert [item.relation for item in result.scenes] == ["seen in training", "new"]


def test_without_folds_a_scene_that_the_model_names_is_said_to_be_seen():
    result = evaluate(choice(ToldDetector([])), [scene(), scene("aden_2023-03-03"), scene("adentown_2020-01-01")])
    assert [item.relation for item in result.scenes] == ["seen in training", "seen in training", "new"]


def test_a_scene_is_known_by_its_pixels_under_another_name_and_by_its_place_on_another_date():
    folds = HeldOutNetworks(folds=(fold("a", scene("aden_1", dn=300)), fold("b", scene("oslo_1", dn=310))))
    assert folds.fold_for(scene("renamed", dn=310)) == 1
    assert folds.fold_for(scene("aden_2", dn=999)) == 0
    assert folds.fold_for(scene("aden_1", dn=310)) == 1, "pixels count more than the name"
    assert folds.fold_for(scene("lagos_1", dn=999)) is None
    split = HeldOutNetworks(folds=(fold("a", scene("bay_a", dn=300)), fold("b", scene("bay_b", dn=310))))
    assert split.fold_for(scene("bay_c", dn=999)) is None, "each of them has seen the bay"
    assert split.fold_for(scene("bay_b", dn=999)) == 1


def test_training_data_names_scenes_by_word():
    assert is_named_in("set (MIT): aden_2020-01-01, oslo_1", scene("oslo_1"))
    assert not is_named_in("oslo and its harbour", scene("oslo_1"))


def test_a_ship_far_from_land_is_told_from_one_beside_it():
    # Land from column 205: the second ship's centre is 5 px from it, the first 105 px.
    result = evaluate(choice(ToldDetector([((100, 100, 20, 6, 0.3), 0.9, 0)])), [scene(land=True)])
    assert (result.pooled.away_from_land_ships, result.pooled.away_from_land_recall) == (1, 1.0)
    assert result.pooled.recall == 0.5
    colours = ToldDetector([], bands=("B04", "B03", "B02"))
    blind = evaluate(choice(colours), [scene()]).pooled
    assert (blind.away_from_land_ships, blind.away_from_land_recall) == (None, None)


def test_classes_are_matched_apart_and_ignored_ones_count_for_nothing():
    labelled = scene(classes=(0, 1))
    told = [((100, 100, 20, 6, 0.3), 0.9, 1), ((200, 150, 16, 5, 1.2), 0.8, 1)]
    two = evaluate(choice(ToldDetector(told, classes=("ship", "wake"))), [labelled])
    assert (two.pooled.found, two.pooled.hits) == (2, 1), "the first is there, but of another class"
    assert (two.by_class["ship"].recall, two.by_class["wake"].recall) == (0.0, 1.0)
    assert two.by_class["wake"].precision == 0.5
    told = [((100, 100, 20, 6, 0.3), 0.9, 0), ((200, 150, 16, 5, 1.2), 0.8, 0)]
    ignoring = judge_scene(ToldDetector(told), labelled, ignored_classes=[1])
    assert [item.hit for item in ignoring.judged] == [True]
    assert ignoring.found_with == (0.9,)
    check_classes([labelled], ("ship",), ignored=[1], what="m")
    with pytest.raises(LabelledDataError, match=r"class 1.*--ignore-class 1"):
        check_classes([labelled], ("ship",), ignored=[], what="m")


def test_json_has_the_pooled_figures_and_each_scene():
    shown = json.loads(evaluation_json(evaluate(choice(ToldDetector([])), [scene(), scene("oslo_1")])))
    assert set(shown["scenes"]) == {"aden_2020-01-01", "oslo_1"}
    assert {"precision", "recall", "f1", "ece"} <= set(shown["pooled"])
    assert {"precision", "recall", "f1", "ece", "ships", "found", "hits"} <= set(shown["scenes"]["oslo_1"])
    assert (shown["model"], shown["threshold"]) == ("told@1", 0.5)


def test_a_broken_folds_file_is_refused(tmp_path):
    assert read_held_out_networks(tmp_path) == HeldOutNetworks()
    (tmp_path / "folds").mkdir()
    (tmp_path / "folds" / "folds.json").write_text('{"folds": [{"file": "x"}]}')
    with pytest.raises(ModelFileError, match=r"folds\.json"):
        read_held_out_networks(tmp_path)


@pytest.mark.parametrize(
    "line, said",
    [
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1", "8 columns"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 x", "numbers"),
        ("1.5 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2", "class 1.5"),
        ("-1 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2", "class -1"),
        ("0 0.1 0.1 0.2 0.1 1.2 0.2 0.1 0.2", r"outside 0\.\.1"),
        ("0 0.1 0.1 0.2 0.1 nan 0.2 0.1 0.2", r"outside 0\.\.1"),
        ("inf 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2", "class inf"),
    ],
)
def test_a_label_that_is_none_is_refused_with_file_and_line(tmp_path, line, said):
    path = tmp_path / "scene.txt"
    path.write_text(f"0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n\n{line}\n")
    with pytest.raises(LabelledDataError, match=said) as caught:
        read_labels(path)
    assert (caught.value.path, caught.value.line) == (path, 3)
    assert "scene.txt, line 3" in str(caught.value)


def test_images_without_labels_or_no_images_are_refused(tmp_path):
    with pytest.raises(LabelledDataError, match="no image"):
        read_labelled_scenes(tmp_path, BANDS)
    write_image(tmp_path / "images" / "bay_1.png", np.full((3, 20, 30), 7, np.uint8))
    with pytest.raises(LabelledDataError, match=r"bay_1\.txt is absent"):
        read_labelled_scenes(tmp_path, ("B04",))


def write_image(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    driver = {".png": "PNG", ".tif": "GTiff", ".jpg": "JPEG"}[path.suffix]
    bands, height, width = pixels.shape
    with rasterio.open(
        path, "w", driver=driver, height=height, width=width, count=bands, dtype=pixels.dtype, **options
    ) as image:
        image.write(pixels)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_picture_is_read_by_its_colours(tmp_path):
    pixels = np.random.default_rng(4).integers(0, 255, (3, 20, 30), dtype=np.uint8)
    write_image(tmp_path / "images" / "bay_1.png", pixels)
    write_image(tmp_path / "images" / "bay_2.jpg", np.full((3, 20, 30), 9, np.uint8))
    (tmp_path / "labels_obb").mkdir()
    (tmp_path / "labels_obb" / "bay_1.txt").write_text("2 0.1 0.2 0.5 0.2 0.5 0.6 0.1 0.6\n")
    (tmp_path / "labels_obb" / "bay_2.txt").write_text("")
    first, second = read_labelled_scenes(tmp_path, ("B02", "B04"))
    assert np.array_equal(first.pixels, pixels[[2, 0]].transpose(1, 2, 0))
    assert first.classes.tolist() == [2]
    assert first.ships_px[0].tolist() == [[3, 4], [15, 4], [15, 12], [3, 12]]
    assert len(second.ships_px) == 0 and first.gsd_m is None
