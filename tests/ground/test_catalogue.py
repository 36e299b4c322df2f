import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from pystac.extensions.projection import ProjectionExtension
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource

from downlink.alerts import AlertDetection
from downlink.image_layers import DecodedImage
from downlink.scene import Georeference, SceneSummary, Window
from ground.browse import colour_bands
from ground.catalogue import PublishedScene, publish
from ground.errors import CatalogueError, GeolocationError
from ground.geojson import DeliveredDetection
from ground.reconstruction import reconstruct, tile_windows

MakeSummary = Callable[..., SceneSummary]
MakeImage = Callable[..., DecodedImage]
PUBLISHED_MS = 1_700_003_600_000

SHIP = DeliveredDetection(
    detection=AlertDetection(class_id=0, confidence=0.9, corners_px=((4, 3), (12, 3), (12, 6), (4, 6))),
    received_ms=1_700_000_060_000,
)
SHIP_UNSEEN = DeliveredDetection(
    detection=AlertDetection(class_id=0, confidence=0.5, corners_px=((40, 30), (44, 30), (44, 32), (40, 32))),
    received_ms=1_700_000_070_000,
)


def original_scene() -> np.ndarray:
    return np.random.default_rng(9).integers(200, 3000, (4, 40, 56)).astype(np.uint16)


def publish_blocks(
    directory: Path, summary: SceneSummary, make_image: MakeImage, blocks: int, **image: object
) -> PublishedScene:
    """Publish a scene of which the first so many blocks arrived."""
    original = original_scene()
    images = [make_image(original, window, **image) for window in list(tile_windows(summary))[:blocks]]
    return publish(
        directory,
        summary,
        windows=reconstruct(summary, images).windows(),
        delivered=[SHIP, SHIP_UNSEEN],
        published_ms=PUBLISHED_MS,
    )


def core_schema_errors(kind: str, found: dict[str, object]) -> list[str]:
    """Oracle: pystac's own copy of the STAC and GeoJSON schemas; no network."""
    from jsonschema import Draft7Validator

    cache = get_local_schema_cache()
    registry = Registry().with_resources((uri, Resource.from_contents(schema)) for uri, schema in cache.items())
    (schema,) = (schema for uri, schema in cache.items() if uri.endswith(f"/{kind}.json") and f"/{kind}-spec/" in uri)
    return [error.message for error in Draft7Validator(schema, registry=registry).iter_errors(found)]


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


# Run in its own process: the limit holds for every file a process writes. Files that would grow beyond it fail to be
# written, as on a full disk.
PUBLISH_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from downlink.scene import SceneSummary
from ground.catalogue import publish
from ground.errors import CatalogueError
from ground.reconstruction import RebuiltScene
summary = SceneSummary.model_validate_json(sys.argv[2])
shape = (summary.height, summary.width)
rebuilt = RebuiltScene(
    summary=summary,
    pixels=np.random.default_rng(1).integers(1, 9999, (4, *shape)).astype("uint16"),
    valid=np.ones(shape, bool),
    quality=np.full(shape, 255, np.uint8),
)
for limit_bytes in map(int, sys.argv[3:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))
    try:
        publish(Path(sys.argv[1]), summary, windows=rebuilt.windows(), delivered=[], published_ms=1)
        print(limit_bytes, "published")
    except CatalogueError as error:
        print(limit_bytes, error)
