"""The scenes on the ground's page: the newest large, a few more beside each other, the rest as rows (pure).

Folders of the catalogue have names of letters, digits, `.`, `_` and `-` alone (`ground.catalogue.folder_name`): they are addresses
as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mission.live.ground_status import GroundStatus, SceneStatus
from mission.live.status_times import clock
from mission.report_markup import Markup, element, join, points
from mission.report_units import ABSENT, percent, plural, significant, size, whole

CATALOGUE: Final = "/catalogue"
ROWS_LISTED: Final = 20
DETECTIONS_LISTED: Final = 8
TALLEST_RATIO: Final = 4.0
"""Pictures that are longer than this are drawn in a frame of this shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnDetection:
    """A box over a picture."""

    class_name: str
    """What it is."""
    confidence: float
    """0 to 1."""
    corners_px: tuple[tuple[float, float], ...]
    """(x, y) in scene pixels."""
    lonlat: tuple[float, float] | None = None
    """Of its centre, degrees; None where it cannot be placed on Earth."""
    length_m: float | None = None
    """Of its longer side; None where that is not known."""


def scenes_section(status: GroundStatus, pictured: Mapping[int, Sequence[DrawnDetection]]) -> Markup:
    """All scenes that the status names."""
    with_picture = [scene for scene in status.scenes if scene.scene in pictured]
    others = [scene for scene in status.scenes if scene.scene not in pictured]
    figures = [_figure(scene, pictured[scene.scene], large=index == 0) for index, scene in enumerate(with_picture)]
    count = f"{plural(status.scenes_total, 'scene')}" if status.scenes_total else ""
    return element(
        "section",
        element("h2", "Scenes as received so far", element("small", count)),
        None
        if status.scenes
        else element(
            "p",
            "Nothing has arrived yet. A scene appears here with its first layers, and becomes better as more come.",
            class_="empty",
        ),
        element("div", figures, class_=f"scenes with-{min(len(figures) - 1, 3)}") if figures else None,
        _rows(others, status.scenes_total - len(with_picture)) if others else None,
        data_part="scenes",
        class_="all-scenes",
    )


def _figure(scene: SceneStatus, drawn: Sequence[DrawnDetection], *, large: bool) -> Markup:
    width, height = scene.width or 1, scene.height or 1
    address = f"{CATALOGUE}/{scene.folder}"
    ratio = max(1 / TALLEST_RATIO, min(TALLEST_RATIO, width / height))
    picture = element(
        "a",
        element(
            "img",
            src=f"{address}/browse.png?v={scene.published_ms}",
            alt=f"{scene.name} as received so far",
            loading="lazy",
        ),
        element(
            "svg",
            (_box(one) for one in drawn),
            viewBox=f"0 0 {width} {height}",
            preserveAspectRatio="xMidYMid meet",
            aria_hidden="true",
        ),
        href=f"{address}/browse.png",
        class_="picture",
        style=f"--ratio:{ratio:.4f}",
    )
    certain = _most_certain(drawn) if large else None
    return element("article", picture, _words(scene, address, certain), class_="scene large" if large else "scene")


def _most_certain(drawn: Sequence[DrawnDetection]) -> Markup | None:
    """The detections that the satellite is most certain of."""
    if not drawn:
        return None
    rows = [
        element(
            "tr",
            element("td", one.class_name, class_="wrap"),
            element("td", percent(one.confidence), class_="number"),
            element("td", ABSENT if one.length_m is None else f"{one.length_m:.0f}\u00a0m", class_="number"),
            element("td", ABSENT if one.lonlat is None else _place(one.lonlat), class_="number place"),
        )
        for one in drawn[:DETECTIONS_LISTED]
    ]
    names = ("Most certain", "Confidence", "Length", "Place")
    head = element("tr", (element("th", name, class_="number" if index else None) for index, name in enumerate(names)))
    return element(
        "div", element("table", element("thead", head), element("tbody", rows)), class_="scroll certain", tabindex=0
    )


def _place(lonlat: tuple[float, float]) -> str:
    """Latitude and longitude with their hemispheres, to about ten metres."""
    lon, lat = lonlat
    return f"{abs(lat):.4f}°\u00a0{'S' if lat < 0 else 'N'} {abs(lon):.4f}°\u00a0{'W' if lon < 0 else 'E'}"


