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

from downlink.scene import SceneSummary
from mission.errors import TruthError
from onboard.training.matching import match

REMEDY = (
    "give a GeoJSON FeatureCollection of polygons in longitude and latitude, or YOLO-OBB lines `class x1 y1 .. x4 y4`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Objects known to be in a scene."""

    corners_px: np.ndarray
    """(objects, 4, 2) float64 x, y in scene pixels."""
    class_names: tuple[str, ...]
    """One per object."""


def read_truth(path: Path, summary: SceneSummary) -> Truth:
    """Read the truth of a scene. Raises TruthError, naming file and place, for anything that is not one.

    Features whose property `obscured` is true lie under cloud: nobody can see them, they are left out.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TruthError(f"cannot read truth {path}: {error}; {REMEDY}") from error
    if path.suffix.lower() in (".json", ".geojson"):
        return _from_geojson(path, text, summary)
    return _from_yolo(path, text, summary)


def matched(corners_px: np.ndarray, confidences: np.ndarray, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """Greedy one-to-one matching by rotated IoU of at least 0.3, or centre in box for objects shorter than 8 px.

    `corners_px` is (n, 4, 2). Returns (n,) bool, which detections are hits, and (objects,) bool, which were found.
    """
    hits = match(corners_px, confidences, truth.corners_px)
    found = match(truth.corners_px, np.ones(len(truth.corners_px)), corners_px[hits]) if hits.any() else None
    return hits, np.zeros(len(truth.corners_px), bool) if found is None else found


def _from_yolo(path: Path, text: str, summary: SceneSummary) -> Truth:
    corners, names = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            values = [float(field) for field in fields]
        except ValueError as error:
            raise TruthError(f"truth {path}, line {number}: {error}; {REMEDY}") from error
        if len(values) != 9:
            raise TruthError(f"truth {path}, line {number} has {len(values)} numbers, not 9; {REMEDY}")
        corners.append(np.reshape(values[1:], (4, 2)) * (summary.width, summary.height))
        names.append(_class_name(int(values[0]), summary))
    return Truth(corners_px=np.array(corners, dtype=np.float64).reshape(-1, 4, 2), class_names=tuple(names))


def _from_geojson(path: Path, text: str, summary: SceneSummary) -> Truth:
    try:
        everything = json.loads(text)["features"]
        features = [feature for feature in everything if not (feature.get("properties") or {}).get("obscured")]
        corners = [_feature_corners(feature, summary) for feature in features]
        names = tuple(str((feature.get("properties") or {}).get("class", "object")) for feature in features)
    except (KeyError, TypeError, ValueError, IndexError, RasterioError) as error:
        raise TruthError(f"truth {path} is not a collection of oriented polygons ({error!r}); {REMEDY}") from error
    return Truth(corners_px=np.array(corners, dtype=np.float64).reshape(-1, 4, 2), class_names=names)


def _feature_corners(feature: dict[str, Any], summary: SceneSummary) -> np.ndarray:
    properties = feature.get("properties") or {}
    if "corners_px" in properties:
        return np.reshape(np.array(properties["corners_px"], dtype=np.float64), (4, 2))
    ring = feature["geometry"]["coordinates"][0][:4]
    if summary.georeference.crs_wkt is None:
        raise ValueError("the scene has no coordinate reference system, and a feature has no corners_px")
    crs = CRS.from_wkt(summary.georeference.crs_wkt)
    xs, ys = warp_points("EPSG:4326", crs, [point[0] for point in ring], [point[1] for point in ring])
    to_pixel = ~Affine(*summary.georeference.transform)
    return np.array([to_pixel * point for point in zip(xs, ys, strict=True)])


def _class_name(number: int, summary: SceneSummary) -> str:
    return summary.classes[number] if 0 <= number < len(summary.classes) else f"class {number}"
