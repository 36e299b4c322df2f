"""Scenes with known objects: an image beside YOLO-OBB labels, or a generated scene beside its truth GeoJSON."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.warp import transform as transform_coordinates

from onboard.errors import LabelledDataError
from onboard.ground_sampling import ground_sampling_distance_m
from onboard.network_input import select_bands

IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2")
_COLOURS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue", ColorInterp.alpha: "alpha"}
_SLACK = 1e-3
"""By which labels may reach over the image's edge, as a share of its side: rounding in annotation tools."""

Georeference = tuple[rasterio.Affine, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledScene:
    """One scene in memory with the ships, or objects of any class, known in it."""

    name: str
    """File name without suffix, e.g. `santos_2023-07-25`."""
    pixels: np.ndarray
    """(height, width, bands) uint8 or uint16 digital numbers, in the order of the network's bands."""
    ships_px: np.ndarray
    """(ships, 4, 2) float64 corners x, y; pixel (0, 0) covers [0, 1) x [0, 1)."""
    classes: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """(ships,) int64 class of each; left out, all are 0."""
    gsd_m: float | None = None
    """Metres of ground to a pixel, where the file's georeference tells."""
    group: str = ""
    """What folds never split; left out, the place: the name before its first underscore."""

    def __post_init__(self) -> None:
        if not len(self.classes) and len(self.ships_px):
            object.__setattr__(self, "classes", np.zeros(len(self.ships_px), dtype=np.int64))
        if len(self.classes) != len(self.ships_px):
            raise ValueError(
                f"{len(self.classes)} classes for {len(self.ships_px)} ships of {self.name}; give one each"
            )

    @property
    def port(self) -> str:
        """The place, without the date, or the group that was named for it: folds never split it."""
        return self.group or self.name.split("_")[0]

    @property
    def pixels_sha256(self) -> str:
        """SHA-256 of the digital numbers: the same scene under another name is the same scene."""
        return hashlib.sha256(np.ascontiguousarray(self.pixels).tobytes()).hexdigest()


def read_labelled_scenes(data_dir: Path, bands: Sequence[str]) -> list[LabelledScene]:
    """Read every image of `images/` with its `labels_obb/NAME.txt` below `data_dir`, sorted by name.

    Bands go by the file's descriptions, else by its colours. Raises LabelledDataError, with file and line, where there is no image
    at all, an image has no label file (an empty one says that nothing is there), or a label is not one.
    """
    folder = data_dir / "images"
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise LabelledDataError(
            f"no image in {folder}; name a folder with images/ ({', '.join(IMAGE_SUFFIXES)}) and labels_obb/",
            path=folder,
        )
    doubled = {path.stem for path in paths if sum(other.stem == path.stem for other in paths) > 1}
    if doubled:
        raise LabelledDataError(
            f"{folder} holds two images named {sorted(doubled)[0]}; one label file cannot be for both", path=folder
        )
    return [_read_yolo_scene(path, data_dir / "labels_obb" / f"{path.stem}.txt", bands) for path in paths]


def read_generated_scene(image_path: Path, truth_path: Path, bands: Sequence[str]) -> LabelledScene:
    """Read a scene whose truth is a GeoJSON of ship polygons in longitude and latitude.

    Ships marked `obscured` are left out: they lie under opaque cloud, and nothing in the pixels shows them.
    """
    pixels, names, georeference = _read_pixels(image_path)
    features = json.loads(truth_path.read_text())["features"]
    ships = [_corners_px(feature, georeference) for feature in features if not feature["properties"].get("obscured")]
    return LabelledScene(
        name=image_path.stem,
        pixels=np.ascontiguousarray(select_bands(pixels, names, bands).transpose(1, 2, 0)),
        ships_px=np.array(ships, dtype=np.float64).reshape(-1, 4, 2),
        gsd_m=_gsd_m(georeference, pixels.shape[1:]),
    )


def read_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(objects,) int64 classes and (objects, 4, 2) corners as shares of the image's sides, from a YOLO-OBB label file.

    A line is `class x1 y1 x2 y2 x3 y3 x4 y4`. Raises LabelledDataError naming the file and the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise LabelledDataError(
            f"the label file {path} is absent; write an empty one where the image shows nothing", path=path
        ) from error
    rows = [_label(line, path, number) for number, line in enumerate(lines, start=1) if line.strip()]
    table = np.array(rows, dtype=np.float64).reshape(-1, 9)
    return table[:, 0].astype(np.int64), table[:, 1:].reshape(-1, 4, 2)


def _label(line: str, path: Path, number: int) -> list[float]:
    columns = line.split()

    def refused(what: str) -> LabelledDataError:
        return LabelledDataError(f"{path}, line {number}: {what}", path=path, line=number)

    if len(columns) != 9:
        raise refused(f"{len(columns)} columns; an oriented box has 9, `class x1 y1 x2 y2 x3 y3 x4 y4`")
    try:
        row = [float(column) for column in columns]
    except ValueError as error:
        raise refused(f"not all numbers ({error})") from error
    if not (row[0] >= 0 and row[0].is_integer()):
        raise refused(f"class {columns[0]} is not a whole number from 0")
    if not all(-_SLACK <= value <= 1 + _SLACK for value in row[1:]):
        raise refused("corners outside 0..1; they are shares of the image's width and height")
    return row


def _read_yolo_scene(image_path: Path, label_path: Path, bands: Sequence[str]) -> LabelledScene:
    pixels, names, georeference = _read_pixels(image_path)
    height, width = pixels.shape[1:]
    classes, corners = read_labels(label_path)
    return LabelledScene(
        name=image_path.stem,
        pixels=np.ascontiguousarray(select_bands(pixels, names, bands).transpose(1, 2, 0)),
        ships_px=corners * (width, height),
        classes=classes,
        gsd_m=_gsd_m(georeference, (height, width)),
    )


def _read_pixels(path: Path) -> tuple[np.ndarray, tuple[str, ...], Georeference]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(path) as source:
                return source.read(), _names(source), (source.transform, source.crs)
        except RasterioIOError as error:
            raise LabelledDataError(
                f"{path} cannot be read as an image ({error}); replace or remove it", path=path
            ) from error


def band_names(path: Path) -> tuple[str, ...]:
    """Names of an image's bands: descriptions, else colours, else `band N`. Raises LabelledDataError where it cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(path) as source:
                return _names(source)
        except RasterioIOError as error:
            raise LabelledDataError(
                f"{path} cannot be read as an image ({error}); replace or remove it", path=path
            ) from error


def _names(source: Any) -> tuple[str, ...]:
    described = zip(source.descriptions, source.colorinterp, strict=True)
    return tuple(
        name or _COLOURS.get(colour, f"band {index}") for index, (name, colour) in enumerate(described, start=1)
    )


def _gsd_m(georeference: Georeference, size_px: tuple[int, ...]) -> float | None:
    affine, crs = georeference
    if crs is None:
        return None
    row, col = size_px[0] / 2, size_px[1] / 2
    a, b, c, d, e, f = tuple(affine)[:6]
    points = ((col, row), (col + 1, row), (col, row + 1))
    xs, ys = [a * x + b * y + c for x, y in points], [d * x + e * y + f for x, y in points]
    longitudes, latitudes = transform_coordinates(crs, "EPSG:4326", xs, ys)
    centre, right, below = zip(longitudes, latitudes, strict=True)
    if not all(math.isfinite(value) for value in (*longitudes, *latitudes)):
        return None
    return ground_sampling_distance_m(centre, right, below)


def _corners_px(feature: dict[str, Any], georeference: Georeference) -> np.ndarray:
    affine, crs = georeference
    ring = feature["geometry"]["coordinates"][0][:4]
    xs, ys = transform_coordinates("EPSG:4326", crs, [p[0] for p in ring], [p[1] for p in ring])
    a, b, c, d, e, f = tuple(~affine)[:6]
    return np.array([(a * x + b * y + c, d * x + e * y + f) for x, y in zip(xs, ys, strict=True)])
