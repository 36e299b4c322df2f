import dataclasses
import math

import pytest

from onboard.detection import Detection

SLANTED = ((3.0, 1.0), (11.0, 7.0), (9.5, 9.0), (1.5, 3.0))


def test_center_and_length_of_a_slanted_box():
    detection = Detection(class_id=0, confidence=0.75, corners_px=SLANTED)
    assert detection.center_px == pytest.approx((6.25, 5.0))
    assert detection.length_px == pytest.approx(10.0)


def test_shifted_moves_every_corner_and_keeps_the_rest():
    moved = Detection(class_id=2, confidence=0.75, corners_px=SLANTED).shifted(512.0, -64.0)
    assert moved.corners_px == tuple((x + 512.0, y - 64.0) for x, y in SLANTED)
    assert (moved.class_id, moved.confidence) == (2, 0.75)
    assert moved.length_px == pytest.approx(10.0)


@pytest.mark.parametrize(
    "change",
    [
        {"class_id": -1},
        {"confidence": 1.01},
        {"confidence": math.nan},
        {"corners_px": SLANTED[:3]},
        {"corners_px": ((math.inf, 0.0), *SLANTED[1:])},
    ],
)
def test_nonsense_is_refused_at_birth(change):
    good = {"class_id": 0, "confidence": 0.5, "corners_px": SLANTED}
    with pytest.raises(ValueError):
        Detection(**{**good, **change})


def test_a_detection_cannot_be_changed():
    detection = Detection(class_id=0, confidence=0.5, corners_px=SLANTED)
    with pytest.raises(dataclasses.FrozenInstanceError):
        detection.confidence = 0.9  # type: ignore[misc]
