"""Detections as a GeoJSON FeatureCollection (RFC 7946), built on the ground from packed alerts (pure).

A box in a scene without a coordinate reference system, or outside the domain of its projection, has no geometry
(null, RFC 7946, 3.2): pixel coordinates are no longitude and latitude. Its pixels are in the properties, as for all.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from downlink.alerts import AlertDetection
from downlink.scene import SceneSummary, Window
from ground.antimeridian import DECIMALS, polygon_geometry
from ground.instant import utc_text
from ground.oriented_box import measure_box
from ground.quality import BYTE_EXACT, NOTHING_CAME, QualityCodes, psnr_of_code_db

LocatePixels = Callable[[Sequence[tuple[float, float]]], NDArray[np.float64]]
"""Points (x, y) in scene pixels to (n, 2) longitude and latitude, NaN where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxQuality:
    """How good the pixels are under a box; the upright rectangle around it is looked at."""

    arrived_fraction: float
    """Share of the rectangle of which something came."""
    code: int
    """Lowest quality code of those pixels, 0 when none came."""

    @classmethod
    def of(cls, quality: QualityCodes) -> "BoxQuality":
        """From the quality codes of the rectangle; an empty one has not arrived."""
        arrived = quality[quality != NOTHING_CAME]
        if not arrived.size:
            return cls(arrived_fraction=0.0, code=NOTHING_CAME)
        return cls(arrived_fraction=arrived.size / quality.size, code=int(arrived.min()))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredDetection:
    """A detection that reached the ground."""

    detection: AlertDetection
    """Class, confidence and box."""
    received_ms: int
    """When its alert arrived, Unix time UTC in milliseconds."""


def window_around(summary: SceneSummary, detection: AlertDetection) -> Window | None:
    """The upright rectangle of whole pixels around a box, cut at the scene; None when it lies outside."""
    xs, ys = zip(*detection.corners_px, strict=True)
    row, col = math.floor(min(ys)), math.floor(min(xs))
    around = Window(
        row=row,
        col=col,
        height=max(1, math.ceil(max(ys)) - row),
        width=max(1, math.ceil(max(xs)) - col),
    )
    return around.intersection(Window(row=0, col=0, height=summary.height, width=summary.width))


def detection_collection(
    summary: SceneSummary,
    delivered: Sequence[DeliveredDetection],
    *,
    locate: LocatePixels | None,
    qualities: Sequence[BoxQuality],
) -> dict[str, Any]:
    """FeatureCollection of the detections of a scene, in the order given; `qualities` has one entry for each.

    `locate` is None for a scene without a coordinate reference system. Raises ValueError when the lengths differ.
    """
    return {
        "type": "FeatureCollection",
        "features": [
            _feature(summary, number, one, locate, quality)
            for number, (one, quality) in enumerate(zip(delivered, qualities, strict=True))
        ],
    }


def _feature(
    summary: SceneSummary,
    number: int,
    delivered: DeliveredDetection,
    locate: LocatePixels | None,
    quality: BoxQuality,
) -> dict[str, Any]:
    detection = delivered.detection
    geometry, placed = _placement(detection, locate)
    return {
        "type": "Feature",
        "id": f"{summary.scene}-{number}",
        "geometry": geometry,
        "properties": {
            "class": _class_name(summary, detection.class_id),
            "confidence": round(detection.confidence, 4),
            **placed,
            "corners_px": [[round(x, 4), round(y, 4)] for x, y in detection.corners_px],
            "centre_px": [round(sum(axis) / 4, 4) for axis in zip(*detection.corners_px, strict=True)],
            "scene": summary.scene,
            "scene_name": summary.name,
            "model": summary.model,
            "captured": utc_text(summary.captured_ms),
            "received": utc_text(delivered.received_ms),
            "latency_s": (delivered.received_ms - summary.captured_ms) / 1000,
            **_quality_properties(quality),
        },
    }


def _placement(detection: AlertDetection, locate: LocatePixels | None) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Geometry and the properties that depend on it; null where the box cannot be placed on Earth."""
    corners = None if locate is None else locate(detection.corners_px)
    if corners is None or not np.isfinite(corners).all():
        return None, {"centre": None, "length_m": None, "width_m": None, "heading_deg": None}
    positions = [(float(lon), float(lat)) for lon, lat in corners]
    box = measure_box(positions)
    return polygon_geometry(positions), {
        "centre": [round(value, DECIMALS) for value in box.centre],
        "length_m": round(box.length_m, 2),
        "width_m": round(box.width_m, 2),
        "heading_deg": round(box.heading_deg, 1) % 180,
    }


def _quality_properties(quality: BoxQuality) -> dict[str, Any]:
    psnr_db = psnr_of_code_db(quality.code)
    return {
        "quality_code": quality.code,
        "psnr_db": psnr_db if psnr_db is not None and math.isfinite(psnr_db) else None,
        "byte_exact": quality.code == BYTE_EXACT and quality.arrived_fraction == 1,
        "arrived_fraction": round(quality.arrived_fraction, 4),
    }


def _class_name(summary: SceneSummary, class_id: int) -> str:
    """The name, or the number in words where the summary lists no such class."""
    return summary.classes[class_id] if 0 <= class_id < len(summary.classes) else f"class {class_id}"
