"""The folder of published scenes (edge: files).

    DIR/ground/catalog.json                     STAC catalog of all scenes
    DIR/ground/<scene>/scene.tif                pixels, mask, quality (COG)
    DIR/ground/<scene>/detections.geojson
    DIR/ground/<scene>/browse.png
    DIR/ground/<scene>/item.json                STAC item: sizes and digests of the three above

Publishing a scene again, after more layers came, replaces its files one by one, each whole or not at all; the item
comes last but for the catalog, so files that do not match its digests tell of an interrupted publication, which
publishing again repairs. One publisher writes to a folder at a time.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import rasterio

from downlink.scene import SceneSummary
from ground.atomic_file import replace_file
from ground.browse import browse_png
from ground.catalogue_names import BROWSE_FILE, CATALOG_FILE, COG_FILE, DETECTIONS_FILE, GROUND_FOLDER, ITEM_FILE
from ground.cog import read_quality, write_cog
from ground.errors import CatalogueError
from ground.geojson import BoxQuality, DeliveredDetection, detection_collection, window_around
from ground.geolocation import Geolocator, projection_of
from ground.quality import NOTHING_CAME, QualityStatistics
from ground.raster_errors import told_as_ours
from ground.reconstruction import RebuiltWindow
from ground.stac import PublishedFile, SceneFiles, catalog, scene_item
from ground.waiting_images import MissingReference, WaitingImages

FOLDER_NAME_LIMIT: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedScene:
    """Where a scene was published and how good it is."""

    folder: Path
    """DIR/ground/<scene>."""
    cog: Path
    """Pixels, mask, quality."""
    detections: Path
    """GeoJSON."""
    browse: Path
    """PNG."""
    item: Path
    """STAC item."""
    statistics: QualityStatistics
    """Pixels by quality."""
    waiting_images: int = 0
    """Images that arrived and are not shown, because what they are predicted from is missing."""
    missing_references: tuple[MissingReference, ...] = ()
    """What that is."""


def publish(
    directory: Path,
    summary: SceneSummary,
    *,
    windows: Iterable[RebuiltWindow],
    delivered: Sequence[DeliveredDetection],
    published_ms: int,
    waiting: WaitingImages | None = None,
) -> PublishedScene:
    """Publish a rebuilt scene under `directory`/ground, in place of what was published of it before.

    `windows` cover the scene without overlap (`rebuild_windows`, or `RebuiltScene.windows`); `waiting` is told meanwhile which
    images cannot be shown. The same input gives the same files. Raises CatalogueError when a file cannot be written,
    GeolocationError for a damaged georeference.
    """
    geolocator = Geolocator.of(summary.georeference)
    root = directory / GROUND_FOLDER
    folder = root / folder_name(root, summary)
    cog = folder / COG_FILE
    statistics = write_cog(cog, summary, windows)
    replace_file(folder / BROWSE_FILE, browse_png(cog))
    collection = detection_collection(
        summary,
        delivered,
        locate=None if geolocator is None else geolocator.lonlat,
        qualities=_box_qualities(cog, summary, delivered),
    )
    replace_file(folder / DETECTIONS_FILE, _json_bytes(collection))
    waiting = WaitingImages() if waiting is None else waiting
    item = scene_item(
        summary,
        item_id=folder.name,
        projection=projection_of(summary.georeference),
        statistics=statistics,
        detections=len(delivered),
        files=SceneFiles(
            cog=_published_file(cog),
            detections=_published_file(folder / DETECTIONS_FILE),
            thumbnail=_published_file(folder / BROWSE_FILE),
        ),
        published_ms=published_ms,
        waiting=waiting,
    )
    replace_file(folder / ITEM_FILE, _json_bytes(item))
    replace_file(root / CATALOG_FILE, _json_bytes(catalog(_published_items(root))))
    return PublishedScene(
        folder=folder,
        cog=cog,
        detections=folder / DETECTIONS_FILE,
        browse=folder / BROWSE_FILE,
        item=folder / ITEM_FILE,
        statistics=statistics,
        waiting_images=len(waiting),
        missing_references=waiting.references,
    )


def folder_name(root: Path, summary: SceneSummary) -> str:
    """The scene's name made safe for a folder; with its number where another scene of that name is published.

    Raises CatalogueError when the item published under that name cannot be read.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", summary.name).lstrip(".")[:FOLDER_NAME_LIMIT] or "scene"
    item = root / safe / ITEM_FILE
    taken = item.exists() and _read_item(item)["properties"].get("tianshu:scene") != summary.scene
    return f"{safe}-{summary.scene:08x}" if taken or safe == CATALOG_FILE else safe


def _box_qualities(cog: Path, summary: SceneSummary, delivered: Sequence[DeliveredDetection]) -> list[BoxQuality]:
    """How good the pixels under each detection are; a box outside the scene has none."""
    nothing = BoxQuality(arrived_fraction=0.0, code=NOTHING_CAME)
    around = [window_around(summary, one.detection) for one in delivered]
    with told_as_ours(f"cannot read {cog} back", cog), rasterio.open(cog) as dataset:
        return [nothing if window is None else BoxQuality.of(read_quality(dataset, window)) for window in around]


def _published_items(root: Path) -> list[tuple[str, str]]:
    """(folder, title) of every scene that has an item, by time of capture, then by folder."""
    found = []
    for item_file in root.glob(f"*/{ITEM_FILE}"):
        properties = _read_item(item_file)["properties"]
        found.append(
            (properties["datetime"], item_file.parent.name, properties.get("tianshu:name", item_file.parent.name))
        )
    return [(folder, title) for _, folder, title in sorted(found)]


def _read_item(path: Path) -> dict[str, Any]:
    try:
        item = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CatalogueError(
            f"cannot read STAC item {path}: {error}; remove it and publish its scene again", path=path
        ) from error
    if not isinstance(item, dict) or "datetime" not in item.get("properties", {}):
        raise CatalogueError(f"{path} is not a STAC item; remove it and publish its scene again", path=path)
    return item


def _published_file(path: Path) -> PublishedFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return PublishedFile(name=path.name, size_bytes=file.tell(), sha256_hex=digest.hexdigest())


def _json_bytes(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"