def _box(one: DrawnDetection) -> Markup:
    return element(
        "polygon", element("title", f"{one.class_name} {percent(one.confidence)}"), points=points(one.corners_px)
    )


def _words(scene: SceneStatus, address: str, certain: Markup | None) -> Markup:
    links = (("scene.tif", "GeoTIFF"), ("detections.geojson", "detections"), ("item.json", "STAC item"))
    fresh = scene.layers - scene.published_layers
    more = f", {whole(fresh)} more not drawn yet" if fresh > 0 else ""
    return element(
        "div",
        element("h3", scene.name),
        element("p", f"Captured {clock(scene.captured_ms or 0, with_day=True)}", class_="note"),
        _bar(scene),
        element("p", _quality(scene), class_="quality"),
        element(
            "ul",
            element(
                "li", element("b", whole(scene.detections)), "detection" if scene.detections == 1 else "detections"
            ),
            element("li", element("b", whole(scene.layers)), f"layers{more}"),
            element("li", element("b", size(scene.bytes)), "received"),
            class_="counts",
        ),
        certain,
        element("p", _waiting(scene), class_="problem") if scene.waiting_images else None,
        element("p", scene.problem, class_="problem") if scene.problem else None,
        element("p", join([element("a", name, href=f"{address}/{file}"), " "] for file, name in links), class_="links"),
        class_="words",
    )


def _bar(scene: SceneStatus) -> Markup:
    exact, some = 100 * scene.byte_exact_fraction, 100 * max(0.0, scene.arrived_fraction - scene.byte_exact_fraction)
    return element(
        "div",
        element("i", class_="exact", style=f"width:{exact:.2f}%"),
        element("i", class_="some", style=f"width:{some:.2f}%"),
        class_="arrived",
        role="img",
        aria_label=_quality(scene),
    )


def _quality(scene: SceneStatus) -> str:
    if scene.arrived_fraction >= 1 and scene.byte_exact_fraction >= 1:
        return "Whole, exact to the last bit."
    if scene.arrived_fraction <= 0:
        return "Its summary is here, no pixel yet."
    words = f"{percent(scene.arrived_fraction)} of its pixels have arrived"
    if scene.byte_exact_fraction > 0:
        words += f", {percent(scene.byte_exact_fraction)} exact to the last bit"
    if scene.psnr_db is not None:
        words += f"; half of them better than {significant(scene.psnr_db)}\u00a0dB"
    return words + "."


def _waiting(scene: SceneStatus) -> str:
    wait = "waits for its" if scene.waiting_images == 1 else "wait for their"
    return (
        f"{plural(scene.waiting_images, 'image')} {wait} reference: what they are predicted from is not on the ground."
    )


def _rows(scenes: Sequence[SceneStatus], total: int) -> Markup:
    listed = scenes[:ROWS_LISTED]
    head = element(
        "tr",
        (
            element("th", name, class_=kind)
            for name, kind in (
                ("Scene", None),
                ("Layers", "number"),
                ("Bytes", "number"),
                ("Arrived", "number"),
                ("", None),
            )
        ),
    )
    rows = [
        element(
            "tr",
            element("td", _named(scene), class_="wrap"),
            element("td", whole(scene.layers), class_="number"),
            element("td", size(scene.bytes), class_="number"),
            element("td", percent(scene.arrived_fraction) if scene.folder else ABSENT, class_="number"),
            element("td", _standing(scene), class_="wrap"),
        )
        for scene in listed
    ]
    rest = total - len(listed)
    return join(
        [
            element("div", element("table", element("thead", head), element("tbody", rows)), class_="scroll"),
            element("p", f"{plural(rest, 'further scene')} in the catalogue.", class_="note") if rest > 0 else None,
        ]
    )


def _named(scene: SceneStatus) -> Markup | str:
    if scene.folder is None:
        return f"scene {scene.scene}"
    return element("a", scene.name, href=f"{CATALOGUE}/{scene.folder}/browse.png")


def _standing(scene: SceneStatus) -> str:
    if scene.problem:
        return scene.problem
    if not scene.has_summary:
        return "its summary has not arrived yet"
    if scene.waiting_images:
        return _waiting(scene)
    return "is being made" if scene.folder is None else ""
