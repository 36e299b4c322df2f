"""Packed alerts keep class, confidence, place and orientation within the stated steps."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downlink.alerts import DETECTION_BYTES, AlertDetection, decode_alerts, encode_alerts
from downlink.errors import LayerError


def box(x: float, y: float, length: float, width: float, angle: float) -> AlertDetection:
    c, s = math.cos(angle), math.sin(angle)
    corners = [
        (x + c * a - s * b, y + s * a + c * b)
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        for a, b in [(a * length / 2, b * width / 2)]
    ]
    return AlertDetection(class_id=1, confidence=0.75, corners_px=tuple(corners))  # type: ignore[arg-type]


BOXES = st.builds(
    box,
    x=st.floats(300, 60_000),
    y=st.floats(300, 60_000),
    length=st.floats(10, 300),
    width=st.floats(1, 9),
    angle=st.floats(-7, 7),
)


@given(st.lists(BOXES, min_size=1, max_size=40))
def test_boxes_survive_within_a_sixteenth(boxes: list[AlertDetection]) -> None:
    payload = encode_alerts(boxes)
    assert len(payload) == 2 + DETECTION_BYTES * len(boxes)
    for before, after in zip(boxes, decode_alerts(payload), strict=True):
        assert after.class_id == before.class_id
        assert after.confidence == pytest.approx(before.confidence, abs=1 / 500)
        for x, y in before.corners_px:
            assert min(math.dist((x, y), corner) for corner in after.corners_px) < 0.12


def test_golden_bytes() -> None:
    detection = AlertDetection(class_id=3, confidence=0.2, corners_px=((10, 20), (42, 20), (42, 28), (10, 28)))
    assert encode_alerts([detection]).hex() == "0101" + "03" + "33" + "0001a0" + "000180" + "0200" + "0080" + "0000"


@pytest.mark.parametrize("count", [0, 256])
def test_counts_that_do_not_fit_are_refused(count: int) -> None:
    with pytest.raises(LayerError, match=f"{count} detections"):
        encode_alerts([box(500, 500, 20, 4, 1)] * count)


def test_a_box_outside_the_scene_is_refused() -> None:
    with pytest.raises(LayerError, match="clip it"):
        encode_alerts([box(-900, 500, 20, 4, 1)])


@given(st.binary(max_size=60))
def test_noise_is_one_clear_error(noise: bytes) -> None:
    try:
        decoded = decode_alerts(noise)
    except LayerError:
        return
    assert len(noise) == 2 + DETECTION_BYTES * len(decoded)
