"""The vessels that the labels of the ports leave out: read as written, told by class, and none lies on a labelled ship."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.second_reading import LEAST_PX, READING, UNLABELLED, with_missed_ships, with_second_reading
from onboard.errors import LabelledDataError
from onboard.rotated_boxes import corners_of, overlaps
from onboard.training.labelled_scene import LabelledScene, read_labelled_scenes, read_labels

SHIP = corners_of(np.array([[40.0, 30.0, 20.0, 6.0, 0.3]]))


def scene(name="somewhere_2001-01-01", size=(100, 200)):
    return LabelledScene(name=name, pixels=np.zeros((*size, 3), np.uint16), ships_px=SHIP)


def write(folder, vessels_px, size=(100, 200)):
    rows = (corners_of(np.array([vessel]))[0] / (size[1], size[0]) for vessel in vessels_px)
    text = "".join("1 " + " ".join(f"{value:.6f}" for value in row.reshape(-1)) + "\n" for row in rows)
    (folder / "somewhere_2001-01-01.txt").write_text(text)


def test_vessels_join_the_ships_under_a_class_of_their_own(tmp_path):
    write(tmp_path, [[120.0, 70.0, 16.0, 5.0, -0.4]])
    read = with_second_reading(scene(), tmp_path)
    assert read.classes.tolist() == [0, UNLABELLED]
    assert np.allclose(read.ships_px[0], SHIP[0])
    assert np.allclose(read.ships_px[1].mean(axis=0), (120, 70), atol=1e-3)


def test_a_scene_without_a_reading_is_refused(tmp_path):
    with pytest.raises(LabelledDataError, match="somewhere_2001-01-01"):
        with_second_reading(scene(), tmp_path)


def test_training_takes_the_long_ones_as_ships_and_leaves_the_others_out(tmp_path):
    write(tmp_path, [[120.0, 70.0, LEAST_PX + 1, 5.0, 0.0], [60.0, 80.0, LEAST_PX - 1, 4.0, 0.0]])
    taught = with_missed_ships(scene(), reading=tmp_path)
    assert taught.classes.tolist() == [0, 0]
    assert np.allclose(taught.ships_px.mean(axis=1)[1], (120, 70), atol=1e-3)


def test_every_port_has_a_reading_of_vessels_beside_its_labels(shared_data):
    scenes = read_labelled_scenes(shared_data / "s2_ships", ("B08", "B04", "B03"))
    total = 0
    for one in scenes:
        read = with_second_reading(one)
        vessels = read.ships_px[read.classes == UNLABELLED]
        total += len(vessels)
        for vessel in vessels:
            assert (vessel >= 0).all() and (vessel <= np.array(one.pixels.shape[1::-1])).all()
            shared, _ = overlaps(np.repeat(vessel[None], len(one.ships_px), axis=0), one.ships_px)
            assert shared.max(initial=0) < 0.1
        assert with_missed_ships(one).classes.sum() == 0
    assert total == 137 == sum(len(read_labels(path)[0]) for path in READING.glob("*.txt"))


def test_pixels_and_name_stay(tmp_path):
    write(tmp_path, [])
    one = scene()
    assert with_second_reading(one, tmp_path).pixels is one.pixels
    assert replace(with_second_reading(one, tmp_path), ships_px=SHIP, classes=one.classes).name == one.name
