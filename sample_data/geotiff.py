"""The file edge: generated scenes as GeoTIFF, their truth as GeoJSON (RFC 7946). The only module here with rasterio."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rasterio
from rasterio.transform import Affine
from rasterio.warp import transform as transform_coordinates

from sample_data.canvas import BANDS
from sample_data.generate import GeneratedScene, ShipTruth
from sample_data.sensor import NODATA
from sample_data.ships import PIXEL_M

CRS = "EPSG:32630"
"""UTM zone 30 north."""

ORIGIN_M = (336_000.0, 5_012_000.0)
"""Easting and northing of the top left corner: open water of the Bay of Biscay, where there is no such harbour."""

DATES = ("2026-03-01T11:08:41Z", "2026-03-11T11:08:39Z")
"""Acquisition times of date 0 and date 1 (ten days: one repeat cycle of one satellite)."""


def scene_stem(date: int) -> str:
    """File name of a date without its ending, such as harbour_20260301."""
    return "harbour_" + DATES[date][:10].replace("-", "")


def scene_transform() -> Affine:
    """Pixel to map: 10 m pixels, north up."""
    return Affine(PIXEL_M, 0.0, ORIGIN_M[0], 0.0, -PIXEL_M, ORIGIN_M[1])


def write_scene(scene: GeneratedScene, folder: Path, *, seed: int, date: int) -> Path:
    """Write `<stem>.tif` and `<stem>.geojson` into a folder that exists; returns the GeoTIFF's path."""
    path = folder / f"{scene_stem(date)}.tif"
    bands, height_px, width_px = scene.image.shape
    profile: dict[str, Any] = {
        "driver": "GTiff", "dtype": "uint16", "count": bands, "height": height_px, "width": width_px,
        "crs": CRS, "transform": scene_transform(), "nodata": NODATA,
        "tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "predictor": 2, "zlevel": 9,
        "interleave": "band",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(scene.image)
        dataset.descriptions = BANDS
        dataset.update_tags(
            ACQUISITION_DATETIME=DATES[date],
            SYNTHETIC="yes: painted by sample_data.generate, no satellite took this image",
            GENERATOR_SEED=str(seed),
            GENERATOR_DATE=str(date),
            REFLECTANCE_SCALE="0.0001",
        )
    truth = {
        "type": "FeatureCollection",
        "name": f"{scene_stem(date)} ships",
        "features": [_feature(number, ship) for number, ship in enumerate(scene.ships)],
    }
    path.with_suffix(".geojson").write_text(json.dumps(truth, indent=None, separators=(",", ":")) + "\n")
    return path


def _feature(number: int, ship: ShipTruth) -> dict[str, Any]:
    ring = [*ship.corners_px, ship.corners_px[0]]
    easting = [ORIGIN_M[0] + PIXEL_M * x for x, _ in ring]
    northing = [ORIGIN_M[1] - PIXEL_M * y for _, y in ring]
    longitude, latitude = transform_coordinates(CRS, "OGC:CRS84", easting, northing)
    return {
        "type": "Feature",
        "id": number,
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[round(x, 8), round(y, 8)] for x, y in zip(longitude, latitude, strict=True)]],
        },
        "properties": {
            "class": "ship",
            "kind": ship.kind,
            "length_m": round(ship.length_m, 1),
            "width_m": round(ship.width_m, 1),
            "heading_deg": round(ship.heading_deg, 2),
            "speed_mps": round(ship.speed_mps, 2),
            "moored": ship.moored,
            "obscured": ship.obscured,
            "cloud_opacity": round(ship.cloud_opacity, 3),
            "px": [[round(x, 3), round(y, 3)] for x, y in ship.corners_px],
        },
    }
