"""The ground's page and its catalogue over HTTP: one page that works without scripts, and files that are only read (edge: files).

Handlers run in other threads: they read one status that is replaced whole, and files of the catalogue, which are replaced whole too.
"""

import json
from importlib import resources
from pathlib import Path
from typing import Any, Final

from ground.catalogue_names import CATALOG_FILE, DETECTIONS_FILE, GROUND_FOLDER, ITEM_FILE
from mission.live.endpoints import JSON, Response, not_found
from mission.live.ground_status import GroundStatus, SceneStatus
from mission.live.scene_sections import DrawnDetection
from mission.live.status_sections import PageView, page_body
from mission.report_markup import element

CATALOGUE_PATH: Final = "/catalogue/"
HTML: Final = "text/html; charset=utf-8"
MEDIA_TYPES: Final = {
    ".json": JSON,
    ".geojson": "application/geo+json",
    ".png": "image/png",
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
}
PICTURES_SHOWN: Final = 7
"""Scenes that are shown with their picture; older ones are rows of a table."""
BOXES_DRAWN: Final = 400
"""On one picture, the most confident ones."""
DETECTIONS_LIMIT_BYTES: Final = 16 * 1024 * 1024
_TEMPLATE: Final = "status.html"


class StatusPage:
    """What `/` and `/catalogue/` answer."""

    def __init__(self, state: Path) -> None:
        """`state` is the ground's state folder."""
        self._root = state / GROUND_FOLDER
        self._shown: tuple[GroundStatus, str] | None = None
        self._drawn: dict[tuple[str, int], tuple[DrawnDetection, ...]] = {}
        head, _, rest = (
            resources.files("mission").joinpath("templates", _TEMPLATE).read_text("utf-8").partition("{{title}}")
        )
        middle, _, tail = rest.partition("{{body}}")
        self._frame = head, middle, tail

    def show(self, status: GroundStatus, *, trouble: str) -> None:
        """The status to be shown from now on; `trouble`: why the service is not well, empty where it is."""
        self._shown = status, trouble

    def has_scene(self, folder: str) -> bool:
        """Whether the catalogue has a scene of that folder."""
        return (self._root / folder / ITEM_FILE).is_file()

    def page(self, path: str) -> Response:
        """The page, as things stand."""
        shown = self._shown
        if shown is None:
            return Response(status=503, body=b"The ground station is starting.\n")
        status, trouble = shown
        pictured = [scene for scene in status.scenes if scene.folder is not None][:PICTURES_SHOWN]
        view = PageView(
            status=status,
            trouble=trouble,
            pictured={scene.scene: self._detections(scene) for scene in pictured},
        )
        head, middle, tail = self._frame
        page = "".join((head, element("title", f"{status.mission} · ground"), middle, page_body(view), tail))
        return Response(content_type=HTML, body=page.encode())

    def file(self, path: str) -> Response:
        """A file of the catalogue: its list, or a file in a scene's folder; nothing hidden, nothing through a link."""
        parts = path.removeprefix(CATALOGUE_PATH).split("/")
        if parts == [""]:
            parts = [CATALOG_FILE]
        media_type = MEDIA_TYPES.get(Path(parts[-1]).suffix)
        target = self._root.joinpath(*parts)
        hidden = any(not part or part.startswith(".") for part in parts)
        if hidden or len(parts) > 2 or media_type is None:
            return not_found(path)
        try:
            inside = target.resolve(strict=True) == self._root.resolve() / Path(*parts)
        except (OSError, ValueError):
            return not_found(path)
        if not inside or not target.is_file():
            return not_found(path)
        return Response(content_type=media_type, body=target)

    def _detections(self, scene: SceneStatus) -> tuple[DrawnDetection, ...]:
        """What is drawn over a picture, read once per publication."""
        if scene.folder is None or scene.published_ms is None:
            return ()
        key = scene.folder, scene.published_ms
        drawn = self._drawn.get(key)
        if drawn is None:
            drawn = read_detections(self._root / scene.folder / DETECTIONS_FILE)
            kept = list(self._drawn.items())[-4 * PICTURES_SHOWN :]
            self._drawn = {**dict(kept), key: drawn}
        return drawn


def read_detections(path: Path) -> tuple[DrawnDetection, ...]:
    """The boxes of a published scene, the most confident ones; none where the file cannot be read."""
    try:
        with path.open("rb") as file:
            collection = json.loads(file.read(DETECTIONS_LIMIT_BYTES))
        found = [_drawn(feature["properties"]) for feature in collection["features"]]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ()
    return tuple(sorted(found, key=lambda one: -one.confidence)[:BOXES_DRAWN])


def _drawn(properties: dict[str, Any]) -> DrawnDetection:
    """Raises what Python raises for properties of another form."""
    centre, length_m = properties.get("centre"), properties.get("length_m")
    return DrawnDetection(
        class_name=str(properties["class"]),
        confidence=float(properties["confidence"]),
        corners_px=tuple((float(x), float(y)) for x, y in properties["corners_px"]),
        lonlat=None if centre is None else (float(centre[0]), float(centre[1])),
        length_m=None if length_m is None else float(length_m),
    )
