"""Published scenes as SpatioTemporal Asset Catalog items and a catalog that lists them (pure dictionaries).

STAC 1.1.0 with the projection 2.0.0, raster 2.0.0, file 2.1.0 and processing 1.2.0 extensions. Fields of ours begin with "tianshu:".
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from downlink.scene import SceneSummary
from ground.antimeridian import polygon_bbox, polygon_geometry
from ground.instant import utc_text
from ground.quality import CODES_IN_WORDS, STEPS_PER_DB, QualityStatistics, psnr_of_code_db
from ground.reconstruction import representable_nodata
from ground.waiting_images import WaitingImages

STAC_VERSION: Final = "1.1.0"
EXTENSIONS: Final = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
)
CATALOG_ID: Final = "tianshu-ground"
REFERENCES_LISTED: Final = 32
COG_MEDIA_TYPE: Final = "image/tiff; application=geotiff; profile=cloud-optimized"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """A file beside the item."""

    name: str
    """File name in the item's folder."""
    size_bytes: int
    """Its length."""
    sha256_hex: str
    """Its digest, 64 hexadecimal digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """The scene's coordinate reference system as STAC names it."""

    code: str | None
    """Authority and number such as "EPSG:32617"; None when the system has none."""
    wkt2: str
    """Well-known text, ISO 19162."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneFiles:
    """What is published of one scene."""

    cog: PublishedFile
    """Pixels, mask and quality."""
    detections: PublishedFile
    """GeoJSON."""
    thumbnail: PublishedFile
    """PNG."""


def scene_item(
    summary: SceneSummary,
    *,
    item_id: str,
    projection: Projection | None,
    statistics: QualityStatistics,
    detections: int,
    files: SceneFiles,
    published_ms: int,
    waiting: WaitingImages,
) -> dict[str, Any]:
    """STAC Item of a scene. Geometry is null, and there is no bbox, where the scene's footprint is unknown."""
    corners = summary.footprint_lonlat
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": item_id,
        "geometry": None if corners is None else polygon_geometry(corners),
        "properties": {
            "datetime": utc_text(summary.captured_ms if summary.acquired_ms is None else summary.acquired_ms),
            "tianshu:captured": utc_text(summary.captured_ms),
            "updated": utc_text(published_ms),
            **({} if summary.gsd_m is None else {"gsd": summary.gsd_m}),
            **_projection_properties(summary, projection),
            **_provenance_properties(summary),
            "tianshu:detections": detections,
            "tianshu:quality": quality_figures(statistics),
            **_waiting_properties(waiting),
        },
        "links": [
            {"rel": "root", "href": "../catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "../catalog.json", "type": "application/json"},
        ],
        "assets": _assets(summary, files),
    }
    if corners is not None:
        item["bbox"] = polygon_bbox(corners)
    return item


def catalog(items: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Root catalog of items given as (folder, title), in that order."""
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": CATALOG_ID,
        "title": "Scenes rebuilt on the ground",
        "description": "Scenes rebuilt from the layers that came down, each with a mask and a quality code per pixel.",
        "links": [
            {"rel": "root", "href": "./catalog.json", "type": "application/json"},
            *(
                {"rel": "item", "href": f"./{folder}/item.json", "type": "application/geo+json", "title": title}
                for folder, title in items
            ),
        ],
    }


def quality_figures(statistics: QualityStatistics) -> dict[str, Any]:
    """Counts and shares of a scene's pixels by quality; PSNR of byte-exact pixels is infinite and written as null."""
    return {
        "valid_fraction": statistics.valid_fraction,
        "arrived_fraction": statistics.arrived_fraction,
        "byte_exact_fraction": statistics.byte_exact_fraction,
        "valid_px": statistics.valid_px,
        "nodata_px": statistics.nodata_px,
        "missing_px": statistics.missing_px,
        "estimated_psnr_db_p10": _finite_psnr_db(statistics.code_at_share(0.1)),
        "estimated_psnr_db_p50": _finite_psnr_db(statistics.code_at_share(0.5)),
        "codes": CODES_IN_WORDS,
    }


def _finite_psnr_db(code: int | None) -> float | None:
    psnr_db = None if code is None else psnr_of_code_db(code)
    return psnr_db if psnr_db is not None and math.isfinite(psnr_db) else None


def _projection_properties(summary: SceneSummary, projection: Projection | None) -> dict[str, Any]:
    properties: dict[str, Any] = {"proj:shape": [summary.height, summary.width]}
    if projection is None:
        return properties | {"proj:code": None}
    return properties | {
        "proj:code": projection.code,
        "proj:wkt2": projection.wkt2,
        "proj:transform": list(summary.georeference.transform),
    }


def _waiting_properties(waiting: WaitingImages) -> dict[str, Any]:
    """Images that arrived and are not shown, and what they wait for; nothing where none waits."""
    if not waiting:
        return {}
    references = waiting.references
    return {
        "tianshu:images_waiting": len(waiting),
        "tianshu:missing_references": [
            {"scene": one.scene, "product": one.product, "steps": one.steps} for one in references[:REFERENCES_LISTED]
        ],
        "tianshu:missing_references_total": len(references),
    }


def _provenance_properties(summary: SceneSummary) -> dict[str, Any]:
    outcomes = Counter(outcome.value for outcome in summary.tile_outcomes)
    return {
        "processing:lineage": (
            "Screened, searched and coded on board; rebuilt on the ground from the layers that came down. "
            "Pixels that never came are masked."
        ),
        "tianshu:scene": summary.scene,
        "tianshu:name": summary.name,
        "tianshu:model": summary.model,
        "tianshu:policy": summary.policy,
        "tianshu:classes": list(summary.classes),
        "tianshu:peak_dn": summary.peak_dn,
        "tianshu:tile_outcomes": dict(sorted(outcomes.items())),
    }


def _assets(summary: SceneSummary, files: SceneFiles) -> dict[str, Any]:
    return {
        "cog": {
            **_asset(files.cog, COG_MEDIA_TYPE, "Rebuilt pixels, validity mask and quality", ["data"]),
            "bands": _bands(summary),
        },
        "detections": _asset(files.detections, "application/geo+json", "Detections made on board", ["metadata"]),
        "thumbnail": _asset(files.thumbnail, "image/png", "Browse picture", ["thumbnail"]),
    }


def _asset(file: PublishedFile, media_type: str, title: str, roles: list[str]) -> dict[str, Any]:
    return {
        "href": f"./{file.name}",
        "type": media_type,
        "title": title,
        "roles": roles,
        "file:size": file.size_bytes,
        # Multihash: 0x12 names SHA-256, 0x20 is its length in bytes.
        "file:checksum": f"1220{file.sha256_hex}",
    }


def _bands(summary: SceneSummary) -> list[dict[str, Any]]:
    nodata = representable_nodata(summary)
    sample = {"data_type": summary.dtype} | ({} if nodata is None else {"nodata": nodata})
    quality = {
        "name": "quality",
        "description": CODES_IN_WORDS,
        "data_type": summary.dtype,
        "unit": "dB",
        "raster:scale": 1 / STEPS_PER_DB,
    }
    return [*({"name": name, **sample} for name in summary.band_names), quality]
