"""Alerts: detections packed in columns, at most 14 bytes each, to be sent before anything else of a scene.

    offset   bytes  field
    0        1      version, 1
    1        1      count n, 1 to 255
    2        n      class numbers
    2 + n    n      confidence, in steps of 1/255
             3 n    centre x, in 1/16 px from the left edge of the scene
             3 n    centre y, in 1/16 px from the top edge
             2 n    length (longer side), in 1/16 px
             2 n    width (shorter side), in 1/16 px
             2 n    direction of the longer side from +x towards +y, in steps of pi/65536

Big-endian; each column is complete before the next. A box is rebuilt as the rectangle around its centre; the error
is at most 1/32 px in each number and confidence 1/510.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from downlink.errors import LayerError

VERSION: Final = 1
DETECTION_BYTES: Final = 14
BATCH_LIMIT: Final = 70
"""Detections in one batch, so that it fits one transfer frame of the usual 1115 bytes."""
SUBPIXELS: Final = 16
LARGEST_SIDE_PX: Final = 1 << 20
"""Rows or columns of a scene in which any centre can be told; the furthest edge itself does not fit 3 bytes."""
Corners = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertDetection:
    """One detection as the ground knows it."""

    class_id: int
    """Index into the classes of the scene summary."""
    confidence: float
    """Calibrated probability, 0 to 1."""
    corners_px: Corners
    """Four (x, y) of an oriented rectangle in scene pixels, in order around it."""


def encode_alerts(detections: Sequence[AlertDetection]) -> bytes:
    """Pack 1 to 255 detections. Raises LayerError for other counts or boxes outside 0 to 2^20 px."""
    if not 1 <= len(detections) <= 255:
        raise LayerError(f"{len(detections)} detections in one alert batch: give 1 to 255")
    boxes = [_box(detection) for detection in detections]
    n = len(detections)
    return b"".join(
        (
            bytes((VERSION, n)),
            bytes(detection.class_id for detection in detections),
            bytes(round(min(1.0, max(0.0, detection.confidence)) * 255) for detection in detections),
            b"".join(_subpixels(box[0], 3) for box in boxes),
            b"".join(_subpixels(box[1], 3) for box in boxes),
            b"".join(_subpixels(box[2], 2) for box in boxes),
            b"".join(_subpixels(box[3], 2) for box in boxes),
            struct.pack(f">{n}H", *(round(box[4] / math.pi * 65536) % 65536 for box in boxes)),
        )
    )


def decode_alerts(payload: bytes) -> tuple[AlertDetection, ...]:
    """Unpack a batch. Raises LayerError for bytes that `encode_alerts` cannot have made."""
    if len(payload) < 2 or payload[0] != VERSION or len(payload) != 2 + DETECTION_BYTES * payload[1]:
        raise LayerError(f"alert batch of {len(payload)} bytes starting {payload[:2].hex()} is not version {VERSION}")
    n = payload[1]
    columns, at = [], 2
    for width in (1, 1, 3, 3, 2, 2, 2):
        column = payload[at : at + n * width]
        columns.append([int.from_bytes(column[i : i + width], "big") for i in range(0, n * width, width)])
        at += n * width
    return tuple(
        AlertDetection(
            class_id=class_id,
            confidence=confidence / 255,
            corners_px=_corners(
                x / SUBPIXELS, y / SUBPIXELS, length / SUBPIXELS, width / SUBPIXELS, angle * math.pi / 65536
            ),
        )
        for class_id, confidence, x, y, length, width, angle in zip(*columns, strict=True)
    )


def _subpixels(value_px: float, width: int) -> bytes:
    steps = round(value_px * SUBPIXELS)
    if not 0 <= steps < 1 << 8 * width:
        raise LayerError(
            f"alert coordinate {value_px} px does not fit {width} bytes of 1/{SUBPIXELS} px: clip it to the scene"
        )
    return steps.to_bytes(width, "big")


def _box(detection: AlertDetection) -> tuple[float, float, float, float, float]:
    """Centre x, centre y, longer side, shorter side, direction of the longer side in [0, pi)."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = detection.corners_px
    across = math.hypot(x1 - x0, y1 - y0) + math.hypot(x2 - x3, y2 - y3)
    along = math.hypot(x2 - x1, y2 - y1) + math.hypot(x3 - x0, y3 - y0)
    angle = math.atan2(y1 - y0 + y2 - y3, x1 - x0 + x2 - x3)
    if along > across:
        across, along = along, across
        angle = math.atan2(y2 - y1 + y3 - y0, x2 - x1 + x3 - x0)
    return (x0 + x1 + x2 + x3) / 4, (y0 + y1 + y2 + y3) / 4, across / 2, along / 2, angle % math.pi


def _corners(x: float, y: float, length: float, width: float, angle: float) -> Corners:
    ax, ay = math.cos(angle) * length / 2, math.sin(angle) * length / 2
    bx, by = -math.sin(angle) * width / 2, math.cos(angle) * width / 2
    return (
        (x - ax - bx, y - ay - by),
        (x + ax - bx, y + ay - by),
        (x + ax + bx, y + ay + by),
        (x - ax + bx, y - ay + by),
    )
