"""Scenes with known ships: GeoTIFF beside YOLO-OBB labels, or a generated scene beside its truth GeoJSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.warp import transform as transform_coordinates

from onboard.network_input import select_bands


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledScene:
    """One scene in memory with the ships known in it."""

    name: str
    """File name without suffix, e.g. `santos_2023-07-25`."""
    pixels: np.ndarray
    """(height, width, bands) uint16 digital numbers, in the order of the network's bands."""
    ships_px: np.ndarray
    """(ships, 4, 2) float64 corners x, y; pixel (0, 0) covers [0, 1) x [0, 1)."""

    @property
    def port(self) -> str:
        """The place, without the date: folds never split it."""
        return self.name.split("_")[0]


def read_labelled_scenes(data_dir: Path, bands: Sequence[str]) -> list[LabelledScene]:
    """Read every `images/*.tif` with `labels_obb/*.txt` below `data_dir`, sorted by name.

    Raises FileNotFoundError when there is no scene at all.
    """
    paths = sorted((data_dir / "images").glob("*.tif"))
    if not paths:
        raise FileNotFoundError(f"no images/*.tif below {data_dir}; name the ship data with --data DIR")
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
    )


def _read_yolo_scene(image_path: Path, label_path: Path, bands: Sequence[str]) -> LabelledScene:
    pixels, names, _ = _read_pixels(image_path)
    height, width = pixels.shape[1:]
    rows = np.loadtxt(label_path, ndmin=2) if label_path.read_text().strip() else np.empty((0, 9))
    return LabelledScene(
        name=image_path.stem,
        pixels=np.ascontiguousarray(select_bands(pixels, names, bands).transpose(1, 2, 0)),
        ships_px=rows[:, 1:9].reshape(-1, 4, 2) * (width, height),
    )


def _read_pixels(path: Path) -> tuple[np.ndarray, tuple[str, ...], tuple[rasterio.Affine, object]]:
    with rasterio.open(path) as source:
        names = tuple(name or f"band {index + 1}" for index, name in enumerate(source.descriptions))
        return source.read(), names, (source.transform, source.crs)


def _corners_px(feature: dict[str, Any], georeference: tuple[rasterio.Affine, object]) -> np.ndarray:
    affine, crs = georeference
    ring = feature["geometry"]["coordinates"][0][:4]
    xs, ys = transform_coordinates("EPSG:4326", crs, [p[0] for p in ring], [p[1] for p in ring])
    a, b, c, d, e, f = tuple(~affine)[:6]
    return np.array([(a * x + b * y + c, d * x + e * y + f) for x, y in zip(xs, ys, strict=True)])
