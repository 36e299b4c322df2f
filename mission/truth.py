"""What was really there: a GeoJSON of oriented polygons or a YOLO-OBB label file, and how detections compare (edge: files)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.warp import transform as warp_points

from mission.errors import TruthError
from onboard.sensor_frame import SensorFrame
from onboard.training.matching import match

REMEDY = (
    "give a GeoJSON FeatureCollection of polygons in longitude and latitude, or YOLO-OBB lines `class x1 y1 .. x4 y4`"
)
LARGEST_SHARE = 2.0
"""A YOLO coordinate is a share of the scene's side. A box may reach over the edge; 2 and more can only be pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Objects known to be in a scene."""

    corners_px: np.ndarray
    """(objects, 4, 2) float64 x, y in scene pixels."""
    class_names: tuple[str, ...]
    """One per object."""


def read_truth(path: Path, frame: SensorFrame, classes: tuple[str, ...]) -> Truth:
    """Read the truth of a scene; `classes` names the class numbers of a label file.

    Raises TruthError, naming file and place, for anything that is not one. Features whose property `obscured` is true
    lie under cloud: nobody can see them, they are left out.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TruthError(f"cannot read truth {path}: {error}; {REMEDY}") from error
    if path.suffix.lower() in (".json", ".geojson"):
        return _from_geojson(path, text, frame)
    return _from_yolo(path, text, frame, classes)


def matched(corners_px: np.ndarray, confidences: np.ndarray, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """Greedy one-to-one matching by rotated IoU of at least 0.3, or centre in box for objects shorter than 8 px.

    `corners_px` is (n, 4, 2). Returns (n,) bool, which detections are hits, and (objects,) bool, which were found.
    """
    hits = match(corners_px, confidences, truth.corners_px)
    found = match(truth.corners_px, np.ones(len(truth.corners_px)), corners_px[hits]) if hits.any() else None
    return hits, np.zeros(len(truth.corners_px), bool) if found is None else found


def _from_yolo(path: Path, text: str, frame: SensorFrame, classes: tuple[str, ...]) -> Truth:
    corners, names = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            corners.append(_yolo_corners(fields) * (frame.width, frame.height))
            names.append(_class_name(int(fields[0]), classes))
        except ValueError as error:
            raise TruthError(f"truth {path}, line {number}: {error}; {REMEDY}") from error
    return _truth(corners, names)


def _yolo_corners(fields: list[str]) -> np.ndarray:
    """(4, 2) shares of width and height. Raises ValueError."""
    if len(fields) != 9:
        raise ValueError(f"{len(fields)} numbers, not 9")
    shares = np.array([float(field) for field in fields[1:]]).reshape(4, 2)
    if not (np.abs(shares) < LARGEST_SHARE).all():  # false for NaN as well
        raise ValueError(f"coordinates {shares.tolist()} are not shares of width and height, 0 to 1")
    return shares


def _from_geojson(path: Path, text: str, frame: SensorFrame) -> Truth:
    corners, names, place = [], [], "top level"
    try:
        for number, feature in enumerate(json.loads(text)["features"]):
            place = f"feature {number}"
            properties = feature.get("properties") or {}
            if properties.get("obscured"):
                continue
            corners.append(_feature_corners(feature, properties, frame))
            names.append(str(properties.get("class", "object")))
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, RasterioError) as error:
        raise TruthError(
            f"truth {path}, {place}, is not of a collection of oriented polygons ({error!r}); {REMEDY}"
        ) from error
    return _truth(corners, names)


def _feature_corners(feature: dict[str, Any], properties: dict[str, Any], frame: SensorFrame) -> np.ndarray:
    """(4, 2) pixels, from the property `corners_px` or from a polygon of four corners. Raises ValueError and its like."""
    if "corners_px" in properties:
        corners = np.array(properties["corners_px"], dtype=np.float64).reshape(4, 2)
    else:
        ring = feature["geometry"]["coordinates"][0]
        ring = ring[:-1] if ring[0] == ring[-1] else ring
        if len(ring) != 4:
            raise ValueError(f"a ring of {len(ring)} corners, not 4")
        corners = _in_pixels([(float(point[0]), float(point[1])) for point in ring], frame)
    if not np.isfinite(corners).all():
        raise ValueError(f"corners {corners.tolist()} are not all numbers, or not near the scene")
    return corners


def _in_pixels(lonlat: list[tuple[float, float]], frame: SensorFrame) -> np.ndarray:
    if frame.georeference.crs_wkt is None:
        raise ValueError("the scene has no coordinate reference system, and a feature has no corners_px")
    crs = CRS.from_wkt(frame.georeference.crs_wkt)
    xs, ys = warp_points("EPSG:4326", crs, *zip(*lonlat, strict=True))
    to_pixel = np.array(~Affine(*frame.georeference.transform)).reshape(3, 3)
    corners: np.ndarray = (to_pixel @ np.stack([xs, ys, np.ones(len(xs))]))[:2].T
    return corners


def _truth(corners: list[np.ndarray], names: list[str]) -> Truth:
    return Truth(corners_px=np.array(corners, dtype=np.float64).reshape(-1, 4, 2), class_names=tuple(names))


def _class_name(number: int, classes: tuple[str, ...]) -> str:
    return classes[number] if 0 <= number < len(classes) else f"class {number}"
