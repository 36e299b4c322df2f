import numpy as np
import pytest

pytest.importorskip("cv2", reason="opencv comes with the train extra", exc_type=ImportError)

from onboard.errors import LabelledDataError
from onboard.network_input import TRUE_COLOUR_DN_PER_COUNT
from onboard.rotated_boxes import corners_of
from onboard.training.augmentation import is_calm
from onboard.training.chip_sampler import ChipSampler, coast_points
from onboard.training.crossval import folds_of
from onboard.training.ignored_objects import without_classes
from onboard.training.labelled_scene import LabelledScene
from onboard.training.yolo_folder import bands_for, class_names, scene_groups

COLOURS = ("B04", "B03", "B02")
SHIPS = corners_of(np.array([[40, 60, 24, 8, 0.0], [110, 60, 24, 8, 0.0]]))


def scene(name="port_a", *, dtype=np.uint8, group="", ships=SHIPS):
    """Calm water of level 40 and two ships of level 200, of classes 0 and 1."""
    pixels = np.full((120, 160, 3), 40.0) + np.random.default_rng(4).normal(0, 1, (120, 160, 3))
    for box in SHIPS:
        low, high = box.min(axis=0).round().astype(int), box.max(axis=0).round().astype(int)
        pixels[low[1] : high[1], low[0] : high[0]] = 200
    classes = np.arange(len(ships))
    return LabelledScene(name=name, pixels=pixels.astype(dtype), ships_px=ships, classes=classes, group=group)


def test_ignored_objects_leave_labels_and_picture_and_nothing_else_changes():
    before = scene()
    after = without_classes(before, (1,))
    assert after.classes.tolist() == [0] and np.array_equal(after.ships_px, before.ships_px[:1])
    assert after.pixels[50:70, 90:130].max() < 60 and before.pixels[50:70, 90:130].max() == 200
    assert np.array_equal(after.pixels[:, :80], before.pixels[:, :80])
    assert without_classes(before, (5,)) is before


def test_eight_bit_scenes_reach_training_on_the_scale_of_flight():
    sampler = ChipSampler([scene()], bands=COLOURS, chip_px=96, seed=3)
    image, corners, classes = sampler.chip()
    assert image.shape == (3, 96, 96) and len(corners) == len(classes)
    chips = [sampler.chip()[0] for _ in range(30)]
    expected = np.sqrt(160 * TRUE_COLOUR_DN_PER_COUNT / 10_000)
    assert np.median([chip.max() for chip in chips]) == pytest.approx(expected, rel=0.35)


def test_classes_follow_their_objects_into_the_batch():
    sampler = ChipSampler([scene(dtype=np.uint16)], bands=COLOURS, chip_px=64, seed=3)
    batch = sampler.batch(40)
    assert len(batch.classes) == len(batch.boxes) and set(batch.classes.tolist()) == {0, 1}


def test_without_near_infrared_even_ground_is_calm_and_its_border_is_the_coast():
    rng = np.random.default_rng(1)
    pixels = np.full((160, 240, 3), 600.0)
    pixels[:, 120:] += rng.normal(0, 400, (160, 120, 3))
    pixels = np.clip(pixels, 0, None).astype(np.uint16)
    assert is_calm(pixels[:40, :40].astype(np.float32), COLOURS)
    assert not is_calm(pixels[:40, 150:190].astype(np.float32), COLOURS)
    points = coast_points(pixels, COLOURS)
    assert len(points) and (np.abs(points[:, 0] - 120) < 24).all()


def test_folds_never_split_a_group():
    places = [scene("bay_1"), scene("bay_2"), scene("cape_1"), scene("dock_1")]
    folds = folds_of(places, 5)
    assert sorted(name for fold in folds for name in fold) == ["bay", "cape", "dock"] and len(folds) == 3
    single = [scene(name, group=name) for name in ("bay_1", "bay_2")]
    assert sorted(folds_of(single, 5)) == [("bay_1",), ("bay_2",)]
    with pytest.raises(ValueError, match="1 place"):
        folds_of(places[:2], 5)


def test_bands_are_chosen_by_what_there_is():
    assert bands_for(("blue", "green", "red", "nir")) == ("B08", "B04", "B03")
    assert bands_for(("red", "green", "blue", "alpha")) == ("B04", "B03", "B02")
    assert bands_for(("VV", "VH")) == ("VV", "VH")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [ship, oil tank]\n", ("ship", "oil tank")),
        ("nc: 2\nnames:\n  1: b\n  0: a\n", ("a", "b")),
    ],
)
def test_names_come_from_data_yaml(tmp_path, text, names):
    assert class_names(tmp_path) is None
    (tmp_path / "data.yaml").write_text(text)
    assert class_names(tmp_path) == names


@pytest.mark.parametrize("text", ["names: {0: a, 2: b}\n", "path: x\n", "names: [\n"])
def test_a_data_yaml_without_usable_names_is_refused(tmp_path, text):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(LabelledDataError, match=r"data\.yaml"):
        class_names(tmp_path)


def test_groups_come_from_the_file_or_are_the_scenes(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("one", "two"):
        (tmp_path / "images" / f"{name}.png").touch()
    assert scene_groups(tmp_path, "place") == {}
    (tmp_path / "groups.txt").write_text("one harbour\n\ntwo harbour\n")
    assert scene_groups(tmp_path, "place") == {"one": "harbour", "two": "harbour"}
    assert scene_groups(tmp_path, "scene") == {"one": "one", "two": "two"}