"""


def test_a_published_scene(tmp_path: Path, make_summary: MakeSummary, make_image: MakeImage) -> None:
    published = publish_blocks(tmp_path, make_summary(), make_image, 4, lossless=True)
    assert sorted(contents(tmp_path)) == [
        "ground/catalog.json",
        "ground/harbour/browse.png",
        "ground/harbour/detections.geojson",
        "ground/harbour/item.json",
        "ground/harbour/scene.tif",
    ]
    seen, unseen = (f["properties"] for f in json.loads(published.detections.read_bytes())["features"])
    assert (seen["byte_exact"], seen["arrived_fraction"], seen["quality_code"]) == (True, 1, 255)
    assert (unseen["byte_exact"], unseen["arrived_fraction"], unseen["quality_code"]) == (False, 0, 0)
    with rasterio.open(published.browse) as picture:
        assert picture.driver == "PNG" and picture.shape == (40, 56)
        opaque = picture.read(4) == 255
        assert opaque[:16].all() and not opaque[16:].any()
        assert picture.read(1)[:16].std() > 20
    with rasterio.open(published.cog) as cog:
        np.testing.assert_array_equal(cog.read([1, 2, 3, 4])[:, :16], original_scene()[:, :16])


def test_the_item_and_the_catalog_are_valid_stac(
    tmp_path: Path, make_summary: MakeSummary, make_image: MakeImage
) -> None:
    published = publish_blocks(tmp_path, make_summary(), make_image, 4, mse=16.0, off_by=4)
    later = make_summary(
        scene=2,
        name="second",
        captured_ms=1_800_000_000_000,
        acquired_ms=1_790_000_000_000,
        footprint_lonlat=None,
        gsd_m=None,
    )
    publish_blocks(tmp_path, later, make_image, 0)
    found = json.loads(published.item.read_bytes())
    assert core_schema_errors("item", found) == []
    assert core_schema_errors("item", json.loads((tmp_path / "ground/second/item.json").read_bytes())) == []
    assert core_schema_errors("catalog", json.loads((tmp_path / "ground/catalog.json").read_bytes())) == []

    catalog = pystac.Catalog.from_file(str(tmp_path / "ground" / "catalog.json"))
    first, second = catalog.get_items()
    assert (first.id, second.id) == ("harbour", "second")
    assert first.get_root() is catalog and first.get_parent() is catalog
    assert second.geometry is None and second.bbox is None
    assert first.bbox == [-81.0, 36.1, -80.9, 36.15]
    assert first.datetime is not None and first.datetime.isoformat() == "2023-11-14T22:13:20.123000+00:00"
    assert second.datetime is not None and second.datetime.isoformat() == "2026-09-21T14:13:20+00:00"
    assert second.properties["tianshu:captured"] == "2027-01-15T08:00:00.000Z"
    projection = ProjectionExtension.ext(first)
    assert (projection.code, projection.shape) == ("EPSG:32617", [40, 56])
    assert projection.transform == [10, 0, 500_000, 0, -10, 4_000_000]
    assert first.common_metadata.gsd == 10 and "gsd" not in second.properties
    quality = first.properties["tianshu:quality"]
    assert quality["valid_fraction"] == pytest.approx(16 * 56 / (40 * 56))
    assert quality["estimated_psnr_db_p50"] == 67.5  # 80 - 10 log10(16) = 67.96, rounded down to half a dB
    assert first.properties["tianshu:tile_outcomes"] == {"kept": 12}
    for asset in first.assets.values():
        data = Path(asset.get_absolute_href() or "").read_bytes()
        assert asset.extra_fields["file:size"] == len(data)
        assert asset.extra_fields["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()
    assert [band["name"] for band in first.assets["cog"].extra_fields["bands"]] == [
        "B02",
        "B03",
        "B04",
        "B08",
        "quality",
    ]


def test_publishing_again_replaces_and_is_idempotent(
    tmp_path: Path, make_summary: MakeSummary, make_image: MakeImage
) -> None:
    summary = make_summary()
    publish_blocks(tmp_path, summary, make_image, 3, mse=16.0, off_by=4)
    few = contents(tmp_path)
    publish_blocks(tmp_path, summary, make_image, 3, mse=16.0, off_by=4)
    assert contents(tmp_path) == few
    full = publish_blocks(tmp_path, summary, make_image, 12, lossless=True)
    assert full.statistics.byte_exact_fraction == 1
    assert contents(tmp_path).keys() == few.keys()
    assert all(contents(tmp_path)[name] != few[name] for name in few if name.startswith("ground/harbour/"))
    with rasterio.open(full.cog) as cog:
        np.testing.assert_array_equal(cog.read([1, 2, 3, 4]), original_scene())


def test_two_scenes_of_one_name_do_not_overwrite_each_other(
    tmp_path: Path, make_summary: MakeSummary, make_image: MakeImage
) -> None:
    for _ in range(2):
        first = publish_blocks(tmp_path, make_summary(name="../日 a/b"), make_image, 1)
        second = publish_blocks(tmp_path, make_summary(name="../日 a/b", scene=0xAB), make_image, 2)
        assert first.folder.parent == second.folder.parent == tmp_path / "ground"
        assert (first.folder.name, second.folder.name) == ("_a_b", "_a_b-000000ab")
    catalog = json.loads((tmp_path / "ground/catalog.json").read_bytes())
    assert [link["title"] for link in catalog["links"] if link["rel"] == "item"] == ["../日 a/b"] * 2


def test_a_full_disk_is_told_and_keeps_what_was_published(
    tmp_path: Path, repository: Path, make_summary: MakeSummary, make_image: MakeImage
) -> None:
    summary = make_summary()
    publish_blocks(tmp_path, summary, make_image, 3, mse=16.0)
    before = contents(tmp_path)
    limits = ("0", "300", "3000", "9000", "100000", "1000000")
    told = subprocess.run(
        [sys.executable, "-c", PUBLISH_ON_A_FULL_DISK, tmp_path, summary.model_dump_json(), *limits],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert len(told) == len(limits)
    for limit, line in zip(limits, told, strict=True):
        assert line.startswith(f"{limit} cannot write {tmp_path}") and line.endswith("publish again")
    assert contents(tmp_path) == before
    assert publish_blocks(tmp_path, summary, make_image, 12, lossless=True).statistics.byte_exact_fraction == 1


def test_leavings_of_a_killed_publisher_are_removed(
    tmp_path: Path, make_summary: MakeSummary, make_image: MakeImage
) -> None:
    unfinished = tmp_path / "ground" / "harbour" / ".scene.tif.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "scene.tif.ovr").write_bytes(b"torn")
    publish_blocks(tmp_path, make_summary(), make_image, 2)
    assert not unfinished.exists()


def test_a_damaged_item_or_georeference_is_told(
    tmp_path: Path, make_summary: MakeSummary, make_image: MakeImage
) -> None:
    published = publish_blocks(tmp_path, make_summary(), make_image, 1)
    published.item.write_bytes(b'{"cut')
    with pytest.raises(CatalogueError, match=r"item\.json.*remove it") as refusal:
        publish_blocks(tmp_path, make_summary(), make_image, 1)
    assert refusal.value.path == published.item
    damaged = make_summary(name="other", georeference=Georeference(crs_wkt="nonsense", transform=(1, 0, 0, 0, 1, 0)))
    with pytest.raises(GeolocationError, match="nonsense"):
        publish_blocks(tmp_path, damaged, make_image, 1)


def test_a_scene_without_reference_system_is_published_without_geometry(
    tmp_path: Path, make_summary: MakeSummary, make_image: MakeImage
) -> None:
    georeference = Georeference(crs_wkt=None, transform=(1, 0, 0, 0, 1, 0))
    summary = make_summary(georeference=georeference, footprint_lonlat=None, model=None)
    published = publish_blocks(tmp_path, summary, make_image, 12, lossless=True)
    item = json.loads(published.item.read_bytes())
    assert item["geometry"] is None and "bbox" not in item and item["properties"]["proj:code"] is None
    assert core_schema_errors("item", item) == []
    features = json.loads(published.detections.read_bytes())["features"]
    assert [feature["geometry"] for feature in features] == [None, None]


def test_a_scene_of_which_nothing_came_has_a_transparent_picture(
    tmp_path: Path, make_summary: MakeSummary, make_image: MakeImage
) -> None:
    published = publish_blocks(tmp_path, make_summary(), make_image, 0)
    with rasterio.open(published.browse) as picture:
        assert not picture.read().any()


def test_colours_of_the_picture() -> None:
    assert colour_bands(("B02", "B03", "B04", "B08")) == (2, 1, 0)
    assert colour_bands(("red", "green", "blue")) == (0, 1, 2)
    assert colour_bands(("B03", "B04", "B05", "B08")) == (0, 1, 2)
    assert colour_bands(("pan",)) == (0, 0, 0)


def test_a_wide_scene_has_a_small_picture(tmp_path: Path, make_summary: MakeSummary, make_image: MakeImage) -> None:
    summary = make_summary(height=30, width=4100, tile_px=512, band_names=("pan",), dtype="uint8", nodata=None)
    original = (np.arange(30 * 4100).reshape(1, 30, 4100) // 500).astype(np.uint8)
    window = Window(row=0, col=0, height=30, width=4100)
    rebuilt = reconstruct(summary, [make_image(original, window, lossless=True)])
    published = publish(tmp_path, summary, windows=rebuilt.windows(), delivered=[], published_ms=PUBLISHED_MS)
    with rasterio.open(published.browse) as picture:
        assert picture.shape == (7, 1024)
        assert (picture.read(4) == 255).all()
        assert picture.read(1)[0, 0] == 0 and picture.read(1)[-1, -1] == 255
